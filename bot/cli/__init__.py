"""The terminal: one command, `glasshead`, with a subcommand a job.

A `UserError` anywhere ends it with one line on standard error and exit code 2.
"""

import errno
import io
import os
import sys

from ..errors import UserError


def main() -> None:
    """The console script."""
    _speak_utf8()
    try:
        try:
            from .app import app  # noqa: PLC0415 - takes a while, and Ctrl-C may come already

            app()
        finally:
            if sys.stdout:
                sys.stdout.flush()
    except UserError as error:
        from ..explain.visible import neutral  # noqa: PLC0415 - only when something went wrong

        for line in str(error).splitlines():
            print(f"glasshead: {neutral(line)}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # `glasshead log list | head`
        _forget_output()
        sys.exit(0)
    except SystemExit as leaving:
        if isinstance(leaving.__context__, BrokenPipeError):  # typer came first, and says 1
            _forget_output()
            sys.exit(0)
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            _forget_output()
            said = "the disk is full: make room, nothing already logged is lost"
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG) and error.filename:
            said = f"{error.filename}: {error.strerror}"
        else:
            raise
        print(f"glasshead: {said}", file=sys.stderr)
        sys.exit(2)


def _speak_utf8() -> None:
    """Pipes and files get UTF-8 whatever the locale; a terminal gets what it can show."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding=None if stream.isatty() else "utf-8", errors="backslashreplace")


def _forget_output() -> None:
    """What is still buffered for a standard output that is gone must not be written at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
