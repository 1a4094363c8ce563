"""Token ids in, the text of a reply out: characters whole, stop strings held back, thoughts apart."""

from collections.abc import Sequence

from ..predict.reasoning import ReasoningSplitter
from ..predict.shape import is_shown
from ..predict.tags import Tags
from ..predict.text import TextStream
from ..predict.vocabulary import Vocabulary
from .events import Text, Thought


class Transcript:
    """What was said so far. ``thinking``: the prompt itself opened the thought, which stands between ``tags``."""

    def __init__(self, vocabulary: Vocabulary, stop: Sequence[str], thinking: bool, tags: Tags) -> None:
        self._vocabulary = vocabulary
        self._tags = tags
        self._stream = TextStream(stop)
        self._splitter = ReasoningSplitter(thinking, tags)
        self.answer = ""
        self.reasoning = ""

    @property
    def stopped(self) -> str | None:
        """The stop string that was met."""
        return self._stream.stopped

    def feed(self, id: int) -> list[Text | Thought]:
        """What became certain with this token. Control tokens say nothing, but for those around a thought, and no
        stop string goes on beyond one."""
        if is_shown(id, self._vocabulary, self._tags):
            certain = self._stream.feed(self._vocabulary.piece(id))
        else:
            certain = self._stream.release()
        return self._tell(*self._splitter.feed(certain))

    def finish(self) -> list[Text | Thought]:
        """The rest, when no more tokens come."""
        first = self._tell(*self._splitter.feed(self._stream.finish()))
        return first + self._tell(*self._splitter.finish())

    def _tell(self, reasoning: str, answer: str) -> list[Text | Thought]:
        self.reasoning += reasoning
        self.answer += answer
        thought: list[Text | Thought] = [Thought(reasoning)] if reasoning else []
        return [*thought, Text(answer)] if answer else thought
