"""The reply's tokens with what the record says of each, grouped so that one visible character is one thing."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..predict.message import Role
from ..predict.prompt import Prompt, SpanKind
from ..predict.step import Step
from .ending import ends_itself, unshown_from
from .scale import Layer
from .turn import Turn
from .visible import decode, encode, graphemes

NATS_PER_BIT = math.log(2.0)


@dataclass(frozen=True, slots=True)
class Token:
    """One step in a line. ``index`` counts from the start of this record; nats, bits where a name says so."""

    index: int
    step: Step
    bytes: bytes
    is_end: bool
    """The model ended its turn here: the token is no text of the reply."""
    is_unshown: bool
    """It holds a part of the stop string that ended the reply."""

    @property
    def id(self) -> int:
        return self.step.id

    @property
    def logprob(self) -> float:
        return self.step.logprob

    @property
    def rank(self) -> int:
        return self.step.rank

    @property
    def entropy(self) -> float:
        return self.step.entropy

    @property
    def p_final(self) -> float:
        return self.step.p_final

    @property
    def p(self) -> float:
        return math.exp(self.logprob)

    @property
    def surprisal_bits(self) -> float:
        return max(0.0, -self.logprob / NATS_PER_BIT)

    @property
    def entropy_bits(self) -> float:
        return self.entropy / NATS_PER_BIT

    def value(self, layer: Layer) -> float:
        """What this token shows on a layer, in the layer's unit."""
        match layer:
            case "probability":
                return self.p
            case "surprisal":
                return self.surprisal_bits
            case "entropy":
                return self.entropy_bits
            case "rank":
                return float(self.rank)


@dataclass(frozen=True, slots=True)
class Group:
    """Neighbouring tokens that no reader can tell apart: together they are one or more whole characters.

    Most groups are one token. ``first`` and ``last`` are indices into the tokens, both included.
    """

    first: int
    last: int
    bytes: bytes


@dataclass(frozen=True, slots=True)
class PromptPart:
    """A span of the prompt: its tokens, and where they came from."""

    start: int
    ids: tuple[int, ...]
    pieces: tuple[bytes, ...]
    kind: SpanKind
    role: Role | None
    message: int | None

    @property
    def is_erased(self) -> bool:
        """Nothing is left of it but its length: erasure puts −1 in place of each id."""
        return bool(self.ids) and max(self.ids) < 0


def tokens(turn: Turn) -> tuple[Token, ...]:
    steps = turn.trace.steps
    end = len(steps) - 1 if ends_itself(turn) else None
    unshown = unshown_from(turn)
    unshown = len(steps) if unshown is None else unshown
    return tuple(
        Token(
            index=index,
            step=step,
            bytes=piece,
            is_end=index == end,
            is_unshown=index >= unshown,
        )
        for index, (step, piece) in enumerate(zip(steps, turn.trace.pieces, strict=True))
    )


def groups(pieces: Sequence[bytes]) -> tuple[Group, ...]:
    """Cut a run of tokens where a token's border is also a border between visible characters."""
    borders = _character_borders(b"".join(pieces))
    out: list[Group] = []
    first, start, offset = 0, 0, 0
    data = b"".join(pieces)
    for index, piece in enumerate(pieces):
        offset += len(piece)
        if offset in borders:
            out.append(Group(first, index, data[start:offset]))
            first, start = index + 1, offset
    return tuple(out)


def _character_borders(data: bytes) -> set[int]:
    """Byte offsets at which one grapheme ends and the next begins, both ends included."""
    borders = set(range(len(data) + 1))
    for knit in _KNIT.finditer(data):
        borders.difference_update(range(knit.start() + 1, knit.end()))
        offset = knit.start()
        for cluster in graphemes(decode(knit.group())):
            offset += len(encode(cluster))
            borders.add(offset)
    return borders


_KNIT = re.compile(rb"[^\r\x80-\xff]?(?:[\r\x80-\xff]+[^\r\x80-\xff]?)+")
"""Bytes that may be one character with their neighbours. Between any others (ASCII but CR) is a border."""


def prompt_parts(prompt: Prompt, pieces: Sequence[bytes]) -> tuple[PromptPart, ...]:
    """What the model saw, by origin."""
    return tuple(
        PromptPart(
            start=span.start,
            ids=prompt.ids[span.start : span.end],
            pieces=tuple(pieces[span.start : span.end]),
            kind=span.kind,
            role=span.role,
            message=span.message,
        )
        for span in prompt.spans
    )
