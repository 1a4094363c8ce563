"""A proof: replays a recorded turn level by level and writes its certificate."""

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import accumulate

from ..errors import UserError
from ..predict import replay
from ..predict.batch import tells_routes
from ..predict.engine import EngineError, ModelIdentity
from ..predict.governor import available_cores
from ..predict.halt import Halt
from ..predict.model import Model
from ..predict.schedule import length
from .certificate import LEVELS, Certificate, Environment, Judge, Level, StepCheck, judge, noise
from .same_model import difference
from .turn import Turn

Progress = Callable[[Level, int, int, float], None]
"""Told when a level begins and after each step: the level, how many steps are done, of how many, and the share of
the level's work."""


class CannotVerify(UserError):
    """There is nothing to judge: the message names what is missing."""


class GivenUp(CannotVerify):
    """Somebody has called the halt."""

    def __init__(self, turn: Turn) -> None:
        super().__init__(f"turn {turn.id}: the proof was given up before its end")


def require(turn: Turn, model: ModelIdentity | None = None) -> None:
    """Raise CannotVerify unless the turn can be replayed (with this model, once it is known)."""
    name = f"turn {turn.id}"
    trace = turn.trace
    if turn.lack:
        raise CannotVerify(f"{name}: {turn.lack}")
    if turn.status == "pending":
        raise CannotVerify(f"{name}: is still being written: wait until it ends; after a kill, start the bot once")
    if not trace.steps:
        raise CannotVerify(
            f"{name}: has no recorded step ({turn.status}): nothing was predicted that could be replayed"
        )
    if length(turn.schedule) < len(turn.prompt.ids) + len(trace.steps) - 1:
        raise CannotVerify(
            f"{name}: its schedule does not cover the reply ({turn.status}): it was not logged to the end"
        )
    if model is not None and (other := difference(turn, model)):
        raise CannotVerify(f"{name}: {other}")


def unprovable(turn: Turn) -> str:
    """Why the turn cannot be replayed, whichever model is here; "" where it can."""
    try:
        require(turn)
    except CannotVerify as error:
        return str(error)
    return ""


def prove(
    turn: Turn,
    model: Model,
    *,
    threads: int,
    levels: Collection[Level] = LEVELS,
    every: bool = False,
    progress: Progress = lambda *_: None,
    halt: Halt | None = None,
) -> Certificate:
    """Replay the levels asked for, in a fresh context on ``model``, and judge them.

    Blocks for seconds to minutes, until ``halt`` is called; level B takes of a long reply what choose() picks, or
    ``every`` step. Raises CannotVerify.
    """
    identity, halt = model.identity, halt or Halt()
    require(turn, identity)
    judging = Judge(turn)
    checks: dict[Level, list[StepCheck]] = {}
    results = []
    for level in LEVELS:
        if level not in levels:
            continue
        started = time.monotonic()
        steps = _steps(turn, level, every)
        spent = list(accumulate(_costs(turn, level, model, steps)))
        checks[level] = []
        progress(level, 0, len(steps), 0.0)
        for done, (step, row) in enumerate(_rows(turn, level, model, steps, threads=threads, halt=halt), 1):
            checks[level].append(judging.check(step, row))
            progress(level, done, len(steps), spent[done - 1] / spent[-1])
        results.append(judge(level, turn, checks[level], time.monotonic() - started))
    both = "A" in checks and "C" in checks
    return Certificate(
        turn=turn.id,
        levels=tuple(results),
        noise_floor=noise(checks["A"], checks["C"], turn) if both else None,
        environment=Environment(
            model=identity.name,
            model_sha256=identity.sha256,
            quantization=identity.quantization,
            build=identity.llamacpp_build,
            recorded_build=turn.model.llamacpp_build,
            threads=threads,
            cpu=identity.cpu,
            gpu_layers=identity.gpu_layers,
            recorded_cpu=turn.model.cpu,
            recorded_gpu_layers=turn.model.gpu_layers,
            tells_routes=tells_routes(model.header),
        ),
    )


def _steps(turn: Turn, level: Level, every: bool) -> Sequence[int]:
    n = len(turn.trace.steps)
    return replay.choose(len(turn.prompt.ids), n, every=every) if level == "B" else range(n)


def _rows(
    turn: Turn, level: Level, model: Model, steps: Sequence[int], *, threads: int, halt: Halt
) -> Iterator[replay.StepRow]:
    try:
        for row in _computed(turn, level, model, steps, threads=threads, halt=halt):
            if halt.called:
                raise GivenUp(turn)
            yield row
    except EngineError:
        if halt.called:
            raise GivenUp(turn) from None
        raise


def _computed(
    turn: Turn, level: Level, model: Model, steps: Sequence[int], *, threads: int, halt: Halt
) -> Iterator[replay.StepRow]:
    ids = [*turn.prompt.ids, *(step.id for step in turn.trace.steps)]
    first = len(turn.prompt.ids)
    if level == "A":
        return replay.follow(model, ids, first, turn.schedule, threads=threads, halt=halt)
    if level == "B":
        hashes = [step.row_hash for step in turn.trace.steps]
        return replay.again(model, ids, first, turn.schedule, steps, hashes=hashes, threads=threads, halt=halt)
    return replay.forced(model, ids, first, threads=threads, halt=halt)


def _costs(turn: Turn, level: Level, model: Model, steps: Sequence[int]) -> list[float]:
    """What each step costs to replay, in any unit."""
    first = len(turn.prompt.ids)
    if level == "B":
        costs = replay.costs(replay.in_chunks(model, turn.schedule))
        return [costs[first - 1 + step] for step in steps]
    costs = replay.costs(turn.schedule)
    return [costs[first - 1] if step == 0 else 1.0 for step in steps]


def threads_here(asked: int = 0) -> int:
    """How many threads to replay with: as asked, or as many as the engine would use."""
    return asked or available_cores()
