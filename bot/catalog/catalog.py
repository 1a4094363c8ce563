"""The catalog: what can be had by name, over one folder of what is there."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError
from ..predict import gguf
from ..predict.model import file_sha256
from .entry import HUB_FILE, Entry, LocalFile, Report, load_entries, parse_source
from .pull import pull


@dataclass(frozen=True, slots=True)
class Catalog:
    """A name is that of an entry, ``hf:OWNER/REPOSITORY/FILE.gguf``, or the path of a file."""

    entries: Mapping[str, Entry]
    folder: Path

    @classmethod
    def load(cls, folder: Path) -> "Catalog":
        return cls(load_entries(), folder)

    def entry(self, name: str) -> Entry:
        """What ``name`` means. Raises UserError naming the nearest known name."""
        if name in self.entries:
            return self.entries[name]
        if HUB_FILE.fullmatch(name):
            # Many repositories call their file the same.
            return Entry(name, "model", parse_source(name), name.removeprefix("hf:").replace("/", "--"))
        try:
            path = Path(name).expanduser()
            if path.is_file():
                return Entry(name, "model", LocalFile(path), path.name)
            if path.is_dir():
                raise UserError(f"{name}: is a folder, not a GGUF file")
        except (OSError, RuntimeError):  # a name too long for a file's, a home that nobody has
            raise UserError(f"{name}: no such file") from None
        if name.startswith("hf:"):
            raise UserError(f"{name}: expected hf:OWNER/REPOSITORY/FILE.gguf")
        if "/" in name or name.endswith(".gguf"):
            raise UserError(f"{name}: no such file")
        near = difflib.get_close_matches(name, self.entries, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(self.entries)}"
        raise UserError(f"{name}: no such model; {hint}")

    def find(self, name: str) -> Path | None:
        """The file to load for ``name``, None if it is yet to be pulled. Raises UserError for an unknown name."""
        entry = self.entry(name)
        if isinstance(entry.source, LocalFile):
            return entry.source.path
        path = self.folder / entry.file
        return path if path.is_file() else None

    def ready(self, name: str) -> Path:
        """The file to load for ``name``, fetched if it is not here. Raises UserError for one that is not what the
        catalog means by that name."""
        path = self.find(name)
        if path is None:
            return self.pull(name)
        wanted = self.entry(name).sha256
        if wanted is not None and file_sha256(path) != wanted:
            gguf.check(path)  # says more, where it is not even whole
            raise UserError(f"{path}: wrong checksum; get it again with: glasshead model pull {name}")
        return path

    def pull(self, name: str, report: Report | None = None) -> Path:
        """Fetch the file unless it is there and right. Without ``report`` a progress bar is drawn on stderr."""
        entry = self.entry(name)
        if report is not None:
            return pull(entry, self.folder, report)
        from .progress import bar  # noqa: PLC0415 - rich takes a while, and most often nothing is fetched

        with bar(entry.name) as drawn:
            return pull(entry, self.folder, drawn)


def locate(name: str, folder: Path) -> Path:
    """The file to load for ``name``; raises UserError, saying how to get it, where it is not here yet."""
    path = Catalog.load(folder).find(name)
    if path is None:
        raise UserError(f"{name}: not here yet; get it with: glasshead model pull {name}")
    return path
