"""Making one turn: logged as `pending`, generated, told to the front end, logged as it ended."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

from ..errors import UserError
from ..explain.turn import Status
from ..predict.engine import Finish, Generation
from ..predict.prompt import Prompt
from ..predict.sampling import Sampling
from ..predict.schedule import Schedule, cut
from ..predict.step import Step
from ..store import Store, StoreError
from .events import Done, Queued, Started, Text, Thought
from .reply import Reply
from .speaker import Speaker
from .transcript import Transcript
from .unlogged import NO_TURN, Unlogged

log = logging.getLogger(__name__)

PLACE_INTERVAL = 0.5
"""Seconds between two looks at a waiting reply's place in the queue."""
PROGRESS_STEPS = 8
"""After so many steps what was generated is saved, so that a crash keeps what people have read,"""
PROGRESS_TIMES = 4
"""and whenever it has become so many times as much."""
PROGRESS_SECONDS = 2.0
"""And after so long, however few they are: who looks at a slow reply sees what is there."""


@dataclass(frozen=True, slots=True)
class Opening:
    """A turn about to be made: everything that decides its numbers, and where it hangs in the log.

    ``kept`` are reply tokens taken over from ``parent_turn``; they stand at the end of ``prompt.ids``.
    """

    session: int
    prompt_message: int
    prompt: Prompt
    sampling: Sampling
    seed: int
    k: int
    requester: int | None
    user: str
    kept: tuple[int, ...] = ()
    parent_turn: int | None = None
    unread: int = 0
    """Earlier messages that the log could not give."""
    known: bool = False
    """The reply before has said already that not all of the conversation is read."""


async def make_turn(store: Store | Unlogged, speaker: Speaker, opening: Opening, reply: Reply) -> None:
    """Make the turn and emit its events to ``reply``, ``Done`` last; what goes wrong on the way is told there."""
    prompt = opening.prompt
    try:
        turn = await store.open_turn(
            session=opening.session,
            prompt_message=opening.prompt_message,
            prompt=prompt,
            model=speaker.engine.model,
            sampling=opening.sampling,
            seed=opening.seed,
            first_step=len(opening.kept),
            requester=opening.requester,
            parent_turn=opening.parent_turn,
            k=opening.k,
        )
    except StoreError as fault:
        log.error("a reply is made without a record: %s", fault)
        store, turn = Unlogged(fault), NO_TURN
    dropped = prompt.dropped_turns, prompt.dropped_tokens
    reply.emit(Started(turn, len(prompt.ids), *dropped, prompt.budget, opening.unread, opening.known))
    making = _Making(store, speaker, opening, turn)
    finish: Finish = "error"
    status: Status = "error"
    error: str | None = None
    try:
        async for event in making.generate(reply):
            reply.emit(event)
        finish = making.finish
        status = "stopped" if finish == "stopped" else "ok"
    except UserError as fault:
        error = str(fault)
    except Exception:
        log.exception("turn %d failed", turn)
        error = "the reply broke off: a fault of the program, which its log describes"
    reply.emit_all(making.transcript.finish())
    reply.emit(await making.log(finish, status, error))


