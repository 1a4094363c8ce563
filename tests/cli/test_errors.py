"""Bad input: one clear line on standard error, exit code 2, nothing lost."""

import errno
import os
import resource
import sqlite3
from pathlib import Path

import pytest
from glasshead.store.lock import OwnerLock
from predict.tiny import tiny

from .terminal import BRIEF, Home

ROOM = 40_000
"""Bytes a file may have on the full disk."""


@pytest.fixture
def home(
    shallow_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Home:
    home = Home(tmp_path / "home", shallow_path, capsys, monkeypatch)
    home.write_config(BRIEF)
    return home


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        (" \t\n ", "empty"),
        ("a" * 100_000, "100,000 characters, 32,000 are allowed"),
        ("ab\udcffc", "lone surrogate at character 3"),
    ],
)
def test_a_message_that_is_none(home: Home, text: str, words: str) -> None:
    assert words in home.run("chat", "--once", text, "--json").line
    assert not home.database.exists()  # refused before anything was opened


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--json",), "--once"),
        (("--once", "Hi", "--seed", "-1"), "--seed -1"),
        (("--once", "Hi", "--seed", str(2**53)), "--seed"),
        (("--once", "Hi", "--config", "nowhere.toml"), "nowhere.toml: cannot be read"),
        (("--once", "Hi", "--config", "."), "cannot be read"),
    ],
)
def test_options_that_mean_nothing(home: Home, arguments: tuple[str, ...], words: str) -> None:
    assert words in home.run("chat", *arguments).line


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[sampling]\ntemperatur = 1\n", "nearest known: temperature"),
        ("[sampling]\ntemperature = 'hot'\n", "a number from 0"),
        ("[sample]\n", "nearest known: sampling"),
        ("[sampling\n", "not valid TOML"),
    ],
)
def test_a_setting_that_is_none(home: Home, text: str, words: str) -> None:
    (home.folder / "config.toml").write_text(text)
    line = home.run("run").line
    assert line.startswith("config.toml: ")
    assert words in line


