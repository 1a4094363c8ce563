"""A message in, a streamed and logged reply out: a real engine, a real log."""

import asyncio
import datetime
import gc
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from damage import spoil
from glasshead.chat import Chat, Done, Queued, ReplyRequest, Started, Text, Thought, making
from glasshead.chat.transcript import Transcript
from glasshead.errors import UserError
from glasshead.explain.explanation import explain
from glasshead.explain.json import explanation_json
from glasshead.explain.text import outcome
from glasshead.predict.draw import draw
from glasshead.predict.engine import Generation
from glasshead.predict.message import Message
from glasshead.predict.model import Model
from glasshead.predict.render import Renderer
from glasshead.predict.sampling import Sampling
from glasshead.predict.tags import Tags
from glasshead.store import Store
from glasshead.store.line import Line

from .conftest import RUNNING, WAITING, speaker_of
from .talking import END, ENDLESS, Room, listen, until

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_reply_is_told_as_it_is_logged(room: Room) -> None:
    question = await room.ask("Hello")
    heard = await room.answer(question, seed=7)
    started, done = heard.events[0], heard.done
    turn = await room.turn(done.turn)
    assert started == Started(turn.id, len(turn.prompt.ids), 0, 0, turn.prompt.budget)
    assert heard.text == done.text == turn.reply != ""
    assert (done.status, done.finish, done.logged, done.error) == ("ok", turn.finish, True, None)
    assert (done.n_tokens, done.seed, done.message) == (len(turn.trace.steps), 7, turn.reply_message)
    assert b"".join(turn.trace.pieces).removesuffix(b"<|im_end|>").decode() == turn.reply
    assert (turn.prompt_message, turn.session, turn.status) == (question, room.session, "ok")
    assert [step.u for step in turn.trace.steps] == [draw(7, t) for t in range(len(turn.trace.steps))]


async def test_the_turn_is_in_the_log_before_the_first_token(room: Room) -> None:
    reply = await room.start(sampling=ENDLESS)
    started = await until(reply, Started)
    assert (await room.turn(started.turn)).status == "pending"
    await reply.stop()
    await until(reply, Done)


async def test_a_reply_goes_on_where_earlier_messages_cannot_be_read(room: Room, tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "log.db")
    session, parent = await store.start_session(), None
    for each in range(40):
        text = f"{each} " + "=" * 400
        parent = await store.append_message(session, "user" if each % 2 else "system", text, parent=parent)
    question = await store.append_message(session, "user", "Hello", parent=parent)
    await store.close()
    spoil(tmp_path / "log.db", "message", 0xFF)
    store = await Store.open(tmp_path / "log.db")
    chat = Chat(store, room.chat.speaker, room.chat.sampling)
    heard = await listen(chat.reply(ReplyRequest(session=session, message=question)))
    started = heard.events[0]
    assert isinstance(started, Started) and 0 < started.unread < 40
    turn = await store.turn(heard.done.turn)
    assert (heard.done.status, heard.done.logged, turn.reply) == ("ok", True, heard.text)
    assert len({span.message for span in turn.prompt.spans if span.message}) == 41 - started.unread
    await store.close()


async def test_the_whole_conversation_is_given_again(room: Room) -> None:
    first = (await room.say("My name is Ada.")).done
    second = (await room.say("What is my name?", parent=first.message)).done
    one, two = await room.turn(first.turn), await room.turn(second.turn)
    said = tuple(step.id for step in one.trace.steps)
    assert two.prompt.ids[: len(one.prompt.ids + said)] == one.prompt.ids + said
    assert two.n_cached > 0
    kinds = [(span.kind, span.message) for span in two.prompt.spans if span.kind != "marker"]
    assert kinds == [
        ("typed", one.prompt_message),
        ("generated", first.message),
        ("typed", two.prompt_message),
    ]


