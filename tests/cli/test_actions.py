"""What a reader asks of the model, with and without a program that owns the log."""

from dataclasses import replace
from pathlib import Path

import pytest
from glasshead.chat import Chat, Done, ReplyRequest
from glasshead.chat.what_if import what_if
from glasshead.cli.actions import ModelActions
from glasshead.cli.sitting import Sitting
from glasshead.config import EngineSection, ModelSection, SamplingSection, Settings, StoreSection
from glasshead.errors import UserError
from glasshead.explain.turn import Turn
from glasshead.store.lock import current_owner
from glasshead.wiring import open_chat


@pytest.fixture
def settings(tmp_path: Path, shallow_path: Path, shared_model: None) -> Settings:
    return Settings(
        model=ModelSection(name=str(shallow_path), context=256),
        engine=EngineSection(streams=1, threads=1, kv_folder=tmp_path / "kv"),
        sampling=SamplingSection(max_tokens=6),
        store=StoreSection(path=tmp_path / "log.db"),
    )


async def said(chat: Chat) -> Turn:
    session = await chat.store.start_session()
    message = await chat.store.append_message(session, "user", "Name a colour.")
    events = [event async for event in chat.reply(ReplyRequest(session=session, message=message, seed=4))]
    assert isinstance(events[-1], Done)
    return await chat.store.turn(events[-1].turn)


async def test_everything_works_while_another_program_owns_the_log(settings: Settings) -> None:
    async with open_chat(settings) as running:
        turn = await said(running)
        async with ModelActions(settings) as actions:
            branch = await actions.what_if(turn, 1, " green", fresh=False)
            assert (branch.parent_turn, branch.seed, branch.first_step) == (turn.id, turn.seed, 2)
            assert b"".join((*turn.trace.pieces[:1], b" green")).decode() in branch.reply
            again = await actions.what_if(branch, 0, branch.trace.steps[0].top[1].id, fresh=True)
            assert again.parent_turn == branch.id and again.seed != branch.seed
            assert await actions.ends(turn) == await running.ends(turn) >= {2}
            scored = await actions.score(turn)
            assert len(scored.loss.tokens) == len(turn.trace.steps)
            assert abs(scored.loss.difference) < 1
            with pytest.raises(UserError, match="has no step 99"):
                await actions.what_if(turn, 99, 1, fresh=False)
            with pytest.raises(UserError, match="no text, no token"):
                await actions.what_if(turn, 0, "", fresh=False)
            with pytest.raises(UserError, match=r"is 2 tokens for this model \(“·green” “·lemon”\): give one"):
                await actions.what_if(turn, 0, " green lemon", fresh=False)


async def test_everything_works_when_nobody_owns_it(settings: Settings, tmp_path: Path) -> None:
    async with open_chat(settings) as running:
        turn = await said(running)
    async with ModelActions(settings) as actions:
        branch = await actions.what_if(turn, 0, turn.trace.steps[0].top[1].id, fresh=False)
        assert branch.parent_turn == turn.id
        assert current_owner(settings.store.path) is None
        assert len((await actions.score(branch)).prompt) == len(branch.prompt.ids)
        other = replace(turn, model=replace(turn.model, name="other", sha256="f" * 64))
        with pytest.raises(UserError, match=r"made by other.*needs the same file"):
            await actions.score(other)
        with pytest.raises(UserError, match=r"made by other.*needs the same file"):
            await actions.ends(other)
        erased = replace(turn, verifiable=False)
        with pytest.raises(UserError, match="was erased or is damaged: it cannot be branched"):
            await actions.ends(erased)
    missing = settings.model_copy(update={"model": ModelSection(name="qwen2.5-0.5b-instruct", folder=tmp_path)})
    with pytest.raises(UserError, match="is not here: get it with"):
        await ModelActions(missing).ends(turn)


async def test_a_what_if_is_not_what_a_session_goes_on_with(settings: Settings) -> None:
    async with open_chat(settings) as chat:
        turn = await said(chat)
        await what_if(chat, turn=turn.id, step=1, choice=" green", fresh=False)
        sitting = Sitting(chat, "", lambda _: None, lambda _: None, lambda _: None)
        await sitting.resume(turn.session)
        assert sitting.turns == [turn.id]
        asked = (await chat.store.turn((await sitting.say("And a number.")).turn)).prompt_message
        assert asked is not None and (await chat.store.conversation(asked))[-2].text == turn.reply
