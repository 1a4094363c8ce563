"""What the log holds of one person, as they may have it."""

from typing import Any

import sqlalchemy as sa

from ..predict.engine import short_name
from .json import snowflake
from .tables import feedback, message, person, turn
from .turns import turn_rows

NOBODY = 0
"""The id of no row: with None in its place, all that no person said would be found."""


def of_person(connection: sa.Connection, discord_id: int) -> dict[str, Any]:
    """Everything somebody said (in each version that differs), the replies to it or that they asked for, and their
    thumbs, as JSON. What others said stays with them, also where somebody had it answered once more."""
    found = connection.execute(sa.select(person.c.id).where(person.c.discord_id == discord_id)).scalar()
    who = NOBODY if found is None else found
    said = message.select().where(message.c.person_id == who, ~message.c.erased).order_by(message.c.id)
    asked = sa.select(message.c.id).where(message.c.person_id == who)
    theirs = (turn.c.requester_id == who) | turn.c.prompt_message_id.in_(asked)
    own = set(connection.execute(asked).scalars())
    thumbs = feedback.select().where(feedback.c.person_id == who).order_by(feedback.c.id)
    messages: dict[tuple[int | None, str] | int, dict[str, Any]] = {}
    for row in connection.execute(said):
        version = (row.discord_message_id, row.text) if row.discord_message_id else row.id  # copies are no news
        messages.setdefault(
            version,
            {
                "message": row.id,
                "session": row.session_id,
                "created_us": row.created_us,
                "discord_message": snowflake(row.discord_message_id),
                "name": row.author,
                "text": row.text,
            },
        )
    return {
        "person": snowflake(discord_id),
        "messages": list(messages.values()),
        "turns": [
            {
                "turn": row.id,
                "session": row.session,
                "created_us": row.created_us,
                "model": short_name(row.model),
                "asked": row.prompt if row.prompt_message in own else None,
                "answered": row.reply,
                "status": row.status,
            }
            for row in turn_rows(connection, theirs)
        ],
        "thumbs": [
            {"turn": row.turn_id, "value": row.value, "note": row.note, "created_us": row.created_us}
            for row in connection.execute(thumbs)
        ],
    }
