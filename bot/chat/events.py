"""What a front end hears while a reply is being made, in this order."""

from dataclasses import dataclass

from ..explain.turn import Status
from ..predict.engine import Finish


@dataclass(frozen=True, slots=True)
class Started:
    """The turn is in the log as `pending`; the prompt is rendered.

    ``dropped_turns`` and ``dropped_tokens``: what of a conversation over ``budget`` tokens was left out;
    ``known``: the reply before this one was given less, too, and said so. ``unread``: so many earlier messages,
    too, that lie where the log is damaged.
    """

    turn: int
    n_prompt: int
    dropped_turns: int
    dropped_tokens: int
    budget: int | None
    unread: int = 0
    known: bool = False


@dataclass(frozen=True, slots=True)
class Queued:
    """The place in the queue, 1 is next, 0 once running; sent again whenever it changes."""

    place: int


@dataclass(frozen=True, slots=True)
class Text:
    """More of the reply: whole characters, never part of a stop string."""

    text: str


@dataclass(frozen=True, slots=True)
class Thought:
    """More of what a reasoning model thinks before it answers."""

    text: str


@dataclass(frozen=True, slots=True)
class Done:
    """The end. ``turn`` is its number in the log, 0 for a reply that is not to be logged. ``message`` is the
    reply's id in the log, the parent of what is said next.

    ``gap`` is None, or why the reply is not in the file (a full disk, say): it reached the person all the same. If
    ``logged`` it is held in memory, can be explained, and is written when that can be done; if not, it is lost to
    the log. ``error`` is one line for people, set if ``status`` is `error`.
    """

    turn: int
    message: int | None
    text: str
    reasoning: str
    status: Status
    finish: Finish
    n_tokens: int
    seed: int
    logged: bool = True
    gap: str | None = None
    error: str | None = None


Event = Started | Queued | Text | Thought | Done
