"""Tables on a terminal."""

import re
import sys

import pytest
from glasshead.cli.table import show_table


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (60, ["who               when              text", "a long name here  2026-11-30 22:06  what was said"]),
        (40, ["who               when", "a long name here  2026-11-30 22:06", "  what was said"]),
    ],
)
def test_where_there_is_no_room_for_a_text_it_goes_below(
    width: int, shown: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(width))
    show_table(("who", "when", "text"), [("a long name here", "2026-11-30 22:06", "what was said")])
    plain = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    assert [line.rstrip() for line in plain.splitlines()] == shown


def test_an_empty_one_says_so_on_a_terminal_and_a_pipe_gets_the_headings(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    show_table(("who", "when"), [])
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    show_table(("who", "when"), [])
    assert capsys.readouterr().out == "who\twhen\nnothing found\n"
