"""The certificate: of a real reply it proves, of a record that was tampered with it does not."""

import asyncio
import json
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from glasshead.explain.certificate import Certificate, Distance, Prediction, distance, meaning, same
from glasshead.explain.proof import CannotVerify, GivenUp, prove, require
from glasshead.explain.statement import cannot_json, certificate_json, certificate_lines
from glasshead.explain.turn import Trace, Turn
from glasshead.predict.halt import Halt
from glasshead.predict.library import cpu_name
from glasshead.predict.local import EngineSettings, LocalEngine
from glasshead.predict.model import Model
from glasshead.predict.prompt import Prompt, Span
from glasshead.predict.sampling import Sampling
from glasshead.predict.schedule import Run, cut
from glasshead.predict.step import Candidate, Step
from lent import lent

QUESTION = (
    "<|im_start|>user\nName three birds, and say of each what it eats in winter when the garden lies under snow "
    "and the pond is frozen.<|im_end|>\n<|im_start|>assistant\n"
)
SAMPLING = Sampling(repetition_penalty=1.1)


@pytest.fixture(scope="module")
def model(shallow_model: Model) -> Model:
    return shallow_model


async def write(loaded: Model, *, kept: tuple[int, ...] = (), seed: int = 1, max_tokens: int = 16) -> Turn:
    """A turn as the engine makes it, beside another reply; the first tokens ``kept`` of another one are given."""
    model = lent(loaded)
    engine = LocalEngine(model, EngineSettings(n_ctx=512, max_running=2, threads=1))
    question = tuple(model.vocabulary.tokenise(QUESTION, special=True))
    ids = question + kept
    sampling = replace(SAMPLING, max_tokens=max_tokens)
    other = engine.generate(question, sampling, 2)
    generation = engine.generate(ids, sampling, seed, first_step=len(kept))
    steps = tuple([step async for step in generation])
    await other.aclose()
    turn = Turn(
        id=5,
        session=1,
        model=engine.model,
        prompt=Prompt(ids, (Span(0, len(ids), "typed"),)),
        prompt_pieces=tuple(map(model.vocabulary.piece, ids)),
        sampling=sampling,
        seed=seed,
        first_step=len(kept),
        trace=Trace(steps, tuple(model.vocabulary.piece(step.id) for step in steps), 10),
        schedule=generation.schedule,
        status="ok",
        finish=generation.finish,
        error=None,
        reply="",
        reasoning="",
        n_cached=0,
        timings=None,
        created_us=0,
        app_version="",
    )
    await engine.aclose()
    return turn


@pytest.fixture(scope="module")
def written(model: Model) -> Turn:
    return asyncio.run(write(model))


def with_step(turn: Turn, index: int, change: Callable[[Step], Step]) -> Turn:
    steps = list(turn.trace.steps)
    steps[index] = change(steps[index])
    return replace(turn, trace=replace(turn.trace, steps=tuple(steps)))


@pytest.fixture(scope="module")
def certificate(written: Turn, model: Model) -> Certificate:
    return prove(written, model, threads=1, halt=Halt())


def test_a_halt_ends_it_within_a_batch_and_is_no_error(
    written: Turn, model: Model, caplog: pytest.LogCaptureFixture
) -> None:
    halt, told = Halt(), []
    halt.call()
    with pytest.raises(GivenUp, match="given up before its end"):
        prove(written, model, threads=1, halt=halt, progress=lambda _, done, *__: told.append(done))
    assert told == [0]
    assert not [each.getMessage() for each in caplog.records if each.levelname == "ERROR"]


def test_proves_a_reply_bit_for_bit(certificate: Certificate, written: Turn) -> None:
    a, b, _ = certificate.levels
    n = len(written.trace.steps)
    for result in (a, b):
        assert (result.verdict, result.bitwise, result.redrawn, result.faithful) == ("bitwise", n, n, n)
        assert result.distance == Distance(0, 0, 0, 0)
        assert result.first_difference is None
    assert certificate.proven


def test_proves_a_reply_of_the_whole_model(loaded: Model) -> None:
    written = asyncio.run(write(loaded, max_tokens=4))
    assert prove(written, loaded, threads=1, halt=Halt()).proven


def test_proves_a_branch_that_kept_tokens_of_another_reply(written: Turn, model: Model) -> None:
    """On the same draws it goes the same way again, from where it branched."""
    kept = tuple(step.id for step in written.trace.steps[:3])
    branch = asyncio.run(write(model, kept=kept))
    assert [step.u for step in branch.trace.steps[:13]] == [step.u for step in written.trace.steps[3:]]
    assert prove(branch, model, threads=1, levels=("A",)).proven


