"""`glasshead chat`: talk to the bot in the terminal, or ask one thing from a script."""

from typing import Annotated

import typer

from ..chat import Chat, Done
from ..config import Settings, load_settings
from ..errors import UserError
from ..explain.ending import stated
from ..explain.visible import neutral
from ..predict.draw import SEED_LIMIT
from ..wiring import open_chat
from .commands import HELP, Commands, require_whole
from .interrupt import run_until_told
from .logs import start_logging
from .options import Config
from .printing import print_json
from .sitting import Sitting, check_typed
from .terminal import at_terminal
from .typed import typed_messages


def chat(
    once: Annotated[str | None, typer.Option(help="Say this, print the reply, end.")] = None,
    session: Annotated[int | None, typer.Option(help="Go on with this logged session.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the draws, 0 to 2^53-1.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="With --once: one JSON object (docs/json.md).")] = False,
    config: Config = None,
) -> None:
    """Talk to the bot here."""
    if seed is not None and not 0 <= seed < SEED_LIMIT:
        raise UserError(f"--seed {seed}: it has to be from 0 to {SEED_LIMIT - 1}")
    if as_json and once is None:
        raise UserError("--json goes with --once")
    settings = load_settings(config)
    start_logging(settings, quiet=True)
    if once is None:
        run_until_told(converse(settings, session, seed))
    else:
        run_until_told(_once(settings, once, session, seed, as_json))


async def converse(settings: Settings, session: int | None = None, seed: int | None = None) -> None:
    """A sitting at the terminal, until /quit or the end of input. ``seed`` holds for every reply.

    A person reads what went wrong and goes on; of what came through a pipe the exit code tells it, too.
    """
    failed = False
    async with open_chat(settings) as chat:
        sitting = await _sit(chat, settings, session)
        typer.echo(f"{chat.speaker.engine.model.name} is ready. {HELP}", err=True)
        commands = Commands(sitting, settings)
        async for typed in typed_messages():
            try:
                if typed.is_command:
                    if not await commands.run(typed.text):
                        break
                else:
                    _check_length(typed.text, settings)
                    await commands.tell(sitting.say(typed.text, seed))
            except UserError as error:
                _note(f"! {error}")
                failed = True
    if failed and not at_terminal():
        raise typer.Exit(2)


async def _once(settings: Settings, text: str, session: int | None, seed: int | None, as_json: bool) -> None:
    check_typed(text)
    _check_length(text, settings)
    async with open_chat(settings) as chat:
        sitting = await _sit(chat, settings, session, quiet=as_json)
        done = await sitting.say(text, seed)
    if as_json:
        print_json(_as_json(done, sitting.session))
    else:
        typer.echo()
    require_whole(done)


async def _sit(chat: Chat, settings: Settings, session: int | None, quiet: bool = False) -> Sitting:
    write, think = ((lambda _: None),) * 2 if quiet else (_write, _think)
    sitting = Sitting(chat, settings.chat.system_prompt, write, think, _note)
    if session is not None:
        await sitting.resume(session)
    return sitting


def _check_length(text: str, settings: Settings) -> None:
    limit = settings.chat.max_message_chars
    if len(text) > limit:
        raise UserError(
            f"the message has {len(text):,} characters, {limit:,} are allowed: shorten it, or raise "
            "max_message_chars in [chat] of config.toml"
        )


def _as_json(done: Done, session: int | None) -> dict[str, object]:
    return {
        "format": 1,
        "turn": done.turn,
        "session": session,
        "message": done.message,
        "reply": done.text,
        "reasoning": done.reasoning,
        "finish": stated(done.finish),
        "tokens": done.n_tokens,
        "seed": done.seed,
        "logged": done.logged and done.gap is None,
        "gap": done.gap,
        "error": done.error,
    }


def _write(text: str) -> None:
    typer.echo(neutral(text), nl=False)


def _think(text: str) -> None:
    """Beside the reply, which is all that a script reads."""
    typer.secho(neutral(text), nl=False, err=True, dim=True)


def _note(text: str) -> None:
    typer.echo(neutral(text), err=True)
