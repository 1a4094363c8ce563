"""A tour in eight steps that run live on a model: each states a claim, tests it, and says what it does not show.

Every step can fail, and says so when it does. Nothing is logged.
"""

import math
import textwrap
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field

from ..errors import UserError
from ..predict.draw import draw
from ..predict.engine import Engine
from ..predict.message import Message
from ..predict.prompt import Prompt
from ..predict.render import Renderer
from ..predict.sampling import Sampling
from ..predict.step import Candidate
from ..predict.vocabulary import Vocabulary
from .certificate import Certificate, LevelResult
from .lines import width
from .open_question import OPEN_QUESTION
from .text import pad, percent, quoted
from .turn import Trace, Turn
from .visible import neutral

QUESTION = "Tell me something about the sea."
CHANGE = " Answer with a number."
SEED = 7
_PLAIN = Sampling(temperature=1.0, top_k=0, top_p=1.0, min_p=0.0, max_tokens=1)
_DRAWS = 60
_REPLY = 24


@dataclass
class Bench:
    """What the tour runs on. ``replay`` proves a turn that is in no log, at levels A, B and C."""

    engine: Engine
    renderer: Renderer
    vocabulary: Vocabulary
    replay: Callable[[Turn], Awaitable[Certificate]]
    question: str = QUESTION
    sampling: Sampling = field(default_factory=lambda: Sampling(max_tokens=_REPLY))
    _turn: Turn | None = None
    _certificate: Certificate | None = None

    def prompt(self, question: str | None = None) -> Prompt:
        message = Message("user", self.question if question is None else question)
        return self.renderer.render((message,), budget=self.engine.n_ctx - _REPLY)

    async def reply(self, prompt: Prompt, sampling: Sampling, seed: int) -> Turn:
        generation = self.engine.generate(prompt.ids, sampling, seed)
        steps = [step async for step in generation]
        listed = {candidate.id for step in steps for candidate in step.top}
        pieces = tuple(self.vocabulary.piece(step.id) for step in steps)
        return Turn(
            id=0,
            session=0,
            model=self.engine.model,
            prompt=prompt,
            prompt_pieces=tuple(self.vocabulary.piece(token) for token in prompt.ids),
            sampling=sampling,
            seed=seed,
            first_step=0,
            trace=Trace(
                tuple(steps),
                pieces,
                len(steps[0].top) if steps else 0,
                {token: self.vocabulary.piece(token) for token in listed},
            ),
            schedule=generation.schedule,
            status="ok",
            finish=generation.finish,
            error=None,
            reply=b"".join(pieces).decode("utf-8", "replace"),
            reasoning="",
            n_cached=generation.n_cached,
            timings=generation.timings,
            created_us=0,
            app_version="",
        )

    async def turn(self) -> Turn:
        """The tour's one reply, written when it is first needed."""
        if self._turn is None:
            self._turn = await self.reply(self.prompt(), self.sampling, SEED)
        return self._turn

    async def certificate(self) -> Certificate:
        if self._certificate is None:
            self._certificate = await self.replay(await self.turn())
        return self._certificate

    def name(self, token: int, columns: int = 16) -> str:
        return quoted(self.vocabulary.piece(token), columns)


@dataclass(frozen=True, slots=True)
class Finding:
    """What running a step gave. ``holds`` None: there was nothing to decide, or it did not get to run."""

    lines: tuple[str, ...]
    holds: bool | None
    ran: bool = True


@dataclass(frozen=True, slots=True)
class Stop:
    """One step of the tour: the claim, what tests it, and how far the test reaches."""

    title: str
    claim: str
    run: Callable[[Bench], Awaitable[Finding]]
    shows: str
    not_shown: str


async def _ids(bench: Bench) -> Finding:
    prompt = bench.prompt()
    pieces = [bench.vocabulary.piece(token) for token in prompt.ids]
    typed = b"".join(
        piece for span in prompt.spans if span.kind == "typed" for piece in pieces[span.start : span.end]
    )
    shown = [f"{token} {quoted(piece, 14)}" for token, piece in zip(prompt.ids, pieces, strict=True)]
    return Finding(
        (
            *_columns(shown[-18:], 3),
            f"{len(prompt.ids)} ids (the last {min(18, len(shown))} above), {sum(map(len, pieces))} bytes",
            f"the typed part's bytes are exactly what was typed: {typed == bench.question.encode()}",
        ),
        typed == bench.question.encode(),
    )


async def _distribution(bench: Bench) -> Finding:
    """The prediction at one place, asked for twice, with different tokens after it."""
    ids = bench.prompt().ids
    first, second = ids[0], ids[-1]
    # Twice, because the last of what is scored is not given to the model.
    one = (await bench.engine.score((*ids, first, first), first=len(ids)))[0]
    other = (await bench.engine.score((*ids, second, second), first=len(ids)))[0]
    listed = sum(math.exp(candidate.logprob) for candidate in one.top)
    return Finding(
        (
            *_bars(bench, one.top[:6]),
            f"the other {bench.engine.model.n_vocab - len(one.top):,} tokens share {percent(1 - listed)}",
            f"entropy {one.entropy / math.log(2):.2f} bits over all {bench.engine.model.n_vocab:,} tokens",
            "asked twice, with other tokens after it:",
            f"rows {one.row_hash:016x} and {other.row_hash:016x}",
        ),
        one.row_hash == other.row_hash,
    )


