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
    """A file under this name is whole: it gets it when it is finished. Until then it is called `.part`, and what
    could not be finished is taken back.

    Raises UserError where there is one already, or none can be written.
    """
    if path.exists():
        raise UserError(f"{path} exists already: name a new file")
    partial = path.with_name(path.name + ".part")
    try:
        partial.unlink(missing_ok=True)
        file = os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from None
    try:
        with file:
            yield file
        written = os.open(partial, os.O_RDONLY)
        try:
            os.fsync(written)
        finally:
            os.close(written)
        partial.rename(path)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise UserError(f"{path} cannot be written: {error.strerror}") from None
        raise


@contextmanager
def new_text(path: Path) -> Iterator[TextIO]:
    """The same for text, in UTF-8."""
    with new_file(path) as file, io.TextIOWrapper(file, encoding="utf-8") as text:
        yield text
