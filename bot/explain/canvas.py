"""A drawing as SVG with glyphs as outlines, so that rasterising it needs no font; resvg turns it into a PNG."""

import base64
from dataclasses import dataclass, field

import resvg_py
import uharfbuzz as hb  # type: ignore[import-untyped]

from .fontbook import Font
from .scale import Rgb, hex_colour
from .shaping import Shaped


@dataclass
class Canvas:
    """Shapes in the order they are drawn. Pixels, y down."""

    width: float
    _parts: list[str] = field(default_factory=list)
    _glyphs: dict[tuple[int, int], str] = field(default_factory=dict)
    _defs: list[str] = field(default_factory=list)

    def box(
        self, x: float, y: float, width: float, height: float, fill: Rgb, *, radius: float = 0, opacity: float = 1
    ) -> None:
        self._parts.append(
            f'<rect x="{x:.2f}" y="{y:.2f}" width="{max(0.0, width):.2f}" height="{height:.2f}" rx="{radius:g}" '
            f'fill="{hex_colour(fill)}" fill-opacity="{opacity:g}"/>'
        )

    def outline(
        self, x: float, y: float, width: float, height: float, stroke: Rgb, *, line: float, radius: float
    ) -> None:
        self._parts.append(
            f'<rect x="{x:.2f}" y="{y:.2f}" width="{max(0.0, width):.2f}" height="{height:.2f}" rx="{radius:g}" '
            f'fill="none" stroke="{hex_colour(stroke)}" stroke-width="{line:g}"/>'
        )

    def triangle(self, x: float, y: float, size: float, fill: Rgb) -> None:
        """Pointing up, its tip at (x, y)."""
        points = f"{x:.2f},{y:.2f} {x - size:.2f},{y + size * 1.4:.2f} {x + size:.2f},{y + size * 1.4:.2f}"
        self._parts.append(f'<polygon points="{points}" fill="{hex_colour(fill)}"/>')

    def text(self, shaped: Shaped, x: float, y: float, size: float, fill: Rgb, *, bold: bool = False) -> None:
        """Draw shaped text with its baseline at ``y``."""
        stroke = f' stroke="{hex_colour(fill)}" stroke-width="35"' if bold else ""
        self._parts.append(f'<g fill="{hex_colour(fill)}"{stroke}>')
        for glyph in shaped.glyphs:
            name = self._glyph(glyph.font, glyph.id)
            if name:
                scale = size / glyph.font.upem
                self._parts.append(
                    f'<use href="#{name}" transform="translate({x + glyph.x * size:.2f} {y + glyph.y * size:.2f}) '
                    f'scale({scale:.5f})"/>'
                )
        self._parts.append("</g>")

    def svg(self, height: float, background: Rgb) -> str:
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{self.width:g}" height="{height:g}" '
            f'viewBox="0 0 {self.width:g} {height:g}"><defs>{"".join(self._defs)}</defs>'
            f'<rect width="100%" height="100%" fill="{hex_colour(background)}"/>{"".join(self._parts)}</svg>'
        )

    def png(self, height: float, background: Rgb) -> bytes:
        return bytes(resvg_py.svg_to_bytes(svg_string=self.svg(height, background), skip_system_fonts=True))

    def _glyph(self, font: Font, glyph: int) -> str:
        """The name of a glyph's definition; empty for one that draws nothing."""
        key = (id(font), glyph)
        if key not in self._glyphs:
            drawn = _bitmap(font, glyph) if font.bitmaps else _outline(font, glyph)
            name = f"g{len(self._glyphs)}" if drawn else ""
            if drawn:
                self._defs.append(drawn.format(name=name))
            self._glyphs[key] = name
        return self._glyphs[key]


_paths: dict[tuple[int, int], str] = {}


def _outline(font: Font, glyph: int) -> str:
    """The outline in font units, y turned down."""
    key = (id(font), glyph)
    if key not in _paths:
        out: list[str] = []
        font.hb.draw_glyph(glyph, _FUNCS, out)
        _paths[key] = f'<path id="{{name}}" d="{"".join(out)}"/>' if out else ""
    return _paths[key]


def _bitmap(font: Font, glyph: int) -> str:
    """The glyph's picture, placed where the outline would be."""
    key = (id(font), glyph)
    if key not in _paths:
        blob = font.hb.get_glyph_color_png(glyph)
        extents = font.hb.get_glyph_extents(glyph)
        if not blob or not blob.data or extents is None:
            _paths[key] = ""
        else:
            picture = base64.b64encode(blob.data).decode()
            _paths[key] = (
                f'<image id="{{name}}" x="{extents.x_bearing}" y="{-extents.y_bearing}" width="{extents.width}" '
                f'height="{-extents.height}" href="data:image/png;base64,{picture}"/>'
            )
    return _paths[key]


def _drawing_functions() -> hb.DrawFuncs:
    funcs = hb.DrawFuncs()
    funcs.set_move_to_func(lambda x, y, out: out.append(f"M{x:g} {-y:g}"))
    funcs.set_line_to_func(lambda x, y, out: out.append(f"L{x:g} {-y:g}"))
    funcs.set_quadratic_to_func(lambda a, b, x, y, out: out.append(f"Q{a:g} {-b:g} {x:g} {-y:g}"))
    funcs.set_cubic_to_func(lambda a, b, c, d, x, y, out: out.append(f"C{a:g} {-b:g} {c:g} {-d:g} {x:g} {-y:g}"))
    funcs.set_close_path_func(lambda out: out.append("Z"))
    return funcs


_FUNCS = _drawing_functions()
