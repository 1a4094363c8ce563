"""Two replies compared token by token: what they share, where they part, where they meet again."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from .turn import Turn


@dataclass(frozen=True, slots=True)
class ReplyToken:
    """One token of a whole reply, whether this turn drew it or took it over from its parent."""

    id: int
    bytes: bytes
    logprob: float | None
    """None for a token that was taken over or forced: this turn did not draw it."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A run in which two replies agree, or where they differ: half-open ranges of reply positions."""

    same: bool
    left: tuple[int, int]
    right: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two replies side by side. ``parts_at`` is the first position that differs, None if neither goes on."""

    left: tuple[ReplyToken, ...]
    right: tuple[ReplyToken, ...]
    stretches: tuple[Stretch, ...]
    parts_at: int | None
    meets_at: tuple[int, int] | None
    """Where, after parting, they first agree again for at least ``MEETING`` tokens: positions left and right."""
    same_prompt: bool


MEETING = 3
"""Agreeing for fewer tokens is chance: a comma meets a comma."""


def reply(turn: Turn) -> tuple[ReplyToken, ...]:
    """The whole reply, a branch's inherited beginning included."""
    start = len(turn.prompt.ids) - turn.first_step
    kept = [
        ReplyToken(token, piece, None)
        for token, piece in zip(turn.prompt.ids[start:], turn.prompt_pieces[start:], strict=True)
    ]
    drawn = [
        ReplyToken(step.id, piece, step.logprob)
        for step, piece in zip(turn.trace.steps, turn.trace.pieces, strict=True)
    ]
    return (*kept, *drawn)


def compare(left: Turn, right: Turn) -> Comparison:
    """Align two replies: where they part, and where they meet again."""
    mine, theirs = reply(left), reply(right)
    stretches = _align([token.id for token in mine], [token.id for token in theirs])
    parted = next((stretch for stretch in stretches if not stretch.same), None)
    met = next(
        (
            stretch
            for stretch in stretches
            if parted and stretch.same and stretch.left[0] >= parted.left[1] and _length(stretch) >= MEETING
        ),
        None,
    )
    return Comparison(
        left=mine,
        right=theirs,
        stretches=stretches,
        parts_at=parted.left[0] if parted else None,
        meets_at=(met.left[0], met.right[0]) if met else None,
        same_prompt=_question(left) == _question(right),
    )


def _align(left: Sequence[int], right: Sequence[int]) -> tuple[Stretch, ...]:
    common = 0
    while common < min(len(left), len(right)) and left[common] == right[common]:
        common += 1
    out = [Stretch(True, (0, common), (0, common))] if common else []
    matcher = SequenceMatcher(None, left[common:], right[common:], autojunk=False)
    for tag, left_low, left_high, right_low, right_high in matcher.get_opcodes():
        out.append(
            Stretch(
                tag == "equal",
                (common + left_low, common + left_high),
                (common + right_low, common + right_high),
            )
        )
    return tuple(out)


def _length(stretch: Stretch) -> int:
    return stretch.left[1] - stretch.left[0]


def _question(turn: Turn) -> tuple[int, ...]:
    return turn.prompt.ids[: len(turn.prompt.ids) - turn.first_step]
