"""Rows of the log as JSON values, as docs/json.md describes them. Discord's ids are strings."""

from dataclasses import asdict
from typing import Any

import orjson

from .marks import Marks
from .records import MessageRow, SessionRow, TurnRow
from .search import Hit

Json = dict[str, Any]


def line_text(value: Any) -> str:
    """A value as JSON in one line; what is not finite becomes null."""
    return orjson.dumps(value).decode()


def snowflake(value: int | None) -> str | None:
    return None if value is None else str(value)


def session_json(row: SessionRow) -> Json:
    return {
        "session": row.id,
        "kind": row.kind,
        "title": row.title,
        "preview": row.preview,
        "guild": snowflake(row.guild_id),
        "channel": snowflake(row.channel_id),
        "person": snowflake(row.person),
        "turns": row.n_turns,
        "last_turn": row.last_turn,
        "created_us": row.created_us,
        "ended_us": row.ended_us,
    }


def message_json(row: MessageRow) -> Json:
    return {
        "message": row.id,
        "parent": row.parent,
        "role": row.role,
        "author": row.author,
        "person": snowflake(row.person),
        "text": row.text,
        "reasoning": row.reasoning,
        "turn": row.turn,
        "discord_message": snowflake(row.discord_message_id),
        "erased": row.erased,
        "created_us": row.created_us,
    }


def turn_json(row: TurnRow) -> Json:
    out = asdict(row)
    out["turn"] = out.pop("id")
    out["requester"] = snowflake(row.requester)
    for name in ("session", "prompt", "reply"):
        del out[name]
    return out


def marks_json(marks: Marks | None) -> Json:
    if marks is None:
        return marks_json(Marks(0))
    return {
        "stars": marks.stars,
        "ratings": [asdict(rating) for rating in marks.ratings],
        "tags": [tag.name for tag in marks.tags],
        "tagged_by": [tag.author for tag in marks.tags],
        "tagged_us": [tag.created_us for tag in marks.tags],
        "notes": [
            {"note": n.id, "first": n.first, "last": n.last, "text": n.text, "author": n.author,
             "created_us": n.created_us}
            for n in marks.notes
        ],
        "thumbs": [
            {"person": snowflake(who), "value": value, "note": note, "created_us": created_us}
            for (who, value, note), created_us in zip(marks.thumbs, marks.thumbed_us, strict=True)
        ],
    }  # fmt: skip


def hit_json(hit: Hit) -> Json:
    out = asdict(hit)
    out["snippet"] = list(hit.snippet)
    return out
