"""Backups are whole, restoring is safe, a check names what is damaged."""

import asyncio
import shutil
import sqlite3
from functools import partial
from pathlib import Path

import pytest
from damage import spoil
from glasshead.errors import UserError
from glasshead.store import Store
from glasshead.store.backup import backup, check, mend, restore, search_index_findings
from glasshead.store.continuing import end_of
from glasshead.store.database import writer_engine
from glasshead.store.search_syntax import parse

from .making import MODEL, PIECES, ask


@pytest.fixture
async def made(path: Path) -> Path:
    """A log of ten turns."""
    store = await Store.open(path)
    await store.save_vocabulary(MODEL, PIECES)
    session = await store.start_session()
    for i in range(10):
        await ask(store, session, f"question {i} 東京タワー", f"answer {i} " + "long words " * 20)
    await store.close()
    return path


def index_findings(path: Path):
    engine = writer_engine(path)
    with engine.begin() as connection:
        return search_index_findings(connection)


async def test_a_backup_of_a_log_in_use_is_restored(made: Path, tmp_path: Path):
    store = await Store.open(made)
    copy = tmp_path / "copy.db"
    assert backup(made, copy) == copy
    assert copy.stat().st_mode & 0o077 == 0
    await ask(store, 1, "after the backup", "gone again")
    with pytest.raises(UserError, match="in use by process"):
        restore(made, copy)
    await store.close()
    kept = restore(made, copy)
    store = await Store.open(made)
    assert len(await store.turns(1)) == 10
    assert not (await store.search(parse("backup"))).hits
    await store.close()
    assert kept is not None
    old = await Store.open(kept)
    assert len(await old.turns(1)) == 11
    await old.close()
    assert check(made) == check(kept) == [] == index_findings(made)


async def test_what_reads_a_log_reads_the_restored_one(made: Path, tmp_path: Path):
    copy = backup(made, tmp_path / "copy.db")
    store = await Store.open(made)
    await ask(store, 1, "after the backup", "gone again")
    await store.close()
    reader = await Store.open(made, writable=False)
    assert [len(turns) for turns in await asyncio.gather(reader.turns(1), reader.turns(1))] == [11, 11]
    restore(made, copy)
    assert [len(turns) for turns in await asyncio.gather(reader.turns(1), reader.turns(1))] == [10, 10]
    assert (await reader.turn(10)).trace.steps
    await reader.close()


async def test_restoring_beside_a_stale_wal(made: Path, tmp_path: Path):
    copy = tmp_path / "copy.db"
    backup(made, copy)
    store = await Store.open(made)
    await ask(store, 1, "in the wal", "still in the wal")
    wal = made.with_name(made.name + "-wal")
    stale, main = wal.read_bytes(), made.read_bytes()
    await store.close()
    made.write_bytes(main)  # as a killed process leaves them
    wal.write_bytes(stale)
    kept = restore(made, copy)
    assert check(made) == [] and kept is not None
    with sqlite3.connect(kept) as connection:
        assert connection.execute("SELECT count(*) FROM turn").fetchone() == (11,)
    with sqlite3.connect(made) as connection:
        assert connection.execute("SELECT count(*) FROM turn").fetchone() == (10,)


