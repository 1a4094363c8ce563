"""`glasshead log` as a person or a script uses it, over a real log."""

import asyncio
import dataclasses
import json
import math
import os
import pty
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from glasshead.cli.log import app
from glasshead.errors import UserError
from glasshead.predict.step import Candidate
from glasshead.store import Store
from glasshead.store.owner import take_writes
from typer.testing import CliRunner

from .making import MODEL, PIECES, SAMPLING, ask, prompt, steps

EVIL = "\x1b]0;owned\x07\x1b[2J \u202egnp.exe \u2066 \x9b31m"


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A log of two sessions; the second has been said evil things."""
    path = tmp_path / "log.db"
    store = await Store.open(path)
    await store.save_vocabulary(MODEL, PIECES)
    first = await store.start_session(title="Plain", kind="channel", guild_id=2**60, channel_id=7, person=5)
    _, _, reply = await ask(store, first, "hello there", "general talk", person=5, author="Ann")
    await ask(store, first, "and now?", "nothing", parent=reply, person=5, author="Ann", seed=2)
    second = await store.start_session(title=EVIL)
    await ask(store, second, EVIL, EVIL, author=EVIL)
    await store.close()
    return path


def environment(path: Path) -> dict[str, str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("GLASSHEAD_")}
    return clean | {"GLASSHEAD_STORE__PATH": str(path), "GLASSHEAD_ENGINE__KV_FOLDER": str(path.parent / "kv")}


def log(path: Path, *arguments: str, code: int = 0) -> str:
    """One command in this process, as `glasshead.cli.main` would end it."""
    done = CliRunner().invoke(app, arguments, env=environment(path))
    if isinstance(done.exception, UserError):
        assert code == 2, done.exception
        return f"{done.exception}\n"
    assert done.exit_code == code, done.output
    return done.output


def test_list_and_show_as_json(path: Path):
    listed = json.loads(log(path, "list", "--json", "-n", "1"))
    assert (listed["sessions"][0]["session"], listed["next"]) == (2, "3:2")
    listed = json.loads(log(path, "list", "--json", "--before", listed["next"]))
    assert listed["next"] is None
    (row,) = listed["sessions"]
    assert (row["guild"], row["channel"], row["person"], row["turns"]) == (str(2**60), "7", "5", 2)
    shown = json.loads(log(path, "show", "1", "--json"))
    assert [m["text"] for m in shown["messages"]] == ["hello there", "general talk", "and now?", "nothing"]
    assert [(t["turn"], t["requester"], t["status"], t["n_out"]) for t in shown["turns"]] == [
        (1, "5", "ok", 12),
        (2, "5", "ok", 12),
    ]
    assert shown["turns"][0]["marks"] == {
        "stars": None, "ratings": [], "tags": [], "tagged_by": [], "tagged_us": [], "notes": [], "thumbs": [],
    }  # fmt: skip


def test_nothing_logged_acts_on_a_terminal(path: Path):
    for arguments in (("list",), ("show", "2"), ("show", "2", "--json"), ("export", "--format", "csv")):
        master, slave = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", "glasshead", "log", *arguments],
            cwd=path.parent,
            env=environment(path) | {"TERM": "xterm", "COLUMNS": "120"},
            stdout=slave,
        )
        os.close(slave)
        seen = b""
        try:
            while piece := os.read(master, 65536):
                seen += piece
        except OSError:  # the other end is closed
            pass
        assert process.wait() == 0
        os.close(master)
        text = seen.decode()
        assert "gnp.exe" in text and "\x1b]" not in text and "\x1b[2J" not in text
        assert not set(text) & set("\u202e\u2066\x9b\x07")


def test_search_and_marks(path: Path):
    log(path, "tag", "1", "odd", "funny")
    log(path, "tag", "1", "--", "-funny")
    log(path, "rate", "1", "5")
    for author, stars in (("Ann", "1"), ("Bo", "4"), ("Ann", "2")):
        log(path, "rate", "1", stars, "--author", author)
    assert log(path, "note", "1", "look here", "--tokens", "2-3", "--author", "Bo").strip() == "note 1"
    (hit,) = json.loads(log(path, "search", "general", "tag:odd", "rating:5", "--json"))["hits"]
    assert (hit["turn"], hit["snippet"]) == (1, ["", "general", " talk"])
    shown = log(path, "show", "1")
    assert "★★★★★ · ★★★★ by Bo · ★★ by Ann · #odd" in shown and "note on 2 to 3 by Bo: look here" in shown
    (mean, *_) = [t["marks"] for t in json.loads(log(path, "show", "1", "--json"))["turns"]]
    assert mean["stars"] == pytest.approx(11 / 3)
    assert [(r["author"], r["stars"]) for r in mean["ratings"]] == [("", 5), ("Bo", 4), ("Ann", 2)]
    for query, found in (("rating:2", 1), ("rating:>=5", 1), ("rating:1", 0), ("rating:3", 0)):
        assert len(json.loads(log(path, "search", "general", query, "--json"))["hits"]) == found, query
    log(path, "rate", "1", "0", "--author", "Ann")
    assert "by Ann" not in log(path, "show", "1")
    assert log(path, "search", "tag:funny").splitlines() == ["session\tturn\twho\twhen\ttext"]


def test_mistakes_are_one_line(path: Path):
    for arguments, words in (
        (("show", "99"), "no session 99"),
        (("search", "perplexty:>3"), "did you mean perplexity"),
        (("rate", "99", "1"), "no turn 99"),
        (("erase", "--person", "5"), "say --yes"),
        (("erase",), "say what to erase"),
        (("export", "--format", "xml"), "--format is one of"),
        (("import", "none.jsonl"), "there is no file"),
        (("stats", "--by", "moon"), "--by is one of"),
        (("list", "--before", "x"), "--before takes"),
    ):
        said = log(path, *arguments, code=2)
        assert words in said and len(said.splitlines()) == 1


def test_compare_stats_tail(path: Path):
    found = json.loads(log(path, "compare", "1", "2", "--json"))
    assert found["turns"] == [1, 2] and found["parts_at"] == 0
    assert (found["same_prompt"], found["same_model"], found["kl"]) == (False, True, [])
    told = log(path, "compare", "1", "2")
    assert "they part at token 0" in told and "the prompts differ: no KL" in told
    (row,) = json.loads(log(path, "stats", "--json"))["rows"]
    assert (row["turns"], row["tokens"]) == (3, 36)
    assert "turns   █  3" in log(path, "stats")
    with sqlite3.connect(path) as other:  # three days ago, and nothing in between
        other.execute("UPDATE daily SET day = day - 3")
    assert "turns   █▁▁▁  3" in log(path, "stats")
    assert [json.loads(text)["turn"] for text in log(path, "tail", "--no-follow", "--json").splitlines()] == [
        1,
        2,
        3,
    ]


async def test_kl_is_in_the_unit_it_says(tmp_path: Path):
    """Of the whole distribution, 3:1 against 1:1."""
    path = tmp_path / "log.db"
    store = await Store.open(path)
    session = await store.start_session()
    question = await store.append_message(session, "user", "heads?")
    for by, odds in ((MODEL, 0.75), (MODEL, 0.5), (dataclasses.replace(MODEL, sha256="d" * 64), 0.5)):
        turn = await store.open_turn(
            session=session, prompt_message=question, prompt=prompt("heads?", question), model=by,
            sampling=SAMPLING, seed=1, k=2,
        )  # fmt: skip
        top = (Candidate(1, math.log(odds)), Candidate(2, math.log(1 - odds)))
        (step,) = steps(1)
        made = dataclasses.replace(step, top=top, id=1, logprob=math.log(odds), stages=())
        await store.finish_turn(turn, steps=[made], schedule=(), reply="w1", finish="stop", status="ok")
    await store.close()
    nats = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    found = json.loads(await asyncio.to_thread(log, path, "compare", "1", "2", "--json"))
    assert [(kl["index"], kl["nats"]) for kl in found["kl"]] == [(0, pytest.approx(nats, rel=1e-2))]
    shown = await asyncio.to_thread(log, path, "compare", "1", "2")
    assert float(shown.splitlines()[-1].split()[-1]) == pytest.approx(nats / math.log(2), rel=1e-2)
    assert json.loads(await asyncio.to_thread(log, path, "compare", "1", "3", "--json"))["kl"] == []
    assert "the models differ: no KL" in await asyncio.to_thread(log, path, "compare", "1", "3")


def test_files(path: Path, tmp_path: Path):
    copy, everything = str(tmp_path / "copy.db"), str(tmp_path / "all.jsonl")
    log(path, "export", "-o", everything)
    log(path, "backup", copy)
    with sqlite3.connect(path) as other:
        (noted,) = other.execute("SELECT value FROM setting WHERE name = 'backup'").fetchone()
    assert json.loads(noted)["path"] == copy and json.loads(noted)["size"] == Path(copy).stat().st_size
    assert log(path, "erase", "--person", "5", "--yes").startswith("erased: 2 messages, 2 replies")
    assert json.loads(log(path, "search", "hello", "--json"))["hits"] == []
    assert "restored" in log(path, "restore", copy)
    assert json.loads(log(path, "search", "hello", "--json"))["hits"] == []  # erased again
    assert "whole" in log(path, "check")
    mended = json.loads(log(path, "check", "--mend", "--json"))
    assert mended == {"format": 1, "ok": True, "findings": [], "kept": None, "lost": []}
    other = tmp_path / "other" / "log.db"
    other.parent.mkdir()
    assert "2 sessions imported" in log(other, "import", everything)
    assert json.loads(log(other, "search", "hello", "--json"))["hits"][0]["turn"] == 1


def test_a_page_for_each_session(path: Path, tmp_path: Path):
    folder = tmp_path / "pages" / "all"
    log(path, "export", "--format", "html", "-o", str(folder))
    assert sorted(file.name for file in folder.iterdir()) == ["session-1.html", "session-2.html"]
    page = (folder / "session-1.html").read_text()
    assert "general talk" in page and "<script" not in page and page.endswith("</html>\n")
    assert "general talk" in log(path, "export", "--format", "markdown", "general")
    log(path, "export", "tag:none", "--format", "html", "-o", str(tmp_path / "none"))
    assert list((tmp_path / "none").iterdir()) == []
    for arguments, words in (
        ((), "needs a folder"),
        (("-o", str(folder)), "exists already"),
        (("-o", str(path)), "cannot be made"),
    ):
        assert words in log(path, "export", "--format", "html", *arguments, code=2)


async def test_marks_reach_the_log_of_a_running_bot(path: Path):
    store = await Store.open(path)
    async with take_writes(store):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "glasshead", "log", "rate", "2", "3", env=environment(path), cwd=path.parent
        )
        assert await process.wait() == 0
    assert (await store.marks(1))[2].stars == 3
    await store.close()


def test_check_names_damage(path: Path):
    data = bytearray(path.read_bytes())
    path.write_bytes(data[: len(data) // 2])
    assert "restore a backup" in log(path, "check", code=1)


def test_an_import_goes_on_after_a_session_that_is_not_understood(path: Path, tmp_path: Path):
    lines = [json.loads(line) for line in log(path, "export").splitlines()]
    begins = [at for at, line in enumerate(lines) if line["type"] == "session"]
    lines[begins[0]]["created_us"] = "yesterday"
    file, there = tmp_path / "log.jsonl", tmp_path / "there.db"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    told = log(there, "import", str(file), code=1)
    assert f"line {begins[0] + 1}: a session in this file is not understood: session: created_us" in told
    assert "1 sessions imported, 1 not understood" in told
    assert len(json.loads(log(there, "list", "--json"))["sessions"]) == 1
    file.write_bytes(b"\x28\xb5\x2f\xfd\x04")
    assert "is no text" in log(there, "import", str(file), code=2)
    file.write_bytes(b"")
    assert "is empty" in log(there, "import", str(file), code=2)
    file.write_text(json.dumps(lines[0]) + "\n" + "[" * 200_000)
    assert "line 2: this is no line" in log(there, "import", str(file), code=2)
    file.write_text("\ufeff" + "\r\n\n".join(json.dumps(line) for line in lines) + "\n\n")
    assert "1 known already" in log(there, "import", str(file), code=1)


@pytest.mark.parametrize(
    ("change", "command", "words"),
    [
        ("turn SET dropped_turns = x'00'", ("explain", "1"), "turn 1 is damaged: its dropped_turns is blob"),
        ("message SET role = x'00' WHERE id = 2", ("show", "1"), "message 2 is damaged: its role is blob"),
        ("message SET reasoning = x'00' WHERE id = 2", ("show", "1", "--json"), "its reasoning is blob, not text"),
        ("sampling SET json = '{}'", ("explain", "1"), "the settings of turn 1 are damaged"),
        ("session SET title = CAST(x'ff' AS TEXT)", ("check",), "session 1 is damaged: its title is no text"),
        ("trace SET size = 'x'", ("check",), "trace 1 is damaged: its size is text"),
    ],
)
def test_a_value_that_is_none_of_its_kind_is_named(path: Path, change: str, command: tuple[str, ...], words: str):
    with sqlite3.connect(path) as connection:
        connection.execute(f"UPDATE {change}")
    assert words in log(path, *command, code=1 if command == ("check",) else 2)
    assert "is damaged" in log(path, "check", code=1)
    assert log(path, "rate", "2", "3") == ""


def test_what_was_never_kept_of_times_is_found_anew(path: Path):
    log(path, "rate", "1", "3")
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE setting SET value = '{' WHERE name = 'time_order'")
    assert "a setting of log 0 is damaged" in log(path, "check", code=1)
    log(path, "rate", "1", "3")
    assert "whole" in log(path, "check")


def test_a_moment_without_a_date_does_not_hide_the_rest(path: Path):
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE session SET created_us = 1000000000000000000 WHERE id = 1")
    assert "Plain" in log(path, "list")


def test_a_check_upgrades_nothing(path: Path):
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE message_words")
        connection.execute(
            "CREATE VIRTUAL TABLE message_words USING fts5(text, content = 'message', content_rowid = 'id')"
        )
        connection.execute("INSERT INTO message_words (message_words) VALUES ('rebuild')")
        connection.execute("UPDATE alembic_version SET version_num = '0005'")
    assert "older version, and its search indexes were not checked" in log(path, "check")
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == ("0005",)


def test_numbers_beyond_all_bounds_are_refused_in_words(path: Path):
    long = "9" * 5000
    for arguments in (
        ("search", f"channel:{long}"),
        ("list", "--before", f"{long}:1"),
        ("erase", "--person", long),
    ):
        assert len(log(path, *arguments, code=2)) < 200
    assert log(path, "search", f"user:{long}", "--json").count("hits") == 1
