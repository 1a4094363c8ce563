"""The one use case: a message in, a streamed and logged reply out. Every front end goes through here."""

import asyncio
import datetime
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace

from ..errors import UserError
from ..explain.same_model import difference
from ..explain.turn import Turn
from ..predict.engine import ModelIdentity
from ..predict.message import Conversation
from ..predict.prompt import Span
from ..predict.render import Renderer
from ..predict.sampling import Sampling
from ..predict.sessions import is_of
from ..store import Store, StoreError
from ..store.line import Line
from .making import Opening, make_turn
from .names import named
from .one_token import one_token
from .reply import Reply
from .request import BranchRequest, ReplyRequest, fresh_seed
from .speaker import Endings, Others, Speaker
from .unlogged import Unlogged

log = logging.getLogger(__name__)


class Chat:
    """Holds no conversation: a reply reads its whole conversation from the log, and gives the model all of it."""

    def __init__(
        self, store: Store, speaker: Speaker, sampling: Sampling, *, k: int = 10, others: Others | None = None
    ) -> None:
        """``others`` are models besides ``speaker`` that a request may name."""
        self.store = store
        self.speaker = speaker
        self._others = others or {}
        self.sampling = sampling
        self.k = k
        self._running: dict[Reply, asyncio.Task[None]] = {}
        self._newest: dict[tuple[str, str], Reply] = {}
        """Of each person, and from each model: the reply begun last, while it is being made."""
        self._closed = False

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models that can answer, the usual one first."""
        return (self.speaker.engine.model.name, *self._others)

    @asynccontextmanager
    async def using(self, name: str) -> AsyncIterator[Speaker]:
        """The model of this name ("": the usual one), loaded if it has to be; it stays while this is open.

        Raises UserError.
        """
        if name in ("", self.speaker.engine.model.name):
            yield self.speaker
        elif name in self._others:
            async with self._others[name].use() as speaker:
                yield speaker
        else:
            raise UserError(f"there is no model {name!r} here: there are {', '.join(self.models)}")

    def using_maker(self, turn: Turn) -> AbstractAsyncContextManager[Speaker]:
        """The same of the model that made a turn, if there is one of its name; else the usual one."""
        return self.using(turn.model.name if turn.model.name in self._others else "")

    async def ends(self, turn: Turn) -> frozenset[int]:
        """The tokens that cannot take another's place in a turn: they end a reply of the model that made it.

        Raises UserError where no token can.
        """
        speaker = self.speaker
        if turn.model.name in self._others:
            found = await self._others[turn.model.name].endings()
        else:
            found = Endings(speaker.engine.model, await asyncio.to_thread(lambda: speaker.vocabulary.ends))
        require_branchable(turn, found.model)
        return found.ends

    def reply(self, request: ReplyRequest) -> Reply:
        """Answer a logged message."""
        line = request.user, request.model
        return self._start(lambda reply: self._answer(reply, request), line, request.session)

    def branch(self, request: BranchRequest) -> Reply:
        """Let a logged reply take another turn at one step."""
        return self._start(lambda reply: self._branch(reply, request), (request.user, ""))

    def unlogged(self, conversation: Conversation, request: ReplyRequest, gap: StoreError | None = None) -> Reply:
        """Answer without a record: nothing is kept, and the reply can neither be explained nor verified.

        ``session`` and ``message`` of the request mean nothing here; ``Done.turn`` is 0. ``gap``: why the log could
        not take the message, where that is the reason.
        """
        return self._start(
            lambda reply: self._answer_to(reply, request, Line(conversation, 0), Unlogged(gap)),
            (request.user, request.model),
        )

    @property
    def running(self) -> int:
        """Replies being made or waiting."""
        return len(self._running)

    def keep_no_state(self, sessions: Collection[int] | None) -> None:
        """Of the replies begun so far in these sessions (None: in all): something was erased, which they may have
        read before."""
        for reply in self._running:
            reply.keeps_state = reply.keeps_state and not is_of(reply.session, sessions)

    async def aclose(self) -> None:
        """Stop what runs and wait until it is in the log; what begins after this is stopped before its first word.
        Engine and store stay open."""
        self._closed = True
        await asyncio.gather(*(reply.stop() for reply in self._running))
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    def _start(
        self, make: Callable[[Reply], Awaitable[None]], line: tuple[str, str], session: int | None = None
    ) -> Reply:
        """Replies of one ``line`` are queued in the order in which they were started."""
        reply = Reply(after=self._newest.get(line), session=session)
        reply.stopping = self._closed
        self._newest[line] = reply

        async def work() -> None:
            try:
                await make(reply)
            except Exception as error:
                if not isinstance(error, UserError):
                    log.exception("a reply failed")
                reply.end(error)
            else:
                reply.end()
            await reply.let_pass()

        def ended(_: object) -> None:
            self._running.pop(reply, None)
            if self._newest.get(line) is reply:
                del self._newest[line]

        task = asyncio.create_task(work())
        self._running[reply] = task
        task.add_done_callback(ended)
        return reply

    async def _answer(self, reply: Reply, request: ReplyRequest) -> None:
        line = await self.store.line(request.message)
        if line.unread:
            await self.store.message(request.message)  # it goes on without others, not without the question
        await self._answer_to(reply, request, line, self.store)

    async def _answer_to(self, reply: Reply, request: ReplyRequest, line: Line, store: Store | Unlogged) -> None:
        sampling = request.sampling or self.sampling
        async with self.using(request.model) as speaker:
            budget = prompt_budget(speaker.engine.n_ctx, sampling)
            renderer = await self._renderer(speaker, request.session)
            prompt = await asyncio.to_thread(renderer.render, named(line.conversation), budget=budget)
            opening = Opening(
                session=request.session,
                prompt_message=request.message,
                prompt=prompt,
                sampling=sampling,
                seed=fresh_seed() if request.seed is None else request.seed,
                k=self.k,
                requester=request.requester,
                user=request.user,
                unread=line.unread,
                known=prompt.dropped_turns > 0 and await self._left_out_before(line),
            )
            await make_turn(store, speaker, opening, reply)

    async def _left_out_before(self, line: Line) -> bool:
        """Whether the last reply in it was given less than all of it already; no, where the log cannot tell."""
        replies = [each.id for each in line.conversation if each.role == "assistant" and each.id is not None]
        if not replies:
            return False
        try:
            made = (await self.store.message(replies[-1])).turn
            rows = [] if made is None else await self.store.turn_rows([made])
        except StoreError:
            return False
        return any(row.dropped_turns for row in rows)

    async def _renderer(self, speaker: Speaker, session: int) -> Renderer:
        """The speaker's, telling a template that asks the date on which the session began (0: today)."""
        if not speaker.renderer.asks_date:
            return speaker.renderer
        began = (await self.store.session(session)).created_us / 1e6 if session else time.time()
        return speaker.renderer.dated(datetime.date.fromtimestamp(began))

    async def _branch(self, reply: Reply, request: BranchRequest) -> None:
        turn = await self.store.turn(request.turn)
        async with self.using_maker(turn) as speaker:
            require_branchable(turn, speaker.engine.model)
            choice = request.choice
            choice = one_token(speaker.vocabulary, choice) if isinstance(choice, str) else choice
            opening = _branched(turn, request, choice, self.k)
            if speaker.vocabulary.is_end(choice):
                raise UserError(f"token {choice} ends a reply: nothing would follow it")
            await make_turn(self.store, speaker, opening, reply)


