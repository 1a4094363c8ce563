"""The log read: sessions listed, shown, searched and followed."""

import asyncio
import sys
from typing import Annotated

import typer

from ..errors import UserError
from ..explain.visible import neutral
from ..predict.engine import short_name
from ..store import SessionRow, Store, TurnRow
from ..store.clock import when
from ..store.json import hit_json, marks_json, message_json, session_json, turn_json
from ..store.marks import Marks
from ..store.records import MessageRow
from ..store.search import Hit, Order
from ..store.search_syntax import Query as Wanted
from ..store.search_syntax import parse
from .log_open import AsJson, Limit, Query, reading
from .options import Config
from .printing import print_json
from .table import highlighted, line, show_table

TAIL_INTERVAL = 0.5
"""Seconds between two looks for new turns."""


def list_(
    limit: Limit = 20,
    before: Annotated[str, typer.Option(help="Go on where a page ended: its `next`.")] = "",
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Sessions, the most recently used first."""
    key = _key(before)
    rows = reading(config, lambda store: store.sessions(limit=limit + 1, before=key))
    more = len(rows) > limit
    rows = rows[:limit]
    following = f"{rows[-1].last_turn or 0}:{rows[-1].id}" if more else None
    if as_json:
        print_json({"format": 1, "sessions": [session_json(row) for row in rows], "next": following})
        return
    columns = ("session", "turns", "last", "kind", "started", "title")
    show_table(columns, map(_session_cells, rows), right=("session", "turns", "last"))
    if following and sys.stdout.isatty():
        print(f"more: glasshead log list --before {following}")


def _session_cells(row: SessionRow) -> tuple[object, ...]:
    return row.id, row.n_turns, row.last_turn, row.kind, when(row.created_us), line(row.title or row.preview, 60)


def _key(text: str) -> tuple[int, int] | None:
    if not text:
        return None
    last, _, id_ = text.partition(":")
    if not (last.isdecimal() and id_.isdecimal() and max(len(last), len(id_)) < 20):
        raise UserError(f"--before takes the `next` of the page before, not {text:.40}")
    return int(last), int(id_)


def show(
    session: Annotated[int, typer.Argument(help="The session's number, as `glasshead log list` shows it.")],
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """A session: who said what, with the turns that can be explained."""

    async def work(store: Store) -> tuple[SessionRow, list[MessageRow], list[TurnRow], dict[int, Marks]]:
        return (
            await store.session(session),
            await store.messages(session),
            await store.turns(session),
            await store.marks(session),
        )

    row, messages, turns, marks = reading(config, work)
    if as_json:
        print_json(
            {
                "format": 1,
                "session": session_json(row),
                "messages": [message_json(message) for message in messages],
                "turns": [turn_json(turn) | {"marks": marks_json(marks.get(turn.id))} for turn in turns],
            }
        )
        return
    print("\n\n".join([_headline(row), *_transcript(messages, turns, marks)]))


def _headline(row: SessionRow) -> str:
    title = line(row.title or row.preview, 70)
    where = "".join(
        f" · {name} {id_}" for name, id_ in (("server", row.guild_id), ("channel", row.channel_id)) if id_
    )
    return f"session {row.id} · {row.kind}{where} · {when(row.created_us)} · {title}"


def _transcript(messages: list[MessageRow], turns: list[TurnRow], marks: dict[int, Marks]) -> list[str]:
    made = {turn.reply_message: turn for turn in turns}
    out: list[str] = []
    previous: int | None = None
    for message in messages:
        name = line(message.author or message.role)
        place = "" if message.parent in (previous, None) else f" (answers {message.parent})"
        previous = message.id
        text = "[erased]" if message.erased else neutral(message.text)
        parts = [f"{name} #{message.id}{place}", text]
        turn = made.get(message.id)
        if turn is not None:
            parts.append(_turn_line(turn, marks.get(turn.id)))
        out.append("\n".join(parts))
    unanswered = [turn for turn in turns if turn.reply_message is None]
    return out + [_turn_line(turn, marks.get(turn.id)) for turn in unanswered]


def _turn_line(turn: TurnRow, marks: Marks | None) -> str:
    facts = [f"turn {turn.id}", line(short_name(turn.model)), f"{turn.n_out} tokens"]
    if turn.perplexity is not None:
        facts.append(f"perplexity {turn.perplexity:.2f}")
    if turn.status != "ok":
        facts.append(turn.status + (f": {line(turn.error)}" if turn.error else ""))
    if turn.dropped_turns:
        facts.append(f"{turn.dropped_turns} older turns dropped ({turn.dropped_tokens} tokens)")
    if not turn.verifiable:
        facts.append("can no longer be verified: part of its prompt was erased")
    if marks is not None:
        facts += ["★" * rating.stars + _by(rating.author) for rating in marks.ratings]
        facts += [f"#{line(tag.name)}{_by(tag.author)}" for tag in marks.tags]
        up = sum(value > 0 for _, value, _ in marks.thumbs)
        down = len(marks.thumbs) - up
        facts += [f"👍 {up}"] * bool(up) + [f"👎 {down}"] * bool(down)
    notes = () if marks is None else marks.notes
    said = [f"    {_place(note.first, note.last)}{_by(note.author)}: {line(note.text)}" for note in notes]
    return "\n".join(["  · " + " · ".join(facts), *said])


def _place(first: int | None, last: int | None) -> str:
    return "note" if first is None else f"note on {first}" if first == last else f"note on {first} to {last}"


def _by(author: str) -> str:
    return f" by {line(author)}" if author else ""


def search(  # noqa: PLR0917
    query: Query = None,
    limit: Limit = 20,
    best: Annotated[bool, typer.Option("--best", help="Best match first instead of newest first.")] = False,
    after: Annotated[str, typer.Option(help="Go on where a page ended: its `next`.")] = "",
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Find messages and turns: `glasshead log search 'almost yes model:smollm2 perplexity:>20'`."""
    wanted = parse(" ".join(query or []))
    order: Order = "best" if best else "newest"
    key = _score_key(after)
    page = reading(config, lambda store: store.search(wanted, order=order, limit=limit, after=key))
    following = f"{page.next[0]!r}:{page.next[1]}" if page.next else None
    if as_json:
        hits = [hit_json(hit) for hit in page.hits]
        print_json({"format": 1, "hits": hits, "next": following, "capped": page.capped})
        return
    show_table(("session", "turn", "who", "when", "text"), map(_hit_cells, page.hits), right=("session", "turn"))
    if not sys.stdout.isatty():
        return
    if page.capped:
        print("the best of the newest 50,000 matches")
    if following:
        print(f"more: add --after {following}")


def _hit_cells(hit: Hit) -> tuple[object, ...]:
    return hit.session, hit.turn, hit.author or hit.role, when(hit.created_us), highlighted(hit.snippet, 90)


def _score_key(text: str) -> tuple[float, int] | None:
    if not text:
        return None
    score, _, id_ = text.rpartition(":")
    try:
        return float(score), int(id_)
    except ValueError:
        raise UserError(f"--after takes the `next` of the page before, not {text}") from None


def tail(
    limit: Limit = 5,
    follow: Annotated[bool, typer.Option("--follow/--no-follow", "-f", help="Go on with what comes.")] = True,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """The newest turns, and each new one as it ends. Ctrl-C ends it."""

    async def work(store: Store) -> None:
        newest = 0
        waiting: set[int] = set()
        size = limit
        while True:
            page = await store.search(Wanted(), limit=size)
            waiting.update(hit.turn for hit in page.hits if hit.turn is not None and hit.turn > newest)
            newest = max(newest, *waiting) if waiting else newest
            ended = [row for row in await store.turn_rows(sorted(waiting)) if row.status != "pending"]
            _print_turns(ended, as_json)
            waiting -= {row.id for row in ended}
            if not follow:
                return
            size = 100
            await asyncio.sleep(TAIL_INTERVAL)

    try:
        reading(config, work)
    except KeyboardInterrupt:
        return


def _print_turns(rows: list[TurnRow], as_json: bool) -> None:
    for row in rows:
        if as_json:
            print_json(turn_json(row) | {"session": row.session, "reply": row.reply})
        else:
            print(
                f"{when(row.created_us)}  session {row.session}  {line(row.prompt, 60)}\n    {line(row.reply, 100)}"
            )
            print(_turn_line(row, None))
        sys.stdout.flush()
