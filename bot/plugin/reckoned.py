"""What proofs and scorings came to, so that a turn's page can hold it: for the latest turns, while the bot runs."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from ..explain.family import Family
from ..explain.loss import arrange
from ..explain.page import Extras
from ..explain.turn import Turn
from ..predict.step import Score

MOST_TURNS = 32


@dataclass(slots=True)
class _Known:
    """Numbers only: whose words they are about is the log's to say, and to forget."""

    scores: Sequence[Score] = ()
    certificate: Sequence[str] = ()


class Reckoned:
    """By turn; the one that was worked on longest ago goes first."""

    def __init__(self) -> None:
        self._turns: OrderedDict[int, _Known] = OrderedDict()

    def scored(self, turn: int, scores: Sequence[Score]) -> None:
        """Remember one pass over prompt and reply."""
        self._at(turn).scores = scores

    def proven(self, turn: int, certificate: Sequence[str]) -> None:
        """Remember a certificate, in lines."""
        self._at(turn).certificate = certificate

    def extras(self, turn: Turn, family: Family) -> Extras:
        """For the page of a turn as the log has it now: nothing of one that was erased since."""
        known = self._turns.get(turn.id)
        if known is None or not turn.verifiable:
            return Extras(family=family)
        scored = arrange(turn, known.scores) if known.scores else None
        return Extras(scored, known.certificate, family)

    def _at(self, turn: int) -> _Known:
        known = self._turns.setdefault(turn, _Known())
        self._turns.move_to_end(turn)
        if len(self._turns) > MOST_TURNS:
            self._turns.popitem(last=False)
        return known
