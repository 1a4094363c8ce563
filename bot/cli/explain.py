"""`glasshead explain`: open a logged reply. Full-screen on a terminal, plain text in a pipe, or a file."""

import asyncio
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from ..chat import Chat
from ..config import Settings, load_settings
from ..errors import UserError
from ..explain.branches import compare as compare_turns
from ..explain.contrast import compare_lines, family_lines
from ..explain.explanation import Explanation
from ..explain.explanation import explain as explain_turn
from ..explain.family import Family
from ..explain.json import Json, comparison_json, explanation_json, scored_json, tree_json
from ..explain.lines import Line, plain
from ..explain.loss import scored_lines
from ..explain.page import Extras, page_bytes
from ..explain.text import absence, full, step_lines
from ..explain.turn import Turn
from ..store.relatives import relatives
from ..store.store import Store
from .actions import ModelActions
from .options import Config
from .printing import print_json
from .terminal import can_draw, columns
from .written import write_file


def explain(
    turn: Annotated[int | None, typer.Argument(help="The turn's number; without: the newest.")] = None,
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="Everything recorded, as docs/json.md describes.")
    ] = False,
    html: Annotated[Path | None, typer.Option(help="Write one self-contained page to this file.")] = None,
    png: Annotated[Path | None, typer.Option(help="Draw a picture into this file.")] = None,
    loss: Annotated[
        bool, typer.Option(help="Score prompt and reply in one pass, as training does. Loads the model.")
    ] = False,
    prove: Annotated[
        bool, typer.Option(help="With --html: replay the reply, and put the certificate there. Loads the model.")
    ] = False,
    compare: Annotated[int | None, typer.Option(help="Compare with this turn, token by token.")] = None,
    as_tree: Annotated[
        bool, typer.Option("--tree", help="The replies to the same message: what-ifs below what they left.")
    ] = False,
    step: Annotated[int | None, typer.Option(help="Open this step, counted from 0.")] = None,
    config: Config = None,
) -> None:
    """Open a logged reply: each token, what else it might have been, and why it fell so."""
    asked = Asked(as_json, html, png, loss, prove, compare, as_tree, step)
    _refuse_what_cannot_be_met(asked)
    asyncio.run(_explain(load_settings(config), turn, asked))


@dataclass(frozen=True, slots=True)
class Asked:
    """The options of the command."""

    as_json: bool
    html: Path | None
    png: Path | None
    loss: bool
    prove: bool
    compare: int | None
    as_tree: bool
    step: int | None


def _refuse_what_cannot_be_met(asked: Asked) -> None:
    """Raise UserError for options of which one would have no effect."""
    if asked.prove and not asked.html:
        raise UserError("--prove goes with --html FILE; glasshead verify prints the certificate")
    given = {
        "--html": asked.html is not None,
        "--png": asked.png is not None,
        "--loss": asked.loss,
        "--step": asked.step is not None,
        "--tree": asked.as_tree,
    }
    text_only = asked.loss and not asked.html
    alone = (
        ("--compare", asked.compare is not None, ("--html", "--png", "--loss", "--step", "--tree")),
        ("--tree", asked.as_tree, ("--html", "--png", "--loss", "--step")),
        ("--json", asked.as_json, ("--html", "--png", "--step")),
        ("--loss", text_only, ("--png", "--step")),
    )
    for option, is_given, others in alone:
        if is_given and (other := next((name for name in others if given[name]), None)):
            raise UserError(f"{option} cannot be had together with {other}: ask for one after the other")


async def _explain(settings: Settings, number: int | None, asked: Asked) -> None:
    store = await Store.open(settings.store.path, writable=False)
    try:
        number = number if number is not None else await store.latest_turn()
        if number is None:
            raise UserError("the log holds no turn yet: say something first, with glasshead chat")
        turn = await store.turn(number)
        other = await store.turn(asked.compare) if asked.compare is not None else None
        family = await relatives(store, turn) if asked.as_tree or asked.html or not can_draw() else Family()
    finally:
        await store.close()
    if other is not None:
        comparison = compare_turns(turn, other)
        _tell(asked, comparison_json(comparison), compare_lines(comparison, turn, other, columns()))
    elif asked.as_tree:
        _tell(asked, tree_json(family), family_lines(family, turn, columns()))
    else:
        await _open(settings, turn, asked, family)


async def _open(settings: Settings, turn: Turn, asked: Asked, family: Family) -> None:
    explanation = explain_turn(turn)
    if asked.step is not None:
        check_step(explanation, asked.step)
    if asked.html or asked.png:
        async with ModelActions(settings) as actions:
            scored = await actions.score(turn) if asked.loss else None
            certificate = await actions.prove(turn) if asked.prove else []
        await asyncio.to_thread(_write_files, explanation, asked, Extras(scored, certificate, family))
    elif asked.loss:
        async with ModelActions(settings) as actions:
            scored = await actions.score(turn)
        lines: list[Line] = [[("", text)] for text in scored_lines(turn, scored, columns())]
        _tell(asked, scored_json(scored), lines)
    elif asked.as_json:
        _tell(asked, explanation_json(explanation), [])
    elif asked.step is not None and not can_draw():
        _print(step_lines(explanation, asked.step, columns()))
    else:
        await show_turn(turn, settings, step=asked.step or 0, family=family)


def _tell(asked: Asked, data: Json, lines: list[Line]) -> None:
    if asked.as_json:
        print_json(data)
    else:
        _print(lines)


def _write_files(explanation: Explanation, asked: Asked, extras: Extras) -> None:
    if asked.html:
        print(write_file(asked.html, page_bytes(explanation, asked.step, extras)))
    if asked.png:
        from ..explain.picture import Painter  # noqa: PLC0415 - opens every font there is
        from ..explain.sheet import sheet  # noqa: PLC0415

        print(write_file(asked.png, Painter().paint(sheet(explanation, asked.step))))


async def show_turn(
    turn: Turn,
    settings: Settings,
    chat: Chat | None = None,
    step: int = 0,
    family: Family = Family(),
) -> None:
    """Open a reply where the person is: full-screen on a terminal, else as text, with the tree of its ``family``.
    ``chat`` is one that runs already."""
    explanation = explain_turn(turn)
    if not can_draw():
        print(full(explanation, columns()), end="")
        if len(family) > 1:
            print(f"\nReplies to the same message\n{plain(family_lines(family, turn, columns()))}")
        return
    from .screen import Screen  # noqa: PLC0415 - a pipe has no use for it

    async with ModelActions(settings, chat) as actions:
        await Screen(explanation, actions, step=step).run()


def check_step(explanation: Explanation, step: int) -> None:
    """Raise UserError for a step that is not there."""
    count = len(explanation.tokens)
    if not count:
        reason = absence(explanation).rstrip(".")
        raise UserError(f"turn {explanation.turn.id} has no steps: {reason[0].lower()}{reason[1:]}")
    if not 0 <= step < count:
        raise UserError(f"turn {explanation.turn.id} has the steps 0 to {count - 1}, not {step}")


def _print(lines: list[Line]) -> None:
    """Tinted on a terminal, plain in a pipe or under NO_COLOR."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        print(plain(lines))
        return
    from prompt_toolkit import print_formatted_text  # noqa: PLC0415 - a pipe has no use for it
    from prompt_toolkit.formatted_text import FormattedText  # noqa: PLC0415
    from prompt_toolkit.output import ColorDepth  # noqa: PLC0415

    fragments = [fragment for line in lines for fragment in (*line, ("", "\n"))]
    print_formatted_text(FormattedText(fragments), end="", color_depth=ColorDepth.TRUE_COLOR)
