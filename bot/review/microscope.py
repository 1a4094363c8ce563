"""A reply under the microscope: its tokens with their place on each layer, and one step opened."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ..explain.explanation import Explanation
from ..explain.loss import Scored
from ..explain.scale import LAYERS, Layer, read
from ..explain.tokens import Group, PromptPart, Token, groups
from ..explain.view import StepView
from ..explain.visible import neutral, visible

SHADES = 20
"""Steps of the colour scale."""


@dataclass(frozen=True, slots=True)
class Glyph:
    """What a reader can point at: one token, or the few that make one character.

    ``classes`` place it on every layer at once, as palette.py colours them; the page says which layer is shown.
    ``revealed`` is its text with whitespace and control bytes visible.
    """

    first: int
    last: int
    text: str
    revealed: str
    classes: str
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
    overruled = frozenset(explanation.overruled)
    out = []
    for group in explanation.groups:
        parts = explanation.tokens[group.first : group.last + 1]
        marker = parts[-1].is_end or not group.bytes
        text = shown(group, marker=marker)
        revealed = visible(group.bytes).replace("⏎", "⏎\n")
        classes = " ".join(_classes(layer, parts) for layer in LAYERS)
        over = any(part.index in overruled for part in parts)
        out.append(Glyph(group.first, group.last, text, revealed, classes, over, marker))
    return out


def _classes(layer: Layer, parts: Sequence[Token]) -> str:
    """Colour and mark on one layer: a group is as unsure as its least sure token."""
    reading = max((read(layer, part.value(layer)) for part in parts), key=lambda reading: reading.unsure)
    return f"{layer[0]}{round(reading.unsure * SHADES)} {layer[0].upper()}{reading.level}"


@dataclass(frozen=True, slots=True)
class Seen:
    """A token of the prompt, or the few that make one character, and what to say of each."""

    text: str
    note: str
    classes: str = ""


def seen_tokens(scored: Scored) -> list[Seen]:
    """The prompt, tinted by how much it surprised the model: a character as much as its most surprising token."""
    out = []
    for group in groups([token.bytes for token in scored.prompt]):
        parts = scored.prompt[group.first : group.last + 1]
        bits = [part.surprisal_bits for part in parts if part.surprisal_bits is not None]
        reading = read("surprisal", max(bits)) if bits else None
        classes = f"s{round(reading.unsure * SHADES)} S{reading.level}" if reading else ""
        notes = [
            "the first token: nothing predicts it"
            if part.surprisal_bits is None
            else f"{part.surprisal_bits:.2f} bits"
            for part in parts
        ]
        out.append(Seen(shown(group), _noted([part.bytes for part in parts], notes), classes))
    return out


def shown(group: Group, *, marker: bool = False) -> str:
    """Its text on the page; of a ``marker`` everything in it is visible."""
    return visible(group.bytes) if marker else neutral(group.bytes).replace("\n", "⏎\n")


def _noted(pieces: Sequence[bytes], notes: Sequence[str]) -> str:
    """A line for each token; with its bytes where they are not the whole."""
    if len(pieces) == 1:
        return notes[0]
    return "\n".join(f"{visible(piece)} {note}" for piece, note in zip(pieces, notes, strict=True))


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


def cut(parts: Sequence[PromptPart], first: int, last: int) -> list[PromptPart]:
    """What lies between two positions of the prompt, in its parts. No character is cut in two."""
    pieces = [piece for part in parts for piece in part.pieces]

    def border(place: int) -> int:
        while place < len(pieces) and 0x80 <= (pieces[place] or b"-")[0] < 0xC0:  # goes on with a character
            place += 1
        return place

    first, last = border(first), border(last)
    out = []
    for part in parts:
        low, high = max(first - part.start, 0), min(last - part.start, len(part.ids))
        if low < high:
            ids, own = part.ids[low:high], part.pieces[low:high]
            out.append(replace(part, start=part.start + low, ids=ids, pieces=own))
    return out


def prompt_tokens(part: PromptPart) -> list[Seen]:
    """What the model saw of a part of the prompt, and the tokens' ids."""
    out = []
    for group in groups(part.pieces):
        places = slice(group.first, group.last + 1)
        text = shown(group, marker=part.kind == "marker")
        out.append(Seen(text, _noted(part.pieces[places], list(map(str, part.ids[places])))))
    return out
