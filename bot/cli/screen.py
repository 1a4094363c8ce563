"""The full screen on which a reply is read token by token: the reply above or at the left, the step beside it."""

import asyncio
import textwrap
from collections.abc import Awaitable, Callable
from pathlib import Path

from prompt_toolkit.application import Application, get_app
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.data_structures import Point
from prompt_toolkit.filters import Condition
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.input import Input
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.layout import (
    BufferControl,
    ConditionalContainer,
    Dimension,
    DynamicContainer,
    FormattedTextControl,
    HSplit,
    Layout,
    VSplit,
    Window,
)
from prompt_toolkit.output import Output, create_output

from ..errors import UserError
from ..explain.branches import compare
from ..explain.contrast import compare_lines, family_lines
from ..explain.explanation import Explanation
from ..explain.lines import Line, plain, reply_lines, width
from ..explain.loss import Scored, scored_lines
from ..explain.page import Extras, page_bytes
from ..explain.text import headline, legend, prompt_lines, quoted, step_lines, whole, words_alone
from ..explain.visible import neutral
from .cells import CellControl, colours, keep_columns
from .screen_state import HELP, Actions, State, hint, what_if_about, what_if_of
from .terminal import wrapped
from .written import write_file

WIDE = 118
"""Columns from which the step stands beside the reply instead of below it."""