class _Making:
    """What is known of a turn while it is made."""

    def __init__(self, store: Store | Unlogged, speaker: Speaker, opening: Opening, turn: int) -> None:
        self._store = store
        self._speaker = speaker
        self._opening = opening
        self._turn = turn
        self._steps: list[Step] = []
        self._generation: Generation | None = None
        self._saved = 0, 0.0
        """How many steps were saved last, and when; first, when the first came."""
        self.transcript = Transcript(
            speaker.vocabulary,
            opening.sampling.stop + speaker.stop,
            thinking=speaker.renderer.opens_thought(opening.prompt),
            tags=speaker.renderer.tags,
        )

    async def generate(self, reply: Reply) -> AsyncIterator[Text | Thought | Queued]:
        """Text and places as they come, until the reply ends or a stop string is met. Raises UserError."""
        opening, transcript = self._opening, self.transcript
        for token in opening.kept:
            for event in transcript.feed(token):
                yield event
        await reply.turn_comes()
        generation = self._speaker.engine.generate(
            opening.prompt.ids,
            opening.sampling,
            opening.seed,
            first_step=len(opening.kept),
            user=opening.user,
            private=isinstance(self._store, Unlogged) or not reply.keeps_state,
            session=opening.session,
        )
        self._generation = generation
        await reply.attach(generation)
        async for news in _with_places(generation):
            if isinstance(news, Queued):
                yield news
                continue
            if not self._steps:
                self._saved = 0, time.monotonic()
            self._steps.append(news)
            for event in transcript.feed(news.id):
                yield event
            if transcript.stopped:
                await generation.aclose()
                return
            if self._is_due():
                await self._save_progress()

    @property
    def finish(self) -> Finish:
        """How a reply without a fault ended. An end of turn is one also where a stop string spells its token."""
        if self._steps and self._speaker.vocabulary.is_end(self._steps[-1].id):
            return "end"
        if self.transcript.stopped or self._generation is None:
            return "stop"
        return self._generation.finish or "stopped"

    @property
    def _schedule(self) -> Schedule:
        """Of the positions that made the steps: the engine may be a step ahead of who reads it."""
        if self._generation is None or not self._steps:
            return ()
        return cut(self._generation.schedule, len(self._opening.prompt.ids) + len(self._steps) - 1)

    def _is_due(self) -> bool:
        """Whether enough came since the last time to be saved: it is saved whole."""
        steps, began = self._saved
        grown = len(self._steps) >= max(PROGRESS_STEPS, PROGRESS_TIMES * steps)
        return grown or time.monotonic() - began >= PROGRESS_SECONDS

    async def _save_progress(self) -> None:
        """Keep what was generated so far. A log that cannot take it must not stop the reply."""
        self._saved = len(self._steps), time.monotonic()
        try:
            await self._store.save_progress(
                self._turn,
                steps=tuple(self._steps),
                schedule=self._schedule,
                reply=self.transcript.answer,
                reasoning=self.transcript.reasoning,
                n_cached=self._generation.n_cached if self._generation else 0,
            )
        except Exception as fault:
            unknown = not isinstance(fault, UserError)
            log.warning("turn %d: what it has so far is not saved: %s", self._turn, fault, exc_info=unknown)

    async def log(self, finish: Finish, status: Status, error: str | None) -> Done:
        """Finalise the turn in the log. If the log cannot take it, the person still has the reply, and hears so."""
        message: int | None = None
        logged = self._turn != NO_TURN
        gap: str | None = None
        try:
            message = await self._store.finish_turn(
                self._turn,
                steps=tuple(self._steps),
                schedule=self._schedule,
                reply=self.transcript.answer,
                reasoning=self.transcript.reasoning,
                finish=finish,
                status=status,
                error=error,
                n_cached=self._generation.n_cached if self._generation else 0,
                timings=self._generation.timings if self._generation else None,
            )
        except Exception as fault:
            unknown = not isinstance(fault, UserError)
            log.error("turn %d: the reply is made, but not logged: %s", self._turn, fault, exc_info=unknown)
            logged = False
            gap = "a fault of the program" if unknown else str(fault)
        if self._store.gap is not None:
            gap = self._store.gap.in_short
        if gap is not None:
            gap += "; it is tried again until it can" if logged else "; it cannot be explained"
        return Done(
            turn=self._turn,
            message=message,
            text=self.transcript.answer,
            reasoning=self.transcript.reasoning,
            status=status,
            finish=finish,
            n_tokens=len(self._steps),
            seed=self._opening.seed,
            logged=logged,
            gap=gap,
            error=error,
        )


async def _with_places(generation: Generation) -> AsyncIterator[Step | Queued]:
    """The steps; while the first one is awaited, each change of place in the queue, too."""
    first = asyncio.ensure_future(anext(generation))
    told = 0
    while True:
        done, _ = await asyncio.wait({first}, timeout=PLACE_INTERVAL)
        if done:
            break
        if generation.place != told:
            told = generation.place
            yield Queued(told)
    try:
        yield await first
    except StopAsyncIteration:
        return
    async for step in generation:
        yield step
