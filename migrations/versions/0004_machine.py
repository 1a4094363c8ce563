"""The machine that made a turn, beside its model: another processor or a GPU may differ in the bits it computes."""

from alembic import op

revision = "0004"
down_revision = "0003"

STATEMENTS = (
    "ALTER TABLE model ADD COLUMN cpu TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE model ADD COLUMN gpu_layers INTEGER NOT NULL DEFAULT 0",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
