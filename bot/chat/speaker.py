"""A speaker: one loaded model, ready to be talked to."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from ..predict.engine import Engine, ModelIdentity
from ..predict.render import Renderer
from ..predict.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class Speaker:
    """An engine, the vocabulary of its model and the renderer of its chat template.

    ``stop`` are strings that end a reply besides those in the settings: a model without a chat template is
    given a plain transcript, and would go on to write the other side's lines too.
    """

    engine: Engine
    vocabulary: Vocabulary
    renderer: Renderer
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Endings:
    """A model, and the tokens that end a reply of its: nothing is written after them."""

    model: ModelIdentity
    ends: frozenset[int]


@dataclass(frozen=True, slots=True)
class Other:
    """A further model. ``use`` loads it when it is asked for, and keeps it while it is used; ``endings`` reads its
    vocabulary alone."""

    use: Callable[[], AbstractAsyncContextManager[Speaker]]
    endings: Callable[[], Awaitable[Endings]]


Others = Mapping[str, Other]
"""Further models by name."""
