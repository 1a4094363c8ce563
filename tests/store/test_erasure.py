"""Erasing a person: nothing of theirs is findable, everybody else keeps what is theirs."""

import asyncio
import contextlib
import gc
import lzma
import sqlite3
import zlib
from pathlib import Path

import pytest
import sqlalchemy as sa
from glasshead.predict.prompt import Prompt, Span
from glasshead.store import Store, StoreError, database, eraser, erasure, marks, search_indexes
from glasshead.store.backup import check, mend
from glasshead.store.blocks import BLOCK, ERASED, unpack_ids
from glasshead.store.columns import Damaged, unsqueeze
from glasshead.store.quotes import Quotes
from glasshead.store.search_syntax import parse
from glasshead.store.tables import erasure as erasures
from glasshead.store.tables import message

from .making import MODEL, PIECES, SAMPLING, ask, steps

SECRET = "my phone is 0170-5550199 and I live in Quetzalweg"
NEEDLES = ["0170-5550199", "Quetzalweg", "quetzalweg", "Zapotec", "8812345"]
SECRET_IDS = tuple(range(1500, 1500 + 9))
ANN, BO = 8812345, 77
open_erasures = sa.select(sa.func.count()).select_from(erasures).where(erasures.c.done_us.is_(None))
KV = f"{'0' * 16}-{'a' * 32}.kv"
"""A saved state's name."""


def everything(folder: Path) -> bytes:
    """All bytes of all files; then every value of every table, decompressed and decoded where it can be."""
    found = b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())
    connection = sqlite3.connect(f"file:{folder / 'log.db'}?mode=ro", uri=True)
    for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        for row in connection.execute(f'SELECT * FROM "{table}"'):
            for value in row:
                found += b"\n" + (value if isinstance(value, bytes) else str(value).encode())
                if isinstance(value, bytes):
                    found += opened(value)
    connection.close()
    return found


def opened(value: bytes) -> bytes:
    out = b""
    with contextlib.suppress(Damaged, ValueError, IndexError, lzma.LZMAError):
        out += b" ".join(PIECES[i] if 0 < i < len(PIECES) else b"?" for i in unpack_ids(value))
    for inflate in (zlib.decompress, unsqueeze, lambda v: unsqueeze(v, pairs=True)):
        try:
            out += inflate(value)
        except (Damaged, zlib.error):
            continue
    return out


async def filled(store: Store) -> dict[str, int]:
    """Ann tells a secret; Bo talks on, its words in his prompts; the bot repeats it to him once."""
    await store.save_vocabulary(MODEL, PIECES)
    session = await store.start_session(title=SECRET, kind="channel", guild_id=1, channel_id=2, person=ANN)
    secret = await store.append_message(
        session, "user", SECRET, author="Zapotec", person=ANN, discord_message_id=123456789
    )
    base = tuple((i * 7) % 1400 + 3 for i in range(3 * BLOCK))
    spans = (
        Span(0, 300, "marker", "system"),
        Span(300, 300 + len(SECRET_IDS), "typed", "user", secret),
        Span(300 + len(SECRET_IDS), 3 * BLOCK, "marker", "user"),
    )
    given = Prompt(base[:300] + SECRET_IDS + base[300 + len(SECRET_IDS) :], spans)
    options = {"model": MODEL, "sampling": SAMPLING, "seed": 3, "k": 10, "session": session}
    turn = await store.open_turn(prompt_message=secret, prompt=given, requester=ANN, **options)
    reply = await store.finish_turn(
        turn, steps=steps(9, 4), schedule=(), reply="Noted: Quetzalweg.", finish="stop", status="ok"
    )
    await store.database.write(lambda c: marks.add_note(c, turn, "she lives in Quetzalweg"))
    await store.set_feedback(turn, person=ANN, value=1, note="Zapotec says hi")
    await store.database.write(lambda c: marks.add_tag(c, turn, "Quetzalweg"))
    out = {"session": session, "secret": secret, "turn": turn, "reply": reply}
    parent = reply
    for name, said in (("kept", "Nothing of the sort."), ("quoting", "Call 0170-5550199, she said.")):
        message = await store.append_message(session, "user", f"and {name}?", parent=parent, author="Bo", person=BO)
        ids = given.ids + SECRET_IDS[:0] + (9, 8, 7, *SECRET_IDS)
        more = (
            Span(3 * BLOCK, 3 * BLOCK + 3, "typed", "user", message),
            Span(3 * BLOCK + 3, len(ids), "typed", "user", secret),
        )
        turn = await store.open_turn(
            prompt_message=message, prompt=Prompt(ids, (*spans, *more)), requester=BO, **options
        )
        parent = await store.finish_turn(
            turn, steps=steps(9, 5), schedule=(), reply=said, finish="stop", status="ok"
        )
        out |= {name: turn, name + "_message": message}
    await store.database.write(lambda c: marks.add_tag(c, out["kept"], "0170-5550199"))
    await store.database.write(lambda c: marks.add_tag(c, out["kept"], "fine"))
    await store.set_feedback(out["kept"], person=BO, value=1, note="better than 0170-5550199, @Zapotec")
    other = await store.start_session(kind="channel", channel_id=3)
    await ask(store, other, "something else entirely", "yes", person=BO, author="Bo")
    return out