async def test_what_is_no_backup_changes_nothing(made: Path, tmp_path: Path):
    before = made.read_bytes()
    junk = tmp_path / "junk"
    junk.write_bytes(b"junk" * 1000)
    foreign = tmp_path / "foreign.db"
    with sqlite3.connect(foreign) as connection:
        connection.execute("CREATE TABLE x (y)")
    cut = tmp_path / "cut.db"
    cut.write_bytes(before[: len(before) // 2])
    for source, words in (
        (junk, "damaged|not a Glasshead"),
        (foreign, "not one of Glasshead's"),
        (cut, "damaged"),
        (tmp_path / "none", "there is no backup"),
        (made, "the log itself"),
    ):
        with pytest.raises(UserError, match=words):
            restore(made, source)
    assert made.read_bytes() == before


async def test_a_backup_never_overwrites(made: Path, tmp_path: Path):
    target = tmp_path / "copy.db"
    target.write_text("mine")
    with pytest.raises(UserError, match="exists already"):
        backup(made, target)
    assert target.read_text() == "mine"


async def test_a_flipped_page_is_named(made: Path):
    data = bytearray(made.read_bytes())
    with sqlite3.connect(made) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'turn_session'").fetchone()
    data[(page - 1) * 4096 : page * 4096] = bytes(4096)
    made.write_bytes(data)
    findings = check(made)
    assert findings and all(finding.remedy for finding in findings)


async def test_a_truncated_file_is_named(made: Path):
    made.write_bytes(made.read_bytes()[: 5 * 4096])
    (finding, *_) = check(made)
    assert "truncated" in finding.what and "restore a backup" in finding.remedy


async def test_of_a_truncated_file_the_rest_is_kept(made: Path):
    whole = made.read_bytes()
    made.write_bytes(whole[: len(whole) - 100])
    (finding,) = check(made)
    assert "pages are missing at its end (1)" in finding.what and "--mend" in finding.remedy
    mended = mend(made)
    assert all(loss.startswith("trace_part: ") for loss in mended.lost)
    assert all("the rest of the turn is readable" in finding.remedy for finding in check(made))
    with sqlite3.connect(made) as connection:
        assert connection.execute("SELECT count(*) FROM turn").fetchone() == (10,)


async def test_a_newer_log_is_not_called_damaged(made: Path, tmp_path: Path):
    with sqlite3.connect(made) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    for work in (check, partial(backup, target=tmp_path / "copy.db")):
        with pytest.raises(UserError, match="newer Glasshead"):
            work(made)


@pytest.mark.parametrize(
    ("table", "column", "where", "words"),
    [
        ("trace_part", "data", "id = (SELECT max(id) FROM trace_part)", "the trace of turn 10"),
        ("turn", "tail", "id = 4", "the prompt of turn 4"),
        ("turn", "spans", "id = 5", "the spans of turn 5"),
        ("vocabulary", "pieces", "id = 1", "vocabulary 1"),
    ],
)
async def test_a_damaged_blob_is_named_and_the_rest_works(
    made: Path, table: str, column: str, where: str, words: str
):
    with sqlite3.connect(made) as connection:
        (blob,) = connection.execute(f"SELECT {column} FROM {table} WHERE {where}").fetchone()
        connection.execute(f"UPDATE {table} SET {column} = ? WHERE {where}", (blob[:-1],))
    (finding,) = check(made)
    assert words in finding.what
    store = await Store.open(made)
    assert (await store.turn(1)).reply.startswith("answer 0")
    damaged = await store.turn(int(words.split()[-1]) if words.startswith("the") else 1)
    assert words.removeprefix("the spans of ").split(" ")[-1] in (damaged.trace.fault or "")
    assert damaged.reply.startswith("answer")
    await store.close()


DAMAGE = {
    "postings": "UPDATE {}_data SET block = zeroblob(length(block)) WHERE id > 10",
    "structure": "UPDATE {}_data SET block = x'ffffffff' WHERE id = 10",
    "averages": "UPDATE {}_data SET block = x'00ff' WHERE id = 1",
    "everything": "DELETE FROM {}_data",
}


def damage(path: Path, index: str, kind: str) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(DAMAGE[kind].format(index))


async def test_a_damaged_search_index_is_mended(made: Path):
    damage(made, "message_words", "postings")
    with sqlite3.connect(made) as connection:
        connection.execute("INSERT INTO message_trigrams (message_trigrams) VALUES ('delete-all')")
    assert "search index message_words" in index_findings(made)[0].what
    mend(made)
    assert index_findings(made) == []
    store = await Store.open(made)
    assert len((await store.search(parse("question"))).hits) == 10
    assert len((await store.search(parse("京タワー"))).hits) == 10
    await store.close()


@pytest.mark.parametrize("index", ["message_words", "message_trigrams"])
@pytest.mark.parametrize("kind", DAMAGE)
async def test_a_damaged_search_index_keeps_nobody_from_talking(made: Path, index: str, kind: str):
    damage(made, index, kind)
    store = await Store.open(made)
    _, turn, _ = await ask(store, 1, "new words 東京タワー", person=5)
    assert (await store.turn(turn)).status == "ok"
    await store.erase_person(5)
    await ask(store, 1, "last words 大阪京都")
    for words in ("last", "大阪京都"):
        assert len((await store.search(parse(words))).hits) == 1
    assert not (await store.search(parse("new"))).hits
    await store.close()
    mend(made)
    assert index_findings(made) == [] == check(made)


@pytest.mark.parametrize(
    ("index", "fill"), [("turn_facts", 0), ("turn_odd", 0xFF), ("message_place", 0xFF), ("turn_session", 0)]
)
async def test_a_damaged_index_is_named_and_built_anew_by_who_writes(long: Path, index: str, fill: int):
    spoil(long, index, fill)
    assert any(f"the index {index} of" in finding.what for finding in check(long))
    store = await Store.open(long)
    _, turn, _ = await ask(store, 2, "one more", "indeed")
    await store.close()
    if any(f"the index {index}" in finding.what for finding in check(long)):
        mend(long)  # nobody needed it
    store = await Store.open(long)
    assert (await store.turn(turn)).reply == "indeed" and len(await store.turns(2)) == 13
    await store.close()
    assert mend(long).lost == () and check(long) == []


@pytest.mark.parametrize(
    ("table", "fill"),
    [
        ("message", 0), ("turn", 0xFF), ("session", 0), ("trace", 0), ("trace_part", 0xFF), ("daily", 0),
        ("message_words_data", 0xFF),
    ],
)  # fmt: skip
async def test_of_a_damaged_table_what_can_be_read_is_kept(long: Path, table: str, fill: int):
    spoil(long, table, fill)
    if "words" not in table:
        found = [finding for finding in check(long) if f"the table {table} is damaged" in finding.what]
        assert found and "--mend" in found[0].remedy
    mended = mend(long)
    assert ("words" in table) == (mended.lost == ()) and (mended.kept is None or mended.kept.exists())
    assert [finding for finding in check(long) if "trace of turn" not in finding.what] == []
    assert index_findings(long) == []
    store = await Store.open(long)
    rows = [row for session in await store.sessions() for row in await store.turns(session.id)]
    assert 30 <= len(rows) <= 48 and (len(rows) == 48 or table in ("turn", "session"))
    for row in rows:
        await store.turn(row.id)
        await store.messages(row.session)
    assert 0 < len((await store.search(parse("question"), limit=100)).hits) <= 48
    _, turn, _ = await ask(store, rows[0].session, "one more", "indeed", person=5)
    assert turn > 48 and (await store.turn(turn)).reply == "indeed"
    await store.erase_person(5)
    await store.close()


async def test_around_a_damaged_page_everything_else_is_read(long: Path, caplog: pytest.LogCaptureFixture):
    spoil(long, "message", 0)
    store = await Store.open(long)
    rows = await store.sessions()
    assert len(rows) == 4 and [(await store.session(row.id)).title for row in rows] == ["t" * 500] * 4
    messages = [message for row in rows for message in await store.messages(row.id)]
    turns = [turn for row in rows for turn in await store.turns(row.id)]
    assert 60 < len(messages) < 96 and len(turns) == 48
    lost = [int(record.args[0]) for record in caplog.records if "cannot be read" in record.msg]
    assert sum(lost) == 96 - len(messages)
    assert 0 < sum(not turn.prompt or not turn.reply for turn in turns) <= 96 - len(messages)
    for typed in ("question", "question server:1", "status:ok", "answer", "w after:1h"):
        assert (await store.search(parse(typed), limit=100)).hits
    await store.close()


@pytest.fixture
async def talk(path: Path) -> Path:
    """A log of one conversation, some pages long."""
    store = await Store.open(path)
    session = await store.start_session()
    said = None
    for each in range(30):
        _, _, said = await ask(store, session, f"question {each} " + "w " * 60, "answer " * 20, n=2, parent=said)
    await store.close()
    return path


async def test_a_conversation_goes_on_around_a_damaged_page(talk: Path):
    spoil(talk, "message", 0)
    store = await Store.open(talk)
    found = await store.database.read(lambda c: end_of(c, 1))
    assert found is not None and found[0] == 60
    question, _, _ = await ask(store, 1, "and now?", "still here", parent=found[0])
    line = await store.line(question)
    assert 2 < line.unread < 50 and len(line.conversation) == 61 - line.unread
    assert line.conversation[0].text.startswith("question 0 ") and line.conversation[-1].text == "and now?"
    lost = set(range(1, 62)) - {said.id for said in line.conversation}
    with pytest.raises(UserError, match="log check"):
        await store.message(min(lost))
    await store.close()


async def test_a_text_that_is_none_any_more_is_named_and_read_all_the_same(talk: Path):
    with sqlite3.connect(talk) as connection:
        connection.execute("UPDATE message SET text = CAST(x'6f6b20ff206f6b' AS TEXT) WHERE id = 2")
        connection.execute("UPDATE message SET ids = x'0101' WHERE id = 4")
    assert [(finding.what[:20], "restore" in finding.remedy) for finding in check(talk)] == [
        ("message 2 is damaged", True), ("message 4 is damaged", True)
    ]  # fmt: skip
    store = await Store.open(talk)
    line = await store.line(60)
    assert line.unread == 0 and line.conversation[1].text == "ok \ufffd ok"
    assert [said.ids == () for said in line.conversation[1:6:2]] == [False, True, False]
    assert (await store.messages(1))[1].text == "ok \ufffd ok" and len(await store.turns(1)) == 30
    with pytest.raises(UserError, match="log check"):
        await store.message(2)
    await store.close()


async def test_a_start_reads_no_turn_that_ended(talk: Path):
    spoil(talk, "turn", 0)
    store = await Store.open(talk)
    assert len(await store.messages(1)) == 60
    await store.close()


async def test_of_a_damaged_log_what_can_be_read_is_erased_and_the_rest_once_it_is_mended(long: Path):
    spoil(long, "message", 0)
    store = await Store.open(long)
    with pytest.raises(UserError, match=r"log check.*what can be read is erased"):
        await store.erase_person(5)
    rows = await store.sessions()
    left = [message for row in rows for message in await store.messages(row.id) if not message.erased]
    assert 0 < len(left) < 72 and len({message.session for message in left}) < 4
    await ask(store, rows[0].id, "one more", "indeed")
    await store.close()
    store = await Store.open(long)  # it begins all the same
    await store.close()
    assert mend(long).lost
    store = await Store.open(long)
    texts = [message.text for row in await store.sessions() for message in await store.messages(row.id)]
    assert sorted(filter(None, texts)) == ["indeed", "one more"]
    await store.close()
    assert b"question 1x" not in long.read_bytes()


async def test_only_a_log_of_ours_is_mended(made: Path, tmp_path: Path):
    missing, foreign, newer = (tmp_path / name for name in ("missing.db", "foreign.db", "newer.db"))
    with sqlite3.connect(foreign) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    shutil.copy(made, newer)
    with sqlite3.connect(newer) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    before = [path.read_bytes() for path in (foreign, newer)]
    for path, words in (
        (missing, "there is no log"),
        (foreign, "not one of Glasshead's"),
        (newer, "newer Glasshead"),
    ):
        with pytest.raises(UserError, match=words):
            mend(path)
    assert [path.read_bytes() for path in (foreign, newer)] == before
    assert not [path for path in tmp_path.iterdir() if path.suffix == ".lock" and path.stem != "log.db"]


async def test_a_backup_of_a_damaged_log_names_the_log(long: Path, tmp_path: Path):
    spoil(long, "message", 0)
    with pytest.raises(UserError, match=f"{long}: the database is damaged"):
        backup(long, tmp_path / "copy.db")


async def test_what_cannot_be_mended_is_to_be_restored(made: Path):
    with sqlite3.connect(made) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_master SET sql = 'CREATE TABLE @' WHERE name = 'setting'")
    with pytest.raises(UserError, match="too little of it can be read to be mended: restore a backup"):
        mend(made)


async def test_a_backup_whose_copy_is_damaged_names_the_log(made: Path, tmp_path: Path):
    with sqlite3.connect(made) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_master SET sql = replace(sql, 'unspaced', 'erased') WHERE type = 'index'")
    with pytest.raises(UserError, match=rf"^{made}: its copy is damaged.*log check"):
        backup(made, tmp_path / "copy.db")
    assert not (tmp_path / "copy.db").exists()


async def test_a_log_has_one_owner_by_whatever_name(made: Path, tmp_path: Path):
    link = tmp_path / "link.db"
    link.symlink_to(made)
    store = await Store.open(made)
    with pytest.raises(UserError, match="in use by process"):
        await Store.open(link)
    await store.close()


@pytest.mark.parametrize("table", ["message_words_data", "message_trigrams_docsize", "sqlite_sequence"])
async def test_what_is_derived_is_named_where_it_is_damaged_and_a_mend_loses_nothing(made: Path, table: str):
    spoil(made, table, 0xFF)
    assert check(made)[0].what.startswith(f"the table {table} is damaged")
    assert mend(made).lost == () and check(made) == []


async def test_where_a_table_keeps_no_count_no_number_of_lost_rows_is_made_up(path: Path):
    store = await Store.open(path)
    await store.append_message(await store.start_session(), "user", "hello", author="Ann", person=5)
    await store.close()
    spoil(path, "person", 0xFF)
    assert "person: rows are lost from 1 on" in mend(path).lost
