"""The colours of the scale as a stylesheet: one class of rules a layer and shade, in both themes."""

from collections.abc import Callable

from ..explain.scale import LAYERS, Layer, Theme, colour, hex_colour, ink
from .microscope import SHADES

_LEVEL_WIDTHS = (0, 1, 2, 3, 4)
"""How thick the line under a token is, in pixels, by its level: readable without colour."""


def stylesheet(where: Callable[[Layer], str] = "[data-layer={}]".format) -> str:
    """``where`` selects what shows a layer."""
    rules = [
        ":root{" + _variables("light") + "}",
        "@media(prefers-color-scheme:dark){:root:not([data-theme=light]){" + _variables("dark") + "}}",
        ":root[data-theme=dark]{" + _variables("dark") + "}",
    ]
    for layer in LAYERS:
        rules += [
            f"{where(layer)} .{layer[0]}{shade}{{background:var(--s{shade});color:var(--i{shade})}}"
            for shade in range(SHADES + 1)
        ]
        rules += [
            f"{where(layer)} .{layer[0].upper()}{level}{{box-shadow:inset 0 -{width}px var(--mark)}}"
            for level, width in enumerate(_LEVEL_WIDTHS)
        ]
    return "\n".join(rules)


def _variables(theme: Theme) -> str:
    shades = [colour(shade / SHADES, theme) for shade in range(SHADES + 1)]
    return "".join(
        f"--s{number}:{hex_colour(rgb)};--i{number}:{hex_colour(ink(rgb))};" for number, rgb in enumerate(shades)
    )
