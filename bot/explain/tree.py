"""The tree of what-ifs: the replies to one message, each branch below the reply whose beginning it kept."""

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .branches import ReplyToken, compare, reply
from .ending import ends_itself, stated
from .explanation import explain
from .lines import Line, width
from .text import outcome, percent, quoted
from .turn import Turn
from .visible import ELLIPSIS, graphemes, neutral


@dataclass(frozen=True, slots=True)
class Fork:
    """Where a branch left its parent. ``step`` counts in the parent's record, whose probabilities these are."""

    parent: int
    step: int
    took: ReplyToken
    took_p: float | None
    """None for a token that was not among the recorded candidates."""
    instead_id: int
    instead: bytes
    instead_p: float
    same_draws: bool
    meets_at: tuple[int, int] | None
    """Where the two replies agree again: reply positions in the parent and in the branch."""


@dataclass(frozen=True, slots=True)
class Branch:
    """A reply and the replies that kept its beginning. ``fork`` is None for one that left no other."""

    turn: Turn
    fork: Fork | None
    branches: tuple["Branch", ...]


@dataclass(frozen=True, slots=True)
class TreeRow:
    """One branch of a tree drawn with lines: what stands before its first line, and before the ones below."""

    branch: Branch
    depth: int
    lead: str
    under: str


def tree(turns: Sequence[Turn]) -> tuple[Branch, ...]:
    """The turns as trees, roots and children by id. A turn whose parent is not given is a root."""
    known = {turn.id: turn for turn in turns}
    children: dict[int | None, list[Turn]] = {}
    for turn in sorted(known.values(), key=lambda turn: turn.id):
        parent = turn.parent_turn if turn.parent_turn in known else None
        children.setdefault(parent, []).append(turn)

    def grow(parent: int | None) -> tuple[Branch, ...]:
        return tuple(
            Branch(turn, None if parent is None else _fork(known[parent], turn), grow(turn.id))
            for turn in children.get(parent, [])
        )

    return grow(None)


def _fork(parent: Turn, turn: Turn) -> Fork | None:
    """None where the record cannot tell, because one of the two is damaged or erased."""
    step = turn.first_step - 1 - parent.first_step
    if not 0 <= step < len(parent.trace.steps) or len(turn.prompt_pieces) < turn.first_step:
        return None
    there = explain(parent).step(step)
    took = reply(turn)[turn.first_step - 1]
    listed = {candidate.id: candidate.p for candidate in there.candidates}
    return Fork(
        parent=parent.id,
        step=step,
        took=took,
        took_p=listed.get(took.id),
        instead_id=there.id,
        instead=there.bytes,
        instead_p=there.p,
        same_draws=turn.seed == parent.seed,
        meets_at=compare(parent, turn).meets_at,
    )


def tree_rows(forest: Sequence[Branch], depth: int = 0, before: str = "") -> Iterator[TreeRow]:
    """Every branch with the lines that lead to it, in the order they are read."""
    for number, branch in enumerate(forest):
        last = number == len(forest) - 1
        lead = before + ("└─ " if last else "├─ ") if depth else ""
        inside = before + ("   " if last else "│  ") if depth else ""
        yield TreeRow(branch, depth, lead, inside + ("│ " if branch.branches else "  "))
        yield from tree_rows(branch.branches, depth + 1, inside)


def tree_lines(forest: Sequence[Branch], current: int | None = None, columns: int = 80) -> list[Line]:
    """The tree as text. The turn ``current`` is set off."""
    lines: list[Line] = []
    for row in tree_rows(forest):
        branch, room = row.branch, columns - width(row.under)
        here = branch.turn.id == current
        first, *more = textwrap.wrap(title(branch) + (" ◀ this one" if here else ""), room)
        lines.append([("", row.lead), ("bold" if here else "", first)])
        texts = [*more, *textwrap.wrap(said(branch.fork), room), continuation(branch, room), met(branch.fork)]
        lines += [[("", row.under), ("", text)] for text in texts if text]
    return lines


def title(branch: Branch) -> str:
    """A branch in a few words."""
    turn = branch.turn
    words = [f"turn {turn.id}", f"{turn.first_step + len(turn.trace.steps)} tokens"]
    if stated(turn.finish) != "stop" or turn.error:
        words.append(outcome(explain(turn)))
    if branch.fork:
        words.append("the same draws" if branch.fork.same_draws else "fresh draws")
    return " · ".join(words)


def said(fork: Fork | None) -> str:
    """What was chosen where, in one line."""
    if fork is None:
        return ""
    took_p = "unlisted" if fork.took_p is None else percent(fork.took_p)
    words = f"step {fork.step}: {quoted(fork.took.bytes, 14)} {took_p}"
    return f"{words}, not {quoted(fork.instead, 14)} {percent(fork.instead_p)}"


def continuation(branch: Branch, columns: int) -> str:
    """How the reply goes on from the token it took, on one line."""
    turn = branch.turn
    start = turn.first_step - 1 if branch.fork else 0
    tokens = reply(turn)[max(0, start) :]
    if tokens and ends_itself(turn):
        tokens = tokens[:-1]
    text = " ".join(neutral(b"".join(token.bytes for token in tokens)).split())
    return _cut(f"{ELLIPSIS} {text}" if branch.fork else text, columns)


def met(fork: Fork | None) -> str:
    """Where the branch agrees with its parent again."""
    if fork is None or fork.meets_at is None:
        return ""
    return f"meets turn {fork.parent} again at token {fork.meets_at[1]}"


def _cut(text: str, columns: int) -> str:
    if width(text) <= columns:
        return text
    out = ""
    for cluster in graphemes(text):
        if width(out + cluster) > columns - 1:
            break
        out += cluster
    return out + ELLIPSIS
