"""What of a decoded trace is made when it is looked at: a reply lists thousands of candidates, few are opened."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Generic, TypeVar, overload

from ..predict.step import Step

T = TypeVar("T")


class Unopened(Sequence[T], Generic[T]):
    """Records made by ``make(start, end)`` when they are asked for; equal to the tuple of them. The first is made
    alone where it alone is wanted: most steps of a reply are asked for nothing but their likeliest candidate."""

    __slots__ = ("_end", "_made", "_make", "_start")

    def __init__(self, make: Callable[[int, int], tuple[T, ...]], start: int, end: int) -> None:
        self._make = make
        self._start = start
        self._end = end
        self._made: tuple[T, ...] | None = None

    def _records(self) -> tuple[T, ...]:
        if self._made is None:
            self._made = self._make(self._start, self._end)
        return self._made

    def __len__(self) -> int:
        return self._end - self._start

    @overload
    def __getitem__(self, place: int) -> T: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[T, ...]: ...
    def __getitem__(self, place: int | slice) -> T | tuple[T, ...]:
        if place == 0 and self._made is None and self._start < self._end:
            return self._make(self._start, self._start + 1)[0]
        return self._records()[place]

    def __iter__(self) -> Iterator[T]:
        return iter(self._records())

    def __eq__(self, other: object) -> bool:
        theirs = other._records() if isinstance(other, Unopened) else other
        return isinstance(theirs, tuple) and self._records() == theirs

    def __hash__(self) -> int:
        return hash(self._records())

    def __repr__(self) -> str:
        return repr(self._records())


class ListedPieces(Mapping[int, bytes]):
    """The bytes of each token that some step lists, from the vocabulary's ``pieces``."""

    def __init__(self, pieces: Sequence[bytes], steps: Sequence[Step]) -> None:
        self._pieces = pieces
        self._steps = steps

    def __getitem__(self, token: int) -> bytes:
        if 0 <= token < len(self._pieces):
            return self._pieces[token]
        raise KeyError(token)

    def __iter__(self) -> Iterator[int]:
        listed = {candidate.id for step in self._steps for candidate in step.top}
        return (token for token in listed if token in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, token: object) -> bool:
        return isinstance(token, int) and 0 <= token < len(self._pieces)
