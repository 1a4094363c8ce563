"""Two replies side by side: where they part, and how far apart their predictions were at each shared position."""

import math
from dataclasses import dataclass

from ..explain.branches import Comparison, compare
from ..explain.same_model import difference
from ..explain.tokens import groups
from ..explain.turn import Turn
from ..predict.step import Step
from .microscope import shown


@dataclass(frozen=True, slots=True)
class Piece:
    """One token of one side, or the few that make one character."""

    text: str
    same: bool
    index: int | None
    """The step in its own turn's record, None for a token taken over from a parent."""


@dataclass(frozen=True, slots=True)
class SideBySide:
    comparison: Comparison
    left: list[Piece]
    right: list[Piece]
    same_model: bool
    """The same file; its adapter may be another."""
    same_adapter: bool
    divergences: dict[int, float]
    """Bits, by reply position, as long as both went the same way (the position where they part included)."""


def side_by_side(left: Turn, right: Turn) -> SideBySide:
    comparison = compare(left, right)
    same_model = left.model.sha256 == right.model.sha256
    divergences: dict[int, float] = {}
    if comparison.same_prompt and same_model:
        shared = comparison.parts_at if comparison.parts_at is not None else len(comparison.left)
        for position in range(max(left.first_step, right.first_step), shared + 1):
            mine, theirs = position - left.first_step, position - right.first_step
            if mine < len(left.trace.steps) and theirs < len(right.trace.steps):
                divergences[position] = divergence(left.trace.steps[mine], right.trace.steps[theirs])
    return SideBySide(
        comparison=comparison,
        left=_pieces(comparison, left, of_left=True),
        right=_pieces(comparison, right, of_left=False),
        same_model=same_model,
        same_adapter=difference(left, right.model) is None,
        divergences=divergences,
    )


def divergence(left: Step, right: Step) -> float:
    """KL(left ‖ right) in bits over the tokens both records list and one rest: a lower bound of the true one.

    Merging outcomes never raises a divergence (the data processing inequality), hence the bound.
    """
    mine = {candidate.id: candidate.logprob for candidate in left.top}
    theirs = {candidate.id: candidate.logprob for candidate in right.top}
    common = mine.keys() & theirs.keys()
    pairs = [(math.exp(mine[token]), math.exp(theirs[token])) for token in common]
    rest = (max(0.0, 1 - sum(p for p, _ in pairs)), max(0.0, 1 - sum(q for _, q in pairs)))
    total = sum(p * math.log2(p / q) for p, q in [*pairs, rest] if p > 0 and q > 0)
    return max(0.0, total)


def _pieces(comparison: Comparison, turn: Turn, *, of_left: bool) -> list[Piece]:
    tokens = comparison.left if of_left else comparison.right
    same = [False] * len(tokens)
    for stretch in comparison.stretches:
        low, high = stretch.left if of_left else stretch.right
        if stretch.same:
            same[low:high] = [True] * (high - low)
    return [
        Piece(
            text=shown(group),
            same=all(same[group.first : group.last + 1]),
            index=group.first - turn.first_step if group.first >= turn.first_step else None,
        )
        for group in groups([token.bytes for token in tokens])
    ]
