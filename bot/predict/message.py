"""What is said in a conversation: the input of a prompt, before any token exists."""

from dataclasses import dataclass
from typing import Literal

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class Message:
    """One utterance.

    ``text`` is exactly what was typed or generated. ``author`` is the speaker's name, set where several people
    talk and the model should be able to tell them apart. ``ids`` are the token ids an assistant message was
    generated as, end-of-turn token included where one was drawn; empty for everything a person typed.
    ``reasoning`` is what a reasoning model thought before it answered, kept apart from ``text``. ``id`` is the
    caller's name for the message; spans carry it back, the prompt never shows it.
    """

    role: Role
    text: str
    author: str | None = None
    ids: tuple[int, ...] = ()
    reasoning: str = ""
    id: int | None = None


Conversation = tuple[Message, ...]
"""The chain of messages given to the model, oldest first, the system message (if any) at index 0."""
