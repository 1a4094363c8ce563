"""The first schema."""

from alembic import op

revision = "0001"
down_revision = None

TABLES = """
CREATE TABLE daily (
    "by" TEXT NOT NULL,
    day INTEGER NOT NULL,
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
    PRIMARY KEY ("by", day, "key")
)
 WITHOUT ROWID;

CREATE TABLE erasure (
    id INTEGER NOT NULL,
    subject_hmac BLOB NOT NULL,
    subject TEXT,
    requested_us BIGINT NOT NULL,
    done_us BIGINT,
    receipt TEXT,
    PRIMARY KEY (id)
);

CREATE TABLE person (
    id INTEGER NOT NULL,
    discord_id BIGINT NOT NULL,
    name TEXT,
    PRIMARY KEY (id),
    UNIQUE (discord_id)
);

CREATE TABLE sampling (
    id INTEGER NOT NULL,
    sha256 BLOB NOT NULL,
    json TEXT NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (sha256)
);

CREATE TABLE setting (
    scope TEXT NOT NULL,
    scope_id BIGINT NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (scope, scope_id, name)
)
 WITHOUT ROWID;

CREATE TABLE trace_part (
    id INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (id)
);

CREATE TABLE vocabulary (
    id INTEGER NOT NULL,
    sha256 BLOB NOT NULL,
    pieces BLOB NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (sha256)
);

CREATE TABLE model (
    id INTEGER NOT NULL,
    identity_sha256 BLOB NOT NULL,
    name TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    quantization TEXT NOT NULL,
    n_vocab INTEGER NOT NULL,
    n_ctx_train INTEGER NOT NULL,
    template_sha256 TEXT NOT NULL,
    llamacpp_build TEXT NOT NULL,
    adapter_sha256 TEXT,
    adapter_scale FLOAT NOT NULL,
    vocabulary_id INTEGER,
    PRIMARY KEY (id),
    UNIQUE (identity_sha256),
    FOREIGN KEY(vocabulary_id) REFERENCES vocabulary (id)
);

CREATE INDEX model_sha256 ON model (sha256);

CREATE TABLE session (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    public_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    title TEXT NOT NULL,
    guild_id BIGINT,
    channel_id BIGINT,
    person_id INTEGER,
    "key" BLOB NOT NULL,
    n_turns INTEGER DEFAULT '0' NOT NULL,
    last_turn_id INTEGER DEFAULT '0' NOT NULL,
    created_us BIGINT NOT NULL,
    ended_us BIGINT,
    UNIQUE (public_id),
    FOREIGN KEY(person_id) REFERENCES person (id) ON DELETE SET NULL
);

CREATE INDEX session_channel ON session (channel_id, last_turn_id);

CREATE INDEX session_guild ON session (guild_id, last_turn_id);

CREATE INDEX session_last_turn ON session (last_turn_id, id);

CREATE INDEX session_person ON session (person_id);

CREATE TABLE message (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    session_id INTEGER NOT NULL,
    parent_id INTEGER,
    role TEXT NOT NULL,
    author TEXT,
    person_id INTEGER,
    text TEXT NOT NULL,
    reasoning TEXT DEFAULT '' NOT NULL,
    ids BLOB,
    turn_id INTEGER,
    discord_message_id BIGINT,
    unspaced BOOLEAN NOT NULL,
    erased BOOLEAN DEFAULT '0' NOT NULL,
    created_us BIGINT NOT NULL,
    FOREIGN KEY(session_id) REFERENCES session (id) ON DELETE CASCADE,
    FOREIGN KEY(parent_id) REFERENCES message (id) ON DELETE SET NULL,
    FOREIGN KEY(person_id) REFERENCES person (id) ON DELETE SET NULL
);

CREATE INDEX message_discord ON message (discord_message_id) WHERE discord_message_id IS NOT NULL;

CREATE INDEX message_parent ON message (parent_id);

CREATE INDEX message_person ON message (person_id, id) WHERE person_id IS NOT NULL;

CREATE INDEX message_session ON message (session_id, id);

CREATE INDEX message_turn ON message (turn_id);

CREATE INDEX message_unspaced ON message (id) WHERE unspaced;

CREATE TABLE prompt_block (
    id INTEGER NOT NULL,
    session_id INTEGER NOT NULL,
    parent_id INTEGER,
    hash BLOB NOT NULL,
    ids BLOB NOT NULL,
    PRIMARY KEY (id),
    FOREIGN KEY(session_id) REFERENCES session (id) ON DELETE CASCADE,
    FOREIGN KEY(parent_id) REFERENCES prompt_block (id) ON DELETE CASCADE
);

CREATE UNIQUE INDEX prompt_block_hash ON prompt_block (session_id, hash);

CREATE INDEX prompt_block_parent ON prompt_block (parent_id);

CREATE TABLE turn (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    session_id INTEGER NOT NULL,
    prompt_message_id INTEGER,
    reply_message_id INTEGER,
    parent_turn_id INTEGER,
    first_step INTEGER NOT NULL,
    requester_id INTEGER,
    model_id INTEGER NOT NULL,
    sampling_id INTEGER NOT NULL,
    seed BIGINT NOT NULL,
    k INTEGER NOT NULL,
    status TEXT NOT NULL CONSTRAINT turn_status
        CHECK (status IN ('pending', 'ok', 'stopped', 'error', 'interrupted')),
    finish TEXT,
    error TEXT,
    block_id INTEGER,
    tail BLOB NOT NULL,
    spans BLOB NOT NULL,
    n_prompt INTEGER NOT NULL,
    n_out INTEGER DEFAULT '0' NOT NULL,
    dropped_turns INTEGER NOT NULL,
    dropped_tokens INTEGER NOT NULL,
    budget INTEGER,
    n_cached INTEGER DEFAULT '0' NOT NULL,
    queue_us BIGINT,
    ttft_us BIGINT,
    gen_us BIGINT,
    perplexity FLOAT,
    verifiable BOOLEAN DEFAULT '1' NOT NULL,
    app_version TEXT NOT NULL,
    created_us BIGINT NOT NULL,
    FOREIGN KEY(session_id) REFERENCES session (id) ON DELETE CASCADE,
    FOREIGN KEY(prompt_message_id) REFERENCES message (id) ON DELETE SET NULL,
    FOREIGN KEY(reply_message_id) REFERENCES message (id) ON DELETE SET NULL,
    FOREIGN KEY(parent_turn_id) REFERENCES turn (id) ON DELETE SET NULL,
    FOREIGN KEY(requester_id) REFERENCES person (id) ON DELETE SET NULL,
    FOREIGN KEY(model_id) REFERENCES model (id),
    FOREIGN KEY(sampling_id) REFERENCES sampling (id),
    FOREIGN KEY(block_id) REFERENCES prompt_block (id) ON DELETE SET NULL
);

CREATE INDEX turn_block ON turn (block_id) WHERE block_id IS NOT NULL;

CREATE INDEX turn_created ON turn (created_us);

CREATE INDEX turn_model ON turn (model_id, id);

CREATE INDEX turn_odd ON turn (status, id) WHERE status <> 'ok';

CREATE INDEX turn_parent ON turn (parent_turn_id) WHERE parent_turn_id IS NOT NULL;

CREATE INDEX turn_perplexity ON turn (perplexity, n_out);

CREATE INDEX turn_prompt_message ON turn (prompt_message_id);

CREATE INDEX turn_reply_message ON turn (reply_message_id);

CREATE INDEX turn_requester ON turn (requester_id, id) WHERE requester_id IS NOT NULL;

CREATE INDEX turn_session ON turn (session_id, id);

CREATE INDEX turn_tokens ON turn (n_out, perplexity);

CREATE TABLE annotation (
    id INTEGER NOT NULL,
    turn_id INTEGER NOT NULL,
    first INTEGER,
    last INTEGER,
    note TEXT NOT NULL,
    author TEXT DEFAULT '' NOT NULL,
    created_us BIGINT NOT NULL,
    PRIMARY KEY (id),
    FOREIGN KEY(turn_id) REFERENCES turn (id) ON DELETE CASCADE
);

CREATE INDEX annotation_turn ON annotation (turn_id);

CREATE TABLE discord_part (
    discord_message_id BIGINT NOT NULL,
    turn_id INTEGER NOT NULL,
    place INTEGER NOT NULL,
    PRIMARY KEY (discord_message_id),
    FOREIGN KEY(turn_id) REFERENCES turn (id) ON DELETE CASCADE
);

CREATE INDEX discord_part_turn ON discord_part (turn_id, place);

CREATE TABLE feedback (
    id INTEGER NOT NULL,
    turn_id INTEGER NOT NULL,
    person_id INTEGER,
    source TEXT NOT NULL,
    value INTEGER NOT NULL,
    note TEXT DEFAULT '' NOT NULL,
    created_us BIGINT NOT NULL,
    PRIMARY KEY (id),
    FOREIGN KEY(turn_id) REFERENCES turn (id) ON DELETE CASCADE,
    FOREIGN KEY(person_id) REFERENCES person (id) ON DELETE CASCADE
);

CREATE INDEX feedback_person ON feedback (person_id) WHERE person_id IS NOT NULL;

CREATE INDEX feedback_turn ON feedback (turn_id, source);

CREATE INDEX feedback_value ON feedback (source, value, turn_id);

CREATE TABLE tag (
    turn_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    created_us BIGINT NOT NULL,
    PRIMARY KEY (turn_id, name),
    FOREIGN KEY(turn_id) REFERENCES turn (id) ON DELETE CASCADE
)
 WITHOUT ROWID;

CREATE INDEX tag_name ON tag (name, turn_id);

CREATE TABLE trace (
    turn_id INTEGER NOT NULL,
    first_part INTEGER NOT NULL,
    start INTEGER NOT NULL,
    size INTEGER NOT NULL,
    n INTEGER NOT NULL,
    k INTEGER NOT NULL,
    PRIMARY KEY (turn_id),
    FOREIGN KEY(turn_id) REFERENCES turn (id) ON DELETE CASCADE
);

CREATE TABLE trace_draft (
    turn_id INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (turn_id),
    FOREIGN KEY(turn_id) REFERENCES turn (id) ON DELETE CASCADE
)
"""