@pytest.fixture
async def log(path: Path) -> Store:
    store = await Store.open(path, caches=(path.parent / "kv",))
    yield store
    await store.close()


async def test_of_a_folder_that_holds_the_log_only_saved_states_are_deleted(path: Path):
    states = [path.parent / name for name in (KV, KV.replace(".kv", ".99.part"))]
    others = [path.parent / "mine.kv", path.parent / "folder"]
    for file in (*states, others[0]):
        file.write_text(SECRET)
    others[1].mkdir()
    store = await Store.open(path, caches=(path.parent,))
    await filled(store)
    await store.erase_person(ANN)
    await store.close()
    assert not any(file.exists() for file in states)
    assert all(other.exists() for other in (*others, path))


async def test_nothing_is_findable_and_others_keep_theirs(log: Store, path: Path):
    ids = await filled(log)
    (path.parent / "kv").mkdir()
    (path.parent / "kv" / KV).write_bytes(SECRET.encode())
    before = everything(path.parent)
    secret_tokens = b" ".join(PIECES[i] for i in SECRET_IDS)
    assert all(needle.encode() in before for needle in NEEDLES) and secret_tokens in before

    receipt = await log.erase_person(ANN)

    after = everything(path.parent)
    assert [needle for needle in NEEDLES if needle.encode() in after] == []
    assert secret_tokens not in after
    assert (receipt.messages, receipt.replies, receipt.prompts, receipt.notes, receipt.thumbs) == (1, 2, 1, 1, 1)

    kept = await log.turn(ids["kept"])
    assert (kept.reply, kept.verifiable, len(kept.trace.steps)) == ("Nothing of the sort.", False, 9)
    assert kept.prompt.ids[300:309] == (ERASED,) * 9 and kept.prompt.ids[3 * BLOCK :] == (9, 8, 7, *(ERASED,) * 9)
    assert ERASED not in kept.prompt.ids[:300] + kept.prompt.ids[309 : 3 * BLOCK]
    assert kept.prompt_pieces[300] == b""
    quoting = await log.turn(ids["quoting"])
    assert (quoting.reply, quoting.trace.steps) == ("", ())
    hers = await log.turn(ids["turn"])
    assert (hers.reply, hers.trace.steps, hers.verifiable) == ("", (), False)
    rows = await log.messages(ids["session"])
    assert [(row.text, row.erased) for row in rows] == [
        ("", True), ("", True), ("and kept?", False), ("Nothing of the sort.", False),
        ("and quoting?", False), ("", True),
    ]  # fmt: skip
    assert [row.text for row in rows if row.person == BO] == ["and kept?", "and quoting?"]
    assert (await log.conversation(ids["quoting_message"]))[0].text == "and kept?"
    assert not (await log.search(parse("Quetzalweg"))).hits
    assert len((await log.search(parse("else"))).hits) == 1
    assert (await log.session(ids["session"])).title == ""


