"""The picture of a reply: tinted tokens, the current one outlined, its candidates as bars, and the draw.

Sized for Discord on a phone, where 760 pixels are shown about 380 points wide: no text is smaller than 11 points.
"""

from dataclasses import dataclass

from .canvas import Canvas
from .flow import Flow, Row
from .fontbook import FontBook
from .scale import MARKS, Rgb, Theme, colour, ink
from .shaping import Shaped
from .sheet import Panel, Sheet, legend
from .text import percent
from .visible import ELLIPSIS, graphemes

WIDTH = 760
MARGIN = 30
_INNER = WIDTH - 2 * MARGIN
_REPLY, _BODY, _SMALL = 30.0, 25.0, 22.0
_LEADING = 50.0
_ROWS_WITH_PANEL, _ROWS_ALONE = 8, 24
_LEVEL_MIDDLES = (0.0, 0.12, 0.25, 0.48, 1.0)
"""Where each level's swatch lies on the scale."""


@dataclass(frozen=True, slots=True)
class Palette:
    page: Rgb
    text: Rgb
    dim: Rgb
    faint: Rgb
    accent: Rgb


PALETTES: dict[Theme, Palette] = {
    "dark": Palette((24, 25, 29), (242, 243, 245), (166, 172, 182), (58, 61, 69), (255, 176, 59)),
    "light": Palette((255, 255, 255), (24, 26, 31), (92, 98, 110), (224, 227, 232), (176, 84, 0)),
}