def test_a_misspelt_environment(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLASSHEAD_SAMPLING__TEMPERATUR", "1")
    assert "nearest known: GLASSHEAD_SAMPLING__TEMPERATURE" in home.run("run").line


def test_several_problems_are_one_line_each(home: Home) -> None:
    (home.folder / "config.toml").write_text("[sampling]\ntop_k = -1\ntop_p = 2\n")
    said = home.run("run")
    assert (said.code, said.err.count("\n")) == (2, 2)
    assert all(line.startswith("glasshead: config.toml: [sampling] top_") for line in said.err.splitlines())


@pytest.fixture
def damaged(model_path: Path, tmp_path: Path):
    """The model's file, changed."""

    def make(kind: str) -> Path:
        path = tmp_path / f"{kind}.gguf"
        with model_path.open("rb") as file:
            head = bytearray(file.read(4 << 20))
        match kind:
            case "text":
                head = bytearray(b"This is no model.\n" * 100)
            case "empty":
                head = bytearray()
            case "garbage":
                head[24:4096] = bytes(range(256))[:16] * 254 + bytes(8)
        path.write_bytes(head)
        return path

    return make


@pytest.mark.parametrize("kind", ["text", "empty", "truncated", "garbage", "missing"])
def test_a_model_that_is_none(home: Home, damaged, kind: str, tmp_path: Path) -> None:
    path = tmp_path / "gone.gguf" if kind == "missing" else damaged(kind)
    home.write_config(BRIEF, model=path)
    line = home.run("chat", "--once", "Hi").line
    assert str(path) in line


@pytest.mark.parametrize(("left", "words"), [(1.0, "wrong checksum; get it again with"), (0.5, "is truncated")])
def test_a_file_that_is_not_the_catalogs_model(home: Home, left: float, words: str) -> None:
    path = home.folder / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
    path.parent.mkdir()
    whole = tiny(path).read_bytes()
    path.write_bytes(whole[: int(len(whole) * left)])
    home.write_config(BRIEF, model=Path("smollm2-135m-instruct"))
    line = home.run("chat", "--once", "Hi").line
    assert line.startswith("models/SmolLM2-135M-Instruct.Q4_1.gguf: ") and words in line


def test_a_model_nobody_knows(home: Home) -> None:
    (home.folder / "config.toml").write_text('[model]\nname = "smollm2-135m-instrukt"\n')
    assert "smollm2-135m-instrukt" in home.run("chat", "--once", "Hi").line


def test_a_log_from_a_newer_program_is_left_alone(home: Home) -> None:
    home.database.parent.mkdir()
    with sqlite3.connect(home.database) as database:
        database.execute("CREATE TABLE alembic_version (version_num TEXT)")
        database.execute("INSERT INTO alembic_version VALUES ('9999')")
    database.close()
    before = home.database.read_bytes()
    for command in (("chat", "--once", "Hi"), ("explain", "1"), ("log", "list"), ("verify",)):
        line = home.run(*command).line
        assert "newer Glasshead" in line and "9999" in line
    assert home.database.read_bytes() == before


@pytest.mark.parametrize("content", [b"Dear diary\n" * 500, b"SQLite format 3\0" + b"\xff" * 8192])
def test_a_log_that_is_none_is_left_alone(home: Home, content: bytes) -> None:
    home.database.parent.mkdir()
    home.database.write_bytes(content)
    assert str(Path("data/glasshead.db")) in home.run("chat", "--once", "Hi").line
    assert home.database.read_bytes() == content


def test_somebody_elses_database_is_left_alone(home: Home) -> None:
    home.database.parent.mkdir()
    with sqlite3.connect(home.database) as database:
        database.execute("CREATE TABLE recipe (name TEXT)")
    database.close()
    assert "not one of Glasshead's" in home.run("chat", "--once", "Hi").line


@pytest.mark.parametrize("place", ["a file/log.db", "/proc/log.db", "/proc/glasshead/log.db", "."])
def test_a_place_that_cannot_be_written(home: Home, place: str) -> None:
    (home.folder / "a file").write_text("")
    home.write_config(f'{BRIEF}[store]\npath = "{place}"\n')
    line = home.run("chat", "--once", "Hi").line
    assert place.removesuffix("/log.db") in line


def test_a_log_in_use(home: Home) -> None:
    home.database.parent.mkdir()
    lock = OwnerLock(home.database)
    lock.acquire()
    line = home.run("chat", "--once", "Hi").line
    lock.release()
    assert "in use by process" in line and str(os.getpid()) in line


@pytest.mark.parametrize("command", ["explain", "log show"])
@pytest.mark.parametrize("number", ["1", "999", "0", "9223372036854775807", "99999999999999999999999"])
def test_a_log_without_what_is_asked_for(home: Home, command: str, number: str) -> None:
    name, *rest = command.split()
    if number == "1":
        assert "no log at" in home.run(name, *rest, number).line
        return
    empty_log(home)
    assert home.run(name, *rest, number).line


def empty_log(home: Home) -> None:
    import asyncio

    from glasshead.store import Store

    async def make() -> None:
        await (await Store.open(home.database)).close()

    asyncio.run(make())


@pytest.mark.parametrize("session", ["7", "99999999999999999999999"])
def test_a_session_that_does_not_exist(home: Home, session: str) -> None:
    assert home.run("chat", "--once", "Hi", "--session", session).line


def test_a_full_disk_loses_nothing(home: Home) -> None:
    """No file may grow beyond what a log of a few turns needs: writing fails as on a full disk."""
    first = home.run("chat", "--once", "Hi", "--seed", "1", "--json").json

    def full() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, ROOM))

    process = home.start("chat", "--once", "Hello " * 80, "--session", "1", preexec_fn=full)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    lines = err.decode().splitlines()
    assert "Traceback" not in err.decode()
    assert lines[-1].startswith(("glasshead: data/glasshead.db: ", "glasshead: this reply could not be logged: "))
    assert home.run("explain", str(first["turn"]), "--json").json["reply"] == first["reply"]
    again = home.run("chat", "--once", "And now?", "--session", "1", "--json").json
    assert (again["session"], again["error"]) == (first["session"], None)


def test_what_may_not_be_touched_is_named(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "models/mine.gguf")

    monkeypatch.setattr("glasshead.cli.model.locate", refuse)
    assert home.run("model", "info").line == "models/mine.gguf: Permission denied"


@pytest.mark.parametrize("arguments", [("explain", "1", "--json"), ("chat", "--once", "Hello again")])
def test_output_that_cannot_be_written(home: Home, arguments: tuple[str, ...]) -> None:
    home.run("chat", "--once", "Hi")
    with Path("/dev/full").open("wb") as full:
        process = home.start(*arguments, stdout=full)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert err.decode().startswith("glasshead: the disk is full") and err.count(b"\n") == 1
    rows = home.run("log", "show", str(home.run("log", "list", "--json").json["sessions"][0]["session"]), "--json")
    assert all(turn["status"] != "pending" for turn in rows.json["turns"])


def test_a_reader_that_has_seen_enough_is_no_error(home: Home) -> None:
    reads, writes = os.pipe()
    os.close(reads)
    process = home.start("model", "list", stdout=writes)
    os.close(writes)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, b"")


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("", "config.toml: [store] path: expected the path of a file in quotes"),
        ("data", "data is a folder: name a database file"),
        ("a" * 300, "File name too long"),
    ],
)
def test_a_log_that_can_be_none(home: Home, path: str, words: str) -> None:
    (home.folder / "data").mkdir()
    home.write_config(f'[store]\npath = "{path}"\n')
    for command in (("log", "list"), ("explain", "1")):
        assert words in home.run(*command).line


def test_a_locale_without_unicode_and_no_standard_input(home: Home) -> None:
    home.run("chat", "--once", "Say “ï”", "--json")
    home.extra = {"PYTHONIOENCODING": "ascii"}
    process = home.start("explain", "1", preexec_fn=lambda: os.close(0), stdin=None)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, b"")
    assert all(character in out.decode() for character in "“ï”")
