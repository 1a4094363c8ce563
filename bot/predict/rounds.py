"""The engine's rounds with one context: admit, prefill, decode and sample, again and again.

A reply waits in the queue until a stream is free (``_admit``), is prefilled in chunks (``_prefill``), then has a
row in every decode step (``_decode``) until it ends (``_finish``), and leaves its stream once what is kept of it
was copied (``Streams.settle``). A round does a little of each: between two steps of those that run there is at most
a copy and a chunk, of a newcomer, of a text to score, or of a state to mend.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Generator
from contextlib import closing
from functools import partial
from itertools import count

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError
from .batch import TILE, Chunk, chunk, decode_classes, least_chunk
from .context import Context, DecodeFailed, Place
from .draw import draw
from .engine import EngineError
from .gap import LITTLE, Gap
from .governor import Governor, Key
from .inbox import Inbox, forgotten, settle
from .logits import BadLogits, Scratch
from .mailbox import Mailbox
from .model import Model
from .pace import Pace
from .prefix import PrefixCache
from .replay import state
from .reply import End, Reply, now_us
from .sampler import sample
from .schedule import Rows, Run
from .scoring import MOST_ROWS, Scorer
from .sessions import is_of
from .streams import Streams

log = logging.getLogger(__name__)


class Rounds:
    """Everything that is served from one context, which it closes. Owned by the engine's thread.

    ``k`` candidates are recorded with each step; ``tells`` is as in `decode_classes`. An exception it lets through
    was not foreseen: then only ``end``, ``forget`` and ``close`` are of use.
    """

    def __init__(
        self,
        model: Model,
        context: Context,
        *,
        cache: PrefixCache,
        governor: Governor,
        inbox: Inbox,
        mailbox: Mailbox,
        k: int,
        tells: bool,
    ) -> None:
        self._model = model
        self._context = context
        self._queue = inbox.queue
        self._jobs = inbox.jobs
        self._forgetting = inbox.forgetting
        self._mailbox = mailbox
        self._k = k
        self._tells = tells
        self._can_trim = not model.is_recurrent
        self._least = least_chunk(tells=tells, can_trim=self._can_trim)
        self._scratch = Scratch(context.n_vocab)
        self._scorer = Scorer(context, context.streams - 1, self._can_trim, self._least)
        self._cache = cache
        self._governor = governor
        self._streams = Streams(context, context.streams - 1, cache, can_trim=self._can_trim)
        self._admissions = count(1)
        self._prefilling: deque[Reply] = deque()
        self._decoding: list[Reply] = []
        self._mending: dict[Reply, tuple[DecodeFailed, Generator[None, None, NDArray[np.uint8]]]] = {}
        """Replies whose state a failed step took along, that step, and the state as it is computed again."""
        self._scores_turn = False
        self._pace = Pace()
        self._gap = Gap(self._pace, least=self._least, most=context.n_batch)

    def wakes(self, wake: Callable[[], None]) -> None:
        """What to call, on another thread, when there is something new to see."""
        self._cache.wake = wake

    def end(self, reason: EngineError) -> None:
        """Answer what is running."""
        end = End("error", reason)
        for reply in self._streams.holders:
            self._queue.done(reply)
            reply.deliver(end)
        if self._jobs and self._jobs[0].begun:
            self._mailbox.post(settle, self._jobs.popleft().future, reason)

    def forget(self) -> None:
        """Drop what is kept and keep nothing of what waits or runs, of sessions for which that was asked."""
        while self._forgetting:
            sessions, done = self._forgetting[0]
            gone = self._cache.clear(sessions)
            if not self._jobs:
                self._scorer.forget()
            for reply in (*self._streams.holders, *self._streams.leaving, *self._queue.waiting):
                reply.private = reply.private or is_of(reply.session, sessions)
            for job in self._jobs:
                job.private = True
            self._forgetting.popleft()
            gone.add_done_callback(partial(forgotten, done))

    def close(self) -> None:
        """Write what is kept of the replies, and free the context."""
        with closing(self._context), closing(self._cache):
            for _, pieces in self._mending.values():
                pieces.close()
            self._streams.close()

    def round(self) -> bool:
        """A copy or a chunk, a step, and whatever comes first. False if there was nothing to do."""
        self.forget()
        self._cache.arrive()
        self._drop_cancelled()
        worked = self._streams.settle()
        self._admit()
        if not worked and self._streams.close_gap():
            self._decoding.sort(key=lambda other: other.stream)
            worked = True
        if not self._is_late():
            if self._has_chunks:
                self._mailbox.send()  # a chunk takes a while
            self._scores_turn = not self._scores_turn
            first, second = (self._score, self._prefill) if self._scores_turn else (self._prefill, self._score)
            worked = self._mend() or first() or second() or worked
        self._mailbox.send(hold=0.0 if worked else self._hold())
        worked = self._decode() or worked
        self._gap.begin()
        # Not reply by reply: the loop would take the interpreter's lock between them.
        self._mailbox.send(hold=self._hold())
        return worked

    def _drop_cancelled(self) -> None:
        for reply in [r for r in (*self._prefilling, *self._decoding, *self._mending) if r.cancelled]:
            self._finish(reply, End("stopped"))

    def _admit(self) -> None:
        while self._streams.free and (reply := self._queue.get()):
            reply.admitted_us = now_us()
            if reply.cancelled:
                self._queue.done(reply)
                reply.deliver(End("stopped"))
                continue
            reply.admitted = next(self._admissions)
            self._streams.take(reply)
            self._prefilling.append(reply)

    def _limit(self, depth: int, newcomer: Reply | None = None) -> int:
        """Rows of a chunk at this depth, of a newcomer or of a text to score."""
        if not self._decoding:
            return self._gap.rows_alone(depth, self._context.threads)
        return self._gap.rows(depth, self._context.threads, newcomer)

    def _is_late(self) -> bool:
        """Whether a chunk can wait for the next round: running replies have waited for copies already, or this one
        is a trial of other threads, and fewer would make the chunk slow, too."""
        return bool(self._decoding) and (self._governor.is_trying or self._gap.is_late)

    def _hold(self) -> float:
        """How long steps may be held back: not at all unless the next follows at once."""
        return self._gap.hold_s if self._decoding and not self._has_chunks else 0.0

    @property
    def _has_chunks(self) -> bool:
        """Whether something is computed between the steps."""
        return bool(self._prefilling or self._jobs or self._mending)

    def _measure(self, kind: Rows, depth: int, rows: int, began: float) -> None:
        self._pace.note(kind, depth, self._context.threads, rows, time.monotonic() - began)

    def _govern(self, key: Key, seconds: float) -> None:
        before = self._governor.threads
        threads = self._governor.observe(key, seconds)
        if threads != before:
            self._context.set_threads(threads)

    def _score(self) -> bool:
        if not self._jobs:
            return False
        job = self._jobs[0]
        try:
            self._scorer.begin(job)
            began, before = time.monotonic(), job.computed  # what it need not compute took no time
            done = job.future.cancelled() or self._scorer.advance(job, self._limit(before))
        except EngineError as error:
            self._jobs.popleft()
            self._scorer.forget()
            self._clean_up(error)
            self._mailbox.post(settle, job.future, error)
            return True
        if (rows := job.computed - before) > 0:
            self._measure("some", before, rows, began)
            if rows == MOST_ROWS and not self._decoding:  # chunks for context alone have no logits
                self._govern(("score", int(bool(job.scores))), (time.monotonic() - began) / rows)
        if done:
            self._jobs.popleft()
            self._mailbox.post(settle, job.future, job.scores)
            if job.private:
                self._scorer.forget()
        return True

    def _prefill(self) -> bool:
        """One chunk of one newcomer; they take turns while there is much to read."""
        ready = (reply for reply in self._prefilling if not self._streams.waits(reply, self._prefilling))
        reply = next(ready, None)
        if reply is None:
            return False
        self._prefilling.remove(reply)
        self._streams.reuse(reply)
        if self._is_late():
            self._prefilling.appendleft(reply)
            return True
        room = self._context.cells - len(reply.ids) if self._can_trim else 0
        limit = self._limit(reply.computed, reply)
        part = chunk(reply.left, limit, room, self._least)
        if part is None:
            self._begin_decoding(reply)  # what is left goes in decode steps
            return True
        fits = limit >= TILE and part.rows + room >= TILE
        if fits and self._pace.is_quicker_as_tile(part, reply.computed, self._context.threads):
            part = Chunk(part.rows, TILE - part.rows)
        start, stop = reply.computed, reply.computed + part.rows
        last = stop == len(reply.ids)
        ids = reply.ids[start:stop] + reply.ids[:1] * part.padding
        rows = [Place(t, start + i, reply.stream, last and start + i == stop - 1) for i, t in enumerate(ids)]
        began = time.monotonic()
        try:
            self._context.decode(rows)
        except DecodeFailed as error:
            self._finish(reply, End("error", error))
            return True
        self._measure(part.kind, start, len(rows), began)
        if len(rows) >= 64 and not self._decoding:
            self._govern(("prefill", 0), (time.monotonic() - began) / len(rows))
        reply.count(Run(part.kind, part.rows))
        if part.padding:
            self._context.trim(reply.stream, stop)  # the logits stay
        if not last and reply.left <= LITTLE:
            self._prefilling.appendleft(reply)
        elif not last:
            self._prefilling.append(reply)
        elif end := self._sample(reply, part.rows - 1):
            self._finish(reply, end)
        else:
            self._begin_decoding(reply)
        return True

    def _begin_decoding(self, reply: Reply) -> None:
        self._decoding.append(reply)
        self._decoding.sort(key=lambda other: other.stream)

    def _decode(self) -> bool:
        """One row of every running reply."""
        running = list(self._decoding)
        if not running:
            return False
        try:
            self._step(running)
        except DecodeFailed as failed:
            for reply in running:
                if self._context.length(reply.stream) == reply.computed:
                    self._step_alone(reply)
                else:
                    self._decoding.remove(reply)
                    self._mending[reply] = failed, self._state_of(reply)
        return True

    def _step_alone(self, reply: Reply) -> None:
        """After a failed step with others: whose fault it was shows when each goes alone."""
        try:
            self._step([reply])
        except DecodeFailed as error:
            self._finish(reply, End("error", error))

    def _mend(self) -> bool:
        """A piece of a state that a failed step took along, computed again bit for bit. Whether there was one."""
        if not self._mending:
            return False
        reply, (failed, pieces) = next(iter(self._mending.items()))
        try:
            next(pieces)
            return True
        except StopIteration as whole:
            mended = self._context.restore(reply.stream, whole.value, reply.computed)
        except (UserError, MemoryError) as error:
            log.warning("a reply's state is lost: %s", error)
            mended = False
        if mended:
            del self._mending[reply]
            self._begin_decoding(reply)
            self._step_alone(reply)
        else:
            self._finish(reply, End("error", failed))
        return True

    def _state_of(self, reply: Reply) -> Generator[None, None, NDArray[np.uint8]]:
        ids, threads, streams = reply.ids[: reply.computed], self._context.threads, self._context.streams
        return state(self._model, ids, reply.schedule, threads=threads, streams=streams)

    def _step(self, running: list[Reply]) -> None:
        places = [(reply.stream, reply.computed) for reply in running]
        classes = decode_classes(places, tells=self._tells, threads=self._context.threads)
        began = time.monotonic()
        self._context.decode([Place(r.ids[r.computed], r.computed, r.stream, True) for r in running])
        took = time.monotonic() - began
        self._gap.note(took)
        self._govern(("decode", len(running)), took)
        ends: list[tuple[Reply, End]] = []
        for i, (reply, run) in enumerate(zip(running, classes, strict=True)):
            reply.count(run)
            if reply.computed == len(reply.ids) and (end := self._sample(reply, i)):
                ends.append((reply, end))
        for reply, end in ends:
            self._finish(reply, end)

    def _sample(self, reply: Reply, row: int) -> End | None:
        """Draw the next token from the batch's row; how the reply ends, if it does."""
        sampling = reply.sampling
        try:
            u = draw(reply.seed, reply.first_step + reply.n_steps)
            step = sample(self._context.row(row), sampling, reply.ids, u, self._k, scratch=self._scratch)
        except EngineError as error:
            return End("error", error)
        except Exception as error:  # of this reply's settings: the others have others
            log.exception("a token could not be drawn")
            return End("error", EngineError("draw_failed", f"the next token could not be drawn: {error}"))
        reply.ids.append(step.id)
        reply.n_steps += 1
        reply.stamp()
        reply.deliver(step)
        vocabulary = self._model.vocabulary
        if vocabulary.is_end(step.id) or (reply.stops and reply.stopped_by(vocabulary.piece(step.id))):
            return End("stop")
        if reply.n_steps >= sampling.max_tokens or len(reply.ids) > self._context.n_ctx:
            return End("length")
        return None

    def _finish(self, reply: Reply, end: End) -> None:
        """Let go of a running reply."""
        if reply in self._decoding:
            self._decoding.remove(reply)
        elif reply in self._prefilling:
            self._prefilling.remove(reply)
        elif reply in self._mending:
            self._mending.pop(reply)[1].close()
        try:
            self._streams.give_back(reply, keep=end.error is None and not reply.private)
            self._clean_up(end.error)
        finally:
            self._queue.done(reply)
            reply.deliver(end)

    def _clean_up(self, error: EngineError | None) -> None:
        """Leave nothing of a reply with NaN in it behind: even in cells no longer used it would spoil others'."""
        if isinstance(error, BadLogits):
            self._context.scrub()
