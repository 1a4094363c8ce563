"""A prompt: the token ids of the whole rendered conversation, and where each of them came from."""

from dataclasses import dataclass
from typing import Literal

from .message import Role

SpanKind = Literal["marker", "typed", "generated", "rewritten"]
"""marker: the chat template wrote it. typed: a person wrote it, its bytes are exactly what was typed. generated:
ids of an earlier reply, unchanged. rewritten: message text that the template changed (trimmed, dropped), so
tokenised anew."""


@dataclass(frozen=True, slots=True)
class Span:
    """Prompt positions ``start <= i < end`` and their origin; ``message`` is ``Message.id`` of the origin."""

    start: int
    end: int
    kind: SpanKind
    role: Role | None = None
    message: int | None = None


@dataclass(frozen=True, slots=True)
class Prompt:
    """``ids`` is everything the model is given. ``spans`` cover it without gap or overlap, in order.

    ``dropped_turns`` and ``dropped_tokens`` say what a conversation longer than ``budget`` tokens lost: whole
    oldest turns, never the system message nor the newest one.
    """

    ids: tuple[int, ...]
    spans: tuple[Span, ...]
    dropped_turns: int = 0
    dropped_tokens: int = 0
    budget: int | None = None
