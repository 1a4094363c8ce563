"""Who rated and tagged a turn: every reviewer has a rating of their own."""

from alembic import op

revision = "0005"
down_revision = "0004"

STATEMENTS = (
    "ALTER TABLE feedback ADD COLUMN author TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE tag ADD COLUMN author TEXT NOT NULL DEFAULT ''",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
