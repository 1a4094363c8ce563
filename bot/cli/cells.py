"""Visible characters in the cells of a full screen, and how many colours they may have.

prompt_toolkit gives each code point a cell of its own; terminals give an emoji of seven code points one glyph of
two columns, or four glyphs, or do not know it yet. So characters go in whole, and after each that terminals may
disagree about the cursor is set to where it has to be, however wide this one drew it.
"""

import os
from collections.abc import Iterator

from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.layout import FormattedTextControl, UIContent
from prompt_toolkit.output import ColorDepth, Output
from prompt_toolkit.utils import _CHAR_SIZES_CACHE as SIZES

from ..explain.lines import width
from ..explain.visible import graphemes

_disputed: dict[str, int] = {}
"""Characters on the screen that are wide, or made of several code points, with their columns."""


class Cells(str):
    """A text that is put on the screen character by character."""

    __slots__ = ()

    def __iter__(self) -> Iterator[str]:
        if self.isascii():
            yield from super().__iter__()
            return
        for character in graphemes(str(self)):
            columns = max(1, width(character))
            if character not in _disputed and (len(character) > 1 or not columns == SIZES[character] == 1):
                _disputed[character] = SIZES[character] = columns
            yield character


class CellControl(FormattedTextControl):
    """Formatted text whose characters stay whole."""

    def create_content(self, width: int, height: int | None) -> UIContent:
        content = super().create_content(width, height)

        def line(number: int) -> StyleAndTextTuples:
            return [(fragment[0], Cells(fragment[1])) for fragment in content.get_line(number)]

        return UIContent(
            line, content.line_count, content.cursor_position, content.menu_position, show_cursor=False
        )


def keep_columns(output: Output) -> Output:
    """The same output, which knows its column after every character."""
    plain = output.write

    def write(data: str) -> None:
        if data not in _disputed:
            plain(data)
            return
        output.write_raw("\x1b7")
        plain(data)
        output.write_raw(f"\x1b8\x1b[{_disputed[data]}C")

    output.write = write  # type: ignore[method-assign]
    return output


def colours() -> ColorDepth | None:
    """None leaves it to the terminal's own word."""
    if os.environ.get("NO_COLOR"):
        return ColorDepth.DEPTH_1_BIT
    if os.environ.get("COLORTERM") in ("truecolor", "24bit"):
        return ColorDepth.DEPTH_24_BIT
    return None
