"""What a search can be narrowed by: values that occur in the log, each with the filter it stands for."""

import re
from dataclasses import dataclass

import sqlalchemy as sa

from ..predict.engine import short_name
from ..store.tables import model, tag

MANY = 12
SYNTAX = (
    (("almost yes",), "messages with both words, in any order"),
    (('"almost yes"',), "the words in this order"),
    (("alm*",), "words that begin so"),
    (("yes -no",), "yes, but not no"),
    (("user:ann", 'user:"Ann Lee"'), "turns a person asked for, by name or Discord id"),
    (("channel:1234", "server:1234", "session:7"), "by number"),
    (("model:smollm2",), "models whose name contains this"),
    (("after:7d", "before:2026-01-31"), "by time: h, d, w count back from now"),
    (("status:error",), "pending, ok, stopped, error or interrupted"),
    (("rating:>=4", "rating:up", "rating:down"), "by a reviewer's stars, by somebody's thumb"),
    (("tag:odd",), "by a tag"),
    (("perplexity:>20", "tokens:2..300"), "of the reply: >, >=, <, <=, a number, a range"),
)
"""What a search box takes, as docs/log.md says at length."""


@dataclass(frozen=True, slots=True)
class Facet:
    name: str
    choices: tuple[tuple[str, str], ...]
    """(what is shown, what is searched for)."""
    one: bool = False
    """Whether a choice takes the place of another."""


def chosen(query: str, filter_: str) -> bool:
    """Whether a filter stands in a query."""
    return filter_ in split(query)


def toggled(query: str, filter_: str, facet: Facet) -> str:
    """The query with a filter more, or less if it stands there."""
    parts = split(query)
    if filter_ in parts:
        return " ".join(part for part in parts if part != filter_)
    others = {other for _, other in facet.choices} if facet.one else set()
    return " ".join([*(part for part in parts if part not in others), filter_])


def split(query: str) -> list[str]:
    """A query in its parts: what stands between spaces; a space in quotes is none."""
    return re.findall(r'(?:"[^"]*"?|[^\s"])+', query)


def facets(connection: sa.Connection) -> tuple[Facet, ...]:
    models = connection.execute(sa.select(model.c.name).distinct().order_by(model.c.name).limit(MANY)).scalars()
    used = sa.select(tag.c.name).group_by(tag.c.name).order_by(sa.func.count().desc(), tag.c.name).limit(MANY)
    tags = connection.execute(used).scalars()
    found = (
        Facet("When", (("today", "after:24h"), ("this week", "after:7d"), ("this month", "after:30d")), one=True),
        Facet("Outcome", tuple((name, f"status:{name}") for name in ("ok", "stopped", "error", "interrupted"))),
        Facet(
            "Rating",
            (
                ("★★★★+", "rating:>=4"),
                ("★★−", "rating:<=2"),
                ("thumb up", "rating:up"),
                ("thumb down", "rating:down"),
            ),
        ),
        Facet("Unsure", (("perplexity over 5", "perplexity:>5"), ("over 20", "perplexity:>20")), one=True),
        Facet("Model", tuple((short_name(name), f"model:{_quoted(short_name(name))}") for name in models)),
        Facet("Tag", tuple((name, f"tag:{_quoted(name)}") for name in tags)),
    )
    return tuple(facet for facet in found if facet.choices)


def _quoted(value: str) -> str:
    return f'"{value}"' if any(char.isspace() for char in value) else value
