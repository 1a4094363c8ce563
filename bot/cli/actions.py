"""What a reader of an explanation can ask of the model: a proof, a branch. It is loaded when first asked."""

import asyncio
import threading
from contextlib import AsyncExitStack, closing

from ..chat import Chat, Done
from ..chat.request import BranchRequest, fresh_seed
from ..config import Settings
from ..errors import UserError
from ..explain.loss import Scored, score
from ..explain.proof import CannotVerify, prove, require, threads_here
from ..explain.statement import certificate_lines
from ..explain.turn import Turn
from ..predict.model import Model
from ..wiring import load_model, open_chat


class ModelActions:
    """An async context: leaving it closes what was opened here. ``chat`` is one that runs already, if any does."""

    def __init__(self, settings: Settings, chat: Chat | None = None) -> None:
        self._settings = settings
        self._chat = chat
        self._opened = AsyncExitStack()
        self._left = threading.Event()

    async def __aenter__(self) -> "ModelActions":
        return self

    async def __aexit__(self, *_: object) -> None:
        self._left.set()
        await self._opened.aclose()

    async def prove(self, turn: Turn) -> list[str]:
        """Replay the turn; its certificate in lines."""
        require(turn)

        def progress(*_: object) -> None:
            if self._left.is_set():
                raise CannotVerify("given up: the reader left")

        def work() -> list[str]:
            with closing(self._model(turn)) as model:
                threads = threads_here(self._settings.engine.threads)
                return certificate_lines(prove(turn, model, threads=threads, progress=progress))

        return await asyncio.to_thread(work)

    async def what_if(self, turn: Turn, step: int, choice: int | str, *, fresh: bool) -> Turn:
        """Let the reply take ``choice`` at recorded step ``step``, and log how it goes on."""
        chat = await self._running()
        if isinstance(choice, str):
            ids = chat.speaker.vocabulary.tokenise(choice, special=False)
            if not ids:
                raise UserError("no text, no token")
            choice = ids[0]
        request = BranchRequest(
            turn=turn.id,
            step=turn.first_step + step,
            choice=choice,
            seed=fresh_seed() if fresh else None,
            user="terminal",
        )
        done: Done | None = None
        async for event in chat.branch(request):
            done = event if isinstance(event, Done) else done
        if done is None or not done.turn:
            raise UserError("the branch could not be written")
        if done.error:
            raise UserError(done.error)
        return await chat.store.turn(done.turn)

    async def score(self, turn: Turn) -> Scored:
        """Prompt and reply in one pass."""
        return await score((await self._running()).speaker.engine, turn)

    async def _running(self) -> Chat:
        if self._chat is None:
            self._chat = await self._opened.enter_async_context(open_chat(self._settings))
        return self._chat

    def _model(self, turn: Turn) -> Model:
        model = load_model(self._settings)
        if model.identity.sha256 != turn.model.sha256:
            model.close()
            raise UserError(
                f"turn {turn.id} was made by {turn.model.name} (sha256 {turn.model.sha256[:12]}), "
                f"the settings name {self._settings.model.name}: a proof needs the same file"
            )
        return model
