"""What reviewers add: ratings, tags, notes. Each change is a form of our own page, with its secret."""

from collections.abc import Callable
from urllib.parse import parse_qsl

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from ..errors import UserError
from ..store import marks

NOTE_LIMIT = 10_000
BODY_LIMIT = 100_000  # bytes

Form = dict[str, str]


async def change(request: Request) -> Response:
    """Do the change the form names, and go back to the reply."""
    form = await _form(request)
    if not request.app.state.entry.trusts_form(form.get("csrf", "")):
        return PlainTextResponse("This form is from another run of the page: go back and reload it.", 403)
    if not request.app.state.writable:
        raise UserError(f"the log is written by {request.app.state.owner}: marks cannot be changed from here now")
    turn = int(request.path_params["id"])
    work = _CHANGES.get(request.path_params["what"])
    if work is None:
        raise UserError("there is no such change")
    await request.app.state.store.database.write(lambda c: work(c, turn, form))
    return RedirectResponse(f"/turn/{turn}#marks", 303)


def _rate(connection: Connection, turn: int, form: Form) -> None:
    stars = form.get("stars", "")
    marks.rate(connection, turn, int(stars) if stars in ("1", "2", "3", "4", "5") else None)


def _tag(connection: Connection, turn: int, form: Form) -> None:
    marks.add_tag(connection, turn, form.get("name", ""))


def _untag(connection: Connection, turn: int, form: Form) -> None:
    marks.remove_tag(connection, turn, form.get("name", ""))


def _note(connection: Connection, turn: int, form: Form) -> None:
    text = form.get("text", "")
    if len(text) > NOTE_LIMIT:
        raise UserError(f"a note holds {NOTE_LIMIT:,} characters at most, not {len(text):,}")
    first, last = _step(form, "first"), _step(form, "last")
    marks.add_note(connection, turn, text, first=first, last=last, author=form.get("author", "")[:80])


def _unnote(connection: Connection, turn: int, form: Form) -> None:
    marks.remove_note(connection, _step(form, "note") or 0)


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


def _step(form: Form, name: str) -> int | None:
    text = form.get(name, "").strip()
    if text and (not text.isascii() or not text.isdecimal() or len(text) > 18):
        raise UserError(f"{name}: expected a number, not {text[:40]}")
    return int(text) if text else None


_CHANGES: dict[str, Callable[[Connection, int, Form], None]] = {
    "rate": _rate,
    "tag": _tag,
    "untag": _untag,
    "note": _note,
    "unnote": _unnote,
}

ROUTES = [Route("/turn/{id:int}/{what}", change, methods=["POST"])]
