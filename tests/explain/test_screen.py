"""The full screen, driven by keys through a pipe."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from glasshead.cli.cells import Cells, keep_columns
from glasshead.cli.screen import Screen
from glasshead.cli.screen_state import HELP, hint
from glasshead.errors import UserError
from glasshead.explain.explanation import explain
from glasshead.explain.family import Family
from glasshead.explain.lines import plain, reply_lines, width
from glasshead.explain.loss import Scored, arrange
from glasshead.explain.text import candidate_lines
from glasshead.explain.turn import Trace, Turn
from glasshead.explain.visible import graphemes
from glasshead.predict.step import Score
from prompt_toolkit.data_structures import Size
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.input.base import PipeInput
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.output import DummyOutput
from prompt_toolkit.utils import get_cwidth

from .recording import Recorder


class Narrow(DummyOutput):
    def get_size(self) -> Size:
        return Size(rows=24, columns=80)


class Answers:
    """Stands for the model: remembers what was asked, answers with what it was given."""

    def __init__(self, branch: Turn) -> None:
        self.branch = branch
        self.asked: list[tuple[int, int | str, bool]] = []

    async def family(self, turn: Turn) -> Family:
        turns = sorted({each.id: each for each in (self.branch, turn)}.values(), key=lambda each: each.id)
        return Family(tuple(turns), (90,))

    async def turn(self, number: int) -> Turn:
        return replace(self.branch, id=number)

    async def prove(self, turn: Turn) -> list[str]:
        return [f"turn {turn.id} proven", "a line that goes on " + "and on " * 10]

    async def score(self, turn: Turn) -> Scored:
        scores = [Score(0, step.logprob, 1, 1.0, (), 0) for step in turn.trace.steps]
        before = [Score(0, -1.0, 1, 1.0, (), 0)] * (len(turn.prompt.ids) - 1)
        return arrange(turn, before + scores)

    async def ends(self, turn: Turn) -> frozenset[int]:
        if turn.id == 13:
            raise UserError("it was made by another")
        return frozenset({turn.trace.steps[0].top[1].id})

    async def what_if(self, turn: Turn, step: int, choice: int | str, *, fresh: bool) -> Turn:
        if choice == "refuse":
            raise UserError("refused")
        self.asked.append((step, choice, fresh))
        return self.branch


@pytest.fixture
def keys() -> Iterator[PipeInput]:
    with create_pipe_input() as pipe:
        yield pipe


async def press(screen: Screen, keys: PipeInput, *typed: str) -> None:
    """Type one thing after the other, each when the one before has had its effect; then leave."""
    seen = asyncio.Event()
    assert isinstance(screen.app.key_bindings, KeyBindings)
    screen.app.key_bindings.add("c-n")(lambda event: seen.set())
    running = asyncio.ensure_future(screen.run())
    for part in typed:
        seen.clear()
        keys.send_text(part + CTRL_N)
        await asyncio.wait_for(seen.wait(), 10)
        if screen._busy is not None:
            await asyncio.wait_for(screen._busy, 10)
    keys.send_text("q")
    await asyncio.wait_for(running, 10)


def screen_of(turn: Turn, keys: PipeInput, answers: Answers | None = None) -> Screen:
    return Screen(explain(turn), answers or Answers(turn), terminal_input=keys, terminal_output=Narrow())


RIGHT, LEFT, CTRL_N = "\x1b[C", "\x1b[D", "\x0e"


async def test_arrows_and_ends(turn: Turn, keys: PipeInput) -> None:
    screen = screen_of(turn, keys)
    await press(screen, keys, RIGHT * 3 + LEFT)
    assert screen.state.step == 2
    last = len(turn.trace.steps) - 1
    for typed, step in (("G", last), ("Gg", 0), ("n", explain(turn).whole.least_certain[0])):
        screen = screen_of(turn, keys)
        await press(screen, keys, typed)
        assert screen.state.step == step


async def test_finding_goes_to_the_next_match_and_says_when_there_is_none(turn: Turn, keys: PipeInput) -> None:
    pieces = [piece.lower() for piece in turn.trace.pieces]
    place, word = next((i, piece.strip()) for i, piece in enumerate(pieces) if i > 3 and piece.strip().isalpha())
    screen = screen_of(turn, keys)
    await press(screen, keys, f"/{word.decode().upper()}\r")
    assert word in pieces[screen.state.step] and 0 < screen.state.step <= place
    screen = screen_of(turn, keys)
    await press(screen, keys, "/zzzz\r")
    assert "does not hold" in screen.state.note


async def test_a_character_of_several_tokens_and_a_word_of_several_are_found(
    recorder: Recorder, keys: PipeInput
) -> None:
    turn = recorder.read("Say it.", "First नमस्ते, then 🫠 and unbelievableness.")
    explanation = explain(turn)
    assert not any("🫠".encode() in piece for piece in turn.trace.pieces)
    for needle in ("🫠", "नमस्ते", "believableness"):
        screen = screen_of(turn, keys)
        await press(screen, keys, f"/{needle}\r")
        group = explanation.group_of(screen.state.step)
        before = b"".join(turn.trace.pieces[: group.first]).decode()
        assert before + group.bytes.decode() != before and screen.state.note == ""
        rest = b"".join(turn.trace.pieces[group.first :]).decode()
        assert rest.find(needle) in range(len(group.bytes.decode()))


async def test_the_page_is_written_with_what_was_asked_for_before(
    turn: Turn, keys: PipeInput, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    screen = screen_of(turn, keys, Answers(replace(turn, id=77, parent_turn=turn.id)))
    await press(screen, keys, "h\r", "p", "h" + "\b" * 40 + f"{tmp_path}/with.html\r")
    assert screen.state.note == f"{tmp_path}/with.html: {(tmp_path / 'with.html').stat().st_size:,} bytes"
    without, proven = (tmp_path / f"turn-{turn.id}.html").read_text(), (tmp_path / "with.html").read_text()
    assert f"turn {turn.id} proven" in proven and f"turn {turn.id} proven" not in without
    assert '"turn":77' in without
    screen = screen_of(turn, keys)
    await press(screen, keys, "h/x.html\r")
    assert "cannot be written" in screen.state.note


async def test_layers_help_and_what_the_model_saw(turn: Turn, keys: PipeInput) -> None:
    screen = screen_of(turn, keys)
    await press(screen, keys, "ll?")
    assert screen.state.layer == "entropy"
    assert "temperature 1.2" in "".join(fragment[1] for fragment in screen._reply())  # no room beside the name
    assert HELP.splitlines()[0] in shown(screen)
    screen = screen_of(turn, keys)
    await press(screen, keys, "i")
    assert "Name│ a│" in shown(screen) and "Name a colour and a fruit." in shown(screen).replace("│", "")


async def test_every_press_scrolls(turn: Turn, keys: PipeInput) -> None:
    screen = screen_of(turn, keys)
    await press(screen, keys, "j", "j")
    seen = screen._below.render_info
    assert seen is not None and seen.first_visible_line() == 2


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_the_hints_fit_and_say_how_to_get_help_and_away(columns: int) -> None:
    assert width(hint(columns)) <= columns and hint(columns).endswith("? help  q leave")


def test_a_rank_of_many_digits_pushes_no_number_aside(turn: Turn) -> None:
    steps = (replace(turn.trace.steps[0], id=0, rank=12345), *turn.trace.steps[1:])
    made = replace(turn, trace=replace(turn.trace, steps=steps))
    lines = plain(candidate_lines(explain(made).step(0), 60)).split("\n")
    assert any("12345" in line for line in lines) and len({line.index("%") for line in lines[1:]}) == 1


def test_the_candidates_fit_a_narrow_terminal(turn: Turn) -> None:
    explanation = explain(turn)
    for token in explanation.tokens:
        lines = plain(candidate_lines(explanation.step(token.index), 40)).split("\n")
        assert all(width(line.partition("removed")[0]) <= 40 for line in lines)
        for columns in (56, 58, 80):
            lines = plain(candidate_lines(explanation.step(token.index), columns)).split("\n")
            assert max(map(width, lines)) <= columns


async def test_a_what_if_opens_the_branch_and_b_comes_back(turn: Turn, keys: PipeInput) -> None:
    branch = replace(turn, id=77, parent_turn=turn.id)
    answers = Answers(branch)
    screen = screen_of(turn, keys, answers)
    await press(screen, keys, "w2\r")
    assert answers.asked == [(0, explain(turn).step(0).candidates[1].id, False)]
    assert screen.state.explanation.turn.id == 77
    screen = screen_of(turn, keys, answers)
    await press(screen, keys, "w! hello\r", "b")
    assert answers.asked[-1] == (0, " hello", True)
    assert screen.state.explanation.turn.id == turn.id
    for typed, wanted in (("²", "²"), ('"2"', "2"), (" 2", " 2"), ('"', '"'), ("99", "99")):
        await press(screen_of(turn, keys, answers), keys, f"w{typed}\r")
        assert answers.asked[-1] == (0, wanted, False)


async def test_a_what_if_names_what_it_cannot_be_and_is_not_asked_where_it_cannot(
    turn: Turn, keys: PipeInput
) -> None:
    answers = Answers(replace(turn, id=77, parent_turn=turn.id))
    screen = screen_of(turn, keys, answers)
    asked: list[str] = []
    learn = screen._ask_what_if

    async def look() -> None:
        learn()
        assert screen._learning is not None
        await screen._learning
        asked.append("".join(text for _, text in screen._foot()))

    screen._ask_what_if = lambda: screen._start(look())  # type: ignore[method-assign]
    screen.app.key_bindings = screen._keys()
    await press(screen, keys, "w", "\x1b")
    assert asked == ['a number above but 2, which would end the reply, or the text of one token ("7": a digit); '
                     "! first: fresh draws"]  # fmt: skip
    refused = screen_of(replace(turn, id=13), keys, answers)
    await press(refused, keys, "w")
    assert refused.state.note == "it was made by another" and not refused._question


async def test_the_tree_is_shown_and_its_turns_open(turn: Turn, keys: PipeInput) -> None:
    branch = replace(turn, id=77, parent_turn=turn.id)
    screen = screen_of(turn, keys, Answers(branch))
    await press(screen, keys, "v")
    assert f"turn {turn.id} ·" in shown(screen) and "└─ turn 77" in shown(screen)
    screen = screen_of(turn, keys, Answers(branch))
    await press(screen, keys, "o77\r", "c")
    assert screen.state.explanation.turn.id == 77
    assert f"turn {turn.id} (<) and turn 77 (>)" in shown(screen)
    screen = screen_of(turn, keys, Answers(branch))
    await press(screen, keys, "o5\r")
    assert screen.state.note == f"the tree has the turns {turn.id}, 77, 90, not 5"
    screen = screen_of(turn, keys, Answers(branch))
    await press(screen, keys, "v")
    assert "1 more reply to this message, not read here: turn 90" in shown(screen)
    screen = screen_of(turn, keys, Answers(branch))
    await press(screen, keys, "o90\r")
    assert screen.state.explanation.turn.id == 90


async def test_a_proof_is_shown_and_a_refusal_told(turn: Turn, keys: PipeInput) -> None:
    answers = Answers(turn)
    screen = screen_of(turn, keys, answers)
    await press(screen, keys, "p")
    assert f"turn {turn.id} proven" in shown(screen)
    assert max(map(len, shown(screen).split("\n"))) < 80
    screen = screen_of(turn, keys, answers)
    await press(screen, keys, "t")
    assert "sum of −log p" in shown(screen)
    screen = screen_of(turn, keys, answers)
    await press(screen, keys, "wrefuse\r")
    assert screen.state.note == "refused"


async def test_a_turn_without_steps_is_no_trap(turn: Turn, keys: PipeInput) -> None:
    empty = replace(turn, trace=Trace((), (), 10), status="pending", finish=None, timings=None)
    screen = screen_of(empty, keys)
    await press(screen, keys, "nGgwls")
    assert shown(screen).split() == ["No", "token", "was", "recorded", "yet.", *empty.reply.split()]
    assert "Probability:" not in plain(screen._reply_lines())


def shown(screen: Screen) -> str:
    return "".join(fragment[1] for fragment in screen._lower())


@pytest.mark.parametrize("columns", [20, 40, 80])
def test_no_line_is_wider_than_the_terminal_and_no_text_is_lost(recorder: Recorder, columns: int) -> None:
    sample = "Wide 你好世界 and 👨‍👩‍👧‍👦 family, " + "x" * 90 + " end.\n\n\nDone."
    explanation = explain(recorder.read("Say it.", sample))
    lines = plain(reply_lines(explanation, columns=columns)).split("\n")
    assert max(map(width, lines)) <= columns
    text = "".join(line for line in lines if line.strip(" ▁▃▅▇"))
    assert "".join(text.split()) == "".join(sample.replace("\n", "⏎").split())


def test_marks_stand_under_their_tokens(turn: Turn) -> None:
    explanation = explain(turn)
    lines = plain(reply_lines(explanation, columns=200)).split("\n")
    text, marks = lines[0], lines[1]
    for mark in "▁▃▅▇":
        for place, char in enumerate(marks):
            if char == mark:
                assert text[place] != " "


def test_nothing_that_acts_reaches_the_terminal(recorder: Recorder) -> None:
    from glasshead.explain.text import full, step_lines

    attack = "\x1b]0;owned\x07\x1b[2J \u202egnp.exe \x9b31m"
    explanation = explain(recorder.read(attack, attack))
    texts = [full(explanation)] + [plain(step_lines(explanation, i)) for i in range(len(explanation.tokens))]
    assert not set("\x1b\x07\x9b\u202e\r") & set("".join(texts))


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("plain", 5),
        ("👨‍👩‍👧‍👦,", 3),
        ("🇩🇪👋🏽", 4),
        ("e\u0301", 1),
        ("日本", 4),
        ("त्रि", 3),
        ("မာ", 2),
    ],
)
def test_every_character_goes_to_the_screen_whole_and_the_next_one_beside_it(text: str, columns: int) -> None:
    cells = list(Cells(text))
    assert "".join(cells) == text and len(cells) == len(graphemes(text))
    assert width(text) == sum(map(get_cwidth, cells)) == columns


def test_after_a_character_terminals_disagree_about_the_column_is_set() -> None:
    written: list[str] = []

    class Written(DummyOutput):
        def write(self, data: str) -> None:
            written.append(data)

        write_raw = write

    output = keep_columns(Written())
    for cell in Cells("a🏳️‍🌈"):
        output.write(cell)
    assert "".join(written) == "a\x1b7🏳️‍🌈\x1b8\x1b[2C"