async def _draws(bench: Bench) -> Finding:
    prompt = bench.prompt()
    *drawn, same = [(await bench.reply(prompt, _PLAIN, seed)).trace.steps[0] for seed in (*range(_DRAWS), 0)]
    shares = {candidate.id: math.exp(candidate.logprob) for candidate in drawn[-1].top[:5]}
    rows = [(bench.name(token), p, sum(step.id == token for step in drawn)) for token, p in shares.items()]
    rows.append(("all others", max(0.0, 1 - sum(shares.values())), _DRAWS - sum(count for _, _, count in rows)))
    lines = [f"{pad(name, 20)} predicted {percent(p):>8}   drawn {count:>3} of {_DRAWS}" for name, p, count in rows]
    within = all(abs(count - _DRAWS * p) <= 4 * math.sqrt(_DRAWS * p * (1 - p)) + 1 for _, p, count in rows)
    again = same.id == drawn[0].id and same.u == drawn[0].u
    numbers = len({step.u for step in drawn})
    return Finding(
        (
            *lines,
            f"each count within four standard deviations of its prediction: {within}",
            f"{_DRAWS} seeds gave {numbers} different numbers u",
            f"seed 0 twice: {bench.name(drawn[0].id)} and {bench.name(same.id)}, u = {same.u:.6f}",
        ),
        within and again and numbers == _DRAWS,
    )


async def _loop(bench: Bench) -> Finding:
    turn = await bench.turn()
    steps = turn.trace.steps
    lines = [
        f"{t:>3}  {pad(bench.name(step.id, 14), 18)} p {percent(step.p_final):>8}   u {step.u:.6f} in "
        f"[{step.interval[0]:.6f}, {step.interval[1]:.6f})"
        for t, step in enumerate(steps[:10])
    ]
    explained = all(
        draw(turn.seed, t) == step.u and step.interval[0] <= step.u < step.interval[1]
        for t, step in enumerate(steps)
    )
    more = f"… and {len(steps) - 10} more" if len(steps) > 10 else ""
    return Finding(
        (
            *lines,
            *([more] if more else []),
            f"every u is u(seed {turn.seed}, t), and picked its token: {explained}",
        ),
        explained and bool(steps),
    )


async def _again(bench: Bench) -> Finding:
    certificate = await bench.certificate()
    results = [result for result in certificate.levels if result.level in ("A", "B")]
    return Finding(
        tuple(line for result in results for line in _level(result)),
        all(result.bitwise == result.checked for result in results) and bool(results),
    )


async def _history(bench: Bench) -> Finding:
    """The same reply after a few more words in the question, and after the same question by another kernel: signal
    and noise, each where it is largest. (A model may begin every reply alike: with ``<think>``, say.)"""
    turn = await bench.turn()
    ids, changed = turn.prompt.ids, bench.prompt(bench.question + CHANGE).ids
    reply = tuple(step.id for step in turn.trace.steps)
    scored = await bench.engine.score((*ids, *reply), first=len(ids))
    other = await bench.engine.score((*changed, *reply), first=len(changed))
    noise = max(_distance(step.top, again.top) for step, again in zip(turn.trace.steps, scored, strict=True))
    signals = [_distance(one.top, two.top) for one, two in zip(scored, other, strict=True)]
    signal = max(signals)
    at = signals.index(signal)
    where = "" if not at else f" and {at} token{'s' if at > 1 else ''} of the reply"
    return Finding(
        (
            f"after {quoted(bench.question.encode(), 60)}{where}:",
            *_bars(bench, scored[at].top[:3]),
            f"after {quoted((bench.question + CHANGE).encode(), 60)}{where}:",
            *_bars(bench, other[at].top[:3]),
            f"total variation between the two, over the listed tokens: {signal:.4f}",
            f"noise floor: the reply's tokens by two kernels, at most: {noise:.1e}",
        ),
        signal > noise,
    )


async def _loss(bench: Bench) -> Finding:
    certificate = await bench.certificate()
    result = next((result for result in certificate.levels if result.level == "C"), None)
    if result is None:
        return Finding(("this engine cannot score a finished text",), None, ran=False)
    count = max(1, result.checked)
    apart = (result.cross_entropy - result.recorded_cross_entropy) / count
    return Finding(
        (
            f"Σ −log p, recorded while writing:    {_nats(result.recorded_cross_entropy, count)}",
            f"cross-entropy of the text, one pass: {_nats(result.cross_entropy, count)}",
            f"difference {apart:+.4f} a token: other kernels, so equal bits are not expected",
        ),
        result.verdict != "differs",
    )


def _nats(total: float, count: int) -> str:
    return f"{total:>10.4f} nats, {total / count:.4f} a token"


async def _open(_: Bench) -> Finding:
    return Finding(OPEN_QUESTION, None)


