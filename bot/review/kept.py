"""A session as one HTML file to keep: no script, no remote part, readable without a network for ever.

What people and models wrote is escaped and disarmed as on the review page; the file's own policy lets nothing load
and no style apply but its own, by its hash. The layers are switched by style alone.
"""

import asyncio
import base64
import hashlib
from collections.abc import AsyncGenerator
from functools import cache

from jinja2 import Environment
from markupsafe import Markup

from ..errors import UserError
from ..explain.explanation import Explanation, explain
from ..explain.view import StepView
from ..store import Store
from ..store.bulk import heads
from ..store.marks import marks_of
from ..store.missing import Missing
from ..store.turns import turn_rows_of
from .microscope import glyphs, names
from .palette import stylesheet
from .render import HERE, environment


async def kept_session(
    store: Store, number: int, *, traces: bool = True, missing: Missing | None = None
) -> AsyncGenerator[str]:
    """The file, piece by piece: a reply's tokens are in memory one reply at a time. What of it cannot be read is
    named at its end, and in ``missing``.

    Raises UserError if there is no such session.
    """
    lost = Missing()
    found = await store.database.read(lambda c: heads(c, [number], lost))
    if not found:
        raise UserError(f"there is no session {number}")
    head = found[0]
    env = _environment()
    marks = await store.database.read(lambda c: marks_of(c, head.turns, lost))
    rows = await store.database.read(lambda c: turn_rows_of(c, head.turns, lost))
    turns = {turn.reply_message: turn for turn in rows}
    style = _style()
    yield await asyncio.to_thread(
        env.get_template("kept.html").render,
        session=head.row,
        style=Markup(style),  # noqa: S704 - our own file
        style_hash=_hash(style),
    )
    message_page = env.get_template("kept_message.html")
    last: int | None = None
    for said in head.messages:
        turn = turns.get(said.id)
        explanation = None
        if turn is not None and traces and turn.n_out:
            explanation = await asyncio.to_thread(explain, await store.turn(turn.id))
            if explanation.turn.trace.fault:
                lost.add("records of turns", turn.id)
        yield await asyncio.to_thread(
            message_page.render,
            message=said,
            follows=said.parent in (last, None),
            turn=turn,
            marks=None if turn is None else marks.get(turn.id),
            explanation=explanation,
            glyphs=() if explanation is None else glyphs(explanation),
            steps=() if explanation is None else _steps(explanation),
        )
        last = said.id
    yield "</ol>\n"
    if lost:
        yield f'<p class="error">The log is damaged, and this is not in here: {lost.words()}</p>\n'
        if missing is not None:
            missing.update(lost)
    yield "</main>\n</body>\n</html>\n"


def _steps(explanation: Explanation) -> list[tuple[StepView, dict[int, str]]]:
    views = map(explanation.step, range(len(explanation.tokens)))
    return [(view, names(view)) for view in views]


@cache
def _environment() -> Environment:
    return environment()


@cache
def _style() -> str:
    layers = stylesheet(":root:has(#layer-{}:checked)".format)
    return "\n".join(
        [layers, *((HERE / "static" / name).read_text(encoding="utf-8") for name in ("style.css", "kept.css"))]
    )


def _hash(style: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
