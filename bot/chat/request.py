"""What a front end asks for."""

import secrets
from dataclasses import dataclass

from ..predict.draw import SEED_LIMIT
from ..predict.sampling import Sampling


def fresh_seed() -> int:
    return secrets.randbelow(SEED_LIMIT)


@dataclass(frozen=True, slots=True)
class ReplyRequest:
    """Answer ``message`` (its id in the log), given the chain of messages that leads to it.

    ``sampling`` and ``seed`` default to the settings and a fresh draw. ``user`` names whose turn it is in the
    engine's fair queue; ``requester`` is that person's Discord id, None in the terminal. ``model`` is one of
    ``Chat.models``, "" the usual one.
    """

    session: int
    message: int
    sampling: Sampling | None = None
    seed: int | None = None
    user: str = ""
    requester: int | None = None
    model: str = ""


@dataclass(frozen=True, slots=True)
class BranchRequest:
    """What if step ``step`` of ``turn`` had drawn token ``choice``? The reply goes on from there.

    ``choice`` is a token, or text that is one to the model that made the turn. With ``seed`` None the branch keeps
    the turn's own draws u(seed, t), so that only the choice differs.
    """

    turn: int
    step: int
    choice: int | str
    seed: int | None = None
    user: str = ""
    requester: int | None = None
