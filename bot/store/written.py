"""A page of an export: what some sessions and turns are as text."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Written:
    """``turns``: how many there are in it; ``models``: the rows of the models that made them, or will make those of
    the sessions that begin here. The first of these begins ``begins`` characters into the text."""

    text: str
    turns: int
    models: frozenset[int]
    begins: int = 0
