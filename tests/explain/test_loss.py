"""Prompt and reply in one pass agree with what an engine says of each token."""

import dataclasses
import json
from collections.abc import AsyncIterator

import pytest
from glasshead.errors import UserError
from glasshead.explain.json import scored_json
from glasshead.explain.loss import loss_lines, score, seen_lines
from glasshead.explain.turn import Turn
from glasshead.predict.local import EngineSettings, LocalEngine
from glasshead.predict.model import Model
from lent import lent


@pytest.fixture
async def engine(loaded: Model) -> AsyncIterator[LocalEngine]:
    engine = LocalEngine(lent(loaded), EngineSettings(n_ctx=512, max_running=2, threads=1))
    yield engine
    await engine.aclose()


async def test_the_sums_are_sums_and_the_loss_is_near_what_was_recorded(turn: Turn, engine: LocalEngine) -> None:
    scored = await score(engine, turn)
    loss = scored.loss
    assert loss.recorded == pytest.approx(-sum(step.logprob for step in turn.trace.steps))
    assert loss.scored == pytest.approx(sum(token.scored for token in loss.tokens))
    assert abs(loss.difference) / len(loss.tokens) < 0.5  # other kernels: near, not equal
    assert [token.id for token in loss.tokens] == [step.id for step in turn.trace.steps]
    assert [token.id for token in scored.prompt] == list(turn.prompt.ids)
    assert scored.prompt[0].logprob is None
    assert all(token.logprob is not None and token.logprob <= 0 for token in scored.prompt[1:])


async def test_a_prompt_token_s_probability_is_the_one_given_all_before_it(turn: Turn, engine: LocalEngine) -> None:
    scored = await score(engine, turn)
    alone = await engine.score(turn.prompt.ids[:9], first=8)
    assert scored.prompt[8].logprob == pytest.approx(alone[0].logprob, abs=0.3)
    assert scored.prompt[8].id == alone[0].id


async def test_what_it_says_in_words(turn: Turn, engine: LocalEngine) -> None:
    scored = await score(engine, turn)
    said = "\n".join(loss_lines(scored.loss))
    assert f"{scored.loss.recorded:.4f}" in said and f"{scored.loss.scored:.4f}" in said
    assert "no gradient" in said and "level C" in said  # on one page with a proof there are two such sums
    surprising = seen_lines(turn, scored, 80)
    assert any("“·fruit”" in line for line in surprising)
    json.dumps(scored_json(scored), allow_nan=False)


async def test_another_model_is_named(turn: Turn, engine: LocalEngine) -> None:
    other = dataclasses.replace(turn, model=dataclasses.replace(turn.model, name="elsewhere", sha256="f" * 64))
    with pytest.raises(UserError, match="elsewhere"):
        await score(engine, other)
    adapted = dataclasses.replace(turn, model=dataclasses.replace(turn.model, adapter_sha256="ab" * 32))
    with pytest.raises(UserError, match=r"made with the adapter abab.*not with no adapter"):
        await score(engine, adapted)


async def test_a_turn_of_which_a_part_is_lost_is_refused_in_words(turn: Turn, engine: LocalEngine) -> None:
    prompt = dataclasses.replace(turn.prompt, ids=(-1,) * len(turn.prompt.ids))
    with pytest.raises(UserError, match="part of what went in was erased"):
        await score(engine, dataclasses.replace(turn, prompt=prompt, verifiable=False))
    read = dataclasses.replace(turn.trace, steps=turn.trace.steps[:2], fault="a block is unreadable")
    with pytest.raises(UserError, match="its record is damaged: a block is unreadable"):
        await score(engine, dataclasses.replace(turn, trace=read))


async def test_a_reply_cut_by_the_context_is_scored_whole(turn: Turn, shallow_model: Model) -> None:
    """The last token is drawn when the context is full: with it there is one more."""
    engine = LocalEngine(lent(shallow_model), EngineSettings(n_ctx=128, max_running=1, threads=1))
    try:
        generation = engine.generate(
            turn.prompt.ids,
            dataclasses.replace(
                turn.sampling, max_tokens=500, temperature=1.5, top_k=0, logit_bias=((2, -100.0), (0, -100.0))
            ),
            1,
        )
        steps = tuple([step async for step in generation])
        assert generation.finish == "length" and len(turn.prompt.ids) + len(steps) == 129
        cut = dataclasses.replace(
            turn,
            model=engine.model,
            trace=dataclasses.replace(turn.trace, steps=steps, pieces=(b"",) * len(steps)),
        )
        assert len((await score(engine, cut)).loss.tokens) == len(steps)
    finally:
        await engine.aclose()
