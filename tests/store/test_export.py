"""What is exported can be read by others, and imported again unchanged."""

import asyncio
import csv
import dataclasses
import errno
import io
import json
from pathlib import Path

import pytest
import sqlalchemy as sa
from glasshead.cli.log_files import _groups, _write
from glasshead.errors import UserError
from glasshead.predict.prompt import Prompt, Span
from glasshead.store import Store, export_process, export_worker, marks
from glasshead.store import export as exporting
from glasshead.store.backup import check
from glasshead.store.export import export
from glasshead.store.new_file import new_text
from glasshead.store.parquet import write_parquet
from glasshead.store.search_syntax import Query, parse
from glasshead.store.tables import feedback, person, tag
from glasshead.store.tables import turn as turn_table
from glasshead.store.writes import import_session, import_vocabulary

from .making import MODEL, PIECES, SAMPLING, ask, steps


async def text(store: Store, format_: str, query: str = "", **options) -> str:
    return "".join([piece async for piece in export(store, format_, parse(query), **options)])


@pytest.fixture
async def filled(store: Store) -> Store:
    session = await store.start_session(title="T `x`", kind="channel", guild_id=2**60, channel_id=3, person=5)
    system = await store.append_message(session, "system", "Be *kind*.")
    message, turn, reply = await ask(
        store, session, "=1+1 \x1b[31m <b>", "```\nfence\n```", parent=system, person=5, author="Ann"
    )
    await ask(store, session, "again", "other", parent=reply, seed=2)
    parent = await store.turn(turn)
    kept = tuple(s.id for s in parent.trace.steps[:2])
    at = len(parent.prompt.ids)
    branch = await store.open_turn(
        session=session,
        prompt_message=message,
        prompt=Prompt(parent.prompt.ids + kept, (*parent.prompt.spans, Span(at, at + 2, "generated", "assistant"))),
        model=dataclasses.replace(MODEL, adapter_sha256="e" * 64),
        sampling=dataclasses.replace(SAMPLING, stop=("x",), logit_bias=((3, -float("inf")), (4, 1.5))),
        seed=1,
        first_step=2,
        parent_turn=turn,
        k=10,
    )
    await store.finish_turn(branch, steps=steps(3), schedule=(), reply="br", finish="stopped", status="stopped")
    await ask(store, session, "never", None)
    await store.link_discord(turn, [2**62, 2**62 + 1])
    await store.database.write(lambda c: marks.rate(c, turn, 4))
    await store.database.write(lambda c: marks.rate(c, turn, 2, author="R"))
    await store.database.write(lambda c: marks.add_tag(c, turn, "odd", author="R"))
    await store.database.write(lambda c: marks.add_note(c, turn, "see", first=1, last=2, author="R"))
    await store.set_feedback(turn, person=9, value=-1, note="meh")
    other = await store.start_session(kind="direct")
    alone = await store.append_message(other, "user", "alone")
    await store.copy_message(reply, parent=alone, session=other)
    for number, table in enumerate((feedback, tag)):  # of long ago: an import must not say now
        await store.database.write(lambda c, t=table, n=number: c.execute(t.update().values(created_us=10**15 + n)))
    return store


async def load(store: Store, lines: str) -> list[int | None]:
    sessions: list[list[dict]] = []
    for line in map(json.loads, lines.splitlines()):
        if line["type"] == "vocabulary":
            await import_vocabulary(store, line=line)
        elif line["type"] == "session":
            sessions.append([line])
        elif line["type"] != "log":
            sessions[-1].append(line)
    return [await import_session(store, lines=lines) for lines in sessions]


async def test_a_log_comes_back_unchanged(filled: Store, tmp_path: Path):
    first = await text(filled, "jsonl")
    copy = await Store.open(tmp_path / "copy" / "log.db")
    assert await load(copy, first) == [1, 2]
    second = await text(copy, "jsonl")
    moved = [json.loads(line) for line in first.splitlines()[1:]]
    for line in moved:  # what a crash would do to a turn that was still open
        if line["type"] == "turn" and line["status"] == "pending":
            line["status"] = "interrupted"
        if line["type"] == "message" and "ids" in line:
            line["turn"] = None  # it was made in another session, which a log that takes this in need not have
    assert [json.loads(line) for line in second.splitlines()[1:]] == moved
    for id_ in (1, 2, 3):
        assert await copy.turn(id_) == await filled.turn(id_)
    copied = (await copy.messages(2))[-1].id
    assert (await copy.conversation(copied))[-1].ids == (await filled.conversation(copied))[-1].ids != ()
    assert await load(copy, first) == [None, None]  # it knows both already
    await copy.close()


