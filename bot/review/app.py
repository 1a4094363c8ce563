"""The application: routes, the guard in front, and what every page needs."""

import asyncio
from collections.abc import Collection
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from .. import explain
from ..errors import UserError
from ..store import Store
from . import changes, jobs, pages
from .entry import Entry, Guard
from .jobs import Jobs, OpenActions
from .palette import stylesheet
from .render import HERE, environment, page


def create_app(
    store: Store, *, hosts: Collection[str], actions: OpenActions | None = None, caches: tuple[Path, ...] = ()
) -> Starlette:
    """The review page over an open store. ``app.state.entry.token`` opens it, once.

    ``hosts`` are the Host headers it answers to. The store is only read: a mark becomes the log's owner for a
    moment, or goes through the process that is. ``actions`` is None where there is no model to prove with.
    ``caches`` are emptied where it then has an erasure to finish.
    """
    entry = Entry(hosts)
    app = Starlette(
        routes=[
            Route("/enter", enter),
            Route("/static/palette.css", palette),
            Route("/static/legible.js", legible),
            Mount("/static", StaticFiles(directory=HERE / "static")),
            *pages.ROUTES,
            *changes.ROUTES,
            *jobs.ROUTES,
        ],
        middleware=[Middleware(Guard, entry=entry)],
        exception_handlers={UserError: refuse, 404: missing, 500: broken},
    )
    app.state.store = store
    app.state.entry = entry
    app.state.templates = environment()
    app.state.writing = asyncio.Lock()
    app.state.caches = caches
    app.state.reviewer = ""
    app.state.jobs = Jobs(actions)
    app.state.palette = stylesheet()
    return app


async def enter(request: Request) -> Response:
    """Trade the one-time token for a cookie. The answer is a page that goes on by itself, not a redirect: a
    redirect would count as coming from wherever the link was, and carry no strict cookie."""
    entry: Entry = request.app.state.entry
    if entry.knows(request):
        return RedirectResponse("/", 303)
    response = HTMLResponse(request.app.state.templates.get_template("enter.html").render())
    if not entry.admit(response, request.query_params.get("token", "")):
        return PlainTextResponse("This address has been used. Run `glasshead review` again for a new one.", 403)
    return response


async def palette(request: Request) -> Response:
    return Response(request.app.state.palette, media_type="text/css")


async def legible(request: Request) -> Response:
    """The script that the page `glasshead explain --html` writes uses too."""
    return FileResponse(Path(explain.__file__).parent / "legible.js")


async def refuse(request: Request, error: Exception) -> Response:
    status = 404 if str(error).startswith("there is no ") else 400
    back = request.url.path.rsplit("/", 1)[0] if request.method == "POST" else ""
    return page(request, "error.html", status, message=str(error), back=back)


async def missing(request: Request, error: Exception) -> Response:
    return page(request, "error.html", 404, message="There is no such page.", back="")


async def broken(request: Request, error: Exception) -> Response:
    return PlainTextResponse("Something broke here; the log of `glasshead review` says what.", 500)


def local_hosts(port: int) -> tuple[str, ...]:
    """The Host headers of a page on this machine's loopback addresses; browsers leave out the usual port."""
    return tuple(name if port == 80 else f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]"))
