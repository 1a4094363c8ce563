"""KV snapshots on disk: they survive a restart, and may be deleted at any time.

A file is: MAGIC, u32 length of the head, the head (JSON: key, ids, schedule, session, size of the data), XXH3-128
of the head, the data, XXH3-128 of the data. llama.cpp accepts a damaged state silently: nothing is used unchecked.
"""

import contextlib
import json
import logging
import os
import re
import struct
import time
from collections.abc import Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from .pieces import gently
from .schedule import Run, Schedule, length, plain
from .sessions import is_of

log = logging.getLogger(__name__)

_NAME = b"glasshead kv "
MAGIC = _NAME + b"4\n"
_OURS = re.compile(r"[0-9a-f]{16}-[0-9a-f]{32}\.(kv|[0-9]+\.part)")
_SUM = 16
_MOST_HEAD = 64 << 20
_ABANDONED_S = 600
"""A half written file that was not written to for so long belongs to a process that is gone."""


@dataclass(frozen=True, slots=True)
class Spilled:
    """A snapshot file: what it holds, where its data begins, and how many bytes of it there are."""

    path: Path
    ids: tuple[int, ...]
    schedule: Schedule
    session: int | None
    start: int
    size: int


Written = Spilled | Future[Spilled | None]
"""A file, or one being written: None if that fails."""


class Damaged(Exception):
    """The file is not what was written."""


_MALFORMED = (ValueError, KeyError, TypeError, struct.error, Damaged)


def empty(folder: Path, sessions: Collection[int] | None = None) -> None:
    """Delete the snapshots of ``sessions`` in the folder, and what is half written, whatever its key; nothing else
    that lies there.

    Raises OSError for one that cannot be deleted.
    """
    for ending in (".part", ".kv"):  # in this order: a half one may become whole meanwhile
        for path in _snapshots(folder):
            if path.suffix == ending and (sessions is None or is_of(_session(path), sessions)):
                path.unlink(missing_ok=True)


def _session(path: Path) -> int | None:
    """Whose snapshot it is; None where it does not say."""
    try:
        session = _head(path)[0]["session"]
    except (OSError, *_MALFORMED):
        return None
    return session if isinstance(session, int) else None


def _settled(written: Written) -> Spilled | None:
    """The file; waits for one being written."""
    return written.result() if isinstance(written, Future) else written


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        log.warning("%s cannot be removed: %s", path, error)


def _snapshots(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if _OURS.fullmatch(path.name) and path.is_file()]
    except (FileNotFoundError, NotADirectoryError):
        return []


