"""Judging turns: compare two, tag, note, rate, and the sums over all."""

import datetime
from dataclasses import asdict
from typing import Annotated, cast, get_args

import typer

from ..errors import UserError
from ..explain.tokens import NATS_PER_BIT
from ..explain.turn import Turn
from ..explain.visible import visible
from ..predict.engine import short_name
from ..store import Store
from ..store.clock import DAY_US, now_us
from ..store.owner import Write
from ..store.statistics import By, Sums, statistics
from .log_open import AsJson, reading, writing
from .options import Config
from .printing import print_json
from .table import line, show_table, sparkline

TurnArgument = Annotated[int, typer.Argument(help="The turn's number, as `glasshead log show` lists it.")]
Author = Annotated[str, typer.Option(help="Who says it.")]


def compare(
    a: TurnArgument,
    b: TurnArgument,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Two replies side by side: where they part, and how far their predictions are from each other."""

    async def work(store: Store) -> tuple[Turn, Turn]:
        return await store.turn(a), await store.turn(b)

    from ..review.comparison import side_by_side  # noqa: PLC0415 - with it comes the web page

    left, right = reading(config, work)
    sides = side_by_side(left, right)
    found = sides.comparison
    bits = sides.divergences
    if as_json:
        print_json(
            {
                "format": 1,
                "turns": [a, b],
                "same_prompt": found.same_prompt,
                "parts_at": found.parts_at,
                "meets_at": found.meets_at,
                "stretches": [asdict(stretch) for stretch in found.stretches],
                "same_model": sides.same_model,
                "kl": [{"index": index, "nats": value * NATS_PER_BIT} for index, value in bits.items()],
            }
        )
        return
    print(f"the same prompt: {'yes' if found.same_prompt else 'no'}")
    if not (found.same_prompt and sides.same_model):
        differ = "models" if found.same_prompt else "prompts"
        print(f"the {differ} differ: no KL, which would compare other things")
    for turn in (left, right):
        settings = turn.sampling
        name = line(short_name(turn.model.name))
        print(f"turn {turn.id}: {name}, seed {turn.seed}, temperature {settings.temperature:g}, "
              f"top_k {settings.top_k}, top_p {settings.top_p:g}, min_p {settings.min_p:g}")  # fmt: skip
    if found.parts_at is None:
        print("the replies are the same as far as both go")
    else:
        print(f"they part at token {found.parts_at}")
    rows = []
    for index in range(max(len(found.left), len(found.right))):
        one = found.left[index] if index < len(found.left) else None
        other = found.right[index] if index < len(found.right) else None
        kl = bits.get(index)
        rows.append(
            (
                index,
                "" if one is None else visible(one.bytes),
                "" if other is None else visible(other.bytes),
                "" if one is None or other is None or one.id == other.id else "≠",
                "" if kl is None else f"{kl:.4f}",
            )
        )
    show_table(("token", f"turn {a}", f"turn {b}", "", "KL bits"), rows, right=("token", "KL bits"))


def tag(
    turn: TurnArgument,
    names: Annotated[list[str], typer.Argument(help="Tags; -NAME (after --) takes one away.")],
    author: Author = "",
    config: Config = None,
) -> None:
    """Tag a turn: `glasshead log tag 12 funny`, and back: `glasshead log tag 12 -- -funny`."""

    async def work(write: Write) -> None:
        for name in names:
            if name.startswith("-"):
                await write("remove_tag", turn=turn, name=name[1:])
            else:
                await write("add_tag", turn=turn, name=name, author=author)

    writing(config, work)


def note(
    turn: TurnArgument,
    text: Annotated[str, typer.Argument(help="What there is to say.")],
    tokens: Annotated[str, typer.Option(help="On some tokens only: FIRST or FIRST-LAST, counted from 0.")] = "",
    author: Author = "",
    config: Config = None,
) -> None:
    """Write a note on a turn, or on some tokens of its reply."""
    first, last = _span(tokens)

    async def work(write: Write) -> int:
        return int(await write("add_note", turn=turn, text=text, first=first, last=last, author=author))

    print(f"note {writing(config, work)}")


def _span(tokens: str) -> tuple[int | None, int | None]:
    if not tokens:
        return None, None
    first, _, last = tokens.partition("-")
    if not first.isdecimal() or (last and not last.isdecimal()):
        raise UserError(f"--tokens takes FIRST or FIRST-LAST, not {tokens}")
    return int(first), int(last or first)


def rate(
    turn: TurnArgument,
    stars: Annotated[int, typer.Argument(min=0, max=5, help="1 to 5; 0 takes the rating back.")],
    author: Author = "",
    config: Config = None,
) -> None:
    """Rate a reply, 1 to 5: each author once, the last time counts."""

    async def work(write: Write) -> None:
        await write("rate", turn=turn, stars=stars or None, author=author)

    writing(config, work)


def stats(
    by: Annotated[str, typer.Option(help="day, model, server or user.")] = "day",
    days: Annotated[int, typer.Option(min=1, max=36_500, help="Of the last so many days.")] = 30,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Turns, tokens, speed, perplexity, ends and ratings: by day, model, server or user."""
    if by not in get_args(By):
        raise UserError(f"--by is one of {', '.join(get_args(By))}, not {by}")
    today = now_us() // DAY_US
    rows = reading(
        config,
        lambda store: store.database.read(
            lambda c: statistics(c, cast(By, by), since=today - days + 1, until=today)
        ),
    )
    if as_json:
        print_json({"format": 1, "by": by, "days": days, "rows": [row._asdict() for row in rows]})
        return
    if by == "day" and rows:
        by_day = {row.key: row for row in rows}
        first = datetime.date.fromisoformat(rows[0].key)
        last = datetime.datetime.fromtimestamp(today * DAY_US / 1e6, datetime.UTC).date()
        span = [first + datetime.timedelta(days=day) for day in range((last - first).days + 1)]
        for name in ("turns", "tokens"):
            values = [getattr(by_day.get(day.isoformat()), name, 0) for day in span]
            print(f"{name:<7} {sparkline(values)}  {sum(values)}")
        print()
    columns = (by, "turns", "tokens", "TTFT ms", "tok/s", "perplex.", "stops", "errors", "cut off", "★", "👍/👎")
    show_table(columns, map(_cells, rows), right=columns[1:])


def _cells(row: Sums) -> tuple[object, ...]:
    def rounded(value: float | None, places: int) -> str:
        return "" if value is None else f"{value:.{places}f}"

    return (
        row.key, row.turns, row.tokens, rounded(row.ttft_ms, 0), rounded(row.tokens_per_second, 1),
        rounded(row.perplexity, 2), row.stopped, row.errors, row.interrupted, rounded(row.stars, 1),
        f"{row.thumbs_up}/{row.thumbs_down}",
    )  # fmt: skip
