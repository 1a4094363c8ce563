"""An export of a log of which a page is no page any more: all the rest is in it, and what is missing is named."""

import asyncio
import csv
import io
import json
import sqlite3
from pathlib import Path

import pytest
from damage import leaves, spoil
from glasshead.cli.log import app
from glasshead.store import Store, export_process
from glasshead.store import export as exporting
from typer.testing import CliRunner

TABLES = ("message", "turn", "session", "trace", "trace_part", "vocabulary")


def exported(path: Path, *arguments: str, code: int = 1) -> tuple[str, str]:
    """Standard output, and what is said beside it."""
    done = CliRunner().invoke(app, ["export", *arguments], env={"GLASSHEAD_STORE__PATH": str(path)})
    assert done.exit_code == code, done.output
    return done.stdout, done.stderr


def named(said: str) -> dict[str, tuple[list[int], int]]:
    """What is said to be missing: of each kind the ids that are named, and how many there are."""
    (line,) = said.splitlines()
    assert line.endswith("run `glasshead log check`")
    found = {}
    for part in line[line.index("read (") + 6 : line.rindex(")")].split("; "):
        kind, ids = part.split(": ")
        first, _, more = ids.partition(" and ")
        listed = [int(id_) for id_ in first.split(", ")]
        found[kind] = listed, len(listed) + int(more.split()[0] if more else 0)
    return found


def lines(text: str, kind: str) -> list[dict]:
    return [line for line in map(json.loads, text.splitlines()) if line["type"] == kind]


def test_a_whole_log_is_exported_without_a_word(long: Path):
    assert exported(long, code=0)[1] == ""


@pytest.mark.parametrize("fill", [0, 0xFF])
@pytest.mark.parametrize("traces", ["--traces", "--no-traces"])
def test_jsonl_is_without_the_messages_of_a_damaged_page(long: Path, fill: int, traces: str):
    spoil(long, "message", fill)
    text, said = exported(long, traces)
    lost, count = named(said)["messages"]
    there = [line["message"] for line in lines(text, "message")]
    assert len(lost) == 20 and 60 < len(there) == 96 - count and not set(lost) & set(there)
    assert len(lines(text, "turn")) == 48 and len(lines(text, "session")) == 4


@pytest.mark.parametrize("query", ["answer", "question after:1h", "server:2", "user:5 status:ok"])
def test_a_search_chooses_in_a_damaged_log(long: Path, query: str):
    spoil(long, "message", 0)
    text, said = exported(long, query)
    assert lines(text, "turn") and named(said)["messages"]


@pytest.mark.parametrize("format_", ["csv", "openai", "markdown"])
@pytest.mark.parametrize("table", TABLES)
def test_every_format_has_the_rest(long: Path, format_: str, table: str):
    spoil(long, table, 0)
    text, said = exported(long, "--format", format_, code=0 if silent(table, format_) else 1)
    if not silent(table, format_):
        assert named(said)
    if format_ == "csv":
        rows = list(csv.DictReader(io.StringIO(text)))
        assert len(rows) == 48 - named(said)["turns"][1] > 30 if table == "turn" else len(rows) == 48
        assert sum(not row["prompt"] for row in rows) < 20
    elif format_ == "openai":
        turns = list(map(json.loads, text.splitlines()))
        assert len(turns) == 48 - named(said)["turns"][1] > 30 if table == "turn" else len(turns) == 48
        with_logprobs = [each for each in turns if each["response"]["choices"][0]["logprobs"]]
        assert bool(with_logprobs) == (table not in {"trace", "vocabulary"}) and len(with_logprobs) <= 48
    else:
        assert text.count("# Session ") - text.count("## Session ") == 4 and text.count("question ") > 30


def silent(table: str, format_: str) -> bool:
    """Whether a format has nothing of a table."""
    return format_ in {
        "session": ("csv", "openai"),
        "trace": ("csv", "markdown"),
        "trace_part": ("csv", "markdown"),
        "vocabulary": ("csv", "markdown"),
    }.get(table, ())


