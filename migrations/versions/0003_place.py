"""A turn's channel and server beside it, and indexes in which the turns of each filter lie newest first."""

from alembic import op

revision = "0003"
down_revision = "0002"

FACTS = "session_id, status, perplexity, n_out, requester_id, model_id, created_us, channel_id, guild_id"
STATEMENTS = (
    "ALTER TABLE turn ADD COLUMN channel_id BIGINT",
    "ALTER TABLE turn ADD COLUMN guild_id BIGINT",
    """
    UPDATE turn SET (channel_id, guild_id) =
        (SELECT channel_id, guild_id FROM session WHERE session.id = turn.session_id)
    WHERE session_id IN (SELECT id FROM session WHERE channel_id IS NOT NULL OR guild_id IS NOT NULL)
    """,
    "DROP INDEX turn_facts",
    f"CREATE INDEX turn_facts ON turn (id, {FACTS})",
    "DROP INDEX turn_requester",
    *(
        f"CREATE INDEX turn_{name} ON turn ({column}, id, {FACTS.replace(f', {column}', '')})"
        f" WHERE {column} IS NOT NULL"
        for name, column in (("requester", "requester_id"), ("channel", "channel_id"), ("guild", "guild_id"))
    ),
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement.strip())
