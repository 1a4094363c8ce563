"""An explanation: a recorded turn, arranged for reading. Text, picture, page and panel all draw from it.

Nothing here is computed by a model: what is shown was recorded when the reply was written.
"""

import math
from dataclasses import dataclass, field
from functools import cached_property

from ..predict.prompt import SpanKind
from .tokens import NATS_PER_BIT, Group, PromptPart, Token, groups, prompt_parts, tokens
from .turn import Turn
from .view import StepView, overruled, view

LEAST_CERTAIN = 5


@dataclass(frozen=True, slots=True)
class Whole:
    """The reply as a whole. ``None`` where there is nothing to divide by."""

    tokens: int
    perplexity: float | None
    """exp of the mean surprisal in nats: as unsure as a fair pick among this many tokens."""
    total_surprisal_bits: float
    mean_entropy_bits: float | None
    first_choice_share: float | None
    least_certain: tuple[int, ...]
    """Indices of the steps whose token was least probable, least first."""
    overruled: tuple[int, ...]
    """Indices of the steps where temperature 0 would have picked another token."""
    ms_per_token: float | None


@dataclass(frozen=True)
class Explanation:
    """A turn, explained. Cheap to make; a step is opened when it is asked for."""

    turn: Turn
    tokens: tuple[Token, ...]
    _opened: dict[int, StepView] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        return groups([token.bytes for token in self.tokens])

    @cached_property
    def whole(self) -> Whole:
        return _whole(self)

    @cached_property
    def prompt(self) -> tuple[PromptPart, ...]:
        """What the model saw."""
        return prompt_parts(self.turn.prompt, self.turn.prompt_pieces)

    @cached_property
    def overruled(self) -> tuple[int, ...]:
        return overruled(self.turn)

    def step(self, index: int) -> StepView:
        """Open one step, and keep it. Raises IndexError."""
        if index not in self._opened:
            self._opened[index] = view(self.turn, index)
        return self._opened[index]

    def group_of(self, index: int) -> Group:
        """The group in which token ``index`` is shown."""
        return next(group for group in self.groups if group.first <= index <= group.last)

    def prompt_tokens(self, kind: SpanKind) -> int:
        """How many prompt tokens are of one origin."""
        return sum(len(part.ids) for part in self.prompt if part.kind == kind)


def explain(turn: Turn) -> Explanation:
    """Arrange a recorded turn, finished or not, for reading."""
    return Explanation(turn, tokens(turn))


def _whole(explanation: Explanation) -> Whole:
    steps = explanation.turn.trace.steps
    count = len(steps)
    logprobs = [step.logprob for step in steps]
    nats = -sum(logprobs)
    timings = explanation.turn.timings
    return Whole(
        tokens=count,
        perplexity=math.exp(min(nats / count, 700.0)) if count else None,
        total_surprisal_bits=nats / NATS_PER_BIT,
        mean_entropy_bits=sum([step.entropy for step in steps]) / count / NATS_PER_BIT if count else None,
        first_choice_share=[step.rank for step in steps].count(1) / count if count else None,
        least_certain=tuple(sorted(range(count), key=logprobs.__getitem__)[:LEAST_CERTAIN]),
        overruled=explanation.overruled,
        ms_per_token=timings.gen_us / 1000 / (count - 1) if timings and count > 1 else None,
    )
