"""A model loaded once a process, lent to every engine and bot of the tests."""

from copy import copy
from dataclasses import replace
from functools import cache
from typing import Any

from glasshead.predict import pool
from glasshead.predict.model import Model
from glasshead.predict.pool import ModelChoice
from glasshead.predict.vocabulary import Vocabulary

load = pool.load_model


def lent(model: Model, name: str = "") -> Model:
    """The same model for somebody who closes what they are given."""
    copied = copy(model)
    if name:
        copied.identity = replace(model.identity, name=name)
    copied.close = lambda: None  # type: ignore[method-assign]
    return copied


def lend(model: Model) -> Any:
    """A `load_model` that lends this one, and loads every other."""

    def load_model(name: str, choice: ModelChoice) -> Model:
        if choice.path != model.path or choice.adapter or choice.n_gpu_layers:
            return load(name, choice)
        return lent(model, name)

    return load_model


def remembered(vocabulary: Vocabulary) -> None:
    """Let it spell its tokens out only once."""
    vocabulary.pieces = cache(vocabulary.pieces)  # type: ignore[method-assign]
