"""Training uses inference: prompt and reply scored in one pass, beside what was recorded while writing.

What this is: the forward half of a training step. The cross-entropy loss of a text is the sum of −log p of its
tokens, each predicted from those before it, and these predictions are the very ones that generation draws from.
What it is not: there is no gradient here and no update, so nothing is learned.
"""

import math
import statistics
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import UserError
from ..predict.engine import Engine
from ..predict.step import Score
from .same_model import difference
from .text import pad, percent, quoted
from .tokens import NATS_PER_BIT
from .turn import Turn

_MOST_SURPRISING = 8
"""Tokens that are named as those which surprised the model most."""

MEANING = (
    "In training, the loss of a text is the sum of −log p of its tokens, each predicted from all before it. "
    "The left column was recorded while this reply was written, token after token; the right one is a single "
    "pass over the finished text, as training does. Both are the same computation; where other kernels do it "
    "they round differently, and that difference is the noise floor of the comparison. (The one pass of a "
    "proof, level C, goes in larger pieces, with a kernel of its own: its sum is near this one, not equal.) "
    "This is the forward half of a training step. There is no gradient here and no update, and nothing else "
    "about training follows from it."
)


@dataclass(frozen=True, slots=True)
class LossToken:
    """One token of the reply; nats."""

    id: int
    bytes: bytes
    recorded: float
    """−log p, as recorded while writing."""
    scored: float
    """−log p, by one pass over everything."""


@dataclass(frozen=True, slots=True)
class Loss:
    """The cross-entropy of a reply, twice. Nats."""

    tokens: tuple[LossToken, ...]
    recorded: float
    scored: float

    @property
    def difference(self) -> float:
        return self.scored - self.recorded

    @property
    def per_token(self) -> tuple[float, float]:
        """The two means, as a training log would show them."""
        count = max(1, len(self.tokens))
        return self.recorded / count, self.scored / count

    @property
    def noise(self) -> tuple[float, float]:
        """Median and largest |difference| of a single token."""
        apart = [abs(token.scored - token.recorded) for token in self.tokens]
        return (statistics.median(apart), max(apart)) if apart else (0.0, 0.0)


@dataclass(frozen=True, slots=True)
class SeenToken:
    """One token of the prompt, and how likely the model held it after all before it. The first has no before."""

    position: int
    id: int
    bytes: bytes
    logprob: float | None
    rank: int | None

    @property
    def surprisal_bits(self) -> float | None:
        return None if self.logprob is None else max(0.0, -self.logprob / NATS_PER_BIT)


@dataclass(frozen=True, slots=True)
class Scored:
    """What one pass over prompt and reply tells."""

    prompt: tuple[SeenToken, ...]
    loss: Loss


async def score(engine: Engine, turn: Turn, k: int = 10) -> Scored:
    """Give the model prompt and reply in one pass; raises as `one_pass` does."""
    return arrange(turn, await one_pass(engine, turn, k))


async def one_pass(engine: Engine, turn: Turn, k: int = 10, user: str = "") -> Sequence[Score]:
    """The scores of tokens 1, 2, … of prompt and reply. Raises UserError for a turn of another model, or of which
    a part is lost."""
    if turn.lack:
        raise UserError(f"turn {turn.id}: {turn.lack}")
    require_model(engine, turn)
    ids = (*turn.prompt.ids, *(step.id for step in turn.trace.steps))
    if len(ids) > engine.n_ctx + 1:  # the last token is predicted, and predicts none
        raise UserError(f"turn {turn.id} has {len(ids)} tokens, the model's context here holds {engine.n_ctx}")
    return await engine.score(ids, first=1, k=k, user=user)


def require_model(engine: Engine, turn: Turn) -> None:
    """Raise UserError unless the engine's model made the turn."""
    if other := difference(turn, engine.model):
        raise UserError(f"turn {turn.id} {other}")


def arrange(turn: Turn, scores: Sequence[Score]) -> Scored:
    """Put the scores of tokens 1, 2, … of prompt and reply to their tokens."""
    prompt_length = len(turn.prompt.ids)
    seen = tuple(
        SeenToken(
            position,
            token,
            piece,
            scores[position - 1].logprob if position else None,
            scores[position - 1].rank if position else None,
        )
        for position, (token, piece) in enumerate(zip(turn.prompt.ids, turn.prompt_pieces, strict=True))
    )
    tokens = tuple(
        LossToken(step.id, piece, -step.logprob, -again.logprob)
        for step, piece, again in zip(turn.trace.steps, turn.trace.pieces, scores[prompt_length - 1 :], strict=True)
    )
    return Scored(seen, Loss(tokens, sum(t.recorded for t in tokens), sum(t.scored for t in tokens)))


def loss_lines(loss: Loss, columns: int = 80) -> list[str]:
    """The two sums, what they mean, and the two columns they are made of."""
    name, figure = (24, 13) if columns >= 66 else (20, 10)

    def row(what: str, one: str, other: str, apart: str) -> str:
        return f"{pad(what, name)} {one:>{figure}} {other:>{figure}} {apart:>{figure}}"

    heads = ("while writing", "in one pass", "difference") if columns >= 66 else ("writing", "one pass", "apart")
    median, largest = loss.noise
    recorded, scored = loss.per_token
    return [
        row("", *heads),
        row("sum of −log p, nats", f"{loss.recorded:.4f}", f"{loss.scored:.4f}", f"{loss.difference:+.4f}"),
        row("a token", f"{recorded:.4f}", f"{scored:.4f}", f"{scored - recorded:+.4f}"),
        *textwrap.wrap(f"single tokens differ by {median:.4f} in the median, {largest:.4f} at most", columns),
        "",
        *textwrap.wrap(MEANING, columns),
        "",
        row("−log p of each token", *heads),
        *(
            row(
                quoted(token.bytes, name - 4),
                f"{token.recorded:.4f}",
                f"{token.scored:.4f}",
                f"{token.scored - token.recorded:+.4f}",
            )
            for token in loss.tokens
        ),
    ]


def seen_lines(turn: Turn, scored: Scored, columns: int) -> list[str]:
    """What surprised the model in what was typed, most surprising first."""
    typed = {
        position for span in turn.prompt.spans if span.kind == "typed" for position in range(span.start, span.end)
    }
    tokens = [token for token in scored.prompt if token.position in typed and token.logprob is not None]
    most = sorted(tokens, key=lambda token: token.logprob or 0.0)[:_MOST_SURPRISING]
    total = sum(token.surprisal_bits or 0.0 for token in tokens)
    return [
        "What surprised the model in what was typed:",
        *(_seen_line(token, columns) for token in most),
        f"{len(tokens)} typed tokens, {total:.1f} bits in all",
    ]


def scored_lines(turn: Turn, scored: Scored, columns: int) -> list[str]:
    """All that one pass tells: what surprised the model, the loss, and every token of the prompt."""
    return [
        *seen_lines(turn, scored, columns),
        "",
        *loss_lines(scored.loss, columns),
        "",
        "Every token of the prompt, each after all before it:",
        *(_seen_line(token, columns) for token in scored.prompt),
    ]


def _seen_line(token: SeenToken, columns: int) -> str:
    name = pad(quoted(token.bytes, 20 if columns >= 66 else 14), 22 if columns >= 66 else 16)
    if token.logprob is None:
        return f"{token.position:>5} {name} nothing before it"
    return f"{token.position:>5} {name} {_p(token):>9} {token.surprisal_bits:>6.2f} bits  rank {token.rank}"


def _p(token: SeenToken) -> str:
    return percent(math.exp(token.logprob)) if token.logprob is not None else "–"
