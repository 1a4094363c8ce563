"""What a reasoning model thinks, kept apart from what it answers."""

from .tags import THINK, Tags


class ReasoningSplitter:
    """Splits a reply's text into reasoning and answer while it streams.

    Reasoning is what stands between the opening tag at the very beginning of the reply and the first closing tag;
    where the prompt itself ``opened`` it, everything up to the closing tag. Tags, headers and the whitespace next
    to them belong to neither. An opening tag further on is text like any other. However the text is cut, the result
    is the same.
    """

    def __init__(self, opened: bool = False, tags: Tags = THINK) -> None:
        self._tags = tags
        self._state = "reasoning" if opened else "start"
        self._held = ""
        self._fresh = opened  # whitespace right after a tag is dropped

    def feed(self, text: str) -> tuple[str, str]:
        """What became certain of (reasoning, answer)."""
        self._held += text
        reasoning = ""
        if self._state == "start":
            self._start()
        if self._state == "reasoning":
            reasoning = self._reasoning()
        if self._state == "closed":
            self._header()
        return reasoning, self._answer() if self._state == "answer" else ""

    def finish(self) -> tuple[str, str]:
        """The rest of (reasoning, answer), when no more text comes."""
        rest, self._held = self._held, ""
        if self._state == "reasoning":
            return rest.rstrip(), ""
        return "", rest.lstrip() if self._state == "closed" else rest

    def _start(self) -> None:
        text = self._held.lstrip()
        if text.startswith(self._tags.open):
            self._enter("reasoning", text[len(self._tags.open) :])
        elif header := next(filter(text.startswith, self._tags.headers), None):
            self._enter("answer", text[len(header) :])
        elif not any(tag.startswith(text) for tag in (self._tags.open, *self._tags.headers)):
            self._state = "answer"

    def _header(self) -> None:
        text = self._held.lstrip()
        header = next(filter(text.startswith, self._tags.headers), "")
        if header or not any(known.startswith(text) for known in self._tags.headers):
            self._enter("answer", text[len(header) :])

    def _reasoning(self) -> str:
        self._drop_space()
        close = self._tags.close
        before, found, after = self._held.partition(close)
        if found:
            self._enter("closed", after)
            return before.rstrip()
        # Hold back what may be the beginning of the tag, and the whitespace that would belong to it.
        size = next((n for n in range(len(close) - 1, 0, -1) if before.endswith(close[:n])), 0)
        certain = before[: len(before) - size].rstrip()
        self._held = before[len(certain) :]
        return certain

    def _answer(self) -> str:
        self._drop_space()
        text, self._held = self._held, ""
        return text

    def _enter(self, state: str, rest: str) -> None:
        self._state, self._held, self._fresh = state, rest, True

    def _drop_space(self) -> None:
        if self._fresh:
            self._held = self._held.lstrip()
            self._fresh = not self._held


def split(text: str, *, opened: bool = False, tags: Tags = THINK) -> tuple[str, str]:
    """(reasoning, answer) of a whole reply."""
    splitter = ReasoningSplitter(opened, tags)
    first, rest = splitter.feed(text), splitter.finish()
    return first[0] + rest[0], first[1] + rest[1]