async def test_a_template_that_asks_the_date_is_told_on_which_the_session_began(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = datetime.datetime(2024, 2, 29, 12).astimezone()
    monkeypatch.setattr("glasshead.store.sessions.now_us", lambda: int(began.timestamp() * 1e6))
    session = await room.chat.store.start_session()
    monkeypatch.undo()
    speaker = room.chat.speaker
    template = "{{ strftime_now('%d %b %Y') }}: {{ messages[-1].content }}"
    renderer = Renderer(speaker.vocabulary, template, date=datetime.date(2026, 11, 22))
    dated = Room(Chat(room.chat.store, replace(speaker, renderer=renderer), room.chat.sampling), session)
    turn = await dated.turn((await dated.say("Hi")).done.turn)
    assert speaker.vocabulary.detokenise(turn.prompt.ids) == b"29 Feb 2024: Hi"


async def test_the_same_seed_says_the_same_and_a_fresh_one_is_drawn(room: Room) -> None:
    warm = room.with_sampling(temperature=1.5, top_k=0, top_p=1, min_p=0)
    question = await warm.ask("Tell me a story.")
    one, two = await warm.answer(question, seed=3), await warm.answer(question, seed=3)
    free, other = await warm.answer(question), await warm.answer(question)
    assert one.done.text == two.done.text
    assert len({one.done.seed, free.done.seed, other.done.seed}) == 3


async def test_another_try_is_a_sibling(room: Room) -> None:
    question = await room.ask("Name a colour.")
    first, second = (await room.answer(question)).done, (await room.answer(question)).done
    rows = {row.id: row for row in await room.chat.store.messages(room.session)}
    assert first.message != second.message
    assert first.message is not None and second.message is not None
    assert rows[first.message].parent == rows[second.message].parent == question
    third = await room.say("And a fruit.", parent=second.message)
    turn = await room.turn(third.done.turn)
    assert {span.message for span in turn.prompt.spans} == {None, question, second.message, turn.prompt_message}


async def test_an_end_of_turn_is_one_also_where_a_stop_string_spells_its_token(room: Room) -> None:
    ending = room.with_sampling(stop=("<|im_end|>",), logit_bias=((END, 100.0),))
    said = await ending.say("Hello")
    turn = await room.turn(said.done.turn)
    assert turn.trace.steps[-1].id == END
    explanation = explain(turn)
    assert outcome(explanation) == "ended its turn"
    assert explanation.tokens[-1].is_end and not explanation.tokens[-1].is_unshown
    stated = explanation_json(explanation)
    assert (stated["finish"], stated["stop_string"]) == ("stop", None)
    assert stated["end_of_turn"] == len(turn.trace.steps) - 1
    (row,) = [row for row in await room.chat.store.turns(room.session) if row.id == turn.id]
    assert (turn.finish, row.finish) == ("end", "stop")


async def test_no_stop_string_goes_on_beyond_a_control_token(shallow_model: Model) -> None:
    """As the record is read later: its tokens' bytes one after another, a control token's among them."""
    vocabulary = shallow_model.vocabulary
    (control,) = vocabulary.tokenise("<|im_start|>", special=True)
    left, right = (vocabulary.tokenise(text, special=False) for text in ("a ST", "OP b"))
    for ids, shown, stopped in (((*left, *right), "a ", "STOP"), ((*left, control, *right), "a STOP b", None)):
        transcript = Transcript(vocabulary, ("STOP",), thinking=False, tags=Tags("<think>", "</think>"))
        for token in ids:
            transcript.feed(token)
        transcript.finish()
        assert (transcript.answer, transcript.stopped) == (shown, stopped)


async def test_what_a_slow_reply_has_so_far_is_saved_after_a_while(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "PROGRESS_STEPS", 10**6)
    monkeypatch.setattr(making, "PROGRESS_SECONDS", 0.1)
    reply = await room.start(sampling=ENDLESS)
    started = await until(reply, Started)
    async with asyncio.timeout(20):
        while not (turn := await room.turn(started.turn)).trace.steps:
            await asyncio.sleep(0.02)
    assert turn.status == "pending" and turn.reply
    await reply.stop()
    await until(reply, Done)


async def test_a_reply_is_saved_from_its_first_words_on_and_whenever_it_has_grown(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What people have read of it outlives a crash."""
    saved: list[int] = []
    save = room.chat.store.save_progress

    async def noted(turn: int, **given: Any) -> None:
        saved.append(len(given["steps"]))
        await save(turn, **given)

    monkeypatch.setattr(making, "PROGRESS_SECONDS", 10**6)
    monkeypatch.setattr(room.chat.store, "save_progress", noted)
    await listen(await room.start(sampling=replace(ENDLESS, max_tokens=40)))
    assert saved == [8, 32]


async def test_stopping_keeps_what_was_said(room: Room) -> None:
    reply = await room.start(sampling=ENDLESS)
    first = await until(reply, Text)
    await reply.stop()
    rest = await listen(reply)
    turn = await room.turn(rest.done.turn)
    assert (rest.done.status, rest.done.finish) == ("stopped", "stopped")
    assert (turn.status, turn.finish) == ("stopped", "stopped")
    assert turn.reply == rest.done.text == first.text + rest.text
    assert 0 < len(turn.trace.steps) < 400
    assert turn.timings is not None


async def test_stopping_at_once_and_twice(room: Room) -> None:
    reply = await room.start(sampling=ENDLESS)
    await reply.stop()
    await reply.stop()
    done = (await listen(reply)).done
    assert (done.status, (await room.turn(done.turn)).status) == ("stopped", "stopped")


async def test_a_stop_string_ends_the_reply_and_is_never_shown(room: Room) -> None:
    whole = (await room.say("Hello")).done.text
    stop = whole[7:12]  # across tokens
    cut = await room.say("Hello", sampling=room.with_sampling(stop=("nowhere", stop)).chat.sampling)
    assert cut.text == cut.done.text == whole[: whole.index(stop)]
    assert (cut.done.status, cut.done.finish) == ("ok", "stop")
    turn = await room.turn(cut.done.turn)
    assert turn.reply == cut.done.text
    assert stop.encode() in b"".join(turn.trace.pieces)


async def test_the_beginning_of_a_stop_string_is_shown_once_it_is_none(room: Room) -> None:
    whole = (await room.say("Hello")).done.text
    almost = whole[-3:] + "☂"
    heard = await room.say("Hello", sampling=room.with_sampling(stop=(almost,)).chat.sampling)
    assert heard.text == heard.done.text == whole


async def test_a_limit_is_named(room: Room) -> None:
    done = (await room.say("Hello", sampling=room.with_sampling(max_tokens=1).chat.sampling)).done
    assert (done.status, done.finish, done.n_tokens) == ("ok", "length", 1)


async def test_what_does_not_fit_is_dropped_and_told(room: Room, shallow_model: Model) -> None:
    speaker = speaker_of(shallow_model, n_ctx=256)
    room = Room(Chat(room.chat.store, speaker, room.chat.sampling), room.session)
    parent = await room.chat.store.append_message(room.session, "system", "Be brief.")
    system = parent
    for number in range(6):
        asked = await room.ask(f"Line {number}: " + "so it goes, " * 12, parent=parent)
        parent = await room.chat.store.append_message(room.session, "assistant", "So it goes.", parent=asked)
    async with aclosing(speaker.engine):
        heard = await room.say("And now?", parent=parent)
        later = await room.say("And then?", parent=heard.done.message)
    started, again = heard.events[0], later.events[0]
    assert isinstance(started, Started) and isinstance(again, Started)
    assert again.dropped_turns and (started.known, again.known) == (False, True)
    turn = await room.turn(started.turn)
    assert started.dropped_turns == turn.prompt.dropped_turns > 0
    assert started.dropped_tokens == turn.prompt.dropped_tokens > 0
    assert started.budget is not None and len(turn.prompt.ids) <= started.budget
    given = [span.message for span in turn.prompt.spans if span.message is not None]
    assert given[0] == system and given[-1] == turn.prompt_message


async def test_one_message_that_cannot_fit_is_refused_and_leaves_nothing_open(room: Room) -> None:
    with pytest.raises(UserError, match="too long"):
        await room.say("word " * 3000)
    assert await room.chat.store.turns(room.session) == []
    assert (await room.say("Hello")).done.status == "ok"


async def test_a_full_queue_answers(room: Room) -> None:
    running = [await room.start(sampling=ENDLESS) for _ in range(RUNNING)]
    for reply in running:
        await until(reply, Text)
    waiting = []
    for place in range(1, WAITING + 1):
        waiting.append(await room.start(sampling=ENDLESS))
        assert (await until(waiting[-1], Queued)).place == place
    refused = (await room.say("And me?")).done
    assert refused.status == "error"
    assert refused.error is not None and "waiting" in refused.error
    assert (await room.turn(refused.turn)).error == refused.error

    await waiting[0].stop()  # before it began
    assert (await listen(waiting[0])).done.status == "stopped"
    await running[0].stop()
    assert (await until(waiting[1], Text)).text
    await room.chat.aclose()
    assert [(await listen(reply)).done.status for reply in (*running, waiting[1])] == ["stopped"] * 3


async def test_one_person_cannot_fill_the_queue(room: Room) -> None:
    mine = [await room.start(sampling=ENDLESS, user="ada") for _ in range(2)]
    for reply in mine:
        await until(reply, Text)
    refused = (await room.say("Me again", user="ada")).done
    assert refused.error is not None and "you have" in refused.error
    other = await room.start(user="bob")
    await until(other, Queued)
    await mine[0].stop()
    assert (await listen(other)).done.status == "ok"


async def test_one_persons_replies_are_queued_as_they_came(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    queued: list[int] = []
    read, engine, gate = room.chat.store.line, room.chat.speaker.engine, asyncio.Event()
    generate = engine.generate

    async def slowly(leaf: int) -> Line:
        if leaf == asked[0]:
            await gate.wait()
        return await read(leaf)

    def noted(ids: Sequence[int], sampling: Sampling, seed: int, **more: Any) -> Generation:
        queued.append(seed)
        return generate(ids, sampling, seed, **more)

    monkeypatch.setattr(room.chat.store, "line", slowly)
    monkeypatch.setattr(engine, "generate", noted)
    asked = [await room.ask(text) for text in ("One.", "word " * 3000, "Two.", "Three.")]
    people = ("ada", "ada", "ada", "bob")
    replies = [
        room.chat.reply(ReplyRequest(room.session, message, user=who, seed=seed))
        for seed, (message, who) in enumerate(zip(asked, people, strict=True))
    ]
    try:
        with pytest.raises(UserError, match="too long"):
            await until(replies[1], Started)
        await until(replies[2], Started)
        await until(replies[3], Done)
        assert queued == [3], "nobody waits for another person's"
    finally:
        gate.set()
    for seed in 0, 2:
        await until(replies[seed], Done)
    assert queued == [3, 0, 2]


async def test_closing_stops_and_logs_everything(room: Room) -> None:
    for reply in [await room.start(sampling=ENDLESS) for _ in range(RUNNING)]:
        await until(reply, Text)
    await until(await room.start(sampling=ENDLESS), Queued)  # only now: each is opened in a task of its own
    await room.chat.aclose()
    assert room.chat.running == 0
    rows = await room.chat.store.turns(room.session)
    assert [row.status for row in rows] == ["stopped"] * (RUNNING + 1)
    assert all(row.n_out > 0 for row in rows[:RUNNING])


async def test_a_reply_nobody_listens_to_is_logged_all_the_same(room: Room) -> None:
    reply = await room.start("Hello")
    listener = asyncio.create_task(until(reply, Done))
    started = await until(reply, Started)
    listener.cancel()
    del reply
    gc.collect()
    turn = await room.ended(started.turn)
    assert (turn.status, turn.reply != "") == ("ok", True)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"logit_bias": tuple((id, float("-inf")) for id in range(49152))}, "no token"),
        ({"temperature": 1e-9}, "temperature"),
        ({"logit_bias": ((49152, 1.0),)}, "49152"),
    ],
)
async def test_what_cannot_be_done_is_an_error_with_a_reason(room: Room, changes: dict, words: str) -> None:
    done = (await room.say("Hello", sampling=room.with_sampling(**changes).chat.sampling)).done
    turn = await room.turn(done.turn)
    assert done.error is not None and words in done.error
    assert (
        (turn.status, turn.finish, turn.error)
        == (done.status, done.finish, done.error)
        == ("error", "error", done.error)
    )


async def test_an_engine_that_fails_leaves_what_it_said(room: Room, store: Store, shallow_model: Model) -> None:
    speaker = speaker_of(shallow_model)
    chat = Chat(store, speaker, ENDLESS)
    reply = chat.reply(ReplyRequest(room.session, await room.ask("Count.")))
    first = await until(reply, Text)
    await speaker.engine.aclose()
    rest = await listen(reply)
    turn = await room.turn(rest.done.turn)
    assert (turn.status, turn.finish) == ("error", "error")
    assert turn.error == rest.done.error == "the engine was shut down"
    assert turn.reply == rest.done.text == first.text + rest.text
    assert len(turn.trace.steps) == rest.done.n_tokens > 0


async def test_a_log_that_cannot_take_the_reply_is_told(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    """Something outside deleted the turn while the reply was made."""
    reply = await room.start()
    started = await until(reply, Started)
    await room.chat.store.database.write(lambda c: c.exec_driver_sql(f"DELETE FROM turn WHERE id = {started.turn}"))
    rest = await listen(reply)
    assert (rest.done.logged, rest.done.message, rest.done.text != "") == (False, None, True)
    assert "not logged" in caplog.text
    assert "Traceback" not in caplog.text


async def test_of_an_unlogged_reply_the_engine_keeps_nothing_either(room: Room) -> None:
    secret = "My secret is a kite over the sea, a lamp in the attic, and a letter nobody ever sent to anybody."
    await listen(room.chat.unlogged((Message("user", secret),), ReplyRequest(0, 0)))
    turn = await room.turn((await room.say(secret)).done.turn)
    typed = next(span for span in turn.prompt.spans if span.kind == "typed")
    assert turn.n_cached < typed.start + 4, "but what every prompt begins with"


async def test_thoughts_are_told_apart(room: Room) -> None:
    """A model that does not think is made to: its first tokens are <think>."""
    heard = await room.say("Hello")
    assert not any(isinstance(event, Thought) for event in heard.events)
    turn = await room.turn(heard.done.turn)
    think = room.chat.speaker.vocabulary.tokenise("<think>", special=False)
    first = await room.branch(turn.id, 0, think[0])
    for index, id in enumerate(think[1:], 1):
        first = await room.branch(first.done.turn, index, id)
    assert "".join(e.text for e in first.events if isinstance(e, Thought)) == first.done.reasoning != ""
    assert first.text == first.done.text == ""


async def test_a_branch_keeps_the_beginning_and_the_draws(room: Room) -> None:
    warm = room.with_sampling(temperature=1.2)
    parent = await room.turn((await warm.say("Tell me about the sea.", seed=11)).done.turn)
    choice = next(c.id for c in parent.trace.steps[4].top if c.id not in (parent.trace.steps[4].id, END))
    heard = await warm.branch(parent.id, 4, choice)
    turn = await room.turn(heard.done.turn)
    kept = (*(step.id for step in parent.trace.steps[:4]), choice)
    assert turn.prompt.ids == parent.prompt.ids + kept
    assert (turn.first_step, turn.parent_turn, turn.seed) == (5, parent.id, parent.seed)
    assert [step.u for step in turn.trace.steps] == [draw(11, t) for t in range(5, 5 + len(turn.trace.steps))]
    beginning = room.chat.speaker.vocabulary.detokenise(kept).decode()
    assert heard.text == heard.done.text == turn.reply
    assert turn.reply.startswith(beginning)

    again = await room.turn((await warm.branch(turn.id, 6, choice, seed=99)).done.turn)
    assert again.prompt.ids == (*turn.prompt.ids, turn.trace.steps[0].id, choice)
    assert (again.first_step, again.parent_turn, again.seed) == (7, turn.id, 99)
    assert again.reply.startswith(beginning)
    assert again.trace.steps[0].u == draw(99, 7)

    rows = {row.id: row for row in await room.chat.store.messages(room.session)}
    replies = [rows[t.reply_message].parent for t in (parent, turn, again) if t.reply_message]
    assert replies == [parent.prompt_message] * 3
    conversation = await room.chat.store.conversation(heard.done.message or 0)
    assert conversation[-1].ids[:5] == kept


async def test_a_branch_needs_the_model_that_made_the_turn_and_its_adapter(room: Room) -> None:
    store, speaker = room.chat.store, room.chat.speaker
    turn = await room.turn((await room.say("Hello")).done.turn)
    adapted = replace(turn.model, adapter_sha256="ab" * 32, adapter_scale=0.5)
    await store.save_vocabulary(adapted, speaker.vocabulary.pieces())
    made = await store.open_turn(
        session=room.session, prompt_message=await room.ask("Hello"), prompt=turn.prompt, model=adapted,
        sampling=turn.sampling, seed=turn.seed, first_step=0, requester=None, parent_turn=None, k=10,
    )  # fmt: skip
    await store.finish_turn(
        made, steps=turn.trace.steps, schedule=turn.schedule, reply=turn.reply, finish="stop", status="ok"
    )
    with pytest.raises(UserError, match=rf"turn {made} was made with the adapter abab.*not with no adapter"):
        await room.branch(made, 0, turn.trace.steps[0].top[1].id)
    with pytest.raises(UserError, match=rf"turn {made} was made with the adapter abab"):
        await room.chat.ends(await room.turn(made))
    assert END in await room.chat.ends(turn)


async def test_a_branch_that_cannot_be_is_refused(room: Room) -> None:
    turn = (await room.say("Hello")).done
    for step, choice, words in (
        (turn.n_tokens, 5, "no step"),
        (-1, 5, "no step"),
        (0, 49152, "does not exist"),
        (0, -1, "does not exist"),
        (0, END, "ends a reply"),
    ):
        with pytest.raises(UserError, match=words):
            await room.branch(turn.turn, step, choice)
    with pytest.raises(UserError, match="no turn"):
        await room.branch(10**6, 0, 5)
    assert len(await room.chat.store.turns(room.session)) == 1