# Full-text search over messages. The words index leaves accents out; the trigram index holds only messages in
# scripts that put no spaces between words. Both keep no copy of the text.
SEARCH = """
CREATE VIRTUAL TABLE message_words USING fts5(
    text, content = 'message', content_rowid = 'id', tokenize = 'unicode61 remove_diacritics 2'
);

CREATE VIRTUAL TABLE message_trigrams USING fts5(
    text, content = 'message', content_rowid = 'id', tokenize = 'trigram'
)
"""

TRIGGERS = (
    """
CREATE TRIGGER message_words_insert AFTER INSERT ON message BEGIN
    INSERT INTO message_words (rowid, text) VALUES (new.id, new.text);
END""",
    """
CREATE TRIGGER message_words_delete AFTER DELETE ON message BEGIN
    INSERT INTO message_words (message_words, rowid, text) VALUES ('delete', old.id, old.text);
END""",
    """
CREATE TRIGGER message_words_update AFTER UPDATE OF text ON message BEGIN
    INSERT INTO message_words (message_words, rowid, text) VALUES ('delete', old.id, old.text);
    INSERT INTO message_words (rowid, text) VALUES (new.id, new.text);
END""",
    """
CREATE TRIGGER message_trigrams_insert AFTER INSERT ON message WHEN new.unspaced BEGIN
    INSERT INTO message_trigrams (rowid, text) VALUES (new.id, new.text);
END""",
    """
CREATE TRIGGER message_trigrams_delete AFTER DELETE ON message WHEN old.unspaced BEGIN
    INSERT INTO message_trigrams (message_trigrams, rowid, text) VALUES ('delete', old.id, old.text);
END""",
    """
CREATE TRIGGER message_trigrams_forget AFTER UPDATE OF text ON message WHEN old.unspaced BEGIN
    INSERT INTO message_trigrams (message_trigrams, rowid, text) VALUES ('delete', old.id, old.text);
END""",
    """
CREATE TRIGGER message_trigrams_update AFTER UPDATE OF text ON message WHEN new.unspaced BEGIN
    INSERT INTO message_trigrams (rowid, text) VALUES (new.id, new.text);
END""",
)


def upgrade() -> None:
    for statement in f"{TABLES};{SEARCH}".split(";"):
        op.execute(statement.strip())
    for trigger in TRIGGERS:
        op.execute(trigger.strip())
