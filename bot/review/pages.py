"""What is read: each handler asks the log, arranges, renders."""

import asyncio
import datetime
import json
import math
from collections.abc import Mapping
from functools import partial
from typing import cast
from urllib.parse import urlencode

import sqlalchemy as sa
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from ..errors import UserError
from ..explain.explanation import Explanation, explain
from ..explain.json import explanation_json
from ..explain.page import Extras
from ..explain.page import page as whole_page
from ..explain.proof import unprovable
from ..explain.scale import LAYERS
from ..explain.text import absence, outcome
from ..explain.tree import tree
from ..explain.visible import visible
from ..store import Store
from ..store.marks import Marks, marks_of
from ..store.missing import Missing
from ..store.relatives import relatives
from ..store.search import Order
from ..store.search_syntax import parse
from ..store.statistics import By
from ..store.statistics import statistics as daily_sums
from ..store.tables import turn
from . import figures
from .almost import filters, link, look
from .comparison import side_by_side
from .facets import facets
from .health import look_at
from .kept import kept_session
from .keys import key
from .microscope import cut, draw_bar, glyphs, names, prompt_tokens
from .render import page
from .transcript import stretch

PAGE = 50
SEEN = 1000
"""Tokens of the prompt shown beside a reply: its end."""
STRETCH = 4000
"""Of a longer one, shown at once."""


def _store(request: Request) -> Store:
    return cast("Store", request.app.state.store)


async def sessions(request: Request) -> Response:
    """All sessions, newest first; or, with a query, the messages it finds."""
    store = _store(request)
    query = request.query_params.get("q", "").strip()
    order: Order = "best" if request.query_params.get("order") == "best" else "newest"
    hits, rows, older, error = None, [], "", ""
    if query:
        try:
            hits = await store.search(
                parse(query), order=order, limit=PAGE, after=_page_key(request.query_params.get("after"))
            )
        except UserError as wrong:
            error = str(wrong)
        if hits is not None and hits.next is not None:
            older = urlencode({"q": query, "order": order, "after": f"{hits.next[0]!r},{hits.next[1]}"})
    else:
        before = _page_key(request.query_params.get("before"))
        rows = await store.sessions(limit=PAGE + 1, before=(int(before[0]), before[1]) if before else None)
        if len(rows) > PAGE:
            rows = rows[:PAGE]
            older = urlencode({"before": f"{rows[-1].last_turn or 0},{rows[-1].id}"})
    return page(
        request,
        "sessions.html",
        query=query,
        order=order,
        facets=await store.database.read(facets),
        hits=hits,
        rows=rows,
        older=older,
        error=error,
        near=link(query) if query and not error else None,
        among=filters(query) if query and not error else "",
        latest=await store.latest_turn() or 0,
    )


async def pulse(request: Request) -> Response:
    """The newest turn's number, or how far a session or a turn has come: an open page asks whether it is still up
    to date."""
    store = _store(request)
    of_session, of_turn = (key(request.query_params.get(name)) for name in ("session", "turn"))
    if of_turn is not None:
        return JSONResponse({"latest": await _state(store, turn.c.id == of_turn)})
    if of_session is not None:
        return JSONResponse({"latest": await _state(store, turn.c.session_id == of_session)})
    return JSONResponse({"latest": await store.latest_turn() or 0})


async def _state(store: Store, which: sa.ColumnElement[bool]) -> str:
    """Changes with every turn of these, and with what is saved of it while it is made. To be asked before what it
    tells of is read: what comes in between is then read again, not missed."""
    newest = sa.select(turn.c.id, turn.c.status, turn.c.n_out).where(which)
    query = newest.order_by(turn.c.id.desc()).limit(1)
    row = await store.database.read(lambda c: c.execute(query).first())
    return "0" if row is None else f"{row.id} {row.status} {row.n_out}"


async def session(request: Request) -> Response:
    store, number = _store(request), request.path_params["id"]
    latest = await _state(store, turn.c.session_id == number)
    row = await store.session(number)
    at = key(request.query_params.get("at"))
    shown, lines = await store.database.read(lambda c: stretch(c, number, at))
    return page(request, "session.html", session=row, window=shown, lines=lines, latest=latest)


async def reply(request: Request) -> Response:
    """A reply opened: tokens with layers, one step, what the model saw, marks."""
    store = _store(request)
    latest = await _state(store, turn.c.id == request.path_params["id"])
    explanation = explain(await store.turn(request.path_params["id"]))
    made = explanation.turn
    steps = len(explanation.tokens)
    at = key(request.query_params.get("step"))
    index = min(at, steps - 1) if at is not None and steps else None
    layer = request.query_params.get("layer", "probability")
    marks = await store.database.read(lambda c: marks_of(c, [made.id], Missing()))
    family = await relatives(store, made)
    asked = None if made.prompt_message is None else await store.message(made.prompt_message)
    return page(
        request,
        "reply.html",
        asked=asked,
        explanation=explanation,
        turn=made,
        latest=latest,
        whole=explanation.whole,
        glyphs=glyphs(explanation),
        layer=layer if layer in LAYERS else LAYERS[0],
        seen=_seen(explanation, len(made.prompt.ids) - SEEN, len(made.prompt.ids)),
        marks=marks.get(made.id) or Marks(made.id),
        reviewer=request.app.state.reviewer,
        unsure=[visible(explanation.group_of(index).bytes) for index in explanation.whole.least_certain],
        forest=await asyncio.to_thread(tree, family) if len(family) > 1 else (),
        unread=family.unread,
        step=await _step(request, explanation, index),
        ending=outcome(explanation),
        absence=absence(explanation),
        unprovable=unprovable(made),
    )


