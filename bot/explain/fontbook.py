"""Which font draws which character: by coverage, the machine's fonts and two of our own.

A font is opened once and stays mapped; opening a few hundred takes a tenth of a second.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import uharfbuzz as hb  # type: ignore[import-untyped]

_OWN = Path(__file__).parent / "fonts"
_IGNORED = frozenset("\u200c\u200d\ufe0e\ufe0f")
"""Joiners and variation selectors: a font may act on them without listing them."""
_UNWANTED = ("bold", "black", "thin", "light", "italic", "oblique", "condensed", "medium", "semi", "extra", "mono")
_EMOJI_BLOCKS = range(0x1F000, 0x1FB00)


def system_folders() -> tuple[Path, ...]:
    """Where this system keeps fonts."""
    home = Path.home()
    if sys.platform == "darwin":
        return (Path("/System/Library/Fonts"), Path("/Library/Fonts"), home / "Library/Fonts")
    return (Path("/usr/share/fonts"), Path("/usr/local/share/fonts"), home / ".local/share/fonts", home / ".fonts")


@dataclass(frozen=True, eq=False)
class Font:
    """A font file's first face. ``bitmaps``: its glyphs are coloured pictures, not outlines."""

    name: str
    hb: hb.Font
    unicodes: hb.Set
    bitmaps: bool

    @property
    def upem(self) -> int:
        return int(self.hb.face.upem)

    def covers(self, cluster: str) -> bool:
        return all(ord(char) in self.unicodes for char in cluster if not _is_ignored(char))


class FontBook:
    """Fonts in order of preference: ours for Latin, Noto, ours for symbols, whatever else there is."""

    def __init__(self, folders: Sequence[Path] | None = None) -> None:
        found = [
            path
            for folder in (system_folders() if folders is None else folders)
            if folder.is_dir()
            for path in sorted(folder.rglob("*"))
            if path.suffix.lower() in (".ttf", ".otf", ".ttc")
        ]
        paths = [_OWN / "NotoSans-Regular.ttf", *sorted([*found, _OWN / "DejaVuSans.ttf"], key=_preference)]
        opened = [font for font in map(_open, paths) if font is not None]
        self.outlines = [font for font in opened if not font.bitmaps]
        self.bitmaps = [font for font in opened if font.bitmaps]
        self.font_for = lru_cache(maxsize=16_384)(self._font_for)

    def _font_for(self, cluster: str) -> Font | None:
        """The font for one visible character, None if no font has it whole."""
        order = [*self.bitmaps, *self.outlines] if _is_emoji(cluster) else [*self.outlines, *self.bitmaps]
        return next((font for font in order if font.covers(cluster)), None)


def _open(path: Path) -> Font | None:
    """None for a file that is no font we can draw with: a stranger's font folder is not ours to mend."""
    try:
        face = hb.Face(hb.Blob.from_file_path(str(path)))
        if not face.glyph_count:
            return None
        font = hb.Font(face)
        return Font(path.name, font, face.unicodes, bool(face.has_color_png))
    except (OSError, ValueError, hb.HarfBuzzError):
        return None


def _preference(path: Path) -> tuple[int, int, str]:
    name = path.stem.lower()
    family = 0 if name.startswith("noto") else 1 if name == "dejavusans" else 2
    drawback = sum(word in name for word in _UNWANTED) + ("sans" not in name) + ("serif" in name) + ("ui" in name)
    return (family if drawback < 2 else family + 3, drawback, name)


def _is_ignored(char: str) -> bool:
    return char in _IGNORED or 0xE0020 <= ord(char) <= 0xE007F


def _is_emoji(cluster: str) -> bool:
    return "\ufe0f" in cluster or any(ord(char) in _EMOJI_BLOCKS for char in cluster)
