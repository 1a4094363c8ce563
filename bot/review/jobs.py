"""What takes the model seconds to minutes, proofs and branches: it runs beside the page."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from itertools import count
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from ..errors import UserError
from ..explain.loss import MEANING, Scored
from ..explain.turn import Turn
from ..explain.view import Candidate, StepView
from .keys import key
from .microscope import seen_tokens
from .render import page

KEPT = 50


class Actions(Protocol):
    """What needs a model."""

    async def prove(self, turn: Turn) -> list[str]:
        """Replay the turn; its certificate in lines."""
        ...

    async def score(self, turn: Turn) -> Scored:
        """Prompt and reply in one pass."""
        ...

    async def ends(self, turn: Turn) -> frozenset[int]:
        """The tokens that no what-if can take there: they end a reply. Raises UserError where it can take none."""
        ...

    async def what_if(self, turn: Turn, step: int, choice: int | str, *, fresh: bool) -> Turn:
        """Let the reply take ``choice`` at recorded step ``step``; the branch, logged."""
        ...


Result = list[str] | Scored | Turn
"""A certificate in lines, a scored text, a branch."""

OpenActions = Callable[[], AbstractAsyncContextManager[Actions]]
"""Loads what is needed, and lets go of it again."""


@dataclass(frozen=True, slots=True)
class Job:
    what: str
    turn: int
    task: "asyncio.Task[Result]"


@dataclass(frozen=True, slots=True)
class WhatIf:
    """The candidates from which a reply can go on, or why it can from none."""

    others: tuple[Candidate, ...] = ()
    refused: str = ""


class Jobs:
    """One runs at a time: they share the machine's cores with the bot."""

    def __init__(self, actions: OpenActions | None) -> None:
        self.actions = actions
        self._jobs: dict[int, Job] = {}
        self._numbers = count(1)
        self._one = asyncio.Lock()

    def start(self, what: str, turn: int, work: Callable[[Actions], Coroutine[Any, Any, Result]]) -> int:
        open_actions = self.actions
        if open_actions is None:
            raise UserError("no model is here: get one with `glasshead model pull`, then open this page again")

        async def run() -> Result:
            async with self._one, open_actions() as actions:
                return await work(actions)

        number = next(self._numbers)
        self._jobs[number] = Job(what, turn, asyncio.create_task(run()))
        done = [key for key, job in self._jobs.items() if job.task.done()]
        if len(self._jobs) > KEPT and done:
            del self._jobs[min(done)]
        return number

    async def what_if(self, step: StepView, turn: Turn) -> WhatIf:
        """What there is to choose from."""
        if self.actions is None:
            return WhatIf()
        try:
            async with self.actions() as actions:
                ends = await actions.ends(turn)
        except UserError as error:
            return WhatIf(refused=str(error))
        return WhatIf(tuple(c for c in step.candidates if not c.chosen and c.id not in ends))

    def find(self, number: int) -> Job:
        if number not in self._jobs:
            raise UserError(f"there is no job {number}: the page was started again since")
        return self._jobs[number]

    async def close(self) -> None:
        for job in self._jobs.values():
            job.task.cancel()
        await asyncio.gather(*(job.task for job in self._jobs.values()), return_exceptions=True)


async def start(request: Request, turn: int, what: str, form: dict[str, str]) -> Response:
    """Set a proof or a branch going."""
    jobs: Jobs = request.app.state.jobs
    recorded: Turn = await request.app.state.store.turn(turn)
    if what == "prove":
        number = jobs.start(what, turn, lambda actions: actions.prove(recorded))
    elif what == "loss":
        number = jobs.start(what, turn, lambda actions: actions.score(recorded))
    else:
        step, taken = key(form.get("step")), form.get("typed") or key(form.get("choice"))
        if step is None or taken is None:
            raise UserError("pick a token, or type one")
        fresh = form.get("draws") == "fresh"
        number = jobs.start(what, turn, lambda actions: actions.what_if(recorded, step, taken, fresh=fresh))
    return RedirectResponse(f"/job/{number}", 303)


async def job(request: Request) -> Response:
    """How it is going; a branch that is written is shown beside what it branched from."""
    found = request.app.state.jobs.find(request.path_params["number"])
    if not found.task.done():
        return page(request, "job.html", job=found, lines=None, error="")
    try:
        result = found.task.result()
    except UserError as error:
        return page(request, "job.html", job=found, lines=None, error=str(error))
    if isinstance(result, Turn):
        return RedirectResponse(f"/compare?a={found.turn}&b={result.id}", 303)
    if isinstance(result, Scored):
        return page(request, "loss.html", job=found, loss=result.loss, meaning=MEANING, seen=seen_tokens(result))
    return page(request, "job.html", job=found, lines=result, error="")


ROUTES = [Route("/job/{number:key}", job)]
