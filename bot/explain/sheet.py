"""What a picture shows, as data: small enough to hand to another process, and free of fonts and pixels."""

from dataclasses import dataclass

from .explanation import Explanation
from .lines import shown
from .scale import LAYER_LEVELS, Layer, Theme
from .text import absence, counted, outcome, percent
from .view import StepView
from .visible import visible

BARS = 6
"""Candidates in a picture, which has to stay about as high as it is wide: chats shrink what is taller."""


@dataclass(frozen=True, slots=True)
class Tile:
    """One group of the reply: its text, newlines as ⏎ before the break, and its place on the scale."""

    text: str
    unsure: float
    level: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Bar:
    """One candidate."""

    text: str
    p: float
    p_final: float
    note: str
    chosen: bool
    removed: bool


@dataclass(frozen=True, slots=True)
class Panel:
    """The current step. ``parts`` are the draw's segments: start, end, is the chosen one's."""

    title: str
    whole: str
    """The character this token is only a part of, in words; empty for most."""
    headline: str
    detail: str
    bars: tuple[Bar, ...]
    others: tuple[str, str]
    parts: tuple[tuple[float, float, bool], ...]
    u: float
    draw: str
    note: str


@dataclass(frozen=True, slots=True)
class Sheet:
    """A whole picture. ``current`` is the tile to outline."""

    heading: str
    detail: str
    tiles: tuple[Tile, ...]
    current: int | None
    panel: Panel | None
    layer: Layer
    theme: Theme


def sheet(
    explanation: Explanation,
    step: int | None = None,
    layer: Layer = "probability",
    theme: Theme = "dark",
    *,
    reveal: bool = False,
) -> Sheet:
    """The picture of a reply, with one step opened or none; ``reveal`` makes all whitespace visible.

    Raises IndexError for a step that is not there.
    """
    groups = shown(explanation, layer, reveal=reveal)
    tiles = tuple(
        Tile(
            group.text if reveal else _tile_text(group.text),
            group.reading.unsure,
            group.reading.level,
            group.group.first,
            group.group.last,
        )
        for group in groups
    )
    current = None
    panel = None
    if step is not None:
        panel = _panel(explanation.step(step), explanation)
        current = next(i for i, tile in enumerate(tiles) if tile.first <= step <= tile.last)
    whole = explanation.whole
    heading = f"Turn {explanation.turn.id}"
    if step is not None:
        heading += f" · step {step} of {whole.tokens - 1}"
        heading += " · the least certain" if step == whole.least_certain[0] else ""
    numbers = [counted(whole.tokens) if whole.tokens else absence(explanation)]
    if whole.perplexity is not None and whole.first_choice_share is not None:
        numbers.append(f"perplexity {whole.perplexity:.1f}")
        numbers.append(f"{percent(whole.first_choice_share)} first choices")
    detail = outcome(explanation) if step is not None else " · ".join(numbers)
    return Sheet(heading, detail, tiles, current, panel, layer, theme)


def _tile_text(text: str) -> str:
    """Newlines show before they break; several in one token break once, so that a picture is not all gaps."""
    if not text.strip("\n") and text:
        return "⏎" * len(text) + "\n"
    return text.replace("\n", "⏎\n")


def _panel(step: StepView, explanation: Explanation) -> Panel:
    listed = [c for c in step.candidates if c.listed]
    extra = [c for c in step.candidates if c.chosen and c not in listed[:BARS]]
    chosen_bars = listed[: BARS - len(extra)] + extra
    bars = tuple(
        Bar(
            text=visible(c.bytes),
            p=c.p,
            p_final=0.0 if step.hides(c) else c.p_final,
            note=f"{c.removed_by}" if c.removed_by else "erased" if step.hides(c) else percent(c.p_final),
            chosen=c.chosen,
            removed=c.removed_by is not None,
        )
        for c in chosen_bars
    )
    rest = max(0.0, 1.0 - sum(bar.p for bar in bars))
    rest_final = max(0.0, 1.0 - sum(bar.p_final for bar in bars))
    other = next((c for c in step.candidates if c.id == step.greedy), None) if step.overruled else None
    return Panel(
        title=visible(step.bytes),
        whole=_part_of(explanation, step.index),
        headline=f"{percent(step.p)} · rank {step.rank}",
        detail=f"surprisal {step.surprisal_bits:.2f} bits · entropy {step.entropy_bits:.2f} bits",
        bars=bars,
        others=(
            percent(rest if rest > 1e-9 else 0),
            "erased" if step.is_blurred else percent(rest_final if rest_final > 1e-9 else 0),
        ),
        parts=tuple((part.low, part.high, part.id == step.id) for part in step.segments),
        u=step.u,
        draw=f"draw {step.u:.4f} fell in {step.interval[0]:.4f} to {step.interval[1]:.4f}",
        note=f"temperature 0: “{visible(other.bytes)}”" if other else "",
    )


def _part_of(explanation: Explanation, index: int) -> str:
    group, token = explanation.group_of(index), explanation.tokens[index]
    if group.first == group.last:
        return "end of turn" if token.is_end else "of the stop string" if token.is_unshown else ""
    return f"part {index - group.first + 1} of {group.last - group.first + 1} of “{visible(group.bytes)}”"


def legend(layer: Layer) -> tuple[str, ...]:
    """What each of the five levels means, in a word or two."""
    borders = LAYER_LEVELS[layer]
    if layer == "probability":
        return (*(f"≥ {border * 100:g} %" for border in borders), f"< {borders[-1] * 100:g} %")
    unit = "" if layer == "rank" else " bits"
    return (*(f"≤ {border:g}{unit}" for border in borders), f"> {borders[-1]:g}{unit}")
