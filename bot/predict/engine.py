"""The interface of an engine: the one seam between a model and everything that uses it.

Two implementations are meant: the local one over llama.cpp, and one over an OpenAI-compatible server.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from ..errors import UserError
from .sampling import Sampling
from .schedule import Schedule
from .step import Score, Step

Finish = Literal["stop", "end", "length", "stopped", "error"]
"""stop: a stop string appeared; of an engine, and in old records, also: the model ended its turn. end: that,
where it is known. length: max_tokens, or the context was full. stopped: the reader closed the reply. error: a
named fault."""


class EngineError(UserError):
    """A reply could not go on. ``reason`` is a stable word for records; the message is for people."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class QueueFull(EngineError):
    """The engine takes no more waiting replies, in all or of this user."""

    def __init__(self, message: str) -> None:
        super().__init__("queue_full", message)


def short_name(model: str) -> str:
    """A model named by the path of its file is shown by the file's name: where it lies is nobody's business."""
    return model.rpartition("/")[2].removesuffix(".gguf")


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """Everything that decides the numbers besides the input: recorded with each turn."""

    name: str
    sha256: str
    quantization: str
    n_vocab: int
    n_ctx_train: int
    template_sha256: str
    llamacpp_build: str
    adapter_sha256: str | None = None
    adapter_scale: float = 0.0
    cpu: str = ""
    """The processor; "" where an older record does not say."""
    gpu_layers: int = 0
    """Layers computed on a GPU, -1 for all."""


@dataclass(frozen=True, slots=True)
class Timings:
    """Durations in microseconds from a monotonic clock."""

    queue_us: int
    ttft_us: int
    """From submission to the first step."""
    gen_us: int
    """From the first step to the last."""


class Generation(Protocol):
    """A running reply: iterate for its steps; ``aclose()`` stops decoding within one step.

    An end-of-generation token is yielded as the last step. A fault raises EngineError after the steps made so far.
    """

    def __aiter__(self) -> AsyncIterator[Step]: ...
    async def __anext__(self) -> Step: ...
    async def aclose(self) -> None: ...

    @property
    def place(self) -> int:
        """How many replies will have begun when this one has: 1 is next, 0 once running."""
        ...

    @property
    def n_cached(self) -> int:
        """Prompt tokens whose KV was reused instead of computed."""
        ...

    @property
    def finish(self) -> Finish | None:
        """How it ended; None while it runs."""
        ...

    @property
    def schedule(self) -> Schedule:
        """Kernel classes of all positions computed so far, reused ones included."""
        ...

    @property
    def timings(self) -> Timings: ...


class Engine(Protocol):
    """Token ids in, predictions out."""

    @property
    def model(self) -> ModelIdentity: ...

    @property
    def n_ctx(self) -> int:
        """Tokens one sequence may hold, prompt and reply together."""
        ...

    @property
    def trouble(self) -> str | None:
        """The last fault since it was started, and what came of it, in a line; None if there was none."""
        ...

    def generate(
        self,
        prompt: Sequence[int],
        sampling: Sampling,
        seed: int,
        *,
        first_step: int = 0,
        user: str = "",
        private: bool = False,
        session: int | None = None,
    ) -> Generation:
        """Start a reply to ``prompt``.

        ``first_step`` is the index of the first new token in its reply, for continuing one whose first tokens
        are already at the end of ``prompt``: draws are positional. ``user`` is whose turn it is in a fair queue.
        Of a ``private`` reply nothing is kept, in memory or on disk, once it has ended;
        of others it is known to which ``session`` of the log it belongs. Raises QueueFull.
        """
        ...

    async def score(self, tokens: Sequence[int], *, first: int = 1, k: int = 10, user: str = "") -> list[Score]:
        """Teacher forcing: one Score for each of ``tokens[first:]``, each given all before it (``first`` >= 1).

        One at a time for each ``user``, but the nameless. Raises QueueFull.
        """
        ...

    async def aclose(self) -> None:
        """End every running reply with a named reason and free the model."""
        ...
