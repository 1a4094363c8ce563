"""The slash commands of a sitting."""

from collections.abc import Awaitable

import typer

from ..chat import Done
from ..config import Settings
from ..errors import UserError
from ..explain.visible import neutral
from .explain import show_turn
from .interrupt import interruptible
from .sitting import Sitting, check_typed
from .terminal import columns, wrapped
from .typed import unechoed
from .verify import verify_turn

HELP = "Type, or /help."
MANY_LINES = '  Alt-Enter starts a new line; a line of """ begins and ends a message of many lines.'

COMMANDS = {
    "/explain [n]": "open the last reply, or turn n: each token, what else it might have been, and why it fell so",
    "/verify [n]": "replay the last reply, or turn n, and compare every row of logits bit by bit",
    "/retry": "another reply to the last message, with new draws",
    "/system TEXT": "start anew with this system prompt; without TEXT: with none",
    "/reset": "start anew: the model is given nothing of what was said before",
    "/sessions": "the newest logged sessions; go on with one by `glasshead chat --session N`",
    "/help": "this list",
    "/quit": "leave (so does Ctrl-D); Ctrl-C stops a reply and keeps it",
}


def require_whole(done: Done) -> None:
    """Raise UserError for a reply that broke off, or is not in the log."""
    if done.error:
        raise UserError(done.error)
    if done.gap:
        raise UserError(f"this reply could not be logged: {done.gap}")


class Commands:
    """``run`` does one; it returns False when the sitting is over."""

    def __init__(self, sitting: Sitting, settings: Settings) -> None:
        self._sitting = sitting
        self._settings = settings

    async def run(self, line: str) -> bool:
        name, *rest = line.split(maxsplit=1)
        argument = rest[0].strip() if rest else ""
        chat = self._sitting.chat
        match name:
            case "/quit" | "/exit":
                return False
            case "/help":
                self._help()
            case "/explain":
                await show_turn(await chat.store.turn(self._turn(argument)), self._settings, chat)
            case "/verify":
                await interruptible(verify_turn(await chat.store.turn(self._turn(argument)), self._settings))
            case "/retry":
                await self.tell(self._sitting.retry())
            case "/system":
                self._anew(argument)
            case "/reset":
                self._anew(self._settings.chat.system_prompt)
            case "/sessions":
                await self._sessions()
            case _:
                raise UserError(f"no such command: {name}; /help lists them")
        return True

    async def tell(self, saying: Awaitable[Done]) -> None:
        """Wait for a reply being printed, and say how it ended."""
        with unechoed():
            done = await saying
        typer.echo()
        ending = {"length": ", cut at the limit", "stopped": ", stopped"}.get(done.finish, "")
        number, way = (f"turn {done.turn}", " · /explain") if done.turn else ("not logged", "")
        typer.echo(typer.style(f"  {number} · {done.n_tokens} tokens{ending}{way}", dim=True), err=True)
        require_whole(done)

    def _turn(self, rest: str) -> int:
        if rest:
            if not rest.isdecimal():
                raise UserError(f"expected the number of a turn, not {rest!r}")
            return int(rest)
        if not self._sitting.turns:
            raise UserError("nothing was answered yet in this sitting: say something first, or name a turn")
        return self._sitting.turns[-1]

    def _help(self) -> None:
        usages = [f"  {usage:<14} {meaning}" for usage, meaning in COMMANDS.items()]
        for line in wrapped(usages, columns(), indent=17):
            typer.echo(line)
        for line in wrapped([MANY_LINES], columns(), indent=2):
            typer.echo(line)

    def _anew(self, system: str) -> None:
        if system:
            check_typed(system)
        self._sitting.anew(system)
        typer.echo("  a new session: nothing said before goes in", err=True)

    async def _sessions(self) -> None:
        sessions = await self._sitting.chat.store.sessions(limit=10)
        for session in sessions:
            name = " ".join(neutral(session.title or session.preview).split())
            typer.echo(f"  {session.id:>6}  {session.n_turns:>4} turns  {name}")
        if not sessions:
            typer.echo("  none yet")
