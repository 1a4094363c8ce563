"""Hebrew points and Arabic vowel marks, which most people leave out, do not matter to the words index."""

import re

from alembic import op

revision = "0007"
down_revision = "0006"

TOKENIZER = "unicode61 remove_diacritics 2 categories 'L* N* Co Mn Mc' separators '\ufe0e\ufe0f'"
# As a class of characters, for Python's patterns and for GLOB. What makes another letter of one (a hamza, a madda)
# is none of them.
POINTS = (
    "\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7"
    "\u0610-\u061a\u064b-\u0652\u0656-\u065f\u0670\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed"
)
# ruff: noqa: S608  our own names
AT_ONCE = 20
"""Characters taken out in one view: SQLite's parser holds no more than some thirty calls within each other."""


def views() -> list[str]:
    """`message_bare`: the messages' texts without points. Texts that have none are not looked at any further."""
    points = [char for char in map(chr, range(0x590, 0x700)) if re.fullmatch(f"[{POINTS}]", char)]
    made, source = [], "message"
    for number, at in enumerate(range(0, len(points), AT_ONCE), 1):
        text = "text"
        for char in points[at : at + AT_ONCE]:
            text = f"replace({text}, '{char}', '')"
        name = f"message_bare_{number}"
        made.append(f"CREATE VIEW {name} AS SELECT id, {text} AS text FROM {source}")
        source = name
    made.append(f"CREATE VIEW message_bare AS SELECT id, {bare('message', source)} AS text FROM message")
    return made


def bare(row: str, source: str = "message_bare") -> str:
    """A text of ASCII, of which each character is a byte, is not walked through."""
    return (
        f"CASE WHEN length(CAST({row}.text AS BLOB)) > length({row}.text) AND {row}.text GLOB '*[{POINTS}]*'"
        f" THEN (SELECT bare.text FROM {source} AS bare WHERE bare.id = {row}.id) ELSE {row}.text END"
    )


STATEMENTS = (
    "DROP TRIGGER message_words_insert",
    "DROP TRIGGER message_words_delete",
    "DROP TRIGGER message_words_update",
    "DROP TABLE message_words",
    *views(),
    f"""CREATE VIRTUAL TABLE message_words USING fts5(
    text, content = 'message_bare', content_rowid = 'id', tokenize = "{TOKENIZER}"
)""",
    "INSERT INTO message_words (message_words) VALUES ('rebuild')",
    f"""CREATE TRIGGER message_words_insert AFTER INSERT ON message BEGIN
    INSERT INTO message_words (rowid, text) VALUES (new.id, {bare("new")});
END""",
    # What is to go is read from the view while it is there.
    f"""CREATE TRIGGER message_words_delete BEFORE DELETE ON message BEGIN
    INSERT INTO message_words (message_words, rowid, text) VALUES ('delete', old.id, {bare("old")});
END""",
    f"""CREATE TRIGGER message_words_forget BEFORE UPDATE OF text ON message BEGIN
    INSERT INTO message_words (message_words, rowid, text) VALUES ('delete', old.id, {bare("old")});
END""",
    f"""CREATE TRIGGER message_words_update AFTER UPDATE OF text ON message BEGIN
    INSERT INTO message_words (rowid, text) VALUES (new.id, {bare("new")});
END""",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
