"""The certificate: replayed rows of logits judged against what was recorded when the reply was made.

Pure: rows come in, numbers go out. A row is *bitwise* when its hash is the one taken when it was made. Where it is
not, the distance says how far off it is: |Δp| and KL over the listed candidates and all others as one (a lower
bound of those over the whole vocabulary; the record keeps log-probabilities to 2⁻¹⁰ nats).
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from ..predict.draw import draw
from ..predict.logits import Logits, Scratch
from ..predict.sampler import sample
from ..predict.step import Step
from .turn import Turn

Level = Literal["A", "B", "C"]
LEVELS: tuple[Level, ...] = ("A", "B", "C")

Verdict = Literal["bitwise", "near", "differs"]

TOLERANCE = 0.1
"""Nats a token: level C is near while the two cross-entropies differ by no more."""

ROUNDING = 2e-3
"""The record rounds: what lies this near in nats is the same number."""


@dataclass(frozen=True, slots=True)
class Distance:
    """How far apart two sets of predictions are: maxima over steps, and the mean KL. KL in nats."""

    max_dp: float
    max_kl: float
    mean_kl: float
    max_dlogprob: float
    """Of the chosen tokens, in nats."""


@dataclass(frozen=True, slots=True)
class StepCheck:
    """One replayed row beside its recorded step. ``again`` is the step that the row and the seed give.

    ``redrawn``: that is the recorded token. ``faithful``: everything recorded of the step, the draw included, is
    what row and seed say, within the record's rounding; only a bitwise row can tell.
    """

    index: int
    bitwise: bool
    redrawn: bool
    faithful: bool
    logprob: float
    again: Step


@dataclass(frozen=True, slots=True)
class LevelResult:
    """What one level found. ``checked`` steps of ``steps``; sums are over the checked ones, in nats."""

    level: Level
    verdict: Verdict
    steps: int
    checked: int
    bitwise: int
    redrawn: int
    faithful: int
    first_difference: int | None
    """The first step whose row or token is not the recorded one."""
    distance: Distance
    cross_entropy: float
    """Σ −log p of the reply's tokens by the replay: at level C the reply's training loss, unaveraged."""
    recorded_cross_entropy: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Environment:
    """Where the replay ran, and where the reply was made as far as the record says."""

    model: str
    model_sha256: str
    quantization: str
    build: str
    recorded_build: str
    threads: int
    cpu: str
    gpu_layers: int
    recorded_cpu: str
    """"" where the record does not say."""
    recorded_gpu_layers: int
    tells_routes: bool = False
    """Whether kernels of the model's experts tell how many rows of a batch they get, which no schedule says."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """The result of a replay. ``noise_floor`` is the distance between the two kernel classes on these very steps,
    this model and this machine: between the rows of levels A and C; None if not both ran."""

    turn: int
    levels: tuple[LevelResult, ...]
    noise_floor: Distance | None
    environment: Environment

    @property
    def proven(self) -> bool:
        """Every level asked for that can prove did; where only C was asked for, it is near."""
        judging = [result for result in self.levels if result.level != "C"]
        if judging:
            return all(result.verdict == "bitwise" for result in judging)
        return all(result.verdict != "differs" for result in self.levels)


class Judge:
    """Compares replayed rows with the steps of one turn; reuses its buffers."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._scratch = Scratch(turn.model.n_vocab)
        self._ids = [*turn.prompt.ids, *(step.id for step in turn.trace.steps)]

    def check(self, index: int, row: Logits) -> StepCheck:
        """Judge the row that came out for step ``index``. Raises BadLogits."""
        turn = self._turn
        step = turn.trace.steps[index]
        history = self._ids[: len(turn.prompt.ids) + index]
        u = draw(turn.seed, turn.first_step + index)
        again = sample(row, turn.sampling, history, u, len(step.top), scratch=self._scratch)
        bitwise = again.row_hash == step.row_hash
        return StepCheck(
            index=index,
            bitwise=bitwise,
            redrawn=again.id == step.id,
            faithful=bitwise and same(step, again),
            logprob=again.logprob if again.id == step.id else float(row[step.id]) - again.log_normaliser,
            again=again,
        )


def same(recorded: Step, again: Step) -> bool:
    """Whether a recorded step says what its row says, within the record's rounding."""
    numbers = [
        (recorded.logprob, again.logprob),
        (recorded.entropy, again.entropy),
        (recorded.log_normaliser, again.log_normaliser),
        (recorded.p_final, again.p_final),
        *((a.logprob, b.logprob) for a, b in zip(recorded.top, again.top, strict=True) if b.logprob > -60),
        *((a.log_normaliser, b.log_normaliser) for a, b in zip(recorded.stages, again.stages, strict=False)),
    ]
    return (
        (recorded.id, recorded.rank, recorded.u, recorded.interval)
        == (again.id, again.rank, again.u, again.interval)
        and [(c.id, c.removed_by) for c in recorded.top] == [(c.id, c.removed_by) for c in again.top]
        and [(s.name, s.survivors) for s in recorded.stages] == [(s.name, s.survivors) for s in again.stages]
        and all(math.isclose(a, b, abs_tol=ROUNDING, rel_tol=1e-6) for a, b in numbers)
    )


