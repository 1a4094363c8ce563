"""A speaker: one loaded model, ready to be talked to."""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from ..predict.engine import Engine
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


Others = Mapping[str, Callable[[], AbstractAsyncContextManager[Speaker]]]
"""Further models by name, each loaded when it is asked for, and kept while it is used."""
