"""How a family of models marks what it thinks: the tags around a thought, known from template or vocabulary."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

_BETWEEN = "\n\n"
_FIELDS = ("reasoning_content", "thinking", "reasoning", "thought")


class Parts(NamedTuple):
    """A reply taken apart; joined they are the reply. ``opening``, ``closing`` hold the tags."""

    opening: str
    reasoning: str
    closing: str
    answer: str


@dataclass(frozen=True, slots=True)
class Tags:
    """``open`` begins a thought at the very beginning of a reply, ``close`` ends it.

    ``headers`` may stand before the answer besides, with or without a thought. ``sign`` is what a template with
    these tags contains; ``close`` where it is empty.
    """

    open: str
    close: str
    headers: tuple[str, ...] = ()
    sign: str = ""

    def holds(self, text: str) -> bool:
        """Whether a token of this text is (part of) a tag."""
        return bool(text) and any(text in tag for tag in (self.open, self.close, *self.headers))

    def apart(self, text: str) -> Parts | None:
        """A whole reply, tags and all, taken apart; None where there is neither thought nor header."""
        headers = "|".join(map(re.escape, self.headers)) or "(?!)"
        thought = (
            rf"(\s*{re.escape(self.open)}|)(.*?)({re.escape(self.close)}(?:\s*(?:{headers}))?)(.*)",
            rf"()()(\s*(?:{headers}))(.*)",
        )
        found = next(filter(None, (re.fullmatch(pattern, text, re.DOTALL) for pattern in reversed(thought))), None)
        return Parts(*found.groups()) if found else None

    def joined(self, reasoning: str, answer: str) -> str:
        """A reply with both, as the model would have written it."""
        header = self.headers[0] if self.headers else _BETWEEN
        return f"{self.open}\n{reasoning}\n{self.close}{header}{answer}"


THINK = Tags("<think>", "</think>")
"""What most models use, and those whose template says nothing of it."""

FAMILIES = (
    Tags(  # gpt-oss and others with the harmony format
        "<|channel|>analysis<|message|>",
        "<|end|>",
        ("<|start|>assistant<|channel|>final<|message|>", "<|channel|>final<|message|>"),
        sign="<|start|>assistant<|channel|>final<|message|>",
    ),
    Tags("<|think|>", "<|end|>", ("<|begin|>assistant<|content|>",), sign="<|begin|>assistant<|content|>"),  # Solar
    Tags("<|channel>thought", "<channel|>"),  # Gemma 4
    Tags("<seed:think>", "</seed:think>"),
    Tags("<mm:think>", "</mm:think>"),  # MiniMax
    Tags("<think:opensource>", "</think:opensource>", sign="</think{}>"),  # Hunyuan
    Tags("[THINK]", "[/THINK]"),  # Magistral, Ministral
    Tags("◁think▷", "◁/think▷"),  # Kimi
    Tags("<|START_THINKING|>", "<|END_THINKING|>", ("<|START_RESPONSE|>",), sign="<|END_THINKING|>"),  # Command
    Tags("<|inner_prefix|>", "<|inner_suffix|>"),  # Apertus
    Tags("Here are my reasoning steps:", "[BEGIN FINAL RESPONSE]"),  # Apriel
    Tags("<thinking>", "</thinking>"),
    Tags("<thought>", "</thought>"),
    Tags("<reasoning>", "</reasoning>"),
)


def tags_of(template: str, special: Collection[str]) -> Tags:
    """The tags a template writes or looks for; else those that are tokens of their own; else THINK."""
    if THINK.close in template:
        return THINK
    named = (tags for tags in FAMILIES if (tags.sign or tags.close) in template)
    tokens = (tags for tags in FAMILIES if not tags.sign and tags.open in special and tags.close in special)
    return next(named, None) or next(tokens, THINK)


def thought_field(template: str) -> str | None:
    """The field of a message in which the template takes a thought, apart from the text."""
    if _FIELDS[0] in template:
        return _FIELDS[0]
    pattern = r"\b(?:message|msg|m)(?:\.|\[['\"]|\.get\(['\"]){}\b"
    return next((field for field in _FIELDS[1:] if re.search(pattern.format(field), template)), None)
