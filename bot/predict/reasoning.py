"""What a reasoning model thinks, kept apart from what it answers."""

OPEN, CLOSE = "<think>", "</think>"


class ReasoningSplitter:
    """Splits a reply's text into reasoning and answer while it streams.

    Reasoning is what stands between ``<think>`` at the very beginning of the reply and the first ``</think>``;
    where the prompt itself ``opened`` it, everything up to ``</think>``. The tags and the whitespace next to them
    belong to neither. A ``<think>`` further on is text like any other. However the text is cut, the result is the
    same.
    """

    def __init__(self, opened: bool = False) -> None:
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
        return reasoning, self._answer() if self._state == "answer" else ""

    def finish(self) -> tuple[str, str]:
        """The rest of (reasoning, answer), when no more text comes."""
        rest, self._held = self._held, ""
        if self._state == "reasoning":
            return rest.rstrip(), ""
        return "", rest

    def _start(self) -> None:
        text = self._held.lstrip()
        if text.startswith(OPEN):
            self._enter("reasoning", text[len(OPEN) :])
        elif not OPEN.startswith(text):
            self._state = "answer"

    def _reasoning(self) -> str:
        self._drop_space()
        before, found, after = self._held.partition(CLOSE)
        if found:
            self._enter("answer", after)
            return before.rstrip()
        # Hold back what may be the beginning of the tag, and the whitespace that would belong to it.
        size = next((n for n in range(len(CLOSE) - 1, 0, -1) if before.endswith(CLOSE[:n])), 0)
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


def split(text: str, *, opened: bool = False) -> tuple[str, str]:
    """(reasoning, answer) of a whole reply."""
    splitter = ReasoningSplitter(opened)
    first, rest = splitter.feed(text), splitter.finish()
    return first[0] + rest[0], first[1] + rest[1]