class Screen:
    """Runs until `q`."""

    def __init__(
        self,
        explanation: Explanation,
        actions: Actions,
        *,
        step: int = 0,
        terminal_input: Input | None = None,
        terminal_output: Output | None = None,
    ) -> None:
        self.state = State(explanation, step)
        self._actions = actions
        self._question = ""
        self._about = ""  # what to know for an answer, above it
        self._answer: Callable[[str], Awaitable[None] | None] = self._find
        self._laid_out: tuple[object, list[Line]] = (None, [])
        self._busy: asyncio.Task[None] | None = None
        self._learning: asyncio.Task[None] | None = None
        self._scored: dict[int, Scored] = {}
        self._proven: dict[int, list[str]] = {}
        """What was asked for here, by turn."""
        self._line = Buffer(multiline=False, accept_handler=self._accept)
        self._asking = Condition(lambda: bool(self._question))
        self.app: Application[None] = Application(
            layout=Layout(self._root()),
            key_bindings=self._keys(),
            full_screen=True,
            color_depth=colours(),
            input=terminal_input,
            output=keep_columns(terminal_output or create_output()),
        )

    async def run(self) -> None:
        try:
            await self.app.run_async()
        finally:
            begun = [task for task in (self._busy, self._learning) if task is not None]
            for task in begun:
                task.cancel()
            await asyncio.gather(*begun, return_exceptions=True)

    # What is shown

    def _root(self) -> HSplit:
        reply = Window(
            CellControl(self._reply, get_cursor_position=self._cursor, show_cursor=False),
            wrap_lines=False,
            height=self._reply_height,
        )
        lower = Window(
            CellControl(self._lower, get_cursor_position=lambda: Point(0, self.state.scroll), show_cursor=False),
            wrap_lines=True,
            height=Dimension(min=3, weight=3),
        )
        self._below = lower
        beside = VSplit([reply, Window(width=1, char="│"), lower], padding=1)
        below = HSplit([reply, Window(height=1, char="─"), lower])
        ask = VSplit(
            [
                Window(FormattedTextControl(lambda: f"{self._question} "), dont_extend_width=True),
                Window(BufferControl(self._line)),
            ],
            height=1,
        )
        return HSplit(
            [
                Window(CellControl(self._head), wrap_lines=True, dont_extend_height=True),
                DynamicContainer(lambda: beside if self._columns() >= WIDE else below),
                ConditionalContainer(
                    Window(CellControl(self._foot), wrap_lines=True, dont_extend_height=True),
                    Condition(lambda: bool(self._about) or not self._question),
                ),
                ConditionalContainer(ask, self._asking),
            ]
        )

    def _columns(self) -> int:
        return get_app().output.get_size().columns

    def _half(self) -> int:
        columns = self._columns()
        return (columns - 3) // 2 if columns >= WIDE else columns

    def _reply_height(self) -> Dimension:
        """Below one another, the step needs the most room: the reply takes what it needs, a third at most."""
        if self._columns() >= WIDE:
            return Dimension()
        most = max(4, get_app().output.get_size().rows // 3)
        return Dimension(min=3, max=max(3, min(most, len(self._reply_lines()))))

    def _head(self) -> StyleAndTextTuples:
        first, settings = headline(self.state.explanation)[:2]
        return [("bold", first), ("fg:ansibrightblack", f"  {settings}" if self._fits() else "")]

    def _fits(self) -> bool:
        """Whether name and settings of the reply have room on one line."""
        return width("  ".join(headline(self.state.explanation)[:2])) <= self._columns()

    def _reply_lines(self) -> list[Line]:
        """Laid out once for what is to be seen: a frame asks for the lines twice."""
        state = self.state
        key = (id(state.explanation), state.layer, state.step, state.reveal, self._half())
        if key != self._laid_out[0]:
            self._laid_out = (key, self._lay_out())
        return self._laid_out[1]

    def _lay_out(self) -> list[Line]:
        state = self.state
        notes, lines = headline(state.explanation)[2 if self._fits() else 1 :], []
        if state.explanation.tokens:
            lines = reply_lines(
                state.explanation, state.layer, self._half(), current=state.step, reveal=state.reveal
            )
            lines.append([])
            notes += [*whole(state.explanation), "", legend(state.layer)]
        wrapped = (part for note in notes for part in textwrap.wrap(note, self._half()) or [""])
        return [*lines, *([("", part)] for part in wrapped)]

    def _reply(self) -> StyleAndTextTuples:
        return _joined(self._reply_lines())

    def _cursor(self) -> Point:
        """Keeps the current token in sight."""
        for row, line in enumerate(self._reply_lines()):
            if any("reverse" in style for style, _ in line):
                return Point(0, row)
        return Point(0, 0)

    def _lower(self) -> StyleAndTextTuples:
        state = self.state
        if state.view == "help":
            return [("", HELP)]
        if state.view == "saw":
            return [("", "\n".join(prompt_lines(state.explanation, self._half())))]
        if state.view == "lines":
            return [("", "\n".join(state.lines))]
        if not state.explanation.tokens:
            return [("", "\n".join(words_alone(state.explanation, self._half())))]
        return _joined(step_lines(state.explanation, state.step, self._half()))

    def _foot(self) -> StyleAndTextTuples:
        if self._question:
            return [("", self._about)]
        return [("bold", self.state.note)] if self.state.note else [("fg:ansibrightblack", hint(self._columns()))]

    # What is done

    def _keys(self) -> KeyBindings:
        keys = KeyBindings()
        state = self.state
        moves: dict[str, Callable[[], None]] = {
            "right": lambda: state.go(state.step + 1),
            "left": lambda: state.go(state.step - 1),
            "down": lambda: state.go(state.step + 1),
            "up": lambda: state.go(state.step - 1),
            "pagedown": lambda: state.go(state.step + 20),
            "pageup": lambda: state.go(state.step - 20),
            "g": lambda: state.go(0),
            "home": lambda: state.go(0),
            "G": lambda: state.go(len(state.explanation.tokens) - 1),
            "end": lambda: state.go(len(state.explanation.tokens) - 1),
            "n": state.next_least,
            "r": state.next_overruled,
            "N": lambda: state.find(state.step + 1),
            "l": state.next_layer,
            "s": lambda: setattr(state, "reveal", not state.reveal),
            "i": lambda: self._show("saw"),
            "?": lambda: self._show("help"),
            "b": state.leave,
            "j": lambda: self._scroll(1),
            "k": lambda: self._scroll(-1),
            "p": self._prove,
            "t": self._score,
            "c": self._compare,
            "v": self._tree,
            "o": lambda: self._ask("open turn:", self._enter),
            "/": lambda: self._ask("find:", self._find),
            "w": self._ask_what_if,
            "h": self._ask_page,
            "q": self.app_exit,
        }
        for key, move in moves.items():
            keys.add(key, filter=~self._asking)(lambda event, move=move: move())
        keys.add("escape", filter=self._asking, eager=True)(lambda event: self._ask("", self._find))
        keys.add("c-c")(lambda event: self.app_exit())
        keys.add("c-z")(lambda event: self.app.suspend_to_background())
        return keys

    def app_exit(self) -> None:
        self.app.exit()

    def _show(self, view: str) -> None:
        again = self.state.view == view and view != "lines"
        self.state.view = "step" if again else view
        self.state.scroll = 0

    def _scroll(self, rows: int) -> None:
        """Each press moves: what is scrolled to stands at the end of what is seen."""
        last = "".join(fragment[1] for fragment in self._lower()).count("\n")
        seen = self._below.render_info
        at = self.state.scroll
        if seen is not None:  # as it was drawn last: presses may come quicker
            at = max(at, seen.last_visible_line()) if rows > 0 else min(at, seen.first_visible_line())
        self.state.scroll = max(0, min(at + rows, last))

    def _ask(
        self, question: str, answer: Callable[[str], Awaitable[None] | None], typed: str = "", about: str = ""
    ) -> None:
        """Ask for a line that already says ``typed``; no question ends the asking."""
        self._question, self._answer, self._about = question, answer, about
        self._line.reset()
        self._line.insert_text(typed)
        if question:
            self.app.layout.focus(self._line)

    def _accept(self, line: Buffer) -> bool:
        typed, answer = line.text, self._answer
        self._question = ""
        doing = answer(typed)
        if doing is not None:
            self._start(doing)
        return False

    def _find(self, typed: str) -> None:
        self.state.needle = typed
        self.state.find(self.state.step + 1)

    def _ask_what_if(self) -> None:
        """Asked at once; what it cannot be follows when it is known, or why it can be nothing."""
        if not self.state.explanation.tokens:
            return
        self._ask("what if:", self._what_if, about=what_if_about(()))
        answer, step = self._answer, self.state.explanation.step(self.state.step)

        async def learn() -> None:
            why_not, ends = "", frozenset[int]()
            try:
                ends = await self._actions.ends(self.state.explanation.turn)
            except UserError as error:
                why_not = _said(error)
            if not self._question or self._answer is not answer:  # it was answered meanwhile
                return
            if why_not:
                self._ask("", self._find)
                self.state.note = why_not
            self._about = what_if_about([candidate.id in ends for candidate in step.candidates])
            self.app.invalidate()

        self._learning = asyncio.create_task(learn())

    async def _what_if(self, typed: str) -> None:
        state = self.state
        choice, fresh = what_if_of(typed, state.explanation.step(state.step).candidates)
        if not choice and choice != 0:
            return
        state.note = "writing the branch …"
        turn, step = state.explanation.turn, state.step
        branch = await self._actions.what_if(turn, step, choice, fresh=fresh)
        state.enter(branch, 0)
        state.note = (
            f"turn {branch.id}, a branch at step {step}: {quoted(branch.prompt_pieces[-1])} instead. b: back"
        )

    def _ask_page(self) -> None:
        self._ask("write the page to:", self._write_page, f"turn-{self.state.explanation.turn.id}.html")

    async def _write_page(self, typed: str) -> None:
        """As `glasshead explain TURN --html` does, with the loss and the proof if they were asked for here."""
        if not typed.strip():
            return
        explanation, step = self.state.explanation, self.state.step
        turn = explanation.turn
        family = await self._actions.family(turn)
        extras = Extras(self._scored.get(turn.id), self._proven.get(turn.id, ()), family)
        html = await asyncio.to_thread(page_bytes, explanation, step if explanation.tokens else None, extras)
        self.state.note = await asyncio.to_thread(lambda: write_file(Path(typed.strip()).expanduser(), html))

    def _prove(self) -> None:
        async def work() -> None:
            self.state.note = "replaying …"
            turn = self.state.explanation.turn
            self._proven[turn.id] = await self._actions.prove(turn)
            self.state.lines = wrapped(self._proven[turn.id], self._half())
            self.state.note = ""
            self._show("lines")

        self._start(work())

    def _tree(self) -> None:
        async def work() -> None:
            turn = self.state.explanation.turn
            family = await self._actions.family(turn)
            self.state.lines = [plain([line]) for line in family_lines(family, turn, self._half())]
            self._show("lines")

        self._start(work())

    async def _enter(self, typed: str) -> None:
        """Read another turn of the tree."""
        family = await self._actions.family(self.state.explanation.turn)
        number = typed.strip()
        if number not in map(str, family.numbers):
            numbers = ", ".join(map(str, family.numbers))
            raise UserError(f"the tree has the turns {numbers}, not {number or 'nothing'}")
        self.state.enter(await self._actions.turn(int(number)), 0)

    def _compare(self) -> None:
        state = self.state
        if not state.past:
            state.note = "nothing to compare with: w makes a branch"
            return
        before, here = state.past[-1][0].turn, state.explanation.turn
        state.lines = [plain([line]) for line in compare_lines(compare(before, here), before, here, self._half())]
        self._show("lines")

    def _score(self) -> None:
        async def work() -> None:
            self.state.note = "scoring …"
            turn = self.state.explanation.turn
            scored = self._scored[turn.id] = await self._actions.score(turn)
            self.state.lines = scored_lines(turn, scored, self._half())
            self.state.note = ""
            self._show("lines")

        self._start(work())

    def _start(self, work: Awaitable[None]) -> None:
        """Do something slow while the keys go on working; one such thing at a time."""
        if self._busy is not None and not self._busy.done():
            self.state.note = "still busy with the last one"
            asyncio.ensure_future(work).cancel()
            return

        async def guarded() -> None:
            try:
                await work
            except UserError as error:
                self.state.note = _said(error)
            self.app.invalidate()

        self._busy = asyncio.create_task(guarded())


def _said(error: UserError) -> str:
    return neutral(str(error)).replace("\n", " ")


def _joined(lines: list[Line]) -> StyleAndTextTuples:
    return [fragment for line in lines for fragment in (*line, ("", "\n"))]
