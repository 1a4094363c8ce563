"""A turn as it was recorded: everything needed to explain a reply, and to replay it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ..predict.engine import Finish, ModelIdentity, Timings
from ..predict.prompt import Prompt
from ..predict.sampling import Sampling
from ..predict.schedule import Schedule
from ..predict.step import Step

Status = Literal["pending", "ok", "stopped", "error", "interrupted"]


@dataclass(frozen=True, slots=True)
class Trace:
    """The steps of one reply, and the bytes of each step's token (so the model need not be at hand).

    ``candidate_pieces`` are the bytes of every id that stands in some step's ``top``, by id. ``fault`` says in
    words what of the record could not be read; ``steps`` are then those that could.
    """

    steps: tuple[Step, ...]
    pieces: tuple[bytes, ...]
    k: int
    candidate_pieces: Mapping[int, bytes] = field(default_factory=dict)
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """prompt + sampling + seed + trace + outcome + timings.

    ``first_step`` > 0 marks a branch that kept the first ``first_step`` tokens of another turn's reply: those
    are at the end of ``prompt.ids``. ``prompt_pieces`` are the bytes of each prompt token. ``verifiable`` is
    False once an erasure tombstoned part of what went in. ``prompt_message`` is the logged message it answers,
    ``reply_message`` the one it became.
    """

    id: int
    session: int
    model: ModelIdentity
    prompt: Prompt
    prompt_pieces: tuple[bytes, ...]
    sampling: Sampling
    seed: int
    first_step: int
    trace: Trace
    schedule: Schedule
    status: Status
    finish: Finish | None
    error: str | None
    reply: str
    reasoning: str
    n_cached: int
    timings: Timings | None
    created_us: int
    app_version: str
    parent_turn: int | None = None
    verifiable: bool = True
    prompt_message: int | None = None
    reply_message: int | None = None

    @property
    def lack(self) -> str | None:
        """In words, why what went in and came out cannot be given to a model again; None if it can."""
        if self.trace.fault:
            return f"its record is damaged: {self.trace.fault}"
        return None if self.verifiable else "part of what went in was erased: its input cannot be given again"