class Painter:
    """Draws sheets; keeps fonts and shaped words for the next one."""

    def __init__(self, book: FontBook | None = None) -> None:
        self.book = book or FontBook()
        self.reply = Flow(self.book, _REPLY, _INNER)

    def paint(self, sheet: Sheet) -> bytes:
        """The sheet as a PNG."""
        canvas = Canvas(WIDTH)
        palette = PALETTES[sheet.theme]
        y = self._heading(canvas, sheet, palette, MARGIN)
        y = self._reply(canvas, sheet, palette, y)
        if sheet.panel:
            y = self._panel(canvas, sheet.panel, palette, y + 22)
        y = self._legend(canvas, sheet, palette, y + 18)
        return canvas.png(y + MARGIN, palette.page)

    def _shape(self, text: str) -> Shaped:
        return self.reply.shape(text)

    def _fit(self, text: str, size: float, width: float) -> Shaped:
        """Shaped text, cut with an ellipsis where it is too wide."""
        shaped = self._shape(text)
        if shaped.width * size <= width:
            return shaped
        clusters = graphemes(text)
        while clusters and self._shape("".join(clusters) + ELLIPSIS).width * size > width:
            clusters.pop()
        return self._shape("".join(clusters) + ELLIPSIS)

    def _right(self, canvas: Canvas, text: str, at: tuple[float, float], size: float, fill: Rgb) -> None:
        shaped = self._shape(text)
        canvas.text(shaped, at[0] - shaped.width * size, at[1], size, fill)

    def _heading(self, canvas: Canvas, sheet: Sheet, palette: Palette, y: float) -> float:
        baseline = y + _SMALL
        canvas.text(self._shape(sheet.heading), MARGIN, baseline, _SMALL, palette.text, bold=True)
        self._right(canvas, sheet.detail, (WIDTH - MARGIN, baseline), _SMALL, palette.dim)
        return y + _SMALL + 24

    def _reply(self, canvas: Canvas, sheet: Sheet, palette: Palette, y: float) -> float:
        rows = self.reply.rows([tile.text for tile in sheet.tiles])
        first, last = _page(rows, sheet.current, _ROWS_WITH_PANEL if sheet.panel else _ROWS_ALONE)
        if first:
            canvas.text(self._shape(f"{ELLIPSIS} {_lines(first)} above"), MARGIN, y + 16, _SMALL, palette.dim)
            y += 34
        for row in rows[first:last]:
            self._row(canvas, row, sheet, palette, y)
            y += _LEADING if row.boxes else _LEADING / 2
        if last < len(rows):
            note = f"{ELLIPSIS} {_lines(len(rows) - last)} below"
            canvas.text(self._shape(note), MARGIN, y + 20, _SMALL, palette.dim)
            y += 34
        return y

    def _row(self, canvas: Canvas, row: Row, sheet: Sheet, palette: Palette, y: float) -> None:
        baseline = y + _REPLY * 1.02
        for box in row.boxes:
            tile = sheet.tiles[box.group]
            tint = colour(tile.unsure, sheet.theme)
            left, width = MARGIN + box.left, box.right - box.left
            canvas.box(left - 1.5, y - 1, width + 2, 40, tint, radius=5)
            thick = 1.4 * tile.level
            if thick:
                canvas.box(left, y + 41.5, width - 1, thick, palette.text, opacity=0.85)
        for box in row.boxes:
            if box.group == sheet.current:
                left, width = MARGIN + box.left, box.right - box.left
                canvas.outline(left - 4, y - 4, width + 7, 46, palette.accent, line=4, radius=7)
        self._row_text(canvas, row, sheet, baseline)

    def _row_text(self, canvas: Canvas, row: Row, sheet: Sheet, baseline: float) -> None:
        """Each glyph in the ink that reads best on the tint it stands on."""
        inks = [(box.left, box.right, ink(colour(sheet.tiles[box.group].unsure, sheet.theme))) for box in row.boxes]
        for placed in row.texts:
            by_ink: dict[Rgb, list[int]] = {}
            for number, glyph in enumerate(placed.shaped.glyphs):
                middle = placed.x + (glyph.x + 0.1) * _REPLY
                shade = next((fill for left, right, fill in inks if left - 2 <= middle <= right), None)
                by_ink.setdefault(shade or PALETTES[sheet.theme].text, []).append(number)
            for fill, numbers in by_ink.items():
                some = Shaped(
                    placed.shaped.text,
                    tuple(placed.shaped.glyphs[number] for number in numbers),
                    placed.shaped.extents,
                    placed.shaped.width,
                    placed.shaped.direction,
                )
                canvas.text(some, MARGIN + placed.x, baseline, _REPLY, fill)

    def _panel(self, canvas: Canvas, panel: Panel, palette: Palette, y: float) -> float:
        canvas.box(MARGIN, y, _INNER, 1.5, palette.faint)
        y += 24
        title = self._fit(f"“{panel.title}”", 36, _INNER * 0.6 if panel.whole else _INNER)
        canvas.text(title, MARGIN, y + 32, 36, palette.accent, bold=True)
        if panel.whole:
            whole = self._fit(panel.whole, _SMALL, _INNER - title.width * 36 - 24)
            canvas.text(whole, WIDTH - MARGIN - whole.width * _SMALL, y + 32, _SMALL, palette.dim)
        y += 54
        y = self._numbers(canvas, panel, palette, y)
        y = self._bars(canvas, panel, palette, y + 18)
        return self._draw(canvas, panel, palette, y + 12)

    def _numbers(self, canvas: Canvas, panel: Panel, palette: Palette, y: float) -> float:
        column = _INNER / len(panel.numbers)
        for place, (name, value) in enumerate(panel.numbers):
            x = MARGIN + place * column
            canvas.text(self._shape(name), x, y + 18, _SMALL, palette.dim)
            canvas.text(self._shape(value), x, y + 50, 27, palette.text)
        return y + 64

    def _bars(self, canvas: Canvas, panel: Panel, palette: Palette, y: float) -> float:
        name_width, predicted, final = 176.0, WIDTH - MARGIN - 140.0, WIDTH - MARGIN
        bar_left = MARGIN + name_width + 14
        bar_width = predicted - 104 - bar_left
        self._right(canvas, "predicted", (predicted, y + 18), _SMALL, palette.dim)
        self._right(canvas, "drawn from", (final, y + 18), _SMALL, palette.dim)
        y += 34
        for bar in panel.bars:
            fill = palette.accent if bar.chosen else palette.dim if bar.removed else palette.text
            baseline = y + 26
            canvas.text(self._fit(bar.text, _BODY, name_width), MARGIN, baseline, _BODY, fill, bold=bar.chosen)
            canvas.box(bar_left, y + 6, bar_width, 26, palette.faint, radius=4, opacity=0.45)
            canvas.box(bar_left, y + 6, bar_width * bar.p, 26, palette.dim, radius=4, opacity=0.55)
            solid = palette.accent if bar.chosen else palette.text
            canvas.box(bar_left, y + 14, bar_width * bar.p_final, 10, solid, radius=2)
            shade = palette.dim if bar.removed else palette.text
            self._right(canvas, percent(bar.p), (predicted, baseline), _BODY, shade)
            self._right(canvas, f"− {bar.note}" if bar.removed else bar.note, (final, baseline), _BODY, fill)
            y += 39
        self._right(canvas, panel.others[0], (predicted, y + 26), _BODY, palette.dim)
        self._right(canvas, panel.others[1], (final, y + 26), _BODY, palette.dim)
        canvas.text(self._shape("all others"), MARGIN, y + 26, _BODY, palette.dim)
        return y + 42

    def _draw(self, canvas: Canvas, panel: Panel, palette: Palette, y: float) -> float:
        canvas.box(MARGIN, y, _INNER, 24, palette.faint, radius=4)
        for number, (low, high, chosen) in enumerate(panel.parts):
            fill = palette.accent if chosen else palette.dim
            opacity = 1.0 if chosen else 0.75 if number % 2 else 0.45
            canvas.box(MARGIN + low * _INNER, y, max(1.0, (high - low) * _INNER - 1), 24, fill, opacity=opacity)
        canvas.triangle(MARGIN + panel.u * _INNER, y + 26, 9, palette.text)
        y += 44
        canvas.text(self._fit(panel.draw, _SMALL, _INNER), MARGIN, y + 20, _SMALL, palette.text)
        y += 32
        if panel.note:
            canvas.text(self._fit(panel.note, _SMALL, _INNER), MARGIN, y + 20, _SMALL, palette.accent)
            y += 32
        return y

    def _legend(self, canvas: Canvas, sheet: Sheet, palette: Palette, y: float) -> float:
        canvas.box(MARGIN, y, _INNER, 1.5, palette.faint)
        y += 20
        canvas.text(self._shape(f"{sheet.layer.capitalize()} of each token"), MARGIN, y + 18, _SMALL, palette.dim)
        y += 32
        column = _INNER / len(MARKS)
        for level, text in enumerate(legend(sheet.layer)):
            x = MARGIN + level * column
            tint = colour(_LEVEL_MIDDLES[level], sheet.theme)
            canvas.box(x, y, 36, 24, tint, radius=4)
            if level:
                canvas.box(x, y + 26, 36, 1.4 * level, palette.text, opacity=0.85)
            canvas.text(self._shape(text), x + 46, y + 20, _SMALL, palette.dim)
        return y + 32


def _lines(count: int) -> str:
    return f"{count} line" + ("s" if count > 1 else "")


def _page(rows: list[Row], current: int | None, size: int) -> tuple[int, int]:
    """Which rows to show. Pages are turned, not scrolled: stepping within one moves nothing but the outline."""
    if len(rows) <= size + 1:
        return 0, len(rows)
    at = next((i for i, row in enumerate(rows) if current is not None and row.holds(current)), 0)
    first = at // size * size
    return first, min(first + size, len(rows))
