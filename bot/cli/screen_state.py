"""Where the reader of a full-screen explanation is, and what that reader may ask of a model."""

from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Protocol

from ..explain.explanation import Explanation, explain
from ..explain.family import Family
from ..explain.lines import width
from ..explain.loss import Scored
from ..explain.scale import LAYERS, Layer
from ..explain.turn import Turn
from ..explain.view import Candidate
from ..explain.visible import neutral, text

HELP = """← →        one step          PgUp PgDn  twenty steps
g G        first, last       n          the next of the least certain
/          find a text       N          the next that matches
r          the next that sampling overruled
l          layer: probability, surprisal, entropy, rank
s          show whitespace   i          what the model saw
w          what if: let the reply take another token here
t          training's loss: prompt and reply scored in one pass
p          prove: replay the reply and compare
v          the tree of what-ifs          o  open another turn of it
b          back to the reply you came from  c  compare with it
h          write it as a page: one HTML file
j k        scroll the lower part
?          this help         q          leave"""

_HINTS = (
    "←→ step",
    "j k scroll",
    "n least certain",
    "w what if",
    "p prove",
    "i input",
    "/ find",
    "l layer",
    "v tree",
)


def hint(columns: int) -> str:
    """What there is room for on one line, how to get help and away before all else."""
    shown, always = "", "? help  q leave"
    for each in _HINTS:
        if width(shown + each) + 2 + width(always) <= columns:
            shown += f"{each}  "
    return shown + always


def what_if_about(ends: Sequence[bool]) -> str:
    """What to answer a what-if with; of each candidate in the list whether it would end the reply, where that is
    known."""
    ending = [str(number) for number, is_end in enumerate(ends, start=1) if is_end]
    but = f" but {', '.join(ending)}, which would end the reply" if ending else ""
    return f'a number above{but}, or the text of one token ("7": a digit); ! first: fresh draws'


def what_if_of(typed: str, candidates: Sequence[Candidate]) -> tuple[int | str, bool]:
    """The token that was typed, by its number in the list or as text ("" for none), and whether on fresh draws."""
    wanted = typed.removeprefix("!")
    choice: int | str = wanted
    if wanted.isdecimal() and 0 < int(wanted) <= len(candidates):
        choice = candidates[int(wanted) - 1].id
    elif len(wanted) > 2 and wanted[0] == wanted[-1] == '"':
        choice = wanted[1:-1]
    return choice, wanted != typed


class Actions(Protocol):
    """What needs a model or the log: done when asked for, and only then."""

    async def turn(self, number: int) -> Turn:
        """A logged turn. Raises UserError."""
        ...

    async def family(self, turn: Turn) -> Family:
        """The logged replies to the message that ``turn`` answers, ``turn`` among them. Raises UserError."""
        ...

    async def prove(self, turn: Turn) -> list[str]:
        """The certificate in lines. Raises UserError."""
        ...

    async def score(self, turn: Turn) -> Scored:
        """Prompt and reply in one pass. Raises UserError."""
        ...

    async def ends(self, turn: Turn) -> frozenset[int]:
        """The tokens that no what-if can take there: they end a reply. Raises UserError where it can take none."""
        ...

    async def what_if(self, turn: Turn, step: int, choice: int | str, *, fresh: bool) -> Turn:
        """The turn with another token at recorded step ``step``: an id, or text that is one token.

        ``fresh`` draws anew; else only the choice differs. Raises UserError.
        """
        ...


@dataclass
class State:
    """Where the reader is."""

    explanation: Explanation
    step: int = 0
    layer: Layer = "probability"
    reveal: bool = False
    view: str = "step"
    needle: str = ""
    note: str = ""
    scroll: int = 0
    least: int = 0
    lines: list[str] = field(default_factory=list)
    """What the view `lines` shows: a certificate."""
    past: list[tuple[Explanation, int]] = field(default_factory=list)

    def go(self, step: int) -> None:
        last = len(self.explanation.tokens) - 1
        self.step, self.view, self.note, self.scroll = max(0, min(step, last)), "step", "", 0

    def find(self, start: int) -> None:
        """Go to the first token from ``start`` on, round the end, at which the needle begins: in the reply's text,
        so that it may go on in other tokens."""
        groups = self.explanation.groups
        texts = [text(group.bytes).casefold() for group in groups]
        ends = list(accumulate(map(len, texts)))
        whole, wanted = "".join(texts), self.needle.casefold()
        found: list[int] = []
        at = whole.find(wanted) if wanted else -1
        while at >= 0:
            found.append(groups[bisect(ends, at)].first)
            at = whole.find(wanted, at + 1)
        if found:
            self.go(next((step for step in found if step >= start), found[0]))
        else:
            self.note = f"the reply does not hold “{neutral(self.needle)}”"

    def next_least(self) -> None:
        least = self.explanation.whole.least_certain
        if least:
            self.go(least[self.least % len(least)])
            self.least += 1

    def next_overruled(self) -> None:
        steps = self.explanation.whole.overruled
        if steps:
            self.go(next((step for step in steps if step > self.step), steps[0]))
        else:
            self.note = "sampling overruled the favourite nowhere here"

    def next_layer(self) -> None:
        self.layer = LAYERS[(LAYERS.index(self.layer) + 1) % len(LAYERS)]

    def enter(self, turn: Turn, step: int) -> None:
        """Read another turn; `leave` comes back."""
        self.past.append((self.explanation, self.step))
        self.explanation = explain(turn)
        self.go(step)

    def leave(self) -> None:
        if self.past:
            self.explanation, step = self.past.pop()
            self.go(step)
        else:
            self.note = "this is the reply you came with"
