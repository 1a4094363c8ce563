"""The replies to one message: its retries, and the what-ifs that branched from any of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

from .turn import Turn


@dataclass(frozen=True, slots=True)
class Family(Sequence[Turn]):
    """Those that were read. ``left_out``: the numbers of the others, where there are too many to read at once."""

    turns: tuple[Turn, ...] = ()
    left_out: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.turns)

    @overload
    def __getitem__(self, place: int) -> Turn: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[Turn, ...]: ...
    def __getitem__(self, place: int | slice) -> Turn | tuple[Turn, ...]:
        return self.turns[place]

    @property
    def numbers(self) -> tuple[int, ...]:
        """Of all replies to the message."""
        return tuple(sorted((*(turn.id for turn in self.turns), *self.left_out)))

    @property
    def unread(self) -> str:
        """What the tree does not show, in words; "" if it shows all."""
        if not self.left_out:
            return ""
        count = len(self.left_out)
        return (
            f"{count} more repl{'ies' if count > 1 else 'y'} to this message, not read here: "
            f"turn{'s' if count > 1 else ''} {', '.join(map(str, self.left_out))}"
        )
