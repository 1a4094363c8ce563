"""One step opened up: what was predicted, what each stage of sampling made of it, and where the draw fell."""

from dataclasses import dataclass

from ..predict.reading import ReadCandidate, Reading, read
from ..predict.sampler import penalty_counts
from ..predict.sampling import Sampling, StageName
from ..predict.step import Step
from .tokens import NATS_PER_BIT
from .turn import Turn

_NEEDLE = 1e-3
"""How far a bar's segment may lie from the recorded interval before the bar is said not to be known."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A token that could have been: ``p`` as predicted, ``p_final`` as sampled from (0 once removed)."""

    id: int
    bytes: bytes
    p: float
    p_final: float
    removed_by: StageName | None
    chosen: bool
    listed: bool
    """Among the recorded k likeliest; False only for a chosen token that was not."""


@dataclass(frozen=True, slots=True)
class StageView:
    """A stage that acted: how many it left, and which listed ones it took out."""

    name: StageName
    survivors: int
    removed: int
    removed_listed: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Segment:
    """A survivor's part of the bar on which the draw falls."""

    id: int
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class StepView:
    """A step with its candidates. ``candidates`` and the remainders sum to 1, raw and after sampling."""

    index: int
    draw_index: int
    """t of u(seed, t): counts from the start of the reply, also where a branch begins later."""
    id: int
    bytes: bytes
    p: float
    p_final: float
    logprob: float
    rank: int
    surprisal_bits: float
    entropy_bits: float
    candidates: tuple[Candidate, ...]
    remainder: float
    final_remainder: float
    stages: tuple[StageView, ...]
    u: float
    interval: tuple[float, float]
    segments: tuple[Segment, ...]
    """The bar, from 0. It ends early where unlisted tokens follow, and is the chosen one's part alone where the
    record knows no more."""
    greedy: int | None
    """What temperature 0 would have picked after the same biases and penalties; None if the record cannot tell."""
    row_hash: int
    is_blurred: bool
    """Penalties looked back on what was erased since: what sampling made of what was not drawn cannot be told."""

    def hides(self, candidate: Candidate) -> bool:
        """Whether a candidate's ``p_final`` is a guess, not to be shown."""
        return self.is_blurred and not candidate.chosen and candidate.removed_by is None

    @property
    def overruled(self) -> bool:
        """Sampling picked another token than temperature 0 would have."""
        return self.greedy is not None and self.greedy != self.id


def view(turn: Turn, index: int) -> StepView:
    """Open step ``index`` (from 0). Raises IndexError when the record has no such step."""
    steps = turn.trace.steps
    if not 0 <= index < len(steps):
        raise IndexError(index)
    step = steps[index]
    reading = read_step(turn, index)
    is_blurred = _is_blurred(turn, index)
    listed = {candidate.id for candidate in step.top}
    names = turn.trace.candidate_pieces
    candidates = tuple(
        Candidate(
            id=candidate.id,
            bytes=turn.trace.pieces[index] if candidate.chosen else names.get(candidate.id, b""),
            p=candidate.raw,
            p_final=candidate.final,
            removed_by=candidate.removed_by,
            chosen=candidate.chosen,
            listed=candidate.id in listed,
        )
        for candidate in reading.candidates
    )
    chosen = next(candidate for candidate in candidates if candidate.chosen)
    return StepView(
        index=index,
        draw_index=turn.first_step + index,
        id=step.id,
        bytes=chosen.bytes,
        p=chosen.p,
        p_final=step.p_final,
        logprob=step.logprob,
        rank=step.rank,
        surprisal_bits=max(0.0, -step.logprob / NATS_PER_BIT),
        entropy_bits=step.entropy / NATS_PER_BIT,
        candidates=candidates,
        remainder=reading.raw_remainder,
        final_remainder=reading.final_remainder,
        stages=_stages(step, reading, turn.model.n_vocab),
        u=step.u,
        interval=step.interval,
        segments=(Segment(step.id, *step.interval),) if is_blurred else _segments(reading, step),
        greedy=_greedy(turn, index, reading),
        row_hash=step.row_hash,
        is_blurred=is_blurred,
    )


def read_step(turn: Turn, index: int) -> Reading:
    """The step as sampling left it. Only penalties look back, so only for them is the history put together."""
    step = turn.trace.steps[index]
    history: tuple[int, ...] = ()
    if _penalised(step):
        history = _history(turn, index)
    return read(step, turn.sampling, history)


def _history(turn: Turn, index: int) -> tuple[int, ...]:
    """What had been said before this step, prompt and reply, as far back as the penalties look."""
    window = turn.sampling.penalty_window
    everything = len(turn.prompt.ids) + index
    wanted = everything if window < 0 else min(window, everything)
    reply = tuple(before.id for before in turn.trace.steps[max(0, index - wanted) : index])
    left = wanted - len(reply)
    return turn.prompt.ids[len(turn.prompt.ids) - left :] + reply


