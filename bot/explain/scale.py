"""How sure the model was, as a colour and as a mark: two codes for one number, so neither is needed alone.

The colours are cividis (Nuñez, Anderton, Renslow, "Optimizing colormaps with consideration for color vision
deficiency to enable accurate interpretation of scientific data", PLOS ONE 13(7), 2018): lightness rises evenly, for
people with and without colour vision deficiency alike.
"""

import math
from dataclasses import dataclass
from typing import Literal

Layer = Literal["probability", "surprisal", "entropy", "rank"]
Theme = Literal["dark", "light"]
Rgb = tuple[int, int, int]

LAYERS: tuple[Layer, ...] = ("probability", "surprisal", "entropy", "rank")
MARKS = ("", "▁", "▃", "▅", "▇")
"""The mark of each level: the taller, the less sure."""

LAYER_LEVELS: dict[Layer, tuple[float, ...]] = {
    "probability": (0.9, 0.5, 0.2, 0.05),
    "surprisal": (0.5, 1.0, 3.0, 6.0),
    "entropy": (0.5, 1.5, 3.0, 5.0),
    "rank": (1.0, 2.0, 5.0, 20.0),
}
"""The borders between the five levels, in the layer's unit (a share, bits, bits, a place)."""

_CIVIDIS: tuple[Rgb, ...] = (
    (0, 34, 78),
    (18, 53, 112),
    (59, 73, 108),
    (87, 93, 109),
    (112, 113, 115),
    (138, 134, 120),
    (165, 156, 116),
    (195, 179, 105),
    (225, 204, 85),
    (254, 232, 56),
)
_FULL_BITS: dict[Layer, float] = {"probability": 7.0, "surprisal": 10.0, "entropy": 8.0, "rank": 7.0}
_PAPER: Rgb = (255, 255, 255)


@dataclass(frozen=True, slots=True)
class Reading:
    """One token on the scale: ``unsure`` from 0 (certain) to 1, and ``level`` from 0 to 4."""

    unsure: float
    level: int

    @property
    def mark(self) -> str:
        return MARKS[self.level]


def read(layer: Layer, value: float) -> Reading:
    """Place a value of ``layer``: a probability as a share, surprisal and entropy in bits, a rank from 1."""
    borders = LAYER_LEVELS[layer]
    if layer == "probability":
        level = sum(value < border for border in borders)
        bits = -math.log2(max(value, 1e-9))
    else:
        level = sum(value > border for border in borders)
        bits = math.log2(max(value, 1.0)) if layer == "rank" else value
    return Reading(min(1.0, max(0.0, bits / _FULL_BITS[layer])), level)


def colour(unsure: float, theme: Theme = "dark") -> Rgb:
    """The tint behind a token. Certain tokens recede into the page, unsure ones stand out, on either theme."""
    if theme == "dark":
        return _at(unsure)
    red, green, blue = _at(1.0 - unsure)
    fade = 0.8 * (1.0 - unsure)
    return _mix((red, green, blue), _PAPER, fade)


def ink(background: Rgb) -> Rgb:
    """Black or white, whichever has the higher contrast (WCAG 2 relative luminance) on ``background``."""
    light = luminance(background)
    return (255, 255, 255) if 1.05 / (light + 0.05) > (light + 0.05) / 0.05 else (0, 0, 0)


def luminance(rgb: Rgb) -> float:
    """Relative luminance as WCAG 2 defines it, 0 to 1."""
    red, green, blue = (c / 3294.6 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in rgb)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def hex_colour(rgb: Rgb) -> str:
    return "#{:02x}{:02x}{:02x}".format(*rgb)


def _at(position: float) -> Rgb:
    place = min(max(position, 0.0), 1.0) * (len(_CIVIDIS) - 1)
    below = min(int(place), len(_CIVIDIS) - 2)
    return _mix(_CIVIDIS[below], _CIVIDIS[below + 1], place - below)


def _mix(first: Rgb, second: Rgb, share: float) -> Rgb:
    """``share`` of the second colour in the first."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return (red, green, blue)