async def test_marks_of_an_older_export_are_of_a_reviewer_without_a_name(filled: Store, tmp_path: Path):
    lines = [json.loads(line) for line in (await text(filled, "jsonl")).splitlines()]
    for line in lines:
        if line["type"] == "turn":
            line["marks"] = {"stars": 4, "rated_us": 7, "tags": ["odd"], "notes": [], "thumbs": []}
    copy = await Store.open(tmp_path / "copy.db")
    await load(copy, "\n".join(map(json.dumps, lines)))
    found = (await copy.marks(1))[1]
    assert found.ratings == (marks.Rating(4, "", 7),) and found.stars == found.stars_of("") == 4
    assert [(tag.name, tag.author) for tag in found.tags] == [("odd", "")]
    await copy.close()


async def test_ids_are_given_anew_beside_others(filled: Store, path: Path, tmp_path: Path):
    lines = await text(filled, "jsonl")
    copy = await Store.open(tmp_path / "log.db2")
    session = await copy.start_session()
    await ask(copy, session, "mine", "own")
    await load(copy, lines)
    moved = await copy.turn(3)
    original = await filled.turn(2)
    assert moved.prompt.ids == original.prompt.ids and moved.trace.steps == original.trace.steps
    assert moved.prompt.spans[1].message == moved.prompt_message == (original.prompt_message or 0) + 2
    assert [m.text for m in await copy.conversation(moved.reply_message)] == [
        m.text for m in await filled.conversation(original.reply_message)
    ]
    await copy.close()


