"""The command tree of `glasshead`."""

from importlib.metadata import version
from typing import Annotated, ClassVar

import typer

from .lazy import Lazy, Places


class Commands(Lazy):
    """What stands directly below `glasshead`."""

    places: ClassVar[Places] = {
        "run": ("run:run", "Start the bot: it joins Discord if DISCORD_TOKEN is set, else it talks here."),
        "chat": ("chat:chat", "Talk to the bot here."),
        "explain": (
            "explain:explain",
            "Open a logged reply: each token, what else it might have been, and why it fell so.",
        ),
        "verify": ("verify:verify", "Replay a reply from its record alone: do the same bits come out?"),
        "tour": (
            "tour:tour",
            "Eight short steps that show next-token prediction on your model.\n\n"
            "Exit code 1 if a claim does not hold, 2 if one could not be run.",
        ),
        "log": ("log:app", "Find, read, mark, export and erase what was logged."),
        "model": ("model:app", "Models: list, fetch, look inside."),
        "review": (
            "review:review",
            "Search and read the log in the browser, mark what you find. The address works once, for you.",
        ),
        "doctor": ("doctor:doctor", "Check everything the bot needs. Exit code 1 if something fails."),
    }


app = typer.Typer(
    name="glasshead",
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"glasshead {version('glasshead')}, llama-cpp-python {version('llama-cpp-python')}")
        raise typer.Exit


@app.callback()
def glasshead(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and end.")
    ] = False,
) -> None:
    """A chat bot with a glass head: a local model answers, and every token can be explained and proven."""
