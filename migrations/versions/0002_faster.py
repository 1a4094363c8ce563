"""Sums by 32 days, and indexes that answer a search without reading whole rows."""

from alembic import op

revision = "0002"
down_revision = "0001"

AMOUNTS = (
    "turns", "stopped", "errors", "interrupted", "prompt_tokens", "cached_tokens", "tokens", "timed", "ttft_us",
    "gen_us", "gen_tokens", "ratings", "rating_sum", "thumbs_up", "thumbs_down", "surprisal",
)  # fmt: skip

TABLE = """
CREATE TABLE monthly (
    "by" TEXT NOT NULL,
    month INTEGER NOT NULL,
    "key" BIGINT NOT NULL,
    turns BIGINT DEFAULT '0' NOT NULL,
    stopped BIGINT DEFAULT '0' NOT NULL,
    errors BIGINT DEFAULT '0' NOT NULL,
    interrupted BIGINT DEFAULT '0' NOT NULL,
    prompt_tokens BIGINT DEFAULT '0' NOT NULL,
    cached_tokens BIGINT DEFAULT '0' NOT NULL,
    tokens BIGINT DEFAULT '0' NOT NULL,
    timed BIGINT DEFAULT '0' NOT NULL,
    ttft_us BIGINT DEFAULT '0' NOT NULL,
    gen_us BIGINT DEFAULT '0' NOT NULL,
    gen_tokens BIGINT DEFAULT '0' NOT NULL,
    ratings BIGINT DEFAULT '0' NOT NULL,
    rating_sum BIGINT DEFAULT '0' NOT NULL,
    thumbs_up BIGINT DEFAULT '0' NOT NULL,
    thumbs_down BIGINT DEFAULT '0' NOT NULL,
    surprisal FLOAT DEFAULT '0' NOT NULL,
    PRIMARY KEY ("by", month, "key")
)
 WITHOUT ROWID"""

_names = ", ".join(AMOUNTS)
_SUMS = ", ".join(f"sum({name})" for name in AMOUNTS)
_NEW = ", ".join(f"new.{name}" for name in AMOUNTS)
_ADDED = ", ".join(f"{name} = {name} + excluded.{name}" for name in AMOUNTS)
_CHANGED = ", ".join(f"{name} = {name} + new.{name} - old.{name}" for name in AMOUNTS)
_TAKEN = ", ".join(f"{name} = {name} - old.{name}" for name in AMOUNTS)
_OLD = "by = old.by AND month = old.day / 32 AND key = old.key"

# ruff: noqa: S608  names of columns
# `monthly` is kept by the database itself, so that whatever writes `daily` keeps both.
TRIGGERS = (
    f"""
CREATE TRIGGER monthly_insert AFTER INSERT ON daily BEGIN
    INSERT INTO monthly (by, month, key, {_names}) VALUES (new.by, new.day / 32, new.key, {_NEW})
    ON CONFLICT (by, month, key) DO UPDATE SET {_ADDED};
END""",
    f"""
CREATE TRIGGER monthly_update AFTER UPDATE ON daily BEGIN
    UPDATE monthly SET {_CHANGED} WHERE {_OLD};
END""",
    f"""
CREATE TRIGGER monthly_delete AFTER DELETE ON daily BEGIN
    UPDATE monthly SET {_TAKEN} WHERE {_OLD};
    DELETE FROM monthly WHERE {_OLD} AND turns = 0;
END""",
)

INDEXES = (
    "CREATE INDEX turn_facts ON turn"
    " (id, session_id, status, perplexity, n_out, requester_id, model_id, created_us)",
    "CREATE INDEX message_place ON message (id, turn_id, session_id)",
    "DROP INDEX message_unspaced",
    "CREATE INDEX message_unspaced ON message (id, unspaced, text) WHERE unspaced",
)


def upgrade() -> None:
    op.execute(TABLE.strip())
    op.execute(
        f"INSERT INTO monthly (by, month, key, {_names}) "
        f"SELECT by, day / 32, key, {_SUMS} FROM daily GROUP BY 1, 2, 3"
    )
    for statement in (*TRIGGERS, *INDEXES):
        op.execute(statement.strip())
