"""Files that exports are written to: new ones, for their owner alone, and whole."""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TextIO

from ..errors import UserError


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """A file under this name is whole: what could not be finished is taken back.

    Raises UserError where there is one already, or none can be written.
    """
    try:
        file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
    except FileExistsError:
        raise UserError(f"{path} exists already: name a new file") from None
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from None
    try:
        with file:
            yield file
    except BaseException as error:
        path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise UserError(f"{path} cannot be written: {error.strerror}") from None
        raise


@contextmanager
def new_text(path: Path) -> Iterator[TextIO]:
    """The same for text, in UTF-8."""
    with new_file(path) as file, io.TextIOWrapper(file, encoding="utf-8") as text:
        yield text
