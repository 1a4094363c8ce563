"""What of a damaged log could not be read."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

NAMED = 20
"""Ids of a kind that are named; of the others how many there are."""


@dataclass(slots=True)
class Missing:
    """The ids, by what they are of."""

    ids: dict[str, set[int]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.ids)

    def add(self, kind: str, id_: int) -> None:
        self.ids.setdefault(kind, set()).add(id_)

    def of(self, kind: str) -> Callable[[int], None]:
        return partial(self.add, kind)

    def update(self, other: "Missing") -> None:
        for kind, ids in other.ids.items():
            self.ids.setdefault(kind, set()).update(ids)

    def words(self) -> str:
        """`messages: 4, 5, 6; traces of turns: 9`."""
        return "; ".join(f"{kind}: {_named(sorted(ids))}" for kind, ids in self.ids.items())


def _named(ids: list[int]) -> str:
    named = ", ".join(map(str, ids[:NAMED]))
    return named + (f" and {len(ids) - NAMED} more" if len(ids) > NAMED else "")
