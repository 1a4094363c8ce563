"""What a search can be narrowed by: values that occur in the log, each with the filter it stands for."""

import re
from dataclasses import dataclass

import sqlalchemy as sa

from ..explain.visible import model_name
from ..store.tables import model, tag

MANY = 12


@dataclass(frozen=True, slots=True)
class Facet:
    name: str
    choices: tuple[tuple[str, str], ...]
    """(what is shown, what is searched for)."""
    one: bool = False
    """Whether a choice takes the place of another."""


def chosen(query: str, filter_: str) -> bool:
    """Whether a filter stands in a query."""
    return filter_ in _parts(query)


def toggled(query: str, filter_: str, facet: Facet) -> str:
    """The query with a filter more, or less if it stands there."""
    parts = _parts(query)
    if filter_ in parts:
        return " ".join(part for part in parts if part != filter_)
    others = {other for _, other in facet.choices} if facet.one else set()
    return " ".join([*(part for part in parts if part not in others), filter_])


def _parts(query: str) -> list[str]:
    """What stands between spaces; a space in quotes is none."""
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
        Facet("Model", tuple((model_name(name), f"model:{_quoted(model_name(name))}") for name in models)),
        Facet("Tag", tuple((name, f"tag:{_quoted(name)}") for name in tags)),
    )
    return tuple(facet for facet in found if facet.choices)


def _quoted(value: str) -> str:
    return f'"{value}"' if any(char.isspace() for char in value) else value