def test_level_c_is_the_loss_near_what_was_recorded(certificate: Certificate, written: Turn) -> None:
    c = certificate.levels[2]
    assert c.verdict == "near"
    assert c.recorded_cross_entropy == pytest.approx(-sum(step.logprob for step in written.trace.steps))
    assert c.cross_entropy == pytest.approx(c.recorded_cross_entropy, abs=0.1 * c.checked)
    assert c.bitwise < c.checked
    assert c.distance.max_dp > 0


def test_noise_floor_is_the_distance_between_the_kernels(certificate: Certificate) -> None:
    floor, c = certificate.noise_floor, certificate.levels[2]
    assert floor is not None
    assert floor.max_dp == pytest.approx(c.distance.max_dp, abs=1e-6)  # the record is bitwise level A
    assert floor.max_dlogprob == pytest.approx(c.distance.max_dlogprob, abs=1e-6)


def test_progress_goes_from_step_to_step_to_the_end(written: Turn, model: Model) -> None:
    seen: list[tuple[str, int, int, float]] = []
    prove(written, model, threads=1, levels=("A",), progress=lambda *told: seen.append(told))
    n = len(written.trace.steps)
    assert [(level, done, total) for level, done, total, _ in seen] == [("A", i, n) for i in range(n + 1)]
    shares = [share for *_, share in seen]
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)


def test_progress_may_give_up(written: Turn, model: Model) -> None:
    def give_up(*_: object) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        prove(written, model, threads=1, progress=give_up)


def lie_about_probability(step: Step) -> Step:
    return replace(step, logprob=step.logprob - 0.01)


def lie_about_rank(step: Step) -> Step:
    return replace(step, rank=step.rank + 1)


def lie_about_candidates(step: Step) -> Step:
    return replace(step, top=(Candidate(step.top[0].id, step.top[0].logprob, "top_k"), *step.top[1:]))


def lie_about_the_draw(step: Step) -> Step:
    return replace(step, u=(step.u + 0.5) % 1)


def lie_about_the_row(step: Step) -> Step:
    return replace(step, row_hash=step.row_hash ^ 1)


@pytest.mark.parametrize(
    "lie", [lie_about_probability, lie_about_rank, lie_about_candidates, lie_about_the_draw, lie_about_the_row]
)
def test_a_record_that_was_changed_is_not_proven(lie: Callable[[Step], Step], written: Turn, model: Model) -> None:
    certificate = prove(with_step(written, 6, lie), model, threads=1, levels=("A",))
    assert certificate.levels[0].verdict == "differs"
    assert certificate.levels[0].first_difference == 6
    assert not certificate.proven


def test_another_token_in_the_reply_is_not_proven(written: Turn, model: Model) -> None:
    """The rows after it come out other, and the token itself is not what row and seed give."""
    step = written.trace.steps[4]
    other = next(candidate.id for candidate in step.top if candidate.id != step.id)
    changed = with_step(written, 4, lambda step: replace(step, id=other))
    result = prove(changed, model, threads=1, levels=("A",)).levels[0]
    assert (result.verdict, result.first_difference, result.bitwise) == ("differs", 4, 5)
    assert result.redrawn < result.checked
    assert result.distance.max_dp > 0


def test_another_prompt_is_off_by_more_than_a_kernel(written: Turn, model: Model) -> None:
    prompt = replace(written.prompt, ids=(*written.prompt.ids[:5], *written.prompt.ids[6:], 0))
    certificate = prove(replace(written, prompt=prompt), model, threads=1, levels=("A", "C"))
    assert "more than another kernel" in certificate_lines(certificate)[-1]


def test_another_seed_is_not_proven(written: Turn, model: Model) -> None:
    result = prove(replace(written, seed=3), model, threads=1, levels=("A",)).levels[0]
    assert result.bitwise == result.checked
    assert (result.verdict, result.faithful) == ("differs", 0)


def test_another_prompt_is_not_proven(written: Turn, model: Model) -> None:
    prompt = replace(written.prompt, ids=(*written.prompt.ids[:-1], written.prompt.ids[0]))
    result = prove(replace(written, prompt=prompt), model, threads=1, levels=("A",)).levels[0]
    assert (result.verdict, result.bitwise) == ("differs", 0)


