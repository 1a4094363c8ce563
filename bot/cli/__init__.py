"""The terminal: one command, `glasshead`, with a subcommand a job.

A `UserError` anywhere ends it with one line on standard error and exit code 2.
"""

import sys

from ..errors import UserError


def main() -> None:
    """The console script."""
    from .app import app  # noqa: PLC0415 - so that even a failing import of a command can be told apart

    try:
        app()
    except UserError as error:
        for line in str(error).splitlines():
            print(f"glasshead: {line}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:  # `glasshead log list | head`
        sys.stderr.close()
        sys.exit(0)
