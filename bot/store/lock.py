"""One owner process writes to a database: a lock file beside it says which."""

import contextlib
import fcntl
import json
import os
import sys
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from ..errors import UserError
from .clock import now_us

SIZE = 512
"""Bytes of a lock file: an owner with the longest path a socket may have."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The process that writes. ``socket`` is where it takes writes from others, empty if it takes none. A command,
    which ends by itself, is ``passing``."""

    pid: int
    program: str
    socket: str = ""
    since_us: int = 0
    passing: bool = False

    def __str__(self) -> str:
        since = f" since {datetime.fromtimestamp(self.since_us / 1e6):%Y-%m-%d %H:%M}" if self.since_us else ""
        return f"process {self.pid} ({self.program}){since}"


class Owned(UserError):
    """Another process owns the database."""

    def __init__(self, database: Path, owner: Owner | None) -> None:
        who = str(owner or "another process")
        end = "wait for its end or stop it" if owner and owner.passing else "stop it first"
        super().__init__(f"{database} is in use by {who}: {end}, or use another database")
        self.owner = owner


class OwnerLock:
    """Held until closed or until the process dies, however it dies: the kernel lets go, the file may stay.

    ``passing``: held for no longer than something takes that ends by itself.
    """

    def __init__(self, database: Path, *, passing: bool = False) -> None:
        self.database = database
        self.passing = passing
        self._since_us = 0
        real = database.resolve()  # one log has one owner, whatever it is called
        self.path = real.with_name(f"{real.name}.lock")
        self._file: int | None = None

    def acquire(self) -> None:
        """Raises Owned, naming the owner, and UserError where there can be no lock file."""
        try:
            file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise UserError(f"{self.path} cannot be written: {error.strerror}") from None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(file)
            raise Owned(self.database, read_owner(self.path)) from None
        self._file = file
        self._since_us = now_us()
        self.announce()

    def announce(self, socket: str = "") -> None:
        """Write who we are into the file."""
        assert self._file is not None
        words = [Path(sys.argv[0]).name, *(word for word in sys.argv[1:3] if not word.startswith("-"))]
        owner = Owner(os.getpid(), " ".join(words)[:100], socket, self._since_us, self.passing)
        self._write(json.dumps(asdict(owner)))

    def release(self) -> None:
        if self._file is not None:
            self._write("")
            os.close(self._file)
            self._file = None

    def _write(self, words: str) -> None:
        """Always as many bytes: what has its place already can be written over on a full disk. Without a name in it
        the lock holds as well."""
        assert self._file is not None
        with contextlib.suppress(OSError):
            os.pwrite(self._file, words.ljust(SIZE).encode(), 0)


def read_owner(path: Path) -> Owner | None:
    """The owner named in a lock file, None if it names none."""
    try:
        return Owner(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def current_owner(database: Path) -> Owner | None:
    """The living owner of a database, if any."""
    lock = OwnerLock(database, passing=True)
    if not lock.path.exists():
        return None
    try:
        lock.acquire()
    except Owned as owned:
        return owned.owner or Owner(0, "unknown")
    lock.release()
    return None
