"""A reply under the microscope: its tokens with their place on each layer, and one step opened."""

from collections.abc import Mapping
from dataclasses import dataclass

from ..explain.explanation import Explanation
from ..explain.lines import shown
from ..explain.scale import LAYERS, Layer
from ..explain.tokens import PromptPart
from ..explain.view import StepView
from ..explain.visible import neutral, visible

SHADES = 20
"""Steps of the colour scale."""


@dataclass(frozen=True, slots=True)
class Glyph:
    """What a reader can point at: one token, or the few that make one character."""

    first: int
    last: int
    text: str
    shade: Mapping[Layer, int]
    level: Mapping[Layer, int]
    overruled: bool
    marker: bool


@dataclass(frozen=True, slots=True)
class Bar:
    """A horizontal stroke in a drawing 1000 wide."""

    x: float
    width: float
    label: str
    chosen: bool


def glyphs(explanation: Explanation) -> list[Glyph]:
    readings = {layer: shown(explanation, layer) for layer in LAYERS}
    overruled = frozenset(explanation.overruled)
    out = []
    for number, group in enumerate(explanation.groups):
        parts = explanation.tokens[group.first : group.last + 1]
        marker = parts[-1].is_end or not group.bytes
        text = visible(group.bytes) if marker else neutral(group.bytes).replace("\n", "⏎\n")
        out.append(
            Glyph(
                first=group.first,
                last=group.last,
                text=text,
                shade={layer: round(readings[layer][number].reading.unsure * SHADES) for layer in LAYERS},
                level={layer: readings[layer][number].reading.level for layer in LAYERS},
                overruled=any(part.index in overruled for part in parts),
                marker=marker,
            )
        )
    return out


def draw_bar(step: StepView, names: Mapping[int, str]) -> list[Bar]:
    """The cumulative bar on which the draw fell, 1000 wide."""
    return [
        Bar(
            segment.low * 1000,
            (segment.high - segment.low) * 1000,
            names.get(segment.id, ""),
            segment.id == step.id,
        )
        for segment in step.segments
    ]


def names(step: StepView) -> dict[int, str]:
    """Each candidate's token, everything in it visible."""
    return {candidate.id: visible(candidate.bytes) for candidate in step.candidates}


def prompt_tokens(part: PromptPart) -> list[str]:
    return [
        visible(piece) if part.kind == "marker" else neutral(piece).replace("\n", "⏎\n") for piece in part.pieces
    ]
