"""Which erasures were asked for, kept beside the database so that a restored backup cannot bring words back.

A line names nobody: it holds a keyed hash of the subject and the moment. The key is the file's first line.
"""

import hashlib
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any


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
        lines = self._lines()
        return bytes.fromhex(lines[0]["key"]) if lines else None

    def entries(self) -> list[Entry]:
        return [Entry(bytes.fromhex(line["erased"]), line["requested_us"]) for line in self._lines()[1:]]

    def add(self, subject: str, requested_us: int) -> Entry:
        """Durable when this returns."""
        key = self.key()
        lines: list[dict[str, object]] = []
        if key is None:
            key = secrets.token_bytes(32)
            lines.append({"key": key.hex()})
        entry = Entry(mac(key, subject), requested_us)
        lines.append({"erased": entry.mac.hex(), "requested_us": requested_us})
        file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(file, b"".join(json.dumps(line).encode() + b"\n" for line in lines))
            os.fsync(file)
        finally:
            os.close(file)
        return entry

    def _lines(self) -> list[dict[str, Any]]:
        if not self.path.exists():
            return []
        whole = self.path.read_bytes()
        # A crash while appending may leave half a line at the end.
        return [json.loads(line) for line in whole.split(b"\n")[:-1] if line]


def mac(key: bytes, subject: str) -> bytes:
    return hashlib.blake2b(subject.encode(), key=key, digest_size=16).digest()
