"""A reply goes into the log and comes out as it was."""

import asyncio
import dataclasses
import sqlite3
import threading
from pathlib import Path

import pytest
from glasshead.errors import UserError
from glasshead.predict.message import Message
from glasshead.predict.prompt import Prompt, Span
from glasshead.predict.schedule import Run
from glasshead.store import Owned, Store

from .making import MODEL, PIECES, SAMPLING, TIMINGS, ask, steps


async def test_a_turn_comes_back_whole(store: Store):
    session = await store.start_session(title="t", kind="channel", guild_id=2**62, channel_id=7, person=9)
    message = await store.append_message(session, "user", "Hello\0 \u202e there", author="Ann", person=9)
    ids = tuple(range(1, 601))
    spans = (
        Span(0, 3, "marker", "system"),
        Span(3, 590, "typed", "user", message),
        Span(590, 600, "generated", "assistant", 3),
    )
    prompt = Prompt(ids, spans, dropped_turns=2, dropped_tokens=99, budget=1500)
    turn = await store.open_turn(
        session=session, prompt_message=message, prompt=prompt, model=MODEL, sampling=SAMPLING, seed=2**53 - 1,
        requester=9, k=10,
    )  # fmt: skip
    made = steps(20)
    said = await store.finish_turn(
        turn, steps=made, schedule=(Run("tile", 600), Run("one", 19)), reply="So it is", reasoning="hm",
        finish="stop", status="ok", n_cached=512, timings=TIMINGS,
    )  # fmt: skip
    back = await store.turn(turn)
    assert back.prompt == prompt
    assert (back.model, back.sampling, back.seed, back.timings) == (MODEL, SAMPLING, 2**53 - 1, TIMINGS)
    assert back.schedule == (Run("tile", 600), Run("one", 19))
    assert (back.reply, back.reasoning, back.status, back.finish) == ("So it is", "hm", "ok", "stop")
    assert (back.prompt_message, back.reply_message, back.n_cached) == (message, said, 512)
    assert back.prompt_pieces[:2] == (PIECES[1], PIECES[2])
    assert [s.id for s in back.trace.steps] == [s.id for s in made]
    assert [s.row_hash for s in back.trace.steps] == [s.row_hash for s in made]
    assert back.trace.pieces == tuple(PIECES[s.id] for s in made)
    assert back.trace.candidate_pieces[made[0].top[0].id] == PIECES[made[0].top[0].id]
    assert back.trace.fault is None
    (row,) = await store.sessions()
    assert (row.guild_id, row.person, row.n_turns, row.last_turn) == (2**62, 9, 1, turn)


async def test_a_conversation_is_the_line_to_its_root(store: Store):
    session = await store.start_session()
    system = await store.append_message(session, "system", "Be kind.")
    first, _, reply = await ask(store, session, "one", "uno", parent=system)
    await ask(store, session, "another version", "no", parent=system)
    last = await store.append_message(session, "user", "two", parent=reply, author="Bo")
    assert await store.conversation(last) == (
        Message("system", "Be kind.", id=system),
        Message("user", "one", id=first),
        Message("assistant", "uno", ids=tuple(s.id for s in steps()), id=reply),
        Message("user", "two", author="Bo", id=last),
    )


async def test_a_branch_keeps_the_tokens_it_started_with(store: Store):
    session = await store.start_session()
    message, turn, _ = await ask(store, session, "hello")
    parent = await store.turn(turn)
    kept = tuple(s.id for s in parent.trace.steps[:3])
    at = len(parent.prompt.ids)
    prompt = Prompt(parent.prompt.ids + kept, (*parent.prompt.spans, Span(at, at + 3, "generated", "assistant")))
    branch = await store.open_turn(
        session=session, prompt_message=message, prompt=prompt, model=MODEL, sampling=SAMPLING, seed=5,
        first_step=3, parent_turn=turn, k=10,
    )  # fmt: skip
    said = await store.finish_turn(
        branch, steps=steps(4, 2), schedule=(), reply="else", finish="length", status="ok"
    )
    assert (await store.conversation(said))[-1].ids == kept + tuple(s.id for s in steps(4, 2))
    back = await store.turn(branch)
    assert (back.first_step, back.parent_turn, len(back.trace.steps)) == (3, turn, 4)


async def test_a_crash_leaves_an_interrupted_turn_with_what_was_generated(path: Path):
    store = await Store.open(path)
    await store.save_vocabulary(MODEL, PIECES)
    session = await store.start_session()
    _, bare, _ = await ask(store, session, "one", None)
    _, begun, _ = await ask(store, session, "two", None)
    await store.save_progress(begun, steps=steps(5), schedule=(), reply="so f")
    await store.save_progress(begun, steps=steps(12), schedule=(), reply="so far")
    await store.close()  # closing finishes nothing: the turns are as a killed process leaves them
    again = await Store.open(path)
    assert again.interrupted == (bare, begun)
    turn = await again.turn(begun)
    assert (turn.status, turn.finish, turn.reply, len(turn.trace.steps)) == ("interrupted", None, "so far", 12)
    assert (await again.turn(bare)).status == "interrupted"
    assert await again.latest_turn() == begun
    await again.close()


async def test_a_finished_turn_cannot_be_finished_again(store: Store):
    session = await store.start_session()
    _, turn, _ = await ask(store, session, "one")
    with pytest.raises(UserError, match="already finished"):
        await store.finish_turn(turn, steps=(), schedule=(), reply="x", finish="stop", status="ok")