async def test_the_same_person_may_come_back(path: Path):
    store = await Store.open(path)
    await filled(store)
    await store.erase_person(ANN)
    session = await store.start_session(person=ANN)
    await ask(store, session, "hello again", person=ANN)
    await store.close()
    store = await Store.open(path)
    assert [row.text for row in await store.messages(session)] == ["hello again", "well then"]
    await store.close()


async def test_one_message_with_its_answers(log: Store):
    ids = await filled(log)
    receipt = await log.erase_message(123456789)
    assert (receipt.messages, receipt.replies) == (1, 2)
    assert (await log.turn(ids["kept"])).reply == "Nothing of the sort."
    assert (await log.erase_message(123456789)).messages == 0


async def test_a_stranger_is_erased_without_a_trace(log: Store):
    await filled(log)
    receipt = await log.erase_person(4711)
    assert (receipt.sessions, receipt.messages) == (0, 0)


async def test_a_restored_older_copy_is_erased_again(path: Path):
    store = await Store.open(path)
    await filled(store)
    await store.database.checkpoint()
    old = path.read_bytes()
    await store.erase_person(ANN)
    await store.close()
    path.write_bytes(old)
    store = await Store.open(path)
    await store.close()
    gc.collect()
    after = everything(path.parent)
    assert [needle for needle in NEEDLES if needle.encode() in after] == []


