"""Vowel signs and points are parts of a word: the words index holds them, as it always did letters."""

from alembic import op

revision = "0006"
down_revision = "0005"

# Letters, numbers and marks. What makes an emoji of the sign before it is a mark by Unicode, and no part of a word.
TOKENIZER = "unicode61 remove_diacritics 2 categories 'L* N* Co Mn Mc' separators '\ufe0e\ufe0f'"

STATEMENTS = (
    "DROP TABLE message_words",
    f"""CREATE VIRTUAL TABLE message_words USING fts5(
    text, content = 'message', content_rowid = 'id', tokenize = "{TOKENIZER}"
)""",
    "INSERT INTO message_words (message_words) VALUES ('rebuild')",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
