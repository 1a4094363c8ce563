"""What queries return: rows with names."""

from dataclasses import dataclass

from ..explain.turn import Status
from ..predict.engine import Finish
from ..predict.message import Role


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A session in a list. Ids of Discord are integers here and strings in any JSON."""

    id: int
    kind: str
    title: str
    preview: str
    """How its first message by a person begins."""
    guild_id: int | None
    channel_id: int | None
    person: int | None
    n_turns: int
    last_turn: int | None
    created_us: int
    ended_us: int | None


@dataclass(frozen=True, slots=True)
class MessageRow:
    """A message as it is logged. ``turn`` made it, or (of a person's message) is the newest that answers it."""

    id: int
    session: int
    parent: int | None
    role: Role
    author: str | None
    person: int | None
    text: str
    reasoning: str
    turn: int | None
    discord_message_id: int | None
    erased: bool
    created_us: int


@dataclass(frozen=True, slots=True)
class TurnRow:
    """A turn without prompt and trace. ``surprisal`` is the mean −log p in nats."""

    id: int
    session: int
    prompt_message: int | None
    reply_message: int | None
    parent_turn: int | None
    first_step: int
    requester: int | None
    model: str
    seed: int
    status: Status
    finish: Finish | None
    error: str | None
    n_prompt: int
    n_cached: int
    n_out: int
    dropped_turns: int
    dropped_tokens: int
    queue_us: int | None
    ttft_us: int | None
    gen_us: int | None
    perplexity: float | None
    verifiable: bool
    app_version: str
    created_us: int
    prompt: str
    """What the turn answers."""
    reply: str