@pytest.fixture
def beside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of a turn or two, all but the first of them written by two other processes."""
    monkeypatch.setattr(export_process, "HERE", 1)
    monkeypatch.setattr(export_process.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(exporting, "PAGE", 2)


@pytest.mark.parametrize("format_", ["jsonl", "openai"])
async def test_other_processes_write_the_same(filled: Store, request: pytest.FixtureRequest, format_: str):
    here = (await text(filled, format_)).splitlines()
    request.getfixturevalue("beside")
    done: list[int] = []
    there = (await text(filled, format_, progress=done.append)).splitlines()
    assert there[1:] == here[1:] and done[-1] == 4  # the first says when


@pytest.mark.parametrize("format_", ["jsonl", "openai"])
async def test_what_other_processes_write_comes_in_short_pieces(
    store: Store, beside: None, monkeypatch: pytest.MonkeyPatch, format_: str
):
    """Texts of megabytes would leave holes in the memory of who reads them: it would grow with the log."""
    session = await store.start_session()
    for _ in range(8):
        await ask(store, session, "\U0001f98a " * 20_000, "well", n=40)
    pieces = [piece async for piece in export(store, format_, Query())]
    of_others = pieces[-12:]
    assert max(map(len, of_others)) <= export_worker.SHORT < len("".join(of_others)) / 4
    assert all(json.loads(line) for line in "".join(pieces).splitlines())


async def test_an_export_that_is_broken_off_leaves_no_process(filled: Store, beside: None, monkeypatch):
    started = []
    start = export_process._start

    async def see(*given):
        started.append(await start(*given))
        return started[-1]

    monkeypatch.setattr(export_process, "_start", see)
    pieces = export(filled, "jsonl", Query())
    while not started:
        await anext(pieces)
    await pieces.aclose()
    assert len(started) == 2 and all(process.returncode is not None for process in started)


async def test_a_process_that_dies_is_told_in_words(filled: Store, beside: None, monkeypatch):
    start = export_process._start

    async def killed(*given):
        process = await start(*given)
        process.kill()
        return process

    monkeypatch.setattr(export_process, "_start", killed)
    with pytest.raises(UserError, match="a process of the export"):
        await text(filled, "openai")


async def test_openai_objects(filled: Store):
    first, *_ = map(json.loads, (await text(filled, "openai")).splitlines())
    assert first["messages"] == [
        {"role": "system", "content": "Be *kind*."},
        {"role": "user", "content": "=1+1 \x1b[31m <b>", "name": "Ann"},
    ]
    choice = first["response"]["choices"][0]
    assert choice["message"]["content"] == "```\nfence\n```" and choice["finish_reason"] == "stop"
    token = choice["logprobs"]["content"][0]
    assert bytes(token["bytes"]) == PIECES[steps()[0].id] and len(token["top_logprobs"]) == 10
    assert token["logprob"] == pytest.approx(steps()[0].logprob)


async def test_markdown_cannot_be_broken_out_of(filled: Store):
    page = await text(filled, "markdown")
    assert "\x1b" not in page and "# Session 1: T \\`x\\`" in page
    assert "````text\n```\nfence\n```\n````" in page


async def test_csv(filled: Store):
    rows = list(csv.DictReader(io.StringIO(await text(filled, "csv"))))
    assert [row["id"] for row in rows] == ["1", "2", "3", "4"]
    assert rows[0]["prompt"].startswith("'=1+1")


async def test_no_line_end_of_a_text_begins_a_row_of_the_csv(store: Store):
    said = ["a\r=HYPERLINK(1)", "b\n=1", "c\r\n@x"]
    for each in said:
        await ask(store, await store.start_session(), each)
    rows = list(csv.DictReader(io.StringIO(await text(store, "csv"), newline="")))
    assert [row["prompt"] for row in rows] == said


class FullFile(io.StringIO):
    """Takes some pieces."""

    left = 40

    def write(self, text: str) -> int:
        self.left -= 1
        if self.left < 0:
            raise OSError(errno.ENOSPC, "no space")
        return len(text)


def test_an_export_onto_a_full_disk_ends_with_nothing_else_to_say(
    long: Path, beside: None, caplog: pytest.LogCaptureFixture
):
    async def work() -> None:
        store = await Store.open(long, writable=False)
        try:
            await _write(FullFile(), export(store, "jsonl", Query()))
        finally:
            await store.close()

    with pytest.raises(OSError, match="no space"):
        asyncio.run(work())
    assert caplog.records == []


@pytest.mark.parametrize(
    ("query", "ids"), [("", "1234"), ("again", "2"), ("status:stopped", "3"), ("tag:odd", "1")]
)
async def test_a_search_chooses(filled: Store, query: str, ids: str):
    rows = csv.DictReader(io.StringIO(await text(filled, "csv", query)))
    assert "".join(row["id"] for row in rows) == ids


@pytest.mark.parametrize(
    ("query", "sessions"), [("alone", [2]), ("quetzal", [1, 3]), ("quetzal session:3", [3]), ("other quetzal", [])]
)
async def test_a_word_that_no_turn_answers_chooses_its_session(filled: Store, query: str, sessions: list[int]):
    third = await filled.start_session()
    for session in (third, 1):
        await filled.append_message(session, "user", "quetzal")
    lines = map(json.loads, (await text(filled, "jsonl", query)).splitlines())
    assert [line["session"] for line in lines if line["type"] == "session"] == sessions


async def test_lines_that_make_no_session_are_refused(store: Store):
    for lines in ([], [{"type": "turn"}], [{"type": "session"}, {"type": "turn", "turn": 1}]):
        with pytest.raises(UserError):
            await import_session(store, lines=lines)
    assert await store.sessions() == []
    assert Query() == parse("")


@pytest.mark.parametrize("page", [1, 2, 3, 25])
async def test_vocabularies_stand_before_the_session_that_needs_them(
    store: Store, monkeypatch: pytest.MonkeyPatch, page: int
):
    """A session goes on with another model, however the pages of the export fall."""
    monkeypatch.setattr(exporting, "PAGE", page)
    other = dataclasses.replace(MODEL, name="other", sha256="d" * 64)
    await store.save_vocabulary(other, PIECES[:10])
    first, second = await store.start_session(), await store.start_session()
    await ask(store, first, "hello", "hello", n=1)
    await ask(store, first, "hello", "hello", n=1, by=other)
    await ask(store, second, "hello", "hello", n=1, by=other)
    kinds = [json.loads(line)["type"] for line in (await text(store, "jsonl")).splitlines()]
    session = ["session", *["message"] * 4, "turn", "turn"]
    assert kinds == ["log", "vocabulary", "vocabulary", *session, "session", "message", "message", "turn"]


async def test_a_vocabulary_amid_a_session_does_not_end_it(store: Store, tmp_path: Path):
    """Older exports had such."""
    session = await store.start_session()
    for _ in range(3):
        await ask(store, session, "hello", "hello", n=1)
    head, vocabulary, *lines = (await text(store, "jsonl")).splitlines(keepends=True)
    source = tmp_path / "log.jsonl"
    source.write_text("".join([head, *lines[:-1], vocabulary, lines[-1]]))
    with source.open() as file:
        groups = list(_groups(file, source))
    assert [(kind, len(lines)) for _, kind, lines in groups] == [("vocabulary", 1), ("session", 1 + 6 + 3)]


def test_a_file_has_its_name_only_when_it_is_whole(tmp_path: Path):
    path = tmp_path / "out.jsonl"
    (tmp_path / "out.jsonl.part").write_text("of one that was killed")

    def write(fail: bool) -> None:
        with new_text(path) as file:
            file.write("half")
            file.flush()
            assert not path.exists()
            if fail:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(fail=True)
    assert list(tmp_path.iterdir()) == []
    write(fail=False)
    assert [each.name for each in tmp_path.iterdir()] == ["out.jsonl"] and path.read_text() == "half"
    assert path.stat().st_mode & 0o777 == 0o600


WRONG = (None, "x", [], 2**70, "remove")


async def test_what_somebody_broke_in_a_line_is_refused_in_words(filled: Store, tmp_path: Path):
    _, *lines = map(json.loads, (await text(filled, "jsonl", "again")).splitlines())
    session = [line for line in lines if line["type"] != "vocabulary"]
    turn = next(place for place, line in enumerate(session) if line["type"] == "turn")
    copy = await Store.open(tmp_path / "copy.db")
    refused = 0
    for place in (0, 1, turn):
        for number, name in enumerate(session[place]):
            for value in (WRONG[number % 5], WRONG[(number + place + 2) % 5]):
                broken = [dict(line) for line in session]
                broken[0]["public_id"] = (
                    f"{place} {name} {value}"  # where it makes sense all the same, it is a new one
                )
                broken[place][name] = value
                if value == "remove":
                    del broken[place][name]
                try:
                    await import_session(copy, lines=broken)
                except UserError:
                    refused += 1
    assert refused > 40
    whole = await import_session(copy, lines=session)
    assert [made.reply for made in await copy.turns(whole)] == [made.reply for made in await filled.turns(1)]
    await copy.close()
    assert check(tmp_path / "copy.db") == []


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("session", "created_us", "yesterday"),
        ("session", "created_us", 10**18),
        ("session", "kind", "seance"),
        ("message", "role", "wizard"),
        ("message", "created_us", -1),
        ("message", "text", 7),
        ("turn", "finish", "bogus"),
        ("turn", "n_cached", "many"),
        ("turn", "k", -1),
        ("turn", "prompt_message", 99),
        ("turn", "prompt_ids", [2**70]),
        ("turn", "prompt_ids", [1, 2, 3]),  # fewer than its spans cover
        ("turn", "reply_ids", [1]),  # not those of its steps
        ("turn", "surprisal", float("inf")),
        ("turn", "sampling temperature", "hot"),
        ("turn", "sampling top_k", None),
        ("turn", "sampling stages", ["luck"]),
        ("turn", "model n_vocab", "many"),
        ("turn", "marks tags", [5]),
        ("turn", "steps 0 logprob", 5.0),
        ("turn", "steps 0 p_final", float("nan")),
        ("turn", "steps 0 row_hash", "f" * 17),
        ("turn", "steps 0 stages", [["luck", 1, 0.0]]),
    ],
)
async def test_what_could_not_be_shown_again_is_not_taken_in(filled: Store, kind: str, field: str, value: object):
    _, *lines = map(json.loads, (await text(filled, "jsonl", "again")).splitlines())
    session = [line for line in lines if line["type"] != "vocabulary"]
    session[0]["public_id"] = "new"
    broken = next(line for line in session if line["type"] == kind)
    *path, field = field.split()
    for name in path:
        broken = broken[int(name) if isinstance(broken, list) else name]
    broken[field] = value
    with pytest.raises(UserError, match=f"not understood.*({field}|which is not in its session|its spans end)"):
        await import_session(filled, lines=session)
    assert len(await filled.sessions()) == 2


async def test_a_turn_whose_question_is_lost_comes_back(filled: Store):
    await filled.database.write(
        lambda c: c.execute(turn_table.update().where(turn_table.c.id == 2).values(prompt_message_id=None))
    )
    _, *lines = map(json.loads, (await text(filled, "jsonl", "again")).splitlines())
    session = [line for line in lines if line["type"] != "vocabulary"]
    session[0]["public_id"] = "new"
    made = await filled.turns(await import_session(filled, lines=session))
    assert [each.prompt_message is None for each in made] == [False, True, False, False]


async def test_an_import_does_not_rename_the_living(filled: Store):
    _, *lines = map(json.loads, (await text(filled, "jsonl", "again")).splitlines())
    session = [line for line in lines if line["type"] != "vocabulary"]
    session[0]["public_id"] = "old"
    said = next(line for line in session if line["type"] == "message" and line["author"])
    said["author"] = "Annie"
    await import_session(filled, lines=session)
    await import_session(
        filled, lines=[{**session[0], "public_id": "older"}, {**said, "person": "77", "turn": None}]
    )
    names = await filled.database.read(
        lambda c: dict(c.execute(sa.select(person.c.discord_id, person.c.name)).all())
    )
    assert (names[5], names[77]) == ("Ann", "Annie")


async def test_parquet(filled: Store, tmp_path: Path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="an extra")
    path = tmp_path / "turns.parquet"
    await write_parquet(filled, parse("status:ok"), path)
    rows = parquet.read_table(path).to_pylist()
    assert [row["id"] for row in rows] == [1, 2] and rows[0]["requester"] == "5"
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(UserError, match="exists already"):
        await write_parquet(filled, Query(), path)
