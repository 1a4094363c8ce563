"""Sampling settings: how a token is picked from a predicted distribution."""

from dataclasses import dataclass
from typing import Literal

StageName = Literal["logit_bias", "penalties", "top_k", "top_p", "min_p", "temperature"]

DEFAULT_STAGES: tuple[StageName, ...] = ("logit_bias", "penalties", "top_k", "top_p", "min_p", "temperature")

COLDEST = 1e-3
"""The lowest temperature but 0: below, f32 logits divided by it would overflow for some rows, and 0 is meant."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to pick. ``stages`` is the order in which the stages run; a stage whose setting is neutral does nothing.

    ``temperature`` 0 is greedy. ``top_k`` 0, ``top_p`` 1, ``min_p`` 0, penalties 1/0/0 are neutral. The penalties
    look at the last ``penalty_window`` tokens of prompt and reply together (-1: all, 0: none). ``stop`` strings
    end the reply and are never shown.
    """

    temperature: float = 0.8
    top_k: int = 40
    top_p: float = 0.95
    min_p: float = 0.05
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    penalty_window: int = 64
    logit_bias: tuple[tuple[int, float], ...] = ()
    stages: tuple[StageName, ...] = DEFAULT_STAGES
    max_tokens: int = 512
    stop: tuple[str, ...] = ()

    @property
    def penalises(self) -> bool:
        """Whether a penalty is set that is not neutral."""
        return self.repetition_penalty != 1 or self.presence_penalty != 0 or self.frequency_penalty != 0
