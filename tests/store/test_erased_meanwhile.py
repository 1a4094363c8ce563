"""What goes on while somebody is erased: replies in the making, prompts to be saved, replies that were copied."""

from pathlib import Path

import pytest
from glasshead.errors import UserError
from glasshead.predict.prompt import Prompt, Span
from glasshead.store import Store
from glasshead.store.search_syntax import parse
from glasshead.store.tables import message, prompt_block

from .conftest import copy_of
from .making import MODEL, SAMPLING, ask, prompt, steps
from .test_erasure import everything

ANN, BO = 8812345, 77
SECRET = "I keep the key under quetzal4711"


async def save(store: Store, turn: int, reply: str) -> int:
    return await store.save_progress(turn, steps=steps(3), schedule=(), reply=reply)


async def finish(store: Store, turn: int, reply: str) -> int:
    return await store.finish_turn(turn, steps=steps(4), schedule=(), reply=reply, finish="stop", status="ok")


async def open_turn(store: Store, session: int, answers: int, person: int, given: Prompt | None = None) -> int:
    return await store.open_turn(
        session=session, prompt_message=answers, prompt=given or prompt("x", answers), model=MODEL,
        sampling=SAMPLING, seed=2, k=10, requester=person,
    )  # fmt: skip


async def is_empty(store: Store, turn: int) -> bool:
    made = await store.turn(turn)
    assert made.reply_message is not None and made.status != "pending"
    row = await store.message(made.reply_message)
    return (row.text, row.erased, made.reply, made.trace.steps) == ("", True, "", ())


@pytest.mark.parametrize("begun", [True, False])
@pytest.mark.parametrize("asked", ["her own", "another's"])
async def test_a_reply_being_made_is_not_stored_afterwards(store: Store, path: Path, begun: bool, asked: str):
    session = await store.start_session()
    if asked == "her own":
        question, turn, _ = await ask(store, session, SECRET, None, person=ANN)
    else:  # a retry of what Bo had asked
        question, _, _ = await ask(store, session, "hello there", "hello", person=BO)
        turn = await open_turn(store, session, question, ANN)
    if begun:
        await save(store, turn, "under quetzal4711, you")
    await store.erase_person(ANN)
    await save(store, turn, "under quetzal4711, you say")
    await finish(store, turn, "under quetzal4711, you say.")
    assert await is_empty(store, turn)
    assert not (await store.search(parse("quetzal4711"))).hits
    await store.database.checkpoint()
    assert b"quetzal4711" not in everything(path.parent)


async def test_a_message_that_was_deleted_gets_no_reply_in_the_log(store: Store):
    session = await store.start_session()
    question = await store.append_message(session, "user", SECRET, person=ANN, discord_message_id=5)
    turn = await open_turn(store, session, question, ANN)
    await store.erase_message(5)
    await finish(store, turn, "so you do")
    assert await is_empty(store, turn)


async def test_a_reply_to_somebody_else_may_not_repeat_it_afterwards(store: Store, path: Path):
    session = await store.start_session()
    _, _, said = await ask(store, session, SECRET, "thanks", person=ANN)
    _, telling, _ = await ask(store, session, "and where is it?", None, parent=said, person=BO)
    _, silent, _ = await ask(store, session, "and how are you?", None, parent=said, person=BO)
    await store.erase_person(ANN)
    await save(store, telling, "Ann said quetzal4711")
    await finish(store, telling, "Ann said quetzal4711.")
    await finish(store, silent, "Quite well.")
    assert await is_empty(store, telling)
    assert (await store.turn(silent)).reply == "Quite well."
    _, later, _ = await ask(store, session, "what is quetzal4711?", "quetzal4711 is a word", person=BO)
    assert (await store.turn(later)).reply == "quetzal4711 is a word"  # of words said anew nothing is known


async def test_a_crash_meanwhile_leaves_nothing_either(store: Store, path: Path, tmp_path: Path):
    session = await store.start_session()
    _, turn, _ = await ask(store, session, SECRET, None, person=ANN)
    await save(store, turn, "under quetzal4711")
    await store.erase_person(ANN)
    await save(store, turn, "under quetzal4711")
    await store.database.checkpoint()
    async with copy_of(path, tmp_path / "copy.db") as copy:
        assert copy.interrupted == (turn,) and await is_empty(copy, turn)


async def test_a_prompt_with_what_was_erased_is_not_saved(store: Store):
    session = await store.start_session()
    secret, _, said = await ask(store, session, SECRET, "thanks", person=ANN)
    question = await store.append_message(session, "user", "go on", parent=said, person=BO)
    given = Prompt((1, 2, 3), (Span(0, 2, "typed", "user", secret), Span(2, 3, "typed", "user", question)))
    await store.erase_person(ANN)
    with pytest.raises(UserError, match="just been erased: ask again"):
        await open_turn(store, session, question, BO, given)
    await open_turn(store, session, question, BO)