@pytest.mark.parametrize("table", TABLES)
def test_what_is_left_of_a_log_is_taken_in_again(long: Path, tmp_path: Path, table: str):
    spoil(long, table, 0xFF)
    text, said = exported(long)
    lost = named(said)
    source, other = tmp_path / "left.jsonl", tmp_path / "other.db"
    source.write_text(text)
    done = CliRunner().invoke(app, ["import", str(source)], env={"GLASSHEAD_STORE__PATH": str(other)})
    assert done.exit_code == 0, done.output
    with sqlite3.connect(other) as copy:
        (turns,) = copy.execute("SELECT count(*) FROM turn").fetchone()
        (unverifiable,) = copy.execute("SELECT count(*) FROM turn WHERE NOT verifiable").fetchone()
        (sessions,) = copy.execute("SELECT count(*) FROM session").fetchone()
    assert sessions == 4 and turns + lost.get("turns", ([], 0))[1] == 48
    assert unverifiable == lost.get("traces of turns", ([], 0))[1]


@pytest.mark.parametrize("table", ["message", "turn", "session", "trace_part"])
def test_html_has_the_rest(long: Path, tmp_path: Path, table: str):
    spoil(long, table, 0)
    folder = tmp_path / "pages"
    _, said = exported(long, "--format", "html", "--output", str(folder))
    assert named(said)
    files = list(folder.iterdir())
    text = "".join(file.read_text() for file in files)
    assert len(files) == 4 and all(file.read_text().endswith("</html>\n") for file in files)
    assert (
        text.count("The log is damaged, and this is not in here") in {1, 2, 3, 4} and text.count("question ") > 30
    )


def test_other_processes_tell_what_they_miss(long: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(export_process, "HERE", 1)
    monkeypatch.setattr(export_process.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(exporting, "PAGE", 5)
    spoil(long, "message", 0)
    _, said = exported(long)
    assert named(said)["messages"][1] > 20


async def test_a_turn_of_which_a_part_is_lost_is_opened(long: Path):
    """Its trace's page, its reply's: it says so, and the rest is there."""
    for table in ("trace_part", "message"):
        spoil(long, table, 0)
    store = await Store.open(long, writable=False)
    turns = [await store.turn(id_) for id_ in range(1, 49)]
    faults = [turn.trace.fault or "" for turn in turns]
    assert sum("the trace of turn" in fault for fault in faults) > 0
    assert sum("what belongs to turn" in fault for fault in faults) > 0
    assert sum(fault == "" for fault in faults) > 10
    for turn, fault in zip(turns, faults, strict=True):  # to make a reply again takes no text
        assert turn.verifiable == ("the trace of turn" not in fault)
    await store.close()


async def test_sessions_of_the_last_page_are_there_with_what_was_said_in_them(path: Path):
    """Where the page that is damaged is not the first that is read."""
    store = await Store.open(path)
    for number in range(60):
        session = await store.start_session(title=f"title {number} ".ljust(200, "x"), channel_id=number % 2)
        await store.append_message(session, "user", f"said {number}")
    await store.close()
    with sqlite3.connect(path) as connection:
        (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'session'").fetchone()
    data = bytearray(path.read_bytes())
    page = leaves(data, root)[-1]
    data[(page - 1) * 4096 : page * 4096] = bytes([0xFF]) * 4096
    path.write_bytes(data)

    text, said = await asyncio.to_thread(exported, path)
    lost, _ = named(said)["sessions"]
    assert lost[-1] == 60 and len(lines(text, "session")) == len(lines(text, "message")) == 60
    store = await Store.open(path, writable=False)
    listed = await store.sessions(channel_id=1)
    assert [session.id for session in listed] == list(range(60, 0, -2))
    assert listed[0].title == "" and listed[-1].title.startswith("title 1 ")
    assert [message.text for message in await store.messages(60)] == ["said 59"]
    await store.close()
