"""Token bytes in, text out, as soon as it is certain."""

import codecs
from collections.abc import Sequence


class TextStream:
    """The text of one reply while it is made.

    A character comes out once all its bytes are there; bytes that can no longer become one come out as U+FFFD. What
    might be the beginning of a stop string is held back until that is decided, and the stop string itself
    never comes out. However the bytes are cut into tokens, the text is the same.
    """

    def __init__(self, stop: Sequence[str] = ()) -> None:
        self._stop = tuple(s for s in stop if s)
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._held = ""
        self.stopped: str | None = None
        """The stop string that was met. Nothing comes out after it."""

    def feed(self, piece: bytes) -> str:
        """The text that became certain with these bytes."""
        return self._advance(self._decoder.decode(piece))

    def release(self) -> str:
        """What was held back: no stop string goes on from here."""
        held, self._held = self._held, ""
        return held

    def finish(self) -> str:
        """The rest, when no more tokens come: what was held back, and U+FFFD for half a character."""
        text = self._advance(self._decoder.decode(b"", final=True))
        return text + self.release()

    def _advance(self, new: str) -> str:
        if self.stopped is not None:
            return ""
        text = self._held + new
        met = [(start + len(stop), start, stop) for stop in self._stop if (start := text.find(stop)) >= 0]
        if met:
            # The one complete first, as if the characters had come one by one.
            _, start, self.stopped = min(met)
            self._held = ""
            return text[:start]
        kept = max((_overlap(text, stop) for stop in self._stop), default=0)
        self._held = text[len(text) - kept :]
        return text[: len(text) - kept]


def _overlap(text: str, stop: str) -> int:
    """How many characters at the end of ``text`` could be the beginning of ``stop``."""
    sizes = range(min(len(text), len(stop) - 1), 0, -1)
    return next((size for size in sizes if text.endswith(stop[:size])), 0)
