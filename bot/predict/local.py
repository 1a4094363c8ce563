"""The local engine: llama.cpp in this process, on a thread of its own."""

import asyncio
import json
import weakref
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from .context import Context
from .draw import SEED_LIMIT
from .engine import EngineError, ModelIdentity, QueueFull
from .generation import LocalGeneration
from .governor import Governor, available_cores, idle_seconds
from .inbox import Inbox
from .mailbox import Mailbox
from .model import Model
from .prefix import PrefixCache
from .queue import FairQueue
from .reply import End, Reply
from .rounds import Rounds
from .sampler import check
from .sampling import Sampling
from .scoring import ScoreJob
from .spill import Spill
from .step import Score, Step
from .vocabulary import Vocabulary
from .worker import Worker

MOST_SCORING = 8
"""Texts may wait to be scored: each takes every second turn of the newcomers' prefill."""


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """``n_ctx``: tokens a reply may hold with its prompt, 0 for the model's own limit or 4096, what is less.
    ``max_running`` replies are made at once, ``max_waiting`` may wait, one user has ``max_per_user`` of both.
    ``k`` candidates are recorded with each step. ``threads`` at most, 0 asks the machine. Idle
    conversations keep up to ``cache_bytes`` in memory, and ``spill_bytes`` in ``spill_folder`` if there is one."""

    n_ctx: int = 0
    max_running: int = 8
    max_waiting: int = 64
    max_per_user: int = 4
    k: int = 10
    threads: int = 0
    n_batch: int = 256
    cache_bytes: int = 512 << 20
    spill_folder: Path | None = None
    spill_bytes: int = 2 << 30

    @property
    def streams(self) -> int:
        """One for each running reply, and one for scoring."""
        return self.max_running + 1

    def positions(self, trained: int) -> int:
        """Tokens one stream holds with a model trained for ``trained`` (0 if unknown)."""
        return self.n_ctx or min(4096, trained or 4096)