@pytest.fixture
async def thread(store: Store) -> tuple[int, int, int]:
    """Ann asks and is answered over two Discord messages, Bo opens a thread on the answer: the first session, the
    answer's turn, and its copy in the thread."""
    first = await store.start_session()
    question = await store.append_message(first, "user", SECRET, person=ANN, discord_message_id=5)
    turn = await open_turn(store, first, question, ANN)
    answer = await finish(store, turn, "under the key, then")
    await store.link_discord(turn, [71001, 71002])
    second = await store.start_session(kind="thread", person=BO)
    copied = await store.copy_message(question, parent=None, session=second)
    copy = await store.copy_message(answer, parent=copied, session=second, discord_id=71001)
    await ask(store, second, "what is this?", "an answer", parent=copy, person=BO)
    return first, turn, copy


@pytest.mark.parametrize("how", ["person", "question", "first part", "second part"])
async def test_a_reply_copied_into_a_thread_goes_too(store: Store, thread: tuple[int, int, int], how: str):
    _, turn, copy = thread
    if how == "person":
        await store.erase_person(ANN)
    else:
        await store.erase_message({"question": 5, "first part": 71001, "second part": 71002}[how])
    assert (await store.message(copy)).erased and (await store.turn(turn)).reply == ""
    (hit,) = (await store.search(parse("answer"))).hits
    assert hit.snippet == ("an ", "answer", "")


async def test_a_reply_somebody_asked_for_goes_from_a_thread_without_them(store: Store):
    """Ann lets Bo's question be answered again; the thread has nothing of hers but that."""
    first = await store.start_session()
    question, _, _ = await ask(store, first, "hello there", "hello", person=BO)
    turn = await open_turn(store, first, question, ANN)
    answer = await finish(store, turn, "hello again")
    second = await store.start_session(kind="thread", person=BO)
    copied = await store.copy_message(question, parent=None, session=second)
    copy = await store.copy_message(answer, parent=copied, session=second)
    await store.erase_person(ANN)
    assert (await store.message(copy)).erased and not (await store.message(copied)).erased


@pytest.mark.parametrize(
    ("said", "title"),
    [
        (f"see https://example.org/{'a' * 110}", f"see https://example.org/{'a' * 110}"[:80]),
        ("unquestionably   internationalised\nmisunderstandings", "unquestionably internationalised misund"),
        ("read this\n\nnotes.txt:\n…", "read this"),
        ("hi", "hi"),
    ],
)
async def test_the_title_goes_with_the_message_it_was_made_of(store: Store, said: str, title: str):
    session = await store.start_session(title=title, person=BO)
    await store.append_message(session, "user", said, person=ANN, discord_message_id=5)
    other = await store.start_session(title="something else", person=BO)
    await store.append_message(other, "user", "what else?", person=ANN, discord_message_id=5)
    await store.erase_message(5)
    assert [(await store.session(each)).title for each in (session, other)] == ["", "something else"]


async def test_no_hash_is_left_that_a_guess_could_be_tested_by(store: Store):
    session = await store.start_session()
    secret = await store.append_message(session, "user", SECRET, person=ANN)
    base = tuple(i % 1900 for i in range(4 * 256))
    spans = (Span(0, 300, "marker"), Span(300, 309, "typed", "user", secret), Span(309, 1024, "marker"))
    await open_turn(store, session, secret, ANN, Prompt(base, spans))

    async def hashes() -> list[bytes]:
        query = prompt_block.select().order_by(prompt_block.c.id)
        return [row.hash for row in await store.database.read(lambda c: c.execute(query).all())]

    before = await hashes()
    await store.erase_person(ANN)
    after = await hashes()
    assert [old == new for old, new in zip(before, after, strict=True)] == [True, False, False, False]


async def test_a_copied_reply_is_no_quotation(store: Store, thread: tuple[int, int, int]):
    """Erased by its Discord message, it is ours in the thread as well: who repeats it keeps that."""
    _, _, copy = thread
    session = (await store.message(copy)).session
    said = await store.append_message(session, "user", "you said under the key, then", parent=copy, person=BO)
    await store.erase_message(71001)
    assert (await store.message(said)).text == "you said under the key, then"
    gone = await store.database.read(lambda c: c.execute(message.select().where(message.c.erased)).all())
    assert {row.role for row in gone} == {"assistant"}
