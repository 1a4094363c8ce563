"""A page of an export: what some sessions and turns are as text."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Written:
    """``turns``: how many there are in it; ``models``: the rows of the models that made them."""

    text: str
    turns: int
    models: frozenset[int]