def test_another_schedule_is_near_but_not_proven(written: Turn, model: Model) -> None:
    other = (Run("tile", len(written.prompt.ids)), Run("one", len(written.trace.steps) - 1))
    certificate = prove(replace(written, schedule=other), model, threads=1, levels=("A", "C"))
    assert not certificate.proven
    assert 0 < certificate.levels[0].distance.max_dp < 0.5
    assert "about as much as another kernel" in certificate_lines(certificate)[-1]


def test_level_c_alone_is_near_and_says_that_it_cannot_prove(written: Turn, model: Model) -> None:
    certificate = prove(written, model, threads=1, levels=("C",))
    assert certificate.proven
    assert certificate.noise_floor is None
    assert "cannot prove" in certificate_lines(certificate)[-1]


def test_the_records_rounding_is_no_difference(written: Turn) -> None:
    step = written.trace.steps[0]
    rounded = replace(
        step,
        entropy=round(step.entropy * 1024) / 1024,
        top=tuple(Candidate(c.id, round(c.logprob * 1024) / 1024, c.removed_by) for c in step.top),
    )
    assert same(rounded, step)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda turn: replace(turn, verifiable=False), "erased"),
        (lambda turn: replace(turn, status="pending"), "still being written"),
        (lambda turn: replace(turn, trace=replace(turn.trace, fault="bad checksum")), "bad checksum"),
        (lambda turn: replace(turn, trace=Trace((), (), 10), status="interrupted"), "no recorded step"),
        (lambda turn: replace(turn, schedule=cut(turn.schedule, 5)), "schedule"),
        (lambda turn: replace(turn, model=replace(turn.model, sha256="0" * 64, name="other")), "made by other"),
        (lambda turn: replace(turn, model=replace(turn.model, adapter_sha256="ab" * 32)), "adapter abab"),
    ],
)
def test_names_what_it_cannot_judge(change: Callable[[Turn], Turn], words: str, written: Turn) -> None:
    require(written, written.model)
    with pytest.raises(CannotVerify, match=words):
        require(change(written), written.model)


def test_states_it_in_words_and_json(certificate: Certificate) -> None:
    lines = certificate_lines(certificate)
    assert lines[-1].startswith("Proven")
    assert [line.split(":")[0] for line in lines if line[0] in "ABC" and line[1] == " "] == [
        "A  bitwise",
        "B  bitwise",
        "C  near",
    ]
    stated = json.loads(json.dumps(certificate_json(certificate), allow_nan=False))
    assert (stated["verdict"], [level["level"] for level in stated["levels"]]) == ("proven", ["A", "B", "C"])
    assert stated["levels"][0]["meaning"] == meaning(certificate.levels[0])
    assert cannot_json(5, "why").keys() == stated.keys()


# -- the distance ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made_on", "said"),
    [
        ({}, ()),
        ({"recorded_cpu": ""}, ()),
        ({"recorded_cpu": "Abacus 9"}, ("made on another machine, Abacus 9:",)),
        ({"tells_routes": True}, ("With experts in this quantization equal bits are not promised",)),
        ({"recorded_gpu_layers": 7}, (" with 7 layers on a GPU: it may", "equal bits are not promised")),
        ({"recorded_gpu_layers": -1, "gpu_layers": -1}, ("all layers on a GPU.", "equal bits are not promised")),
    ],
)
def test_states_where_it_was_made(made_on: dict[str, Any], said: tuple[str, ...], certificate: Certificate) -> None:
    assert certificate.environment.recorded_cpu == certificate.environment.cpu == cpu_name()
    elsewhere = replace(certificate, environment=replace(certificate.environment, **made_on))
    text = "\n".join(certificate_lines(elsewhere))
    assert [words for words in said if words not in text] == []
    assert bool(said) or ("another machine" not in text and "GPU" not in text)


def test_distance_is_that_of_the_distributions() -> None:
    p, q = (0.5, 0.3, 0.2), (0.4, 0.4, 0.2)
    one, other = (Prediction(math.log(x[0]), {i: math.log(y) for i, y in enumerate(x[:2])}) for x in (p, q))
    found = distance([(one, other)])
    kl = sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    assert (found.max_dp, found.max_dlogprob) == pytest.approx((0.1, math.log(5 / 4)))
    assert (found.max_kl, found.mean_kl) == pytest.approx((kl, kl))


def test_distance_of_nothing_is_nothing() -> None:
    assert distance([]) == Distance(0, 0, 0, 0)
