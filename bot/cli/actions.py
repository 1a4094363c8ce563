"""What a reader of an explanation can ask of the log and the model, which is loaded when first asked."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from functools import partial

from ..chat import Chat, require_branchable
from ..chat.what_if import what_if
from ..config import Settings
from ..errors import UserError
from ..explain.family import Family
from ..explain.loss import Scored, score
from ..explain.proof import prove, require, threads_here
from ..explain.same_model import difference
from ..explain.statement import certificate_lines
from ..explain.turn import Turn
from ..predict.halt import Halt
from ..predict.local import EngineSettings, LocalEngine
from ..predict.model import Model
from ..store import Store
from ..store.lock import Owned
from ..store.owner import asking
from ..store.relatives import relatives
from ..wiring import endings_here, load_model, open_chat


class ModelActions:
    """An async context: leaving it ends a proof that still runs. ``chat`` is one that runs already, if any does."""

    def __init__(self, settings: Settings, chat: Chat | None = None) -> None:
        self._settings = settings
        self._chat = chat
        self._left = Halt()

    async def __aenter__(self) -> "ModelActions":
        return self

    async def __aexit__(self, *_: object) -> None:
        self._left.call()

    async def family(self, turn: Turn) -> Family:
        """The logged replies to the same message."""
        async with self._log() as store:
            return await relatives(store, turn)

    async def turn(self, number: int) -> Turn:
        """A logged turn."""
        async with self._log() as store:
            return await store.turn(number)

    async def ends(self, turn: Turn) -> frozenset[int]:
        """The tokens that no what-if can take there: they end a reply. Raises UserError where it can take none."""
        if self._chat is not None:
            return await self._chat.ends(turn)
        found = await asyncio.to_thread(endings_here, self._settings, self._maker(turn))
        require_branchable(turn, found.model)
        return found.ends

    @asynccontextmanager
    async def _log(self) -> AsyncIterator[Store]:
        """The log, to be read."""
        if self._chat is not None:
            yield self._chat.store
            return
        store = await Store.open(self._settings.store.path, writable=False)
        try:
            yield store
        finally:
            await store.close()

    async def prove(self, turn: Turn) -> list[str]:
        """Replay the turn; its certificate in lines."""
        require(turn)

        def work() -> list[str]:
            with closing(self._model(turn)) as model:
                threads = threads_here(self._settings.engine.threads)
                return certificate_lines(prove(turn, model, threads=threads, halt=self._left))

        return await asyncio.to_thread(work)

    async def what_if(self, turn: Turn, step: int, choice: int | str, *, fresh: bool) -> Turn:
        """Let the reply take ``choice`` at recorded step ``step``, and log how it goes on: in the chat that runs
        here, in the process that owns the log, or in a chat opened for it."""
        branch = partial(what_if, turn=turn.id, step=step, choice=choice, fresh=fresh)
        if self._chat is not None:
            return await self._chat.store.turn(await branch(self._chat))
        path = self._settings.store.path
        try:
            async with open_chat(self._settings) as chat:
                return await chat.store.turn(await branch(chat))
        except Owned as owned:
            async with asking(path, owned.owner) as ask:
                number = int(await ask("what_if", **branch.keywords))
        return await self.turn(number)

    async def score(self, turn: Turn) -> Scored:
        """Prompt and reply in one pass. Nothing is logged: it needs the model, not the log."""
        if self._chat is not None:
            async with self._chat.using_maker(turn) as speaker:
                return await score(speaker.engine, turn)
        async with self._engine(turn) as engine:
            return await score(engine, turn)

    @asynccontextmanager
    async def _engine(self, turn: Turn) -> AsyncIterator[LocalEngine]:
        """An engine with room for this turn and no more: a bot may run beside it."""
        length = len(turn.prompt.ids) + len(turn.trace.steps)
        model = await asyncio.to_thread(self._model, turn)
        settings = EngineSettings(
            n_ctx=min(max(length, 16), model.identity.n_ctx_train or length),
            max_running=1,
            threads=self._settings.engine.threads,
            cache_bytes=0,
        )
        engine = await asyncio.to_thread(LocalEngine, model, settings, loop=asyncio.get_running_loop())
        try:
            yield engine
        finally:
            await engine.aclose()

    def _maker(self, turn: Turn) -> str:
        """The configured model of the name of the one that made the turn; "" is the usual one."""
        return turn.model.name if turn.model.name in self._settings.model.others else ""

    def _model(self, turn: Turn) -> Model:
        model = load_model(self._settings, self._maker(turn))
        if other := difference(turn, model.identity):
            model.close()
            raise UserError(f"turn {turn.id} {other}")
        return model
