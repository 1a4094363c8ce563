"""Where each message's text comes to stand in what a chat template writes.

The template never sees the texts. For each of them it is given one private character, with the text's own leading
and trailing whitespace around it, so that a template that trims does so. Whatever a person types, the template
cannot take it for anything, and every character it writes has a known origin.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal

from ..errors import UserError
from .message import Message, Role

# Planes 15 and 16 of Unicode are for private use.
_PLANES = (0xF0000, 0x100000)
_MOST = 0xFFFD


@dataclass(frozen=True, slots=True, eq=False)
class Slot:
    """A text on its way through a template. ``index`` is the message's place in the conversation."""

    message: Message
    index: int
    part: Literal["name", "reasoning", "text"]
    text: str

    @property
    def lead(self) -> str:
        """The whitespace at its beginning (all of it, if there is nothing else)."""
        return self.text[: len(self.text) - len(self.text.lstrip())]

    @property
    def core(self) -> str:
        return self.text.strip()

    @property
    def trail(self) -> str:
        return self.text[len(self.text.rstrip()) :] if self.core else ""


@dataclass(frozen=True, slots=True)
class Entry:
    """A message as the template gets it: its texts, and literals that the template may act on."""

    role: Role
    content: tuple[Slot | str, ...]
    reasoning: Slot | None = None

    @property
    def slots(self) -> list[Slot]:
        named = [self.reasoning] if self.reasoning else []
        return named + [part for part in self.content if isinstance(part, Slot)]


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of the rendered template: written by itself, or ``text`` as it came out of ``slot``."""

    text: str
    slot: Slot | None = None

    @property
    def is_changed(self) -> bool:
        """The template trimmed it."""
        return self.slot is not None and self.text != self.slot.text


class Layout:
    """Gives private characters to the texts of ``entries``, and finds them again.

    ``field`` is where the template looks for a thought.
    """

    def __init__(self, entries: Sequence[Entry], template: str, field: str | None = None) -> None:
        self.entries = entries
        self._field = field
        plane = next((p for p in _PLANES if not re.search(f"[{chr(p)}-{chr(p + _MOST)}]", template)), None)
        slots = list(chain.from_iterable(entry.slots for entry in entries))
        if plane is None or len(slots) > _MOST:
            raise UserError("this conversation has too many messages for the model's chat template")
        self._slots = {chr(plane + n): slot for n, slot in enumerate(slots)}
        self._characters = {slot: character for character, slot in self._slots.items()}
        self._pattern = re.compile(f"([{chr(plane)}-{chr(plane + _MOST)}])")

    def messages(self, *, edges: bool, as_parts: bool = False) -> list[dict[str, Any]]:
        """What the template is given: with the texts' ``edges`` of whitespace, or bare.

        ``as_parts`` has the content as a list of parts, which templates of models that also see ask for.
        """
        out: list[dict[str, Any]] = []
        for entry in self.entries:
            content = "".join(self._written(part, edges) for part in entry.content)
            made: dict[str, Any] = {
                "role": entry.role,
                "content": [{"type": "text", "text": content}] if as_parts else content,
            }
            if entry.reasoning and self._field:
                made[self._field] = self._written(entry.reasoning, edges)
            out.append(made)
        return out

    @property
    def has_edges(self) -> bool:
        return any(slot.text != slot.core for slot in self._slots.values())

    def pieces(self, edged: str, bare: str) -> list[Piece]:
        """The rendered text in order, taken apart.

        ``edged`` and ``bare`` are the template's renderings with and without edges: where the gap between two texts
        is the same in both, the whitespace was trimmed; where it is longer by just that, it was kept.
        """
        gaps, characters = self._split(edged)
        bare_gaps, bare_characters = self._split(bare)
        comparable = characters == bare_characters
        out: list[Piece] = []
        begin, before = "", None  # what the text before this gap begins with, and its slot
        for n, gap in enumerate(gaps):
            after = self._slots[characters[n]] if n < len(characters) else None
            trail, lead = before.trail if before else "", after.lead if after else ""
            kept_trail, kept_lead = _kept(gap, bare_gaps[n], trail, lead) if comparable else (0, 0)
            if before:
                out.append(Piece(begin + before.core + gap[:kept_trail], before))
            out.append(Piece(gap[kept_trail : len(gap) - kept_lead]))
            begin, before = gap[len(gap) - kept_lead :], after
        return out

    def _written(self, part: Slot | str, edges: bool) -> str:
        if isinstance(part, str):
            return part
        character = self._characters[part]
        return f"{part.lead}{character}{part.trail}" if edges else character

    def _split(self, text: str) -> tuple[list[str], list[str]]:
        parts = self._pattern.split(text)
        return parts[::2], parts[1::2]


def _kept(gap: str, bare: str, trail: str, lead: str) -> tuple[int, int]:
    """How many characters of ``trail`` and ``lead`` the template left around ``bare`` in ``gap``."""
    extra = len(gap) - len(bare)
    # Both whole, one whole, or (a template that trims newlines only) a part of one.
    for of_trail in (len(trail), extra - len(lead), extra, 0):
        of_lead = extra - of_trail
        if (
            0 <= of_trail <= len(trail)
            and 0 <= of_lead <= len(lead)
            and gap == trail[:of_trail] + bare + lead[len(lead) - of_lead :]
        ):
            return of_trail, of_lead
    return 0, 0
