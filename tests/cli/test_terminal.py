"""What needs signals and a real terminal: Ctrl-C, SIGKILL, the line editor."""

import os
import pty
import select
import signal
import sqlite3
import subprocess
import termios
from pathlib import Path
from typing import Any

import pytest

from .terminal import Home

ENDLESS = "[sampling]\nlogit_bias = [[2, -100.0], [0, -100.0]]\nmax_tokens = 400\n"
"""A reply that goes on until it is stopped."""
SAVED = 350
"""After so many characters at least 48 steps were saved."""

PATIENCE = 60
"""Seconds after which something is broken, not slow."""


@pytest.fixture
def home(
    shallow_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Home:
    home = Home(tmp_path, shallow_path, capsys, monkeypatch)
    home.write_config(ENDLESS)
    return home


def test_ctrl_c_stops_the_reply_and_keeps_it_then_the_program(home: Home) -> None:
    process = home.start("chat", "--seed", "3")
    assert process.stdin and process.stdout and process.stderr
    assert b"is ready" in process.stderr.readline()
    process.stdin.write(b"Count to a hundred.\n")
    process.stdin.flush()
    shown = os.read(process.stdout.fileno(), 4096)
    process.send_signal(signal.SIGINT)
    assert b"turn 1" in (ending := process.stderr.readline()) and b"stopped" in ending
    process.send_signal(signal.SIGINT)  # nothing runs, it waits for a line that does not come
    process.wait(timeout=30)  # `communicate` ends its input, which would end the program as well
    out, err = process.communicate()
    assert (process.returncode, err) == (130, b"")
    stated = home.run("explain", "1", "--json").json
    assert (stated["status"], stated["finish"]) == ("stopped", "stopped")
    assert stated["reply"] == (shown + out).decode().rstrip("\n") != ""
    assert 0 < len(stated["steps"]) < 400


def test_a_killed_program_leaves_what_was_said(home: Home) -> None:
    process = home.start("chat", "--once", "Count to a hundred.", "--seed", "3")
    assert process.stdout
    shown = b""
    while len(shown) < SAVED:
        shown += os.read(process.stdout.fileno(), 4096)
    process.kill()
    process.wait()
    process.communicate()
    assert home.run("explain", "1", "--json").json["status"] == "pending"  # nobody has looked after it yet

    home.write_config("[sampling]\nmax_tokens = 2\n")
    again = home.run("chat", "--once", "Go on.", "--session", "1", "--json").json
    stated = home.run("explain", "1", "--json").json
    assert (stated["status"], stated["finish"]) == ("interrupted", None)
    assert len(stated["steps"]) >= 48
    assert stated["reply"] != "" and shown.decode(errors="ignore").startswith(stated["reply"])
    prompt = bytes.fromhex("".join(home.run("explain", str(again["turn"]), "--json").json["prompt_bytes"]))
    assert stated["reply"] in prompt.decode()


def test_typing_at_a_real_terminal(home: Home) -> None:
    home.write_config("[sampling]\nmax_tokens = 4\n")
    screen = Screen()
    process = screen.start(home, "run")
    screen.until("you ›")
    screen.type("first line\x1b\rsecond line\r")
    screen.until("turn 1")
    screen.until("you ›")
    screen.type("half a thought\x03")  # Ctrl-C drops the line, not the program
    screen.type("/reset\r")
    screen.until("a new session")
    screen.until("you ›")
    screen.type("\x04")
    screen.until(None)
    assert process.wait(30) == 0
    with sqlite3.connect(home.database) as log:
        assert log.execute("SELECT text FROM message WHERE role = 'user'").fetchall() == [
            ("first line\nsecond line",)
        ]
    kept = [path.name for path in (home.folder / "data").rglob("*") if path.is_file()]
    assert all(name.startswith("glasshead.db") or name.endswith(".kv") for name in kept), (
        "only the log and its cache"
    )
    home.extra["TERM"] = "dumb"  # where nothing can be drawn, the reply is printed
    screen = Screen()
    process = screen.start(home, "explain", "1")
    assert "\x1b" not in screen.until(None)
    assert process.wait(30) == 0


def test_help_is_cut_between_words_and_ctrl_z_lets_the_shell_have_the_terminal(home: Home) -> None:
    screen = Screen()
    termios.tcsetwinsize(screen.ours, (24, 60))
    home.extra["COLUMNS"] = "0"  # that of a terminal around the tests would count for more
    process = screen.start(home, "run", process_group=0)
    screen.until("you ›")
    screen.type("/help\r")
    helped = screen.until("/quit") + screen.until("you ›")
    lines = [line.rstrip() for line in helped.splitlines() if line.startswith("  ")]
    assert max(map(len, lines)) <= 60
    assert any(line.startswith(" " * 17) for line in lines)
    screen.type("\x1a")
    assert os.WIFSTOPPED(os.waitpid(process.pid, os.WUNTRACED)[1])
    process.send_signal(signal.SIGCONT)
    screen.until("you ›")
    screen.type("\x04")
    screen.until(None)
    assert process.wait(30) == 0


def test_ctrl_c_gives_up_a_proof(home: Home) -> None:
    home.write_config("[sampling]\nmax_tokens = 40\n")
    screen = Screen()
    process = screen.start(home, "chat")
    screen.until("you ›")
    screen.type("Count to a hundred.\r")
    screen.until("turn 1")
    screen.until("you ›")
    screen.type("/verify\r")
    screen.until("level B")
    process.send_signal(signal.SIGINT)
    after = screen.until("! stopped") + screen.until("you ›")
    screen.type("\x04")
    after += screen.until(None)
    assert process.wait(30) == 0
    assert "Exception" not in after and "Proven" not in after


class Screen:
    """The other side of a program's terminal."""

    def __init__(self) -> None:
        self.ours, self.theirs = pty.openpty()
        self._rest = ""

    def start(self, home: Home, *arguments: str, **options: Any) -> "subprocess.Popen[bytes]":
        ours = {"stdin": self.theirs, "stdout": self.theirs, "stderr": self.theirs}
        process = home.start(*arguments, **(ours | options))
        os.close(self.theirs)
        return process

    def type(self, keys: str) -> None:
        os.write(self.ours, keys.encode())

    def until(self, words: str | None) -> str:
        """What the program writes up to and with these words; with None, to its end."""
        seen, self._rest = self._rest, ""
        while words is None or words not in seen:
            ready, _, _ = select.select([self.ours], [], [], PATIENCE)
            assert ready, f"{words!r} does not come after {seen!r}"
            try:
                data = os.read(self.ours, 4096)
            except OSError:  # Linux says so of a terminal whose program is gone
                data = b""
            if not data:
                assert words is None, seen
                os.close(self.ours)
                return seen
            if b"\x1b[6n" in data:
                self.type("\x1b[1;1R")  # a terminal says where its cursor is when asked
            seen += data.decode(errors="ignore")
        end = seen.index(words) + len(words)
        self._rest = seen[end:]
        return seen[:end]