def require_branchable(turn: Turn, model: ModelIdentity) -> None:
    """Only the model that made a turn can go on with it, from everything that went in. Raises UserError."""
    if turn.prompt_message is None:
        raise UserError(f"turn {turn.id} answers a message that was erased: it cannot be branched")
    if not turn.verifiable:
        raise UserError(
            f"part of what turn {turn.id} was made from was erased or is damaged: it cannot be branched"
        )
    if other := difference(turn, model):
        raise UserError(f"turn {turn.id} {other}")


def prompt_budget(n_ctx: int, sampling: Sampling) -> int:
    """Tokens a prompt may have so that a whole reply fits behind it, but never less than half the context."""
    return max(n_ctx - sampling.max_tokens, n_ctx // 2)


def _branched(turn: Turn, request: BranchRequest, choice: int, k: int) -> Opening:
    """The turn that keeps the reply before ``request.step``, and puts ``choice`` there."""
    step = request.step - turn.first_step
    if not 0 <= step < len(turn.trace.steps):
        last = turn.first_step + len(turn.trace.steps) - 1
        raise UserError(f"turn {turn.id} has no step {request.step}: it has {turn.first_step} to {last}")
    if not 0 <= choice < turn.model.n_vocab:
        raise UserError(f"token {choice} does not exist: {turn.model.name} has 0 to {turn.model.n_vocab - 1}")
    assert turn.prompt_message is not None  # require_branchable has seen to it
    start = len(turn.prompt.ids)
    kept = turn.prompt.ids[start - turn.first_step :] if turn.first_step else ()
    new = (*(s.id for s in turn.trace.steps[:step]), choice)
    span = Span(start, start + len(new), "generated", "assistant", turn.reply_message)
    return Opening(
        session=turn.session,
        prompt_message=turn.prompt_message,
        prompt=replace(turn.prompt, ids=turn.prompt.ids + new, spans=(*turn.prompt.spans, span)),
        sampling=turn.sampling,
        seed=turn.seed if request.seed is None else request.seed,
        k=k,
        requester=request.requester,
        user=request.user,
        kept=kept + new,
        parent_turn=turn.id,
    )
