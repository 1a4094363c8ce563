"""A session as it is read: one line of messages through the tree, and at each fork the other versions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..store import MessageRow, TurnRow
from ..store.marks import Marks


@dataclass(frozen=True, slots=True)
class Line:
    """A message on the chosen line. ``versions`` are the ids of its siblings and itself, in order."""

    message: MessageRow
    turn: TurnRow | None
    """The turn that wrote it; None for what a person typed."""
    marks: Marks | None
    versions: tuple[int, ...]
    place: int

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


def transcript(
    messages: Sequence[MessageRow], turns: Sequence[TurnRow], marks: Mapping[int, Marks], at: int | None = None
) -> list[Line]:
    """The line that goes through message ``at``. At every other fork, and without ``at``, the version somebody went
    on from last: a retry or a what-if that nobody answered does not hide the conversation."""
    by_id = {message.id: message for message in messages}
    children: dict[int | None, list[int]] = {}
    for message in messages:
        children.setdefault(message.parent if message.parent in by_id else None, []).append(message.id)
    wanted = set()
    step = at if at in by_id else None
    while step is not None:
        wanted.add(step)
        parent = by_id[step].parent
        step = parent if parent in by_id else None
    went_on: dict[int, int] = {}
    for message in sorted(messages, key=lambda message: -message.id):
        own = message.id if message.role == "user" else 0
        went_on[message.id] = max([own, *(went_on.get(child, 0) for child in children.get(message.id, ()))])
    writers = {turn.reply_message: turn for turn in turns if turn.reply_message is not None}
    lines: list[Line] = []
    here: int | None = None
    while versions := children.get(here):
        last = max(versions, key=lambda id_: (went_on[id_], id_))
        chosen = next((id_ for id_ in versions if id_ in wanted), last)
        writer = writers.get(chosen)
        mark = marks.get(writer.id) if writer else None
        lines.append(Line(by_id[chosen], writer, mark, tuple(versions), versions.index(chosen)))
        here = chosen
    return lines


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of a long transcript: ``count`` messages, of which these begin with number ``first``.

    ``earlier`` and ``later`` are messages in the stretches beside it, ``begin`` and ``end`` the outermost ones."""

    lines: list[Line]
    first: int
    count: int
    begin: int | None
    earlier: int | None
    later: int | None
    end: int | None


def window(lines: list[Line], at: int | None, size: int = 200) -> Window:
    """The stretch with message ``at`` in it, else the last. The last is never a mere rest: it begins at a half
    stretch, and seldom moves while a session grows."""
    half = size // 2
    place = next((i for i, line in enumerate(lines) if line.message.id == at), len(lines) - 1)
    latest = max(0, -(-(len(lines) - size) // half) * half)
    start = min(max(place, 0) // size * size, latest)
    shown = lines[start : start + size]
    end = start + size
    return Window(
        shown,
        start + 1,
        len(lines),
        lines[0].message.id if start else None,
        lines[start - 1].message.id if start else None,
        lines[end].message.id if end < len(lines) else None,
        lines[-1].message.id if end < len(lines) else None,
    )
