"""The terminal: one command, `glasshead`, with a subcommand a job.

A `UserError` anywhere ends it with one line on standard error and exit code 2.
"""

import sys

from ..errors import UserError


def main() -> None:
    """The console script."""
    try:
        from .app import app  # noqa: PLC0415 - takes a while, and Ctrl-C may come already

        app()
    except UserError as error:
        for line in str(error).splitlines():
            print(f"glasshead: {line}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # `glasshead log list | head`
        sys.stderr.close()
        sys.exit(0)
