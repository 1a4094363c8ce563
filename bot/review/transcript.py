"""A session as it is read: one line of messages through the tree, and at each fork the other versions.

Of a long session only the stretch that is shown is read; of the rest, which message answers which.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from ..store import MessageRow, TurnRow
from ..store.marks import Marks, marks_of
from ..store.missing import Missing
from ..store.sessions import Place, some_messages, tree
from ..store.turns import turns_at

STRETCH = 200
"""Messages shown at once."""


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of a long transcript: ``count`` messages, of which these begin with number ``first``.

    ``earlier`` and ``later`` are messages in the stretches beside it, ``begin`` and ``end`` the outermost ones."""

    shown: list[int]
    first: int
    count: int
    begin: int | None
    earlier: int | None
    later: int | None
    end: int | None


@dataclass(frozen=True, slots=True)
class Line:
    """A message as it is shown. ``versions`` are the ids of its siblings and itself, in order."""

    message: MessageRow
    versions: tuple[int, ...]
    place: int
    turn: TurnRow | None
    """The turn that wrote it; None for what a person typed."""
    marks: Marks | None
    unanswered: tuple[TurnRow, ...]
    """Turns that were to answer it and have no reply (yet)."""

    @property
    def before(self) -> int | None:
        return self.versions[self.place - 1] if self.place else None

    @property
    def after(self) -> int | None:
        return self.versions[self.place + 1] if self.place + 1 < len(self.versions) else None

    @property
    def name(self) -> str:
        if self.message.role == "user":
            return self.message.author or "You"
        return self.turn.model if self.turn else self.message.role


def transcript(tree: Sequence[Place], at: int | None = None) -> list[int]:
    """The messages on the line that goes through ``at``. At every other fork, and without ``at``, it takes the
    version somebody went on from last: a retry or a what-if that nobody answered does not hide the conversation."""
    parents = _parents(tree)
    chosen: dict[int | None, int] = {}
    typed = [id_ for id_, _, is_typed in tree if is_typed]
    for id_ in [at] * (at in parents) + typed[::-1] + [*parents][::-1]:
        step = id_
        while step is not None and (parent := parents[step]) not in chosen:
            chosen[parent] = step
            step = parent
    line: list[int] = []
    here: int | None = None
    while (here := chosen.get(here)) is not None:
        line.append(here)
    return line


def _parents(tree: Sequence[Place]) -> dict[int, int | None]:
    """Of each message the one it answers; None of those whose parent is not there."""
    ids = {id_ for id_, _, _ in tree}
    return {id_: parent if parent in ids else None for id_, parent, _ in tree}


def versions(tree: Sequence[Place], shown: Sequence[int]) -> dict[int, tuple[int, ...]]:
    """Of some messages, all that answer the same one."""
    parents = _parents(tree)
    siblings: dict[int | None, list[int]] = {parents[id_]: [] for id_ in shown}
    for id_, parent in parents.items():
        if parent in siblings:
            siblings[parent].append(id_)
    return {id_: tuple(siblings[parents[id_]]) for id_ in shown}


def window(line: list[int], at: int | None, size: int = STRETCH) -> Window:
    """The stretch with message ``at`` in it, else the last. The last is never a mere rest: it begins at a half
    stretch, and seldom moves while a session grows."""
    half = size // 2
    number = line.index(at) if at in line else len(line) - 1
    latest = max(0, -(-(len(line) - size) // half) * half)
    start = min(max(number, 0) // size * size, latest)
    end = start + size
    return Window(
        line[start:end],
        start + 1,
        len(line),
        line[0] if start else None,
        line[start - 1] if start else None,
        line[end] if end < len(line) else None,
        line[-1] if end < len(line) else None,
    )


def stretch(connection: sa.Connection, session: int, at: int | None) -> tuple[Window, list[Line]]:
    """The stretch of a session with message ``at`` in it, else the last, and what is said in it."""
    places = tree(connection, session)
    shown = window(transcript(places, at), at)
    beside = versions(places, shown.shown)
    messages = {message.id: message for message in some_messages(connection, shown.shown)}
    turns = turns_at(connection, messages)
    marks = marks_of(connection, [turn.id for turn in turns], Missing())
    made = {turn.reply_message: turn for turn in turns}
    unanswered: dict[int | None, list[TurnRow]] = {}
    for turn in turns:
        if turn.reply_message is None:
            unanswered.setdefault(turn.prompt_message, []).append(turn)
    lines = [
        Line(
            message=messages[id_],
            versions=beside[id_],
            place=beside[id_].index(id_),
            turn=made.get(id_),
            marks=marks.get(made[id_].id) if id_ in made else None,
            unanswered=tuple(unanswered.get(id_, ())),
        )
        for id_ in shown.shown
        if id_ in messages
    ]
    return shown, lines
