"""The one search syntax, for terminal, page and docs (docs/log.md): text in, a Query out. No database here."""

import datetime
import difflib
import re
from dataclasses import dataclass
from typing import get_args

from ..errors import UserError
from ..explain.turn import Status
from .clock import now_us
from .storable import is_id


@dataclass(frozen=True, slots=True)
class Term:
    """Words to find: in this order if ``phrase`` has several; ``prefix`` lets the last one go on."""

    phrase: str
    prefix: bool = False
    exclude: bool = False


@dataclass(frozen=True, slots=True)
class Bounds:
    """``low <= value <= high``, or strictly so where ``above`` or ``below`` says so; None is no bound."""

    low: float | None = None
    high: float | None = None
    above: bool = False
    below: bool = False


@dataclass(frozen=True, slots=True)
class Query:
    """All of it has to hold; a filter given twice means either value. Times in microseconds since 1970, UTC."""

    terms: tuple[Term, ...] = ()
    users: tuple[str, ...] = ()
    channels: tuple[int, ...] = ()
    servers: tuple[int, ...] = ()
    models: tuple[str, ...] = ()
    sessions: tuple[int, ...] = ()
    statuses: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    thumbs: tuple[int, ...] = ()
    """-1 or 1: somebody's thumb down or up."""
    ratings: tuple[Bounds, ...] = ()
    perplexities: tuple[Bounds, ...] = ()
    tokens: tuple[Bounds, ...] = ()
    after_us: int | None = None
    before_us: int | None = None


_FILTERS = (
    "user", "channel", "server", "model", "session", "status", "tag", "rating", "perplexity", "tokens", "after",
    "before",
)  # fmt: skip
MOST = 500
"""Values of one filter: SQLite takes an expression of a thousand parts."""
_TOKEN = re.compile(r'(?P<no>-)?(?:(?P<name>[a-zA-Z]+):)?(?:"(?P<quoted>[^"]*)"?|(?P<bare>[^\s"]+))(?P<star>\*)?')
_NUMBER = r"\d+(?:\.\d+)?"
_SPANS = {"h": 3600, "d": 86_400, "w": 7 * 86_400}


def parse(text: str, *, now: int | None = None) -> Query:
    """Raises UserError for a filter that is misspelt or whose value means nothing. ``now`` in microseconds."""
    terms: list[Term] = []
    found: dict[str, list[str]] = {}
    for match in _TOKEN.finditer(text):
        name = (match["name"] or "").lower()
        value = match["quoted"] if match["quoted"] is not None else match["bare"]
        if match["quoted"] is None and not name and value.endswith(":") and value[:-1].lower() in _FILTERS:
            name, value = value[:-1].lower(), ""
        if name in _FILTERS:
            if match["no"]:
                raise UserError(f"-{name}: cannot be excluded; only words can")
            if not value:
                raise UserError(f"{name}: needs a value, for example {_example(name)}")
            found.setdefault(name, []).append(value)
            continue
        if name and (near := difflib.get_close_matches(name, _FILTERS, 1, 0.75)):
            raise UserError(f"there is no filter {name}: (did you mean {near[0]}: ?)")
        phrase = f"{name}:{value}" if name else value
        prefix = phrase.endswith("*") or bool(match["star"])
        phrase = phrase.rstrip("*")
        if any(char.isalnum() for char in phrase):
            terms.append(Term(phrase, prefix, bool(match["no"])))
        elif not phrase.isascii():
            raise UserError(f"{phrase} cannot be searched for: only letters and digits are")
    if text.strip() and not terms and not found:
        raise UserError(f"{text.strip()} cannot be searched for: only letters and digits are")
    if terms and all(term.exclude for term in terms):
        raise UserError("a search needs a word to find besides those to leave out")
    return _query(tuple(terms), found, now_us() if now is None else now)


def _query(terms: tuple[Term, ...], found: dict[str, list[str]], now: int) -> Query:
    for name, values in found.items():
        if len(values) > MOST:
            raise UserError(f"{name}: is given {len(values)} times: {MOST} are the most")
    ratings = found.get("rating", [])
    thumb = {"up": 1, "down": -1}
    statuses = found.get("status", [])
    for status in statuses:
        if status not in get_args(Status):
            raise UserError(f"status: is one of {', '.join(get_args(Status))}, not {status}")
    after = [_moment(value, "after", now) for value in found.get("after", [])]
    before = [_moment(value, "before", now) for value in found.get("before", [])]
    return Query(
        terms=terms,
        users=tuple(value.removeprefix("@") for value in found.get("user", [])),
        channels=tuple(_id(value, "channel") for value in found.get("channel", [])),
        servers=tuple(_id(value, "server") for value in found.get("server", [])),
        models=tuple(found.get("model", [])),
        sessions=tuple(_id(value, "session") for value in found.get("session", [])),
        statuses=tuple(statuses),
        tags=tuple(found.get("tag", [])),
        thumbs=tuple(thumb[value] for value in ratings if value in thumb),
        ratings=tuple(_bounds(value, "rating") for value in ratings if value not in thumb),
        perplexities=tuple(_bounds(value, "perplexity") for value in found.get("perplexity", [])),
        tokens=tuple(_bounds(value, "tokens") for value in found.get("tokens", [])),
        after_us=min(after, default=None),
        before_us=max(before, default=None),
    )


def _id(value: str, name: str) -> int:
    digits = value.strip("<#>")
    if not is_id(digits):
        raise UserError(f"{name}: takes a number (an id), not {value:.40}")
    return int(digits)


def _bounds(value: str, name: str) -> Bounds:
    if match := re.fullmatch(rf"({_NUMBER})\.\.({_NUMBER})", value):
        return Bounds(float(match[1]), float(match[2]))
    if not (match := re.fullmatch(rf"(>=|<=|>|<|=)?({_NUMBER})", value)):
        raise UserError(f"{name}: takes a number or a comparison, for example {_example(name)}, not {value}")
    number = float(match[2])
    match match[1]:
        case ">" | ">=":
            return Bounds(low=number, above=match[1] == ">")
        case "<" | "<=":
            return Bounds(high=number, below=match[1] == "<")
        case _:
            return Bounds(number, number)


def _moment(value: str, name: str, now: int) -> int:
    if match := re.fullmatch(r"(\d{1,5})([hdw])", value):
        return now - int(match[1]) * _SPANS[match[2]] * 1_000_000
    try:
        moment = datetime.datetime.fromisoformat(value)
    except ValueError:
        raise UserError(f"{name}: takes a date, for example {_example(name)} or 7d, not {value}") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    return int(moment.timestamp() * 1_000_000)


def _example(name: str) -> str:
    return {
        "user": "user:ann", "channel": "channel:1234", "server": "server:1234", "model": "model:smollm2",
        "session": "session:7", "status": "status:error", "tag": "tag:funny", "rating": "rating:>=4",
        "perplexity": "perplexity:>20", "tokens": "tokens:>500", "after": "after:2026-01-31",
        "before": "before:2026-01-31",
    }[name]  # fmt: skip