class LocalEngine:
    """Implements ``engine.Engine``. It owns the model from the start, and lives on one event loop, ``loop``.

    Making one takes a while, and may be done on another thread.
    """

    def __init__(
        self,
        model: Model,
        settings: EngineSettings | None = None,
        *,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._settings = settings = settings or EngineSettings()
        if not 1 <= settings.k <= 50:
            raise EngineError("bad_settings", f"k is {settings.k}: it has to be between 1 and 50")
        self._model = model
        trained = model.identity.n_ctx_train or 4096
        self._n_ctx = settings.positions(trained)
        if not 16 <= self._n_ctx <= max(16, trained):
            raise EngineError("bad_settings", f"n_ctx is {self._n_ctx}: this model can do 16 to {trained}")
        self._governor = Governor(settings.threads or available_cores(), idle=idle_seconds)
        self._loop = loop or asyncio.get_running_loop()
        self._mailbox = Mailbox(self._loop)
        self._queue = FairQueue(settings.max_waiting, settings.max_per_user, settings.max_running)
        inbox = Inbox(self._queue)
        try:
            self._worker = Worker(partial(self._rounds, inbox), inbox, self._mailbox)
        except BaseException:
            self._mailbox.close()
            raise
        self._scoring: list[str] = []
        """For whom texts are being scored."""
        self._worker.start()

    @property
    def model(self) -> ModelIdentity:
        """What decides the numbers besides the input."""
        return self._model.identity

    @property
    def vocabulary(self) -> Vocabulary:
        """The model's tokens."""
        return self._model.vocabulary

    @property
    def limits(self) -> tuple[str, ...]:
        """What the model cannot do, a line each."""
        return self._model.limits

    @property
    def template(self) -> str | None:
        """The model's chat template, None if it brings none."""
        return self._model.template

    @property
    def n_ctx(self) -> int:
        """Tokens one sequence may hold, prompt and reply together."""
        return self._n_ctx

    @property
    def trouble(self) -> str | None:
        """The last fault since it was started, and what came of it, in a line; None if there was none."""
        return self._worker.trouble

    def generate(
        self,
        prompt: Sequence[int],
        sampling: Sampling,
        seed: int,
        *,
        first_step: int = 0,
        user: str = "",
        private: bool = False,
        session: int | None = None,
    ) -> LocalGeneration:
        """Start a reply; see ``engine.Engine``. Raises EngineError for what cannot be done, QueueFull."""
        check(sampling, self.model.n_vocab)
        ids = self._checked(prompt, self._n_ctx)
        if not 0 <= seed < SEED_LIMIT or first_step < 0:
            raise EngineError(
                "bad_request", f"seed {seed}, first step {first_step}: 0 <= seed < 2**53, steps from 0"
            )
        generation = LocalGeneration(self._queue, self._worker.wake, self._loop)
        weak = weakref.WeakMethod(generation.receive)
        mailbox = self._mailbox

        def deliver(news: Step | End) -> None:
            mailbox.post(_receive, weak, news, urgent=isinstance(news, End))

        stops = tuple(stop.encode() for stop in sampling.stop if stop)
        reply = Reply(ids, sampling, seed, first_step, user, deliver, stops, private=private, session=session)
        self._worker.begin_later(reply)
        generation.attach(reply)
        return generation

    async def score(self, tokens: Sequence[int], *, first: int = 1, k: int = 10, user: str = "") -> list[Score]:
        """Teacher forcing; see ``engine.Engine``."""
        ids = self._checked(tokens, self._n_ctx + 1)
        if first < 1 or not 1 <= k <= 50:
            raise EngineError("bad_request", f"first {first}, k {k}: first from 1, k between 1 and 50")
        if first >= len(ids):
            return []
        if user and user in self._scoring:
            raise QueueFull("a text of yours is being scored already: wait for that to end")
        if len(self._scoring) >= MOST_SCORING:
            raise QueueFull(f"{MOST_SCORING} texts are being scored already: try again in a while")
        future: asyncio.Future[list[Score]] = asyncio.get_running_loop().create_future()
        self._worker.score_later(ScoreJob(ids, first, k, future))
        self._scoring.append(user)
        try:
            return await future
        finally:
            self._scoring.remove(user)

    async def forget(self, sessions: Collection[int] | None = None) -> None:
        """Drop the KV kept of earlier prompts, in memory and on disk, and keep none of what runs now: of these
        sessions and of what belongs to none, or of all."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        try:
            self._worker.forget_later(sessions, done)
        except EngineError:
            await asyncio.to_thread(self._worker.join)  # what it keeps is written to disk just now
            return
        await done

    async def aclose(self) -> None:
        """End every running reply with the reason ``engine_closed`` and free the model."""
        await self.stop(EngineError("engine_closed", "the engine was shut down"))
        self._model.close()

    async def stop(self, reason: EngineError) -> None:
        """End every running reply with this reason, and begin no other; the vocabulary can still be read."""
        self._worker.stop(reason)
        await asyncio.to_thread(self._worker.join)

    def _rounds(self, inbox: Inbox) -> Rounds:
        """A context, and what serves from it. Raises EngineError where there is no memory."""
        model, settings = self._model, self._settings
        context = Context(
            model,
            n_ctx=self._n_ctx,
            streams=settings.streams,
            threads=self._governor.threads,
            n_batch=settings.n_batch,
        )
        folder, most = settings.spill_folder, settings.spill_bytes
        spill = Spill(folder, _cache_key(model.identity, settings.streams), most) if folder else None
        return Rounds(
            model,
            context,
            cache=PrefixCache(memory=settings.cache_bytes, can_trim=not model.is_recurrent, spill=spill),
            governor=self._governor,
            inbox=inbox,
            mailbox=self._mailbox,
            k=settings.k,
            tells=context.has_gpu or model.tells_rows,
        )

    def _checked(self, tokens: Sequence[int], most: int) -> list[int]:
        ids = [int(token) for token in tokens]
        if not ids:
            raise EngineError("bad_request", "a prompt needs at least one token")
        if len(ids) > most:
            raise EngineError("prompt_too_long", f"{len(ids)} tokens do not fit: the context holds {most}")
        n_vocab = self.model.n_vocab
        for token in ids:
            if not 0 <= token < n_vocab:
                raise EngineError("bad_token", f"token {token} does not exist: the vocabulary has {n_vocab}")
        return ids


def _cache_key(model: ModelIdentity, streams: int) -> str:
    """All that decides what a KV state means, its bits, and whether llama.cpp takes it back."""
    weights = [model.sha256, model.adapter_sha256, model.adapter_scale]
    return json.dumps([*weights, model.llamacpp_build, model.cpu, model.gpu_layers, streams])


def _receive(weak: "weakref.WeakMethod[Callable[[Step | End], None]]", news: Step | End) -> None:
    receive = weak()
    if receive is not None:
        receive(news)