TOUR: tuple[Stop, ...] = (
    Stop(
        "A prompt is token ids",
        "What you type reaches the model as a list of numbers, together with the template's markers. Nothing else.",
        _ids,
        "the whole input of this model, for this question.",
        "why the vocabulary is cut as it is: that was fixed before training.",
    ),
    Stop(
        "One forward pass gives one distribution",
        "Given the ids so far, the model gives every token of its vocabulary a probability. That is all its "
        "output, and it does not depend on what comes later.",
        _distribution,
        "the same row of numbers, bit for bit, whatever token follows.",
        "how the model arrives at it.",
    ),
    Stop(
        "Sampling draws from it",
        "Which token comes next is decided outside the model, by a random number and these probabilities. "
        "The same number picks the same token.",
        _draws,
        f"that {_DRAWS} draws fall as the probabilities say, and that the randomness is all in the seed.",
        "that a reply is arbitrary: where one token has nearly all the probability, every draw picks it.",
    ),
    Stop(
        "The loop",
        "The drawn token is appended to the ids, and the model is asked again. That is how a reply is made.",
        _loop,
        "that every token of this reply is accounted for by a prediction and a draw.",
        "that what is predicted is simple: it depends on everything before it.",
    ),
    Stop(
        "No state between tokens",
        "Forget everything before every token, give the whole input again, and the same bits come out.",
        _again,
        "that this reply was a function of its recorded input: anything carried along besides would have shown.",
        "anything about other programs; the KV cache is an optimisation here because it is kept to be one.",
    ),
    Stop(
        "Another history, another distribution",
        "The prediction depends on the history: change the question, and it changes by more than rounding does.",
        _history,
        "how far one change in the question moves the prediction, beside the noise floor.",
        "which part of the history matters how much.",
    ),
    Stop(
        "Training's loss is these numbers",
        "The sum of −log p over the reply's tokens is the cross-entropy loss that training would compute for it.",
        _loss,
        "that the forward half of a training step makes the same predictions as writing does.",
        "a gradient, an update, or anything about data and preference training: none of that happens here.",
    ),
    Stop(
        "What remains open",
        "Whether a step's internals look ahead is a question about the inside. There is evidence on both sides.",
        _open,
        "nothing: there is nothing to run.",
        "an answer.",
    ),
)


@dataclass(frozen=True, slots=True)
class Report:
    """One step of the tour, run."""

    number: int
    stop: Stop
    finding: Finding

    @property
    def verdict(self) -> str:
        if not self.finding.ran:
            return "could not be run: nothing is said about the claim"
        return {True: "holds here", False: "DOES NOT HOLD here", None: "nothing to decide"}[self.finding.holds]


async def visit(bench: Bench, number: int) -> Report:
    """Run step ``number`` (from 1). What the engine refuses (its queue is full, say) ends this step alone."""
    stop = TOUR[number - 1]
    try:
        finding = await stop.run(bench)
    except UserError as error:
        finding = Finding((str(error),), None, ran=False)
    return Report(number, stop, finding)


def report_lines(report: Report, columns: int = 80) -> list[str]:
    """A step of the tour as text, claim first, limits last."""
    stop = report.stop
    return [
        *textwrap.wrap(f"{report.number} of {len(TOUR)}  {stop.title}", columns),
        *textwrap.wrap(stop.claim, columns),
        "",
        *(part for line in report.finding.lines for part in _indented(neutral(line), columns)),
        "",
        f"→ {report.verdict}",
        *textwrap.wrap(f"It shows {stop.shows}", columns),
        *textwrap.wrap(f"It does not show {stop.not_shown}", columns),
    ]


def _indented(line: str, columns: int) -> list[str]:
    """As it is, aligned with those around it, if it fits."""
    if width(line) + 2 <= columns:
        return [f"  {line}"]
    return textwrap.wrap(line, columns, initial_indent="  ", subsequent_indent="    ")


def _bars(bench: Bench, candidates: Iterable[Candidate]) -> list[str]:
    return [
        f"{pad(bench.name(candidate.id), 20)} {percent(math.exp(candidate.logprob)):>8}" for candidate in candidates
    ]


def _distance(one: Sequence[Candidate], other: Sequence[Candidate]) -> float:
    """Total variation between two lists with their remainders, 0 to 1: a lower bound of the whole rows'."""
    left = {candidate.id: math.exp(candidate.logprob) for candidate in one}
    right = {candidate.id: math.exp(candidate.logprob) for candidate in other}
    shared = left.keys() & right.keys()
    apart = sum(abs(left[token] - right[token]) for token in shared)
    rest = abs(sum(left[token] for token in shared) - sum(right[token] for token in shared))
    return min(1.0, 0.5 * (apart + rest))


def _level(result: LevelResult) -> list[str]:
    name = {"A": "a fresh context, the same input", "B": "memory cleared before every token"}[result.level]
    return [f"{name}: {result.bitwise} of {result.checked} rows of logits bitwise"]


def _columns(cells: Sequence[str], count: int) -> list[str]:
    rows = [cells[start : start + count] for start in range(0, len(cells), count)]
    return ["".join(pad(cell, 26) for cell in row).rstrip() for row in rows]