async def test_a_caller_that_is_cancelled_does_not_lose_the_reply(store: Store):
    session = await store.start_session()
    _, turn, _ = await ask(store, session, "one", None)
    begun, go_on = threading.Event(), threading.Event()
    holding = asyncio.create_task(store.database.write(lambda c: (begun.set(), go_on.wait())))
    await asyncio.to_thread(begun.wait)
    finishing = asyncio.create_task(
        store.finish_turn(turn, steps=steps(), schedule=(), reply="kept", finish="stop", status="ok")
    )
    while len(store.database._waiting) < 1:
        await asyncio.sleep(0.001)
    finishing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await finishing
    go_on.set()
    await holding
    await store.database.write(lambda c: None)
    assert (await store.turn(turn)).reply == "kept"


async def test_long_prompts_of_one_session_share_their_blocks(store: Store, path: Path):
    session = await store.start_session()
    ids: tuple[int, ...] = ()
    message = await store.append_message(session, "user", "hi")
    for i in range(30):
        ids += tuple((i * 37 + j * 11) % 1999 for j in range(200))
        turn = await store.open_turn(
            session=session, prompt_message=message, prompt=Prompt(ids, (Span(0, len(ids), "typed", "user"),)),
            model=MODEL, sampling=SAMPLING, seed=1, k=10,
        )  # fmt: skip
        assert (await store.turn(turn)).prompt.ids == ids
    count, size = sqlite3.connect(path).execute("SELECT count(*), sum(length(ids)) FROM prompt_block").fetchone()
    assert (count, size) == (6000 // 256, pytest.approx(size)) and size < 6000 * 2.1


async def test_discord_messages_lead_to_their_turn(store: Store):
    session = await store.start_session()
    _, turn, _ = await ask(store, session, "one")
    _, other, _ = await ask(store, session, "two")
    await store.link_discord(turn, [11, 12, 2**63 - 1])
    await store.link_discord(other, [21])
    await store.link_discord(turn, [11, 13])
    assert [await store.turn_of_discord_message(i) for i in (11, 12, 13, 21)] == [turn, None, turn, other]
    assert await store.discord_messages(turn) == [11, 13]


async def test_unknown_things_are_named(store: Store):
    session = await store.start_session()
    other = await store.start_session()
    message = await store.append_message(other, "user", "x")
    for call, words in (
        (store.turn(99), "no turn 99"),
        (store.session(99), "no session 99"),
        (store.turns(99), "no session 99"),
        (store.conversation(99), "no message 99"),
        (store.append_message(99, "user", "x"), "no session 99"),
        (store.append_message(session, "user", "x", parent=99), "no message 99"),
        (store.append_message(session, "user", "x", parent=message), "another session"),
    ):
        with pytest.raises(UserError, match=words):
            await call


@pytest.mark.parametrize(
    "text", ["", "\0", "a\ud800b", "\udfff", "x" * 100_000, "\x1b[31m", "👩‍👩‍👧", "'; DROP TABLE turn; --"]
)
async def test_any_text_is_kept(store: Store, text: str):
    session = await store.start_session()
    message = await store.append_message(session, "user", text)
    kept = (await store.message(message)).text
    assert kept == "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in text)


async def test_the_second_owner_is_refused_and_told_who_the_first_is(store: Store, path: Path):
    with pytest.raises(Owned, match=r"in use by process \d+") as refused:
        await Store.open(path)
    assert refused.value.owner is not None
    reader = await Store.open(path, writable=False)
    assert await reader.sessions() == []
    await reader.close()


async def test_sessions_page_by_key(store: Store):
    ids = [await store.start_session(title=str(i)) for i in range(7)]
    await ask(store, ids[2], "later")
    seen, before = [], None
    while page := await store.sessions(limit=3, before=before):
        seen += [row.id for row in page]
        before = (page[-1].last_turn or 0, page[-1].id)
    assert seen == [ids[2], *(i for i in reversed(ids) if i != ids[2])]


async def test_a_damaged_trace_is_named_and_the_rest_is_there(store: Store, path: Path):
    session = await store.start_session()
    _, turn, _ = await ask(store, session, "one", "uno")
    with sqlite3.connect(path) as other:
        (data,) = other.execute("SELECT data FROM trace_part").fetchone()
        other.execute("UPDATE trace_part SET data = ?", (data[:40] + bytes([data[40] ^ 1]) + data[41:],))
    back = await store.turn(turn)
    assert f"the trace of turn {turn} is damaged" in (back.trace.fault or "")
    assert (back.reply, back.trace.steps, back.verifiable) == ("uno", (), False)


async def test_models_and_settings_are_stored_once(store: Store, path: Path):
    session = await store.start_session()
    for i in range(3):
        await ask(store, session, str(i))
    adapted = dataclasses.replace(MODEL, adapter_sha256="d" * 64, adapter_scale=0.5)
    message = await store.append_message(session, "user", "x")
    turn = await store.open_turn(
        session=session, prompt_message=message, prompt=Prompt((1,), (Span(0, 1, "typed", "user", message),)),
        model=adapted, sampling=SAMPLING, seed=1, k=10,
    )  # fmt: skip
    back = await store.turn(turn)
    assert back.model == adapted and back.prompt_pieces == (PIECES[1],)  # the file's vocabulary, known already
    counts = [
        sqlite3.connect(path).execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in ("model", "sampling")
    ]
    assert counts == [2, 1]
