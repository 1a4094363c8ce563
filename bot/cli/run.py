"""`glasshead run`: Discord with a token, the terminal without."""

import asyncio
import os

import typer

from ..config import load_settings, token_under_another_name
from .chat import converse
from .interrupt import run_until_told
from .logs import start_logging
from .options import Config


def run(config: Config = None) -> None:
    """Start the bot: it joins Discord if DISCORD_TOKEN is set, else it talks here."""
    settings = load_settings(config)
    on_discord = bool(settings.discord.token.get_secret_value())
    start_logging(settings, quiet=not on_discord)
    if on_discord:
        from ..plugin.client import serve  # noqa: PLC0415 - the terminal need not load discord.py

        asyncio.run(serve(settings))
        return
    other = token_under_another_name(os.environ)
    meant = f" ({other} is set: was that meant?)" if other else ""
    typer.echo(f"No DISCORD_TOKEN{meant}: the bot talks in this terminal. /help lists what it can do.", err=True)
    run_until_told(converse(settings))