def _is_blurred(turn: Turn, index: int) -> bool:
    """Whether penalties acted on what was erased since."""
    if turn.verifiable or not _penalised(turn.trace.steps[index]):
        return False
    return min(_history(turn, index), default=0) < 0


def overruled(turn: Turn) -> tuple[int, ...]:
    """The steps where temperature 0 would have picked another token, as far as the record can tell."""
    sampling, steps = turn.sampling, turn.trace.steps
    drawn = [index for index, step in enumerate(steps) if step.interval[0] != 0.0]
    if not (sampling.penalises or sampling.logit_bias):
        return tuple(index for index in drawn if steps[index].rank > 1)
    biased = _lowered(sampling)
    return tuple(index for index in drawn if _was_overruled(turn, index, biased))


def _was_overruled(turn: Turn, index: int, biased: set[int] | None) -> bool:
    step = turn.trace.steps[index]
    if _favourite_leads(turn, index, biased) or not _reordered(step):
        return step.rank > 1
    best = _greedy(turn, index, read_step(turn, index))
    return best is not None and best != step.id


def _reordered(step: Step) -> bool:
    """A bias or a penalty may have changed which token leads; no other stage does."""
    return any(stage.name in ("logit_bias", "penalties") for stage in step.stages)


def _favourite_leads(turn: Turn, index: int, biased: set[int] | None) -> bool:
    """The likeliest token was touched by no bias and no penalty, and these only lower: it still leads."""
    step = turn.trace.steps[index]
    if biased is None or not step.top or (favourite := step.top[0].id) in biased:
        return False
    if not turn.sampling.penalises or not _penalised(step):
        return True
    if _is_blurred(turn, index):
        return False
    return favourite not in penalty_counts(turn.sampling, _history(turn, index))


def _penalised(step: Step) -> bool:
    return any(stage.name == "penalties" for stage in step.stages)


def _stages(step: Step, reading: Reading, n_vocab: int) -> tuple[StageView, ...]:
    out: list[StageView] = []
    before = n_vocab
    for stage in step.stages:
        out.append(
            StageView(
                name=stage.name,
                survivors=stage.survivors,
                removed=max(0, before - stage.survivors),
                removed_listed=tuple(c.id for c in reading.candidates if c.removed_by == stage.name),
            )
        )
        before = stage.survivors
    return tuple(out)


def _by_probability(reading: Reading) -> list[ReadCandidate]:
    """The candidates that could be drawn, in the bar's order."""
    return sorted((c for c in reading.candidates if c.final > 0), key=lambda c: (-c.final, c.id))


def _segments(reading: Reading, step: Step) -> tuple[Segment, ...]:
    """Lay the survivors out from 0, and check the layout against the one interval the record is sure of."""
    low, high = step.interval
    alone = (Segment(step.id, low, high),)
    out: list[Segment] = []
    edge = 0.0
    for candidate in _by_probability(reading):
        if candidate.chosen:
            if abs(edge - low) > _NEEDLE:
                # Unlisted tokens lie before it. Those that come first in the bar are still where they are.
                return alone if _reordered(step) else (*out, *alone)
            out.append(Segment(candidate.id, low, high))
            edge = high
        else:
            out.append(Segment(candidate.id, edge, min(1.0, edge + candidate.final)))
            edge = out[-1].high
    return tuple(out)


def _greedy(turn: Turn, index: int, reading: Reading) -> int | None:
    """The token of the highest probability after sampling: what temperature 0 would have picked.

    Where a bias or a penalty acted, a token that is not listed could have come to the front. It has not if the
    chosen token's interval starts at 0, if the leader beats all unlisted ones together, or if these stages only
    lowered logits and left some listed survivor as it was: no unlisted token is above that one.
    """
    step = turn.trace.steps[index]
    if step.interval[0] == 0.0:
        return step.id
    if not _reordered(step) or _favourite_leads(turn, index, _lowered(turn.sampling)):
        return step.top[0].id if step.top else None
    survivors = _by_probability(reading)
    leader = next((candidate for candidate in survivors if not candidate.chosen), None)
    if leader is None or leader.final < step.p_final or _is_blurred(turn, index):
        return None
    if leader.final >= reading.final_remainder:
        return leader.id
    biased = _lowered(turn.sampling)
    if biased is None:
        return None
    touched = biased | penalty_counts(turn.sampling, _history(turn, index)).keys()
    listed = {candidate.id for candidate in step.top}
    return leader.id if any(c.id in listed and c.id not in touched for c in survivors) else None


def _lowered(sampling: Sampling) -> set[int] | None:
    """The tokens that have a bias; None if some bias or penalty makes a token likelier."""
    only_lowers = (
        sampling.repetition_penalty >= 1
        and sampling.presence_penalty >= 0
        and sampling.frequency_penalty >= 0
        and all(bias <= 0 for _, bias in sampling.logit_bias)
    )
    return {token for token, _ in sampling.logit_bias} if only_lowers else None