async def test_an_erasure_that_was_cut_short_is_finished_at_the_next_start(
    path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(erasure, "BUDGET_S", -1)  # one edit a transaction
    whole = erasure.apply
    done = 0

    def until(stop: int):
        def apply(connection, some):
            nonlocal done
            if done == stop:
                raise RuntimeError("cut short")
            done += 1
            return whole(connection, some)

        return apply

    for stop in range(0, 10, 2):
        for old in path.parent.glob("log.db*"):
            old.unlink()
        store = await Store.open(path)
        await filled(store)
        done = 0
        monkeypatch.setattr(erasure, "apply", until(stop))
        with pytest.raises(RuntimeError, match="cut short"):
            await store.erase_person(ANN)
        await store.close()
        monkeypatch.setattr(erasure, "apply", whole)
        store = await Store.open(path)
        await store.close()
        after = everything(path.parent)
        assert [needle for needle in NEEDLES if needle.encode() in after] == []


async def test_a_damaged_search_index_does_not_keep_the_words(log: Store, path: Path):
    await filled(log)
    with sqlite3.connect(path) as other:
        other.execute("UPDATE message_words_data SET block = zeroblob(length(block)) WHERE id > 10")
    await log.erase_person(ANN)
    after = everything(path.parent)
    assert [needle for needle in NEEDLES if needle.encode() in after] == []
    assert len((await log.search(parse("else"))).hits) == 1


@pytest.mark.parametrize(
    "damage",
    [
        "turn SET tail = x'12ffff'",
        "turn SET spans = x'00'",
        "turn SET n_prompt = 4611686018427387904",
        "prompt_block SET ids = x'12ffff' WHERE id = 2",
        "prompt_block SET parent_id = id",
        "message SET parent_id = id",
    ],
)
async def test_a_damaged_prompt_does_not_keep_the_words(path: Path, damage: str):
    store = await Store.open(path)
    made = await filled(store)
    await store.database.write(lambda c: c.exec_driver_sql(f"UPDATE {damage}"))
    await store.erase_person(ANN)
    after = everything(path.parent)
    assert [needle for needle in NEEDLES if needle.encode() in after] == []
    assert b" ".join(PIECES[id_] for id_ in SECRET_IDS) not in after
    assert (await store.turn(made["kept"])).reply == "Nothing of the sort."
    assert [said.id for said in await store.conversation(made["kept_message"])][-1] == made["kept_message"]
    await store.close()


async def test_a_block_is_opened_once_however_many_of_its_places_go(log: Store, monkeypatch: pytest.MonkeyPatch):
    await filled(log)
    opened: list[bytes] = []

    def counted(packed: bytes) -> tuple[int, ...]:
        opened.append(packed)
        return unpack_ids(packed)

    monkeypatch.setattr(erasure, "unpack_ids", counted)
    await log.erase_person(ANN)
    assert max(map(opened.count, opened)) <= eraser.PASSES


async def test_an_erasure_that_meets_what_nobody_thought_of_keeps_nobody_from_starting(
    path: Path, monkeypatch: pytest.MonkeyPatch
):
    store = await Store.open(path)
    await filled(store)

    def fail(*_: object, **__: object) -> None:
        raise IndexError("nobody thought of it")

    with monkeypatch.context() as patched:
        patched.setattr(erasure, "plan", fail)
        with pytest.raises(IndexError):
            await store.erase_person(ANN)
        await store.close()
        store = await Store.open(path)
        assert await store.database.read(lambda c: c.execute(open_erasures).scalar()) == 1
        await store.close()
    store = await Store.open(path)
    assert await store.database.read(lambda c: c.execute(open_erasures).scalar()) == 0
    await store.close()


async def test_what_refers_to_nothing_is_mended_and_then_erased(path: Path):
    store = await Store.open(path)
    await filled(store)
    await store.close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE turn SET parent_turn_id = 99 WHERE id = 1")
    store = await Store.open(path)
    with pytest.raises(StoreError, match=r"what it refers to is not there: run `glasshead log check`"):
        await store.erase_person(ANN)
    await store.close()
    (finding,) = check(path)
    assert finding.what == "turn 1 refers to a turn that is not there" and "--mend" in finding.remedy
    kept = mend(path).kept
    assert kept is not None
    kept.unlink()
    store = await Store.open(path)
    assert await store.database.read(lambda c: c.execute(open_erasures).scalar()) == 0
    await store.close()
    after = everything(path.parent)
    assert [needle for needle in NEEDLES if needle.encode() in after] == []


@pytest.mark.parametrize(
    ("said", "other", "left"),
    [
        ("my code is 4711X", "the code 4711x?", "the code [erased]?"),
        ("write to ann@example.org please", "ANN@example.org!", "[erased]!"),
        ("I was born in a small village", "you were born in a small village there", "you were [erased] there"),
        ("good morning", "good morning to you", "good morning to you"),
        ("good morning!1", "say good morning there", "say good morning there"),
        ("what a morning", "what a morning it was", "[erased] it was"),
        ("ok thanks", "ok thanks", "ok thanks"),
        ("photosynthesis", "what is photosynthesis?", "what is [erased]?"),
        ("tell me of photosynthesis now", "photosynthesis is a process", "photosynthesis is a process"),
        (
            "私の名前は田中太郎です。よろしく",
            "彼女は「私の名前は田中太郎です」と言った",
            "彼女は「[erased]」と言った",
        ),
        ("שָׁלוֹם לְכֻלָּם אֲנִי גָּר בְּחֵיפָה", "היא אמרה שלום לכולם אני גר בחיפה", "היא אמרה שלום לכולם אני גר בחיפה"),
        ("שָׁלוֹם חֲבֵרִים אֲנִי גָּר בְּחֵיפָה", "אמרה שלום חברים אני גר בחיפה היום", "אמרה [erased] היום"),
        ("मेरी दिल्ली", "मेरी दिल्ली बड़ी है", "मेरी दिल्ली बड़ी है"),
        ("cre\u0300me bru\u0302le\u0301e tart", "a cr\u00e8me br\u00fbl\u00e9e tart, please", "a [erased], please"),
        ("", "anything", "anything"),
    ],
)
def test_what_counts_as_a_quotation(said: str, other: str, left: str):
    assert Quotes([said]).redact(other) == left


def test_who_is_called_by_name_is_quoted():
    quotes = Quotes([], ["Ann", "Ann Lee (2)"])
    assert quotes.redact("@ann lee (2), @Ann! and @Anna, Ann") == "[erased], [erased]! and @Anna, Ann"


async def test_an_erasure_ends_and_is_thorough_while_replies_keep_coming(log: Store, path: Path):
    await filled(log)
    session = await log.start_session()
    going = True

    async def chat() -> None:
        while going:
            await ask(log, session, "talk goes on meanwhile", "so it does", n=1)

    talking = [asyncio.create_task(chat()) for _ in range(3)]
    await log.erase_person(ANN)
    going = False
    await asyncio.gather(*talking)
    await log.database.checkpoint()
    after = everything(path.parent)
    assert [needle for needle in NEEDLES if needle.encode() in after] == []


async def test_the_index_is_merged_once_however_much_is_said_meanwhile(
    store: Store, path: Path, monkeypatch: pytest.MonkeyPatch
):
    session = await store.start_session()
    for number in range(40):
        words = " ".join(f"w{number}x{each}" for each in range(300))
        await store.append_message(session, "user", f"{words} quetzalweg{number}", person=ANN)
        await store.append_message(session, "user", words[::-1], person=BO)
    merge, steps_done = search_indexes.merge_search_index, []

    def beside(connection, **given) -> bool:
        steps_done.append(given)
        for number in range(3):  # more than a step can merge
            said = {"session_id": session, "role": "user", "text": f"new{len(steps_done)}x{number} " * 20}
            connection.execute(message.insert().values(said | {"unspaced": False, "created_us": 1}))
        return merge(connection, **given)

    monkeypatch.setattr(search_indexes, "merge_search_index", beside)
    monkeypatch.setattr(eraser, "MERGE_PAGES", 1)
    await store.erase_person(ANN)
    begun = [given["pages"] for given in steps_done if given["index"] == "message_words" and given["pages"] < 0]
    assert begun == [-1] and len(steps_done) > 3
    await store.close()
    assert b"quetzalweg" not in everything(path.parent)


async def test_what_a_reader_holds_up_is_finished_when_it_lets_go(
    log: Store, path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """And meanwhile the log can be written, and opened anew."""
    await filled(log)
    monkeypatch.setattr(eraser, "AGAIN_S", 0.05)
    monkeypatch.setattr(database, "BUSY_MS", 300)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM message").fetchone()
        with pytest.raises(StoreError, match="close it; then the erasure is finished"):
            await log.erase_person(ANN)
        await ask(log, await log.start_session(), "and so on", "indeed", n=1)
        await log.close()
        again = await Store.open(path)
        reader.execute("COMMIT")
    for _ in range(200):
        left = await again.database.read(lambda c: c.execute(open_erasures).scalar_one())
        if not left:
            break
        await asyncio.sleep(0.05)
    await again.close()
    assert not left
    after = everything(path.parent)
    assert [needle for needle in NEEDLES if needle.encode() in after] == []


async def test_a_person_is_taken_out_of_a_few_turns_at_a_time(log: Store, monkeypatch: pytest.MonkeyPatch):
    session = await log.start_session()
    for number in range(3):
        await ask(log, session, f"question {number}", "yes", person=ANN, n=1)
    monkeypatch.setattr(erasure, "ASKED", 2)
    whole, taken = erasure.forget_asking, []
    monkeypatch.setattr(erasure, "forget_asking", lambda *given: taken.append(whole(*given)) or taken[-1])
    await log.erase_person(ANN)
    assert taken == [2, 1, 0]
    assert {row.requester for row in await log.turns(session)} == {None}
