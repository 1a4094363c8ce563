"""`glasshead explain`: open a logged reply. Full-screen on a terminal, plain text in a pipe, or a file."""

import asyncio
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer
from prompt_toolkit import print_formatted_text
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.output import ColorDepth

from ..chat import Chat
from ..config import Settings, load_settings
from ..errors import UserError
from ..explain.branches import compare as compare_turns
from ..explain.contrast import compare_lines
from ..explain.explanation import Explanation
from ..explain.explanation import explain as explain_turn
from ..explain.json import comparison_json, explanation_json, scored_json
from ..explain.lines import Line, plain
from ..explain.loss import Scored, loss_lines, seen_lines
from ..explain.page import page
from ..explain.text import full, step_lines
from ..explain.turn import Turn
from ..store.store import Store
from .actions import ModelActions
from .screen import Screen

WIDEST = 100
"""Columns beyond which a line of prose is no longer read with ease."""


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
    compare: Annotated[int | None, typer.Option(help="Compare with this turn, token by token.")] = None,
    step: Annotated[int | None, typer.Option(help="Open this step, counted from 0.")] = None,
    config: Annotated[Path | None, typer.Option(help="Settings file instead of config.toml.")] = None,
) -> None:
    """Open a logged reply: each token, what else it might have been, and why it fell so."""
    settings = load_settings(config)
    asyncio.run(
        _explain(settings, turn, as_json=as_json, html=html, png=png, loss=loss, compare=compare, step=step)
    )


async def _explain(
    settings: Settings,
    number: int | None,
    *,
    as_json: bool,
    html: Path | None,
    png: Path | None,
    loss: bool,
    compare: int | None,
    step: int | None,
) -> None:
    store = await Store.open(settings.store.path, writable=False)
    try:
        number = number if number is not None else await store.latest_turn()
        if number is None:
            raise UserError("the log holds no turn yet: say something first, with glasshead chat")
        turn = await store.turn(number)
        other = await store.turn(compare) if compare is not None else None
    finally:
        await store.close()
    explanation = explain_turn(turn)
    if step is not None:
        check_step(explanation, step)
    if other is not None:
        comparison = compare_turns(turn, other)
        if as_json:
            print(json.dumps(comparison_json(comparison), ensure_ascii=False, allow_nan=False))
        else:
            _print(compare_lines(comparison, turn, other, columns()))
    elif html or png:
        scored = await _scored(settings, turn) if loss else None
        await asyncio.to_thread(_write_files, explanation, html, png, step, scored)
    elif loss:
        scored = await _scored(settings, turn)
        lines = [*seen_lines(turn, scored), "", *loss_lines(scored.loss)]
        print(json.dumps(scored_json(scored), allow_nan=False) if as_json else "\n".join(lines))
    elif as_json:
        print(json.dumps(explanation_json(explanation), ensure_ascii=False, allow_nan=False))
    elif step is not None and not _is_terminal():
        _print(step_lines(explanation, step, columns()))
    else:
        await show_turn(turn, settings, step=step or 0)


async def _scored(settings: Settings, turn: Turn) -> Scored:
    async with ModelActions(settings) as actions:
        return await actions.score(turn)


def _write_files(
    explanation: Explanation, html: Path | None, png: Path | None, step: int | None, scored: Scored | None
) -> None:
    if html:
        _write(html, page(explanation, step or 0, scored).encode("utf-8", "backslashreplace"))
    if png:
        from ..explain.picture import Painter  # noqa: PLC0415 - opens every font there is
        from ..explain.sheet import sheet  # noqa: PLC0415

        _write(png, Painter().paint(sheet(explanation, step)))


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from error
    print(f"{path}: {len(data):,} bytes")


async def show_turn(turn: Turn, settings: Settings | None = None, chat: Chat | None = None, step: int = 0) -> None:
    """Open a reply where the person is: full-screen on a terminal, else as text.

    ``settings`` let the screen load the model for proofs and branches; ``chat`` is one that runs already.
    """
    explanation = explain_turn(turn)
    if not _is_terminal():
        print(full(explanation, columns()), end="")
    elif settings is None:
        await Screen(explanation, step=step).run()
    else:
        async with ModelActions(settings, chat) as actions:
            await Screen(explanation, actions, step=step).run()


def _is_terminal() -> bool:
    return bool(sys.stdin and sys.stdin.isatty() and sys.stdout.isatty())


def check_step(explanation: Explanation, step: int) -> None:
    """Raise UserError for a step that is not there."""
    count = len(explanation.tokens)
    if not count:
        raise UserError(f"turn {explanation.turn.id} has no steps: no token was recorded")
    if not 0 <= step < count:
        raise UserError(f"turn {explanation.turn.id} has the steps 0 to {count - 1}, not {step}")


def columns() -> int:
    """How wide to write: the terminal's width, 80 in a pipe."""
    return min(shutil.get_terminal_size((80, 24)).columns, WIDEST) if sys.stdout.isatty() else 80


def _print(lines: list[Line]) -> None:
    """Tinted on a terminal, plain in a pipe or under NO_COLOR."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        print(plain(lines))
        return
    fragments = [fragment for line in lines for fragment in (*line, ("", "\n"))]
    print_formatted_text(FormattedText(fragments), end="", color_depth=ColorDepth.TRUE_COLOR)
