"""What is only true once everything is put together: one owner writes, erasure reaches the KV, old sessions go."""

import asyncio
import sqlite3
from pathlib import Path

import pytest
from glasshead.chat import Chat, Done, ReplyRequest
from glasshead.config import EngineSection, ModelSection, SamplingSection, Settings, StoreSection
from glasshead.predict.pool import footprint
from glasshead.predict.radix import common
from glasshead.store.owner import writer
from glasshead.store.retention import Limit, Limits
from glasshead.wiring import engine_settings, limits, model_choice, open_chat
from predict.tiny import Words, tiny

SERVER, PERSON = 7, 4242
SAID = "Remember that my parrot is called Septimus, and that he likes walnuts more than anything else."


@pytest.fixture
def settings(tmp_path: Path, shallow_path: Path, shared_model: None) -> Settings:
    return Settings(
        model=ModelSection(name=str(shallow_path), context=512),
        engine=EngineSection(streams=2, kv_folder=tmp_path / "kv"),
        sampling=SamplingSection(max_tokens=8),
        store=StoreSection(path=tmp_path / "log.db"),
    )


async def said(chat: Chat, text: str) -> tuple[int, Done]:
    session = await chat.store.start_session(guild_id=SERVER, kind="channel")
    message = await chat.store.append_message(session, "user", text, person=PERSON)
    return session, await answered(chat, session, message)


async def answered(chat: Chat, session: int, message: int) -> Done:
    events = [event async for event in chat.reply(ReplyRequest(session=session, message=message))]
    assert isinstance(events[-1], Done)
    return events[-1]


async def test_others_write_through_the_running_program(settings: Settings) -> None:
    async with open_chat(settings) as chat:
        session, done = await said(chat, SAID)
        async with writer(settings.store.path) as write:
            await write("rate", turn=done.turn, stars=4)
        marks = await chat.store.marks(session)
        assert marks[done.turn].stars == 4


async def test_an_erasure_reaches_the_kv_in_memory_and_on_disk(settings: Settings) -> None:
    async with open_chat(settings) as chat:
        await said(chat, SAID)
        _, again = await said(chat, SAID)
        assert (await chat.store.turn(again.turn)).n_cached > 0, "the prefix is kept until it is erased"
        await chat.store.erase_person(PERSON)
        _, after = await said(chat, SAID)
        assert (await chat.store.turn(after.turn)).n_cached == 0
        await chat.store.erase_person(PERSON)
    assert not list(settings.engine.kv_folder.rglob("*.kv*"))
    async with open_chat(settings) as chat:
        _, restarted = await said(chat, SAID)
        assert (await chat.store.turn(restarted.turn)).n_cached == 0


async def test_a_deleted_message_costs_no_other_conversation_its_kv(settings: Settings) -> None:
    async with open_chat(settings) as chat:
        _, kept = await said(chat, SAID)
        session = await chat.store.start_session(guild_id=SERVER, kind="channel")
        deleted = await chat.store.append_message(
            session, "user", f"{SAID} Or not?", person=PERSON, discord_message_id=77
        )
        gone = await answered(chat, session, deleted)
        before = [(await chat.store.turn(done.turn)).prompt.ids for done in (kept, gone)]
        await chat.store.erase_message(77)
        shared = common(*before)
        _, again = await said(chat, SAID)
        assert (await chat.store.turn(again.turn)).n_cached == len(before[0]) - 1
        _, longer = await said(chat, f"{SAID} Or not?")
        assert (await chat.store.turn(longer.turn)).n_cached == shared


async def test_of_a_reply_that_is_only_being_prepared_during_an_erasure_no_kv_is_kept(settings: Settings) -> None:
    async with open_chat(settings) as chat:
        session = await chat.store.start_session(guild_id=SERVER, kind="channel")
        message = await chat.store.append_message(session, "user", SAID, person=PERSON)
        reply = chat.reply(ReplyRequest(session=session, message=message))  # it has not read anything yet
        await chat.store.drop_caches()
        assert [event async for event in reply]
        again = await answered(chat, session, message)
        assert (await chat.store.turn(again.turn)).n_cached == 0


async def test_the_kv_of_a_conversation_outlives_a_restart(settings: Settings) -> None:
    async with open_chat(settings) as chat:
        await said(chat, SAID)
    async with open_chat(settings) as chat:
        _, done = await said(chat, SAID)
        assert (await chat.store.turn(done.turn)).n_cached > 0


async def test_sessions_that_go_by_age_take_the_kv_with_them(settings: Settings) -> None:
    async with open_chat(settings) as chat:
        await said(chat, SAID)
    assert list(settings.engine.kv_folder.iterdir())
    with sqlite3.connect(settings.store.path) as log:
        log.execute("UPDATE turn SET created_us = 1")
    section = StoreSection(path=settings.store.path, keep_days=1)
    async with open_chat(settings.model_copy(update={"store": section})) as chat:
        async with asyncio.timeout(20):
            while list(settings.engine.kv_folder.iterdir()):
                await asyncio.sleep(0.01)
        _, done = await said(chat, SAID)
        assert (await chat.store.turn(done.turn)).n_cached == 0


async def test_what_a_model_cannot_do_is_told_once_however_often_it_is_loaded(
    settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    others = [str(tiny(tmp_path / f"{name}.gguf", words=Words(filler=16_000))) for name in "ab"]
    one_at_a_time = settings.model.model_copy(update={"others": tuple(others)})
    settings = settings.model_copy(update={"model": one_at_a_time})
    sizes = [footprint(model_choice(settings, name)) for name in (settings.model.name, others[0])]
    section = one_at_a_time.model_copy(update={"memory_mb": (sum(sizes) >> 20) + 1})
    async with open_chat(settings.model_copy(update={"model": section})) as chat:
        for name in others * 2:
            async with chat.using(name):
                pass
    told = [record.getMessage() for record in caplog.records if "brings no chat template" in record.getMessage()]
    assert [line.partition(":")[0] for line in told] == others


def test_models_share_what_idle_conversations_may_take() -> None:
    settings = Settings(
        model=ModelSection(name="a", others=("b", "a", "c")), engine=EngineSection(kv_memory_mb=300)
    )
    assert engine_settings(settings, trained=None).cache_bytes == 100 << 20


def test_limits_are_what_the_settings_say() -> None:
    section = StoreSection(keep_days=30, keep_mb=0, keep_servers=((SERVER, 0, 5),))
    assert limits(Settings(store=section)) == Limits(Limit(30, None), {SERVER: Limit(None, 5 << 20)})
    assert limits(Settings()) == Limits()