def _seen(explanation: Explanation, first: int, last: int) -> dict[str, object]:
    """What the model saw between two positions."""
    first, count = max(first, 0), len(explanation.turn.prompt.ids)
    parts = [(part, prompt_tokens(part)) for part in cut(explanation.prompt, first, last)]
    return {"parts": parts, "first": first, "last": min(last, count) - 1, "count": count}


async def prompt(request: Request) -> Response:
    """What the model saw, where that is long: a stretch of it."""
    explanation = explain(await _store(request).turn(request.path_params["id"]))
    first = (key(request.query_params.get("from")) or 0) // STRETCH * STRETCH
    seen = _seen(explanation, first, first + STRETCH)
    return page(request, "prompt.html", turn=explanation.turn, seen=seen, stretch=STRETCH)


async def step(request: Request) -> Response:
    """One step as a piece of page, for the script that walks from token to token."""
    explanation = explain(await _store(request).turn(request.path_params["id"]))
    index = request.path_params["step"]
    if index >= len(explanation.tokens):
        raise UserError(f"there is no step {index} in turn {explanation.turn.id}")
    return page(request, "step.html", turn=explanation.turn, step=await _step(request, explanation, index))


async def _step(request: Request, explanation: Explanation, index: int | None) -> Mapping[str, object] | None:
    if index is None:
        return None
    view = explanation.step(index)
    group = explanation.group_of(index)
    shown = names(view)
    parts = range(group.first, group.last + 1)
    return {
        "view": view,
        "names": shown,
        "bar": draw_bar(view, shown),
        "parts": parts if len(parts) > 1 else (),
        "last": len(explanation.tokens) - 1,
        "what_if": await request.app.state.jobs.what_if(view, explanation.turn),
    }


async def record(request: Request) -> Response:
    """The explanation to keep: as one HTML file, or as JSON. Saved, never opened here: it brings its own script."""
    explanation = explain(await _store(request).turn(request.path_params["id"]))
    name, kind = f"turn-{explanation.turn.id}", request.path_params["kind"]
    if kind == "html":
        family = await relatives(_store(request), explanation.turn)
        body, media = await asyncio.to_thread(whole_page, explanation, extras=Extras(family=family)), "text/html"
    elif kind == "json":
        body, media = json.dumps(explanation_json(explanation), allow_nan=False), "application/json"
    else:
        raise UserError(f"there is no {kind} of a turn")
    return Response(
        body, media_type=media, headers={"Content-Disposition": f'attachment; filename="{name}.{kind}"'}
    )


async def session_record(request: Request) -> Response:
    """A session to keep as one HTML file."""
    number = request.path_params["id"]
    await _store(request).session(number)
    return StreamingResponse(
        kept_session(_store(request), number),
        media_type="text/html",
        headers={"Content-Disposition": f'attachment; filename="session-{number}.html"'},
    )


async def almost(request: Request) -> Response:
    """Where a word was almost said."""
    word, query = (request.query_params.get(name, "").strip() for name in ("word", "q"))
    found, error = None, ""
    if word:
        try:
            found = await look(_store(request), word, query, key(request.query_params.get("before")))
        except UserError as wrong:
            error = str(wrong)
    return page(request, "almost.html", word=word, query=query, found=found, error=error)


async def compare(request: Request) -> Response:
    store = _store(request)
    asked = [request.query_params.get(side, "") for side in ("a", "b")]
    first, second = key(asked[0]), key(asked[1])
    if first is None or second is None:
        return page(request, "compare.html", sides=None, left=None, right=None, numbers=asked)
    left, right = await store.turn(first), await store.turn(second)
    sides = side_by_side(left, right)
    return page(request, "compare.html", sides=sides, left=left, right=right, numbers=asked)


async def statistics(request: Request) -> Response:
    """Sums by day, model, server and user, as plots and tables."""
    days = key(request.query_params.get("days"))
    days = days if days in figures.SPANS else 30
    until = figures.day_number(datetime.datetime.now(datetime.UTC).date())
    span = range(until - days + 1, until + 1)
    ways: tuple[By, ...] = ("day", "model", "server", "user")
    work = [partial(daily_sums, by=by, since=span.start, until=until, limit=figures.MANY) for by in ways]
    by_day, *tables = await asyncio.gather(*map(_store(request).database.read, work))
    return page(
        request,
        "statistics.html",
        whole=figures.whole(by_day),
        plots=figures.plots(by_day, span),
        tables=[(way.capitalize(), rows) for way, rows in zip(ways[1:], tables, strict=True)],
        by_day=by_day[: -figures.DAYS - 1 : -1],
        first=figures.date(span.start),
        last=figures.date(until),
        days=days,
        spans=figures.SPANS,
    )


async def health(request: Request) -> Response:
    """How the log itself is doing."""
    store = _store(request)
    return page(request, "health.html", health=await store.database.read(lambda c: look_at(c, store.database.path)))


def _page_key(text: str | None) -> tuple[float, int] | None:
    """A page's key, as the link to it carries it."""
    score, _, id_ = (text or "").partition(",")
    try:
        after = float(score), int(id_)
    except ValueError:
        return None
    return after if math.isfinite(after[0]) else None


ROUTES = [
    Route("/", sessions),
    Route("/pulse", pulse),
    Route("/session/{id:key}", session),
    Route("/session/{id:key}/record.html", session_record),
    Route("/turn/{id:key}", reply),
    Route("/turn/{id:key}/step/{step:key}", step),
    Route("/turn/{id:key}/prompt", prompt),
    Route("/turn/{id:key}/record.{kind}", record),
    Route("/almost", almost),
    Route("/compare", compare),
    Route("/statistics", statistics),
    Route("/health", health),
]
