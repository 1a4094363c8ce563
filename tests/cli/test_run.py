"""A conversation through a pipe: `glasshead run` as a process, everything typed at it in one go."""

import re
import signal
import sqlite3
from pathlib import Path

import pytest

from .terminal import BRIEF, Home, Said

TYPED = "\n".join(
    [
        "/explain",
        "/retry",
        "Hello",
        "/explain",
        "/retry",
        "/explain 1",
        "/verify",
        '"""',
        "/etc/hosts: one line,",
        "",
        "and another.",
        '"""',
        "   ",
        "/system Answer in one word.",
        "Well?",
        "/reset",
        "/sessions",
        "/help",
        "/explain 99",
        "/explain 99999999999999999999",
        "/explain two",
        "/dance",
        "a" * 100_000,
        "nul\0byte",
        "Bye",
        "/quit",
        "never said",
    ]
)


@pytest.fixture(scope="module")
def home(shallow_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = Home(tmp_path_factory.mktemp("run"), shallow_path)
    home.write_config(BRIEF)
    return home


@pytest.fixture(scope="module")
def said(home: Home) -> Said:
    return home.talk(TYPED)


@pytest.fixture(scope="module")
def log(home: Home, said: Said) -> sqlite3.Connection:
    return sqlite3.connect(home.database)


def asked(log: sqlite3.Connection) -> list[tuple[int, str]]:
    return log.execute("SELECT session_id, text FROM message WHERE role = 'user' ORDER BY id").fetchall()


def test_it_goes_on_to_the_end_and_its_exit_code_tells_that_something_was_refused(said: Said) -> None:
    assert said.code == 2
    assert "Traceback" not in said.err
    assert said.err.startswith("No DISCORD_TOKEN: ")


def test_what_was_typed_is_what_is_logged(log: sqlite3.Connection) -> None:
    assert asked(log) == [
        (1, "Hello"),
        (1, "/etc/hosts: one line,\n\nand another."),
        (2, "Well?"),
        (3, "nul\0byte"),
        (3, "Bye"),
    ]
    systems = log.execute("SELECT session_id, text FROM message WHERE role = 'system' ORDER BY id").fetchall()
    assert systems == [(1, "You are a helpful assistant."), (2, "Answer in one word."), (3, systems[0][1])]


def test_every_reply_is_shown_and_named(said: Said, log: sqlite3.Connection) -> None:
    replies = log.execute("SELECT text FROM message WHERE role = 'assistant' ORDER BY id").fetchall()
    assert len(replies) == 6
    for (reply,) in replies:
        assert reply in said.out
    assert re.findall(r"turn (\d+) ·", said.err) == ["1", "2", "3", "4", "5", "6"]


def test_another_try_is_a_sibling_and_the_one_that_goes_on(log: sqlite3.Connection) -> None:
    parents = log.execute("SELECT parent_id FROM message WHERE role = 'assistant' ORDER BY id").fetchall()
    assert parents[0] == parents[1]
    second = log.execute("SELECT reply_message_id FROM turn WHERE id = 2").fetchone()
    assert log.execute("SELECT parent_id FROM message WHERE text LIKE '/etc/hosts%'").fetchone() == second


def test_it_explains_and_proves(said: Said) -> None:
    assert said.out.count("What the model saw: 21 tokens, nothing else") == 2
    assert "A  bitwise" in said.out and "Proven" in said.out


def test_commands_that_cannot_be_are_told_in_a_line(said: Said) -> None:
    notes = [line for line in said.err.splitlines() if line.startswith("! ")]
    words = (
        "nothing was answered yet",
        "nothing to retry",
        "no turn 99",
        "so large a number",
        "not 'two'",
        "no such command: /dance",
        "100,000 characters, 32,000 are allowed",
    )
    assert len(notes) == len(words)
    for note, word in zip(notes, words, strict=True):
        assert word in note


def test_help_and_sessions(said: Said) -> None:
    for command in ("/explain [n]", "/verify [n]", "/retry", "/system TEXT", "/reset", "/sessions", "/quit"):
        assert f"\n  {command} " in "\n" + said.out
    listed = re.findall(r"^ +(\d+) +(\d+) turns  (.*)$", said.out, re.MULTILINE)
    assert listed == [("2", "1", "Well?"), ("1", "3", "Hello")]


def test_what_is_no_text_is_refused(home: Home, said: Said) -> None:
    again = home.talk(b'\xef\xbb\xbfcaf\xe9\r\nHi\r\n"""\nunclosed')
    assert again.code == 2
    assert "! the message holds a lone surrogate at character 4" in again.err
    log = sqlite3.connect(home.database)
    assert [text for _, text in asked(log)][-2:] == ["Hi", "unclosed"]


def test_no_input_at_all(home: Home, said: Said) -> None:
    with sqlite3.connect(home.database) as log:
        before = log.execute("SELECT count(*) FROM session").fetchone()
    assert home.talk("").code == 0
    with sqlite3.connect(home.database) as log:
        assert log.execute("SELECT count(*) FROM session").fetchone() == before


def test_a_reader_that_leaves(home: Home, said: Said) -> None:
    """`glasshead explain 1 | head -1`."""
    process = home.start("explain", "1", "--json")
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    error = process.stderr.read()
    process.wait(30)
    assert error == b""


def test_a_session_taken_up_again_can_be_retried(home: Home, said: Said, log: sqlite3.Connection) -> None:
    """Its last question is answered anew, beside the answer it has."""
    process = home.start("chat", "--session", "2")
    _, err = process.communicate(b"/retry\n", timeout=120)
    assert process.returncode == 0
    assert "turn " in err.decode()
    answers = log.execute("SELECT parent_id FROM message WHERE role = 'assistant' AND session_id = 2").fetchall()
    assert len(answers) == 2 and answers[0] == answers[1]


def test_when_it_is_told_to_end_the_running_reply_is_stopped_and_logged(
    shallow_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(tmp_path, shallow_path, capsys, monkeypatch)
    home.write_config("[sampling]\nmax_tokens = 400\nlogit_bias = [[0, -inf], [2, -inf]]\n")
    process = home.start("run")
    assert process.stdin is not None and process.stdout is not None and process.stderr is not None
    process.stdin.write(b"Hello\n")
    process.stdin.flush()
    assert process.stdout.read(1)
    process.send_signal(signal.SIGTERM)
    process.stdout.read()
    error = process.stderr.read().decode()
    assert (process.wait(30), "Traceback" in error) == (128 + signal.SIGTERM, False)
    (turn,) = home.run("log", "show", "1", "--json").json["turns"]
    assert turn["status"] == "stopped"