class Spill:
    """A folder of snapshots under one key (model, adapter, build). Files are written and removed on one thread, in
    order, and read on another: a large one takes seconds, in which replies go on.

    ``most`` bounds the bytes of all files there, those under other keys included: a build or a model that nobody
    runs any more would else keep its share for good.
    """

    def __init__(self, folder: Path, key: str, most: int) -> None:
        self.most = most
        self._folder = folder
        self._key = key
        self._name = xxhash.xxh3_64_hexdigest(key.encode())
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="glasshead-spill")
        self._flushing = self._closing = False
        """Whether somebody waits until all is written."""
        self._failing = False
        """Whether the last write failed: a full disk is told once."""
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="glasshead-unspill")

    def known(self) -> Iterator[Spilled]:
        """What earlier runs left under this key, the longest unused first. Damaged files are removed."""
        self._bound()
        try:
            mine = [path for path in _snapshots(self._folder) if path.match(f"{self._name}-*.kv")]
            paths = sorted(mine, key=lambda path: path.stat().st_mtime_ns)
        except OSError:
            return
        for path in paths:
            try:
                spilled = self._look(path)
            except FileNotFoundError:
                continue
            except (OSError, *_MALFORMED) as error:
                log.warning("%s cannot be used and is removed: %s", path, error)
                _remove(path)
                continue
            if spilled is not None:
                yield spilled

    def write(
        self, ids: tuple[int, ...], schedule: Schedule, session: int | None, data: NDArray[np.uint8]
    ) -> "Future[Spilled | None]":
        """Write a snapshot, whole or not at all; the result is None if that failed."""
        return self._writer.submit(self._write, ids, schedule, session, data)

    def read(self, written: Written) -> "Future[NDArray[np.uint8] | None]":
        """The data, None if the file is not there any more or damaged: then it is gone, too."""
        return self._reader.submit(self._read, written)

    def remove(self, written: Written) -> None:
        """Delete the file, after what is being written."""
        self._writer.submit(lambda: _remove(spilled.path) if (spilled := _settled(written)) else None)

    def flush(self) -> "Future[None]":
        """Hurry; done once everything is written and removed."""
        self._flushing = True
        return self._writer.submit(self._flushed)

    def close(self) -> None:
        """Wait until everything is written and removed."""
        self._closing = True
        self._reader.shutdown(cancel_futures=True)
        self._writer.shutdown()

    def _flushed(self) -> None:
        self._flushing = False

    def _read(self, written: Written) -> NDArray[np.uint8] | None:
        if (spilled := _settled(written)) is None:
            return None
        try:
            with spilled.path.open("rb") as file:
                file.seek(spilled.start)
                data = np.fromfile(file, np.uint8, spilled.size)
                if data.size != spilled.size or xxhash.xxh3_128_digest(data.data) != file.read(_SUM):
                    raise Damaged("its data does not match its checksum")
            os.utime(spilled.path)
        except FileNotFoundError:  # it made room for others
            return None
        except MemoryError:
            log.warning("there is no memory for the %d MB of %s", spilled.size >> 20, spilled.path)
            return None
        except (OSError, Damaged) as error:
            log.warning("%s cannot be used and is removed: %s", spilled.path, error)
            _remove(spilled.path)
            return None
        except Exception:  # of what is kept to save time, nothing is worth a reply
            log.exception("%s cannot be read", spilled.path)
            return None
        return data

    def _write(
        self, ids: tuple[int, ...], schedule: Schedule, session: int | None, data: NDArray[np.uint8]
    ) -> Spilled | None:
        said = {"key": self._key, "ids": ids, "schedule": plain(schedule), "session": session, "size": data.size}
        head = json.dumps(said).encode()
        name = xxhash.xxh3_128_hexdigest(np.asarray(ids, "<i4").tobytes())
        path = self._folder / f"{self._name}-{name}.kv"
        part = path.with_suffix(f".{os.getpid()}.part")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with part.open("wb") as file:
                file.write(MAGIC + struct.pack("<I", len(head)) + head + xxhash.xxh3_128_digest(head))
                start = file.tell()
                for piece in gently(data.size, lambda: self._flushing or self._closing):
                    file.write(data[piece].data)
                file.write(xxhash.xxh3_128_digest(data.data))
            part.replace(path)
            self._bound()
        except Exception as error:  # whatever it was: a reply matters more than what is kept of it
            if not self._failing:
                why = error.strerror if isinstance(error, OSError) else repr(error)
                log.warning("conversations' caches cannot be written, which costs time only: %s: %s", path, why)
            self._failing = True
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
                path.unlink(missing_ok=True)
            return None
        if self._failing:
            log.warning("conversations' caches can be written again: %s", path)
            self._failing = False
        return Spilled(path, ids, schedule, session, start, data.size)

    def _bound(self) -> None:
        """Delete what was abandoned half written and, while there is too much, what was unused for longest."""
        used, whole = 0, []
        with contextlib.suppress(OSError):
            for path in _snapshots(self._folder):
                stat = path.stat()
                if path.suffix == ".kv":
                    whole.append((stat.st_mtime_ns, stat.st_size, path))
                elif stat.st_mtime < time.time() - _ABANDONED_S:
                    _remove(path)
                    continue
                used += stat.st_size
        for _, size, path in sorted(whole):
            if used <= self.most:
                break
            _remove(path)
            used -= size

    def _look(self, path: Path) -> Spilled | None:
        """What the file says it holds; None if it belongs to another key."""
        head, start = _head(path)
        if head["key"] != self._key:
            return None
        ids = tuple(head["ids"])
        schedule = tuple(Run(*run) for run in head["schedule"])
        if path.stat().st_size != start + head["size"] + _SUM or length(schedule) != len(ids):
            raise Damaged("it is not whole")
        return Spilled(path, ids, schedule, head["session"], start, head["size"])


def _head(path: Path) -> tuple[dict[str, Any], int]:
    """A file's head, and where its data begins."""
    with path.open("rb") as file:
        if (magic := file.read(len(MAGIC))) != MAGIC:
            older = magic[: len(_NAME)] == _NAME
            raise Damaged("it is of another version" if older else "it is no snapshot")
        (size,) = struct.unpack("<I", file.read(4))
        if size > _MOST_HEAD:
            raise Damaged("its head is too long")
        raw = file.read(size)
        if xxhash.xxh3_128_digest(raw) != file.read(_SUM):
            raise Damaged("its head does not match its checksum")
        head: dict[str, Any] = json.loads(raw)
        return head, file.tell()
