"""Which erasures were asked for, kept beside the database so that a restored backup cannot bring words back.

A line names nobody: it holds a keyed hash of the subject and the moment. The key is the file's first line.
"""

import errno
import hashlib
import json
import logging
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .faults import StoreError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Entry:
    mac: bytes
    requested_us: int


class Ledger:
    """Appended to, never rewritten."""

    def __init__(self, database: Path) -> None:
        self.path = database.with_name(database.name + ".erasures")

    def key(self) -> bytes | None:
        """None as long as nothing was ever erased."""
        return next((bytes.fromhex(line["key"]) for line in self._lines() if "key" in line), None)

    def entries(self) -> list[Entry]:
        lines = self._lines()
        return [Entry(bytes.fromhex(line["erased"]), line["requested_us"]) for line in lines if "erased" in line]

    def add(self, subject: str, requested_us: int) -> Entry:
        """Durable when this returns."""
        key = self.key()
        lines: list[dict[str, object]] = []
        if key is None:
            key = secrets.token_bytes(32)
            lines.append({"key": key.hex()})
        entry = Entry(mac(key, subject), requested_us)
        lines.append({"erased": entry.mac.hex(), "requested_us": requested_us})
        try:
            self._append(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
        except OSError as error:
            reason = "full" if error.errno == errno.ENOSPC else "io"
            raise StoreError(
                reason, f"{self.path} cannot be written ({error.strerror}): nothing is erased"
            ) from None
        return entry

    def _append(self, text: bytes) -> None:
        file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            size = os.fstat(file).st_size
            if size and os.pread(file, 1, size - 1) != b"\n":  # half a line, of a crash or a full disk
                text = b"\n" + text
            while text:
                text = text[os.write(file, text) :]
            os.fsync(file)
        finally:
            os.close(file)

    def _lines(self) -> list[dict[str, Any]]:
        if not self.path.exists():
            return []
        found = []
        for number, text in enumerate(self.path.read_bytes().split(b"\n"), 1):
            try:
                line = json.loads(text or b"{}")
                for name in line.keys() & {"key", "erased"}:
                    bytes.fromhex(line[name])
            except (ValueError, AttributeError, TypeError):
                log.warning("%s, line %d is passed over: it is half, or no entry", self.path, number)
                continue
            found.append(line)
        return found


def mac(key: bytes, subject: str) -> bytes:
    return hashlib.blake2b(subject.encode(), key=key, digest_size=16).digest()
