"""A page of an export, some sessions and turns as text: in pieces, so that nobody has to hold all of it twice."""

from dataclasses import dataclass

from .missing import Missing


@dataclass(frozen=True, slots=True)
class Needed:
    """Before what follows stand the vocabularies of these models (rows of `model`), unless they stood before."""

    models: frozenset[int]


@dataclass(frozen=True, slots=True)
class PageEnd:
    """How many turns were in it, and what would have been, could it be read."""

    turns: int
    missing: Missing


Piece = str | Needed | PageEnd
