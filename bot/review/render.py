"""Templates: every value is disarmed (controls and bidi marks named) and escaped, whatever a template forgets."""

import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse

from ..explain.scale import LAYERS
from ..explain.text import BLURRED, percent
from ..explain.tree import continuation, met, said, title
from ..explain.visible import neutral, visible
from ..predict.engine import short_name
from ..store.clock import when
from .facets import SYNTAX, chosen, toggled
from .markup import parts

HERE = Path(__file__).parent
LONG = 20_000
TALL = 200
"""Characters and lines of a message shown at once; the rest opens on demand."""


def _disarm(value: Any) -> Any:
    return neutral(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _fold(text: str) -> tuple[str, str]:
    """A message's beginning, and the rest of a long one."""
    lines = text.split("\n", TALL)
    end = LONG if len(lines) <= TALL else min(LONG, len(text) - len(lines[-1]))
    return text[:end], text[end:]


def _iso(us: int) -> str:
    try:
        return datetime.datetime.fromtimestamp(us / 1e6, datetime.UTC).isoformat(timespec="seconds")
    except (OverflowError, OSError, TypeError, ValueError):
        return ""


def _ms(us: int | None) -> str:
    if us is None:
        return "–"
    return f"{us / 1000:,.0f} ms" if us < 1_000_000 else f"{us / 1_000_000:,.2f} s"


def _number(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{round(value, digits) + 0.0:,.{digits}f}"  # no -0.00


def _initial(name: str) -> str:
    """What stands for somebody: the first letter of a name, or of a file's."""
    return next((char.upper() for char in short_name(name) if char.isalnum() and neutral(char) == char), "?")


def environment() -> Environment:
    env = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_disarm,
    )
    env.filters |= {"when": when, "iso": _iso, "percent": percent, "ms": _ms, "number": _number}
    env.filters |= {"model": short_name, "initial": _initial}
    env.globals |= {"BLURRED": BLURRED, "LAYERS": LAYERS, "parts": parts, "visible": visible}
    env.globals |= {"fold": _fold}
    env.globals |= {"chosen": chosen, "toggled": toggled, "SYNTAX": SYNTAX}
    env.globals |= {"title": title, "said": said, "met": met, "continuation": continuation}
    return env


def page(request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    state = request.app.state
    common = {"csrf": state.entry.csrf, "path": request.url.path, "has_model": state.jobs.actions is not None}
    return HTMLResponse(state.templates.get_template(template).render(common | values), status)
