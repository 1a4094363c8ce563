"""The picture of a reply: tinted tokens, the current one outlined, its candidates as bars, and the draw.

Sized for Discord on a phone, where 760 pixels are shown about 380 points wide: no text is smaller than 11 points.
"""

from dataclasses import dataclass
from functools import lru_cache

from .canvas import Canvas
from .flow import Flow, Row
from .fontbook import FontBook
from .scale import MARKS, Rgb, Theme, colour, ink
from .shaping import Shaped, drawn
from .sheet import Panel, Sheet, legend
from .text import percent
from .visible import ELLIPSIS, graphemes

WIDTH = 760
MARGIN = 30
_INNER = WIDTH - 2 * MARGIN
_REPLY, _BODY, _SMALL = 30.0, 25.0, 22.0
_LEADING = 49.0
_ROWS_WITH_PANEL, _ROWS_ALONE = 5, 16
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
        self._rows = lru_cache(maxsize=8)(self.reply.rows)  # stepping through a reply changes none of them

    def paint(self, sheet: Sheet) -> bytes:
        """The sheet as a PNG."""
        canvas = Canvas(WIDTH)
        palette = PALETTES[sheet.theme]
        rows = self._rows(tuple(tile.text for tile in sheet.tiles))
        first, last = _page(rows, sheet.current, _ROWS_WITH_PANEL if sheet.panel else _ROWS_ALONE)
        place = f"lines {first + 1} to {last} of {len(rows)}" if last - first < len(rows) else sheet.detail
        y = self._heading(canvas, sheet.heading, place, palette)
        for row in rows[first:last]:
            self._row(canvas, row, sheet, palette, y)
            y += _LEADING if row.boxes else _LEADING / 2
        if sheet.panel:
            y = self._panel(canvas, sheet.panel, palette, y + 12)
        if sheet.tiles:
            y = self._legend(canvas, sheet, palette, y + 14)
        return canvas.png(y + MARGIN - 4, palette.page)

    def _shape(self, text: str) -> Shaped:
        return self.reply.shape(text)

    def _fit(self, text: str, size: float, width: float) -> Shaped:
        """Shaped text, cut with an ellipsis where it is too wide; a quotation keeps its closing mark."""
        shaped = self._shape(text)
        if shaped.width * size <= width:
            return shaped
        end = ELLIPSIS + "”" if text.endswith("”") else ELLIPSIS
        clusters = graphemes(drawn(text, self.book))
        while clusters and self._shape("".join(clusters) + end).width * size > width:
            clusters.pop()
        return self._shape("".join(clusters) + end)

    def _right(self, canvas: Canvas, text: str, at: tuple[float, float], size: float, fill: Rgb) -> None:
        shaped = self._shape(text)
        canvas.text(shaped, at[0] - shaped.width * size, at[1], size, fill)

    def _heading(self, canvas: Canvas, heading: str, detail: str, palette: Palette) -> float:
        baseline = MARGIN + 18.0
        left = self._shape(heading)
        canvas.text(left, MARGIN, baseline, _SMALL, palette.text, bold=True)
        right = self._fit(detail, _SMALL, _INNER - left.width * _SMALL - 20)
        canvas.text(right, WIDTH - MARGIN - right.width * _SMALL, baseline, _SMALL, palette.dim)
        return MARGIN + 42

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
        y += 18
        numbers = self._shape(panel.headline)
        title = self._fit(f"“{panel.title}”", 34, _INNER - numbers.width * 29 - 30)
        canvas.text(title, MARGIN, y + 30, 34, palette.accent, bold=True)
        canvas.text(numbers, WIDTH - MARGIN - numbers.width * 29, y + 30, 29, palette.text)
        detail = self._shape(panel.detail)
        canvas.text(detail, WIDTH - MARGIN - detail.width * _SMALL, y + 62, _SMALL, palette.dim)
        whole = self._fit(panel.whole, _SMALL, _INNER - detail.width * _SMALL - 24)
        canvas.text(whole, MARGIN, y + 62, _SMALL, palette.dim)
        y = self._bars(canvas, panel, palette, y + 88)
        return self._draw(canvas, panel, palette, y + 10)

    def _bars(self, canvas: Canvas, panel: Panel, palette: Palette, y: float) -> float:
        name_width, predicted, final = 176.0, WIDTH - MARGIN - 140.0, WIDTH - MARGIN
        bar_left = MARGIN + name_width + 14
        bar_width = predicted - 116 - bar_left  # “<0.001 %” fits beside it
        self._right(canvas, "predicted", (predicted, y + 18), _SMALL, palette.dim)
        self._right(canvas, "drawn from", (final, y + 18), _SMALL, palette.dim)
        y += 26
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
            y += 37
        self._right(canvas, panel.others[0], (predicted, y + 26), _BODY, palette.dim)
        self._right(canvas, panel.others[1], (final, y + 26), _BODY, palette.dim)
        canvas.text(self._shape("all others"), MARGIN, y + 26, _BODY, palette.dim)
        return y + 42

    def _draw(self, canvas: Canvas, panel: Panel, palette: Palette, y: float) -> float:
        canvas.box(MARGIN, y, _INNER, 20, palette.faint, radius=4)
        for number, (low, high, chosen) in enumerate(panel.parts):
            fill = palette.accent if chosen else palette.dim
            opacity = 1.0 if chosen else 0.75 if number % 2 else 0.45
            canvas.box(MARGIN + low * _INNER, y, max(1.0, (high - low) * _INNER - 1), 20, fill, opacity=opacity)
        canvas.triangle(MARGIN + panel.u * _INNER, y + 22, 8, palette.text)
        y += 38
        said = self._shape(panel.draw)
        canvas.text(said, MARGIN, y + 18, _SMALL, palette.text)
        note = self._fit(panel.note, _SMALL, _INNER - said.width * _SMALL - 20)
        canvas.text(note, WIDTH - MARGIN - note.width * _SMALL, y + 18, _SMALL, palette.accent)
        return y + 26

    def _legend(self, canvas: Canvas, sheet: Sheet, palette: Palette, y: float) -> float:
        canvas.box(MARGIN, y, _INNER, 1.5, palette.faint)
        y += 16
        canvas.text(self._shape(sheet.layer), MARGIN, y + 19, _SMALL, palette.dim)
        column = (_INNER - 116) / len(MARKS)
        for level, text in enumerate(legend(sheet.layer)):
            # The unit is said once, where there is room.
            said = text if level == len(MARKS) - 1 else text.removesuffix(" bits")
            x = MARGIN + 130 + level * column
            tint = colour(_LEVEL_MIDDLES[level], sheet.theme)
            canvas.box(x, y, 26, 22, tint, radius=4)
            if level:
                canvas.box(x, y + 24, 26, 1.4 * level, palette.text, opacity=0.85)
            canvas.text(self._shape(said.replace(" ", "", 1)), x + 34, y + 19, _SMALL, palette.dim)
        return y + 28


def _page(rows: list[Row], current: int | None, size: int) -> tuple[int, int]:
    """Which rows to show. Pages are turned, not scrolled: stepping within one moves nothing but the outline."""
    if len(rows) <= size + 1:
        return 0, len(rows)
    at = next((i for i, row in enumerate(rows) if current is not None and row.holds(current)), 0)
    first = at // size * size
    return first, min(first + size, len(rows))
