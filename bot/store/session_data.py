"""What a session holds, as an erasure looks at it."""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from .tables import annotation, feedback, message, prompt_block, session, tag, trace, trace_draft, turn


@dataclass(frozen=True, slots=True)
class SessionData:
    """What a plan looks at."""

    session: int
    title: str
    messages: list[sa.Row[Any]]
    turns: list[sa.Row[Any]]
    blocks: dict[int, tuple[int | None, bytes]]
    """id → (parent's id, packed ids)"""
    notes: list[sa.Row[Any]]
    tags: list[sa.Row[Any]]
    remarks: list[sa.Row[Any]]
    """What people wrote with their thumbs."""
    recorded: frozenset[int]
    """Turns of which there is something besides the reply: a trace, a draft, what somebody wrote with a thumb."""
    elsewhere: dict[int, int | None]
    """Turns of other sessions whose replies stand here, too, and who asked for them."""


COPIES = (
    sa.select(message.c.session_id)
    .join(turn, turn.c.id == message.c.turn_id)
    .where(message.c.role == "assistant", message.c.session_id != turn.c.session_id)
)
"""Sessions where a reply stands that was made in another one."""


def load(connection: sa.Connection, session_id: int) -> SessionData:
    of_session = turn.c.session_id == session_id
    columns = (turn.c.id, turn.c.prompt_message_id, turn.c.reply_message_id, turn.c.requester_id, turn.c.block_id,
               turn.c.tail, turn.c.spans, turn.c.n_prompt, turn.c.verifiable, turn.c.status)  # fmt: skip
    rows = connection.execute(sa.select(prompt_block).where(prompt_block.c.session_id == session_id)).all()
    notes = sa.select(annotation).join(turn, turn.c.id == annotation.c.turn_id).where(of_session)
    tags = sa.select(tag).join(turn, turn.c.id == tag.c.turn_id).where(of_session)
    remarks = sa.select(feedback).join(turn, turn.c.id == feedback.c.turn_id)
    remarks = remarks.where(of_session, feedback.c.note != "")
    recorded = sa.union(
        *(sa.select(table.c.turn_id).join(turn).where(of_session) for table in (trace, trace_draft)),
        sa.select(feedback.c.turn_id).join(turn).where(of_session, feedback.c.note != ""),
    )
    elsewhere = COPIES.with_only_columns(turn.c.id, turn.c.requester_id).where(message.c.session_id == session_id)
    return SessionData(
        session=session_id,
        title=connection.execute(sa.select(session.c.title).where(session.c.id == session_id)).scalar_one(),
        messages=list(connection.execute(sa.select(message).where(message.c.session_id == session_id))),
        turns=list(connection.execute(sa.select(*columns).where(of_session))),
        blocks={row.id: (row.parent_id, row.ids) for row in rows},
        notes=list(connection.execute(notes)),
        tags=list(connection.execute(tags)),
        remarks=list(connection.execute(remarks)),
        recorded=frozenset(connection.execute(recorded).scalars()),
        elsewhere={row[0]: row[1] for row in connection.execute(elsewhere)},
    )


def newest(connection: sa.Connection, session_id: int) -> tuple[int, int]:
    """The newest message and the newest turn of a session, 0 if it has none."""
    last = (
        sa.select(sa.func.coalesce(sa.func.max(table.c.id), 0)).where(table.c.session_id == session_id)
        for table in (message, turn)
    )
    said, made = (int(connection.execute(query).scalar_one()) for query in last)
    return said, made
