"""What a reader changes or sets going. Each is a form of our own page, with its secret."""

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlencode

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from ..errors import UserError
from ..explain.scale import LAYERS
from ..store.owner import writer
from .jobs import start
from .keys import key

NOTE_LIMIT = 10_000
NAME_LIMIT = 80
BODY_LIMIT = 200_000  # bytes: a character of a note is up to twelve in a form

Form = dict[str, str]


async def change(request: Request) -> Response:
    """Do what the form names."""
    form = await _form(request)
    if not request.app.state.entry.trusts_form(form.get("csrf", "")):
        return PlainTextResponse("This form is from another run of the page: go back and reload it.", 403)
    turn, what = request.path_params["id"], request.path_params["what"]
    if what in ("prove", "loss", "branch"):
        return await start(request, turn, what, form)
    state = request.app.state
    if what == "reviewer":
        state.reviewer = form.get("author", "").strip()[:NAME_LIMIT]
    elif what in _MARKS:
        call, arguments = _MARKS[what](turn, form)
        if call in _SIGNED:
            arguments["author"] = state.reviewer
        # One at a time: we may have to become the log's owner, and are not twice.
        async with state.writing, writer(state.store.database.path, state.caches) as write:
            await write(call, **arguments)
    else:
        raise UserError("there is no such change")
    return RedirectResponse(f"/turn/{turn}{_place(form)}#marks", 303)


def _place(form: Form) -> str:
    """What of the turn was open, as a query."""
    step, layer = key(form.get("at") or form.get("first")), form.get("layer")
    place = ({} if step is None else {"step": str(step)}) | ({"layer": layer} if layer in LAYERS else {})
    return f"?{urlencode(place)}" if place else ""


Call = tuple[str, dict[str, Any]]
"""The name of a write, and its arguments."""


def _rate(turn: int, form: Form) -> Call:
    stars = form.get("stars", "")
    return "rate", {"turn": turn, "stars": int(stars) if stars in ("1", "2", "3", "4", "5") else None}


def _tag(turn: int, form: Form) -> Call:
    return "add_tag", {"turn": turn, "name": form.get("name", "")}


def _untag(turn: int, form: Form) -> Call:
    return "remove_tag", {"turn": turn, "name": form.get("name", "")}


def _note(turn: int, form: Form) -> Call:
    text = form.get("text", "").replace("\r\n", "\n")  # forms send line ends as CR LF
    if len(text) > NOTE_LIMIT:
        raise UserError(f"a note holds {NOTE_LIMIT:,} characters at most, not {len(text):,}")
    span = {"first": number(form, "first"), "last": number(form, "last")}
    return "add_note", {"turn": turn, "text": text, **span}


def _unnote(turn: int, form: Form) -> Call:
    return "remove_note", {"note": number(form, "note") or 0}


_MARKS: dict[str, Callable[[int, Form], Call]] = {
    "rate": _rate,
    "tag": _tag,
    "untag": _untag,
    "note": _note,
    "unnote": _unnote,
}
_SIGNED = ("rate", "add_tag", "add_note")
"""Writes that say who made the mark: the one browser the page is open to has one reviewer before it."""


async def _form(request: Request) -> Form:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_LIMIT:
            raise UserError("the form is too large")
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=20))
    except ValueError:
        raise UserError("the form cannot be read") from None


def number(form: Form, name: str) -> int | None:
    """An optional number."""
    text = form.get(name, "").strip()
    found = key(text)
    if text and found is None:
        raise UserError(f"a token is meant by its number, not by {text[:40]}")
    return found


ROUTES = [Route("/turn/{id:key}/{what}", change, methods=["POST"])]