def judge(level: Level, turn: Turn, checks: Sequence[StepCheck], seconds: float) -> LevelResult:
    """What a level's checks amount to."""
    recorded = [turn.trace.steps[check.index] for check in checks]
    sum_again = -sum(check.logprob for check in checks)
    sum_recorded = -sum(step.logprob for step in recorded)
    whole = [check.bitwise and check.redrawn and check.faithful for check in checks]
    if all(whole):
        verdict: Verdict = "bitwise"
    elif level == "C" and abs(sum_again - sum_recorded) <= TOLERANCE * len(checks):
        verdict = "near"
    else:
        verdict = "differs"
    return LevelResult(
        level=level,
        verdict=verdict,
        steps=len(turn.trace.steps),
        checked=len(checks),
        bitwise=sum(check.bitwise for check in checks),
        redrawn=sum(check.redrawn for check in checks),
        faithful=sum(check.faithful for check in checks),
        first_difference=next((c.index for c, ok in zip(checks, whole, strict=True) if not ok), None),
        distance=distance(
            (Prediction.of(step), Prediction.of(check.again, step.id, check.logprob))
            for step, check in zip(recorded, checks, strict=True)
            if not check.bitwise
        ),
        cross_entropy=sum_again,
        recorded_cross_entropy=sum_recorded,
        seconds=seconds,
    )


@dataclass(frozen=True, slots=True)
class Prediction:
    """What is compared of one prediction: the chosen token's log-probability and those of the likeliest."""

    logprob: float
    top: dict[int, float]

    @classmethod
    def of(cls, step: Step, token: int | None = None, logprob: float | None = None) -> "Prediction":
        token = step.id if token is None else token
        logprob = step.logprob if logprob is None else logprob
        return cls(logprob, {candidate.id: candidate.logprob for candidate in step.top} | {token: logprob})


def noise(one: Iterable[StepCheck], other: Iterable[StepCheck], turn: Turn) -> Distance:
    """The distance between two replays of the same steps."""
    chosen = [step.id for step in turn.trace.steps]
    theirs = {check.index: check for check in other}
    return distance(
        (
            Prediction.of(check.again, chosen[check.index], check.logprob),
            Prediction.of(theirs[check.index].again, chosen[check.index], theirs[check.index].logprob),
        )
        for check in one
        if check.index in theirs
    )


def distance(pairs: Iterable[tuple[Prediction, Prediction]]) -> Distance:
    """How far apart pairs of predictions are, over the tokens that both list and the rest as one."""
    dps, kls, dlogs = [0.0], [], [0.0]
    for one, other in pairs:
        shared = [token for token in one.top if token in other.top]
        p = [math.exp(one.top[token]) for token in shared]
        q = [math.exp(other.top[token]) for token in shared]
        p, q = [*p, max(0.0, 1 - sum(p))], [*q, max(0.0, 1 - sum(q))]
        dps += [abs(a - b) for a, b in zip(p, q, strict=True)]
        kl = sum(a * math.log(a / max(b, 1e-12)) for a, b in zip(p, q, strict=True) if a > 0)
        kls.append(max(0.0, kl))  # rounding in the record can make it a little negative
        dlogs.append(abs(one.logprob - other.logprob))
    return Distance(max(dps), max(kls, default=0.0), sum(kls) / max(1, len(kls)), max(dlogs))


def cross_entropy_difference(result: LevelResult) -> float:
    """Of replay and record, in nats a token."""
    return (result.cross_entropy - result.recorded_cross_entropy) / max(1, result.checked)


_MEANING: dict[tuple[Level, bool], str] = {
    ("A", True): "A fresh context, given the same tokens, computed every row of logits again bit for bit: "
    "nothing but what is recorded went into this reply.",
    ("A", False): "A fresh context, given the same tokens, did not compute the recorded rows bit for bit.",
    ("B", True): "With all memory cleared and the whole input given again for every single token, the same bits "
    "came out: the model carried nothing from token to token.",
    ("B", False): "With all memory cleared before every token, not all recorded rows came out bit for bit.",
    ("C", True): "Scored in one pass, as in training, each token was about as likely as when it was written: the "
    "sum of −log p is the reply's cross-entropy loss. Another kernel computes here: equal bits are not expected.",
    ("C", False): "Scored in one pass, as in training, the tokens were clearly not as likely as recorded.",
}


def meaning(result: LevelResult) -> str:
    """One sentence or two in plain words on what a level found."""
    return _MEANING[result.level, result.verdict != "differs"]
