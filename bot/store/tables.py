"""The tables. Ids order what happened; clocks only say when (microseconds since 1970, UTC).

Migrations create them (see migrations/versions); a test holds that both agree.
"""

import sqlalchemy as sa

from .storable import storable

metadata = sa.MetaData()


class Text(sa.types.TypeDecorator[str]):
    """Text as UTF-8 can hold it: lone surrogates become U+FFFD on their way in. NUL is a character like others."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:
        return value if value is None else storable(value)


# Ids are 64-bit everywhere; SQLite wants the word INTEGER for a rowid.
Id = sa.BigInteger().with_variant(sa.Integer, "sqlite")
Snowflake = sa.BigInteger


def _id() -> sa.Column[int]:
    return sa.Column("id", Id, primary_key=True, autoincrement=True)


def _ref(name: str, target: str, *, null: bool = True, delete: str | None = None) -> sa.Column[int]:
    return sa.Column(name, Id, sa.ForeignKey(target, ondelete=delete), nullable=null)


vocabulary = sa.Table(
    "vocabulary",
    metadata,
    _id(),
    sa.Column("sha256", sa.LargeBinary, nullable=False, unique=True),
    sa.Column("pieces", sa.LargeBinary, nullable=False, comment="bytes of every token, compressed"),
)

model = sa.Table(
    "model",
    metadata,
    _id(),
    sa.Column("identity_sha256", sa.LargeBinary, nullable=False, unique=True),
    sa.Column("name", Text, nullable=False),
    sa.Column("sha256", Text, nullable=False, comment="of the GGUF file"),
    sa.Column("quantization", Text, nullable=False),
    sa.Column("n_vocab", sa.Integer, nullable=False),
    sa.Column("n_ctx_train", sa.Integer, nullable=False),
    sa.Column("template_sha256", Text, nullable=False),
    sa.Column("llamacpp_build", Text, nullable=False),
    sa.Column("adapter_sha256", Text),
    sa.Column("adapter_scale", sa.Float, nullable=False),
    sa.Column("cpu", Text, nullable=False, comment="'' in records of older versions"),
    sa.Column("gpu_layers", sa.Integer, nullable=False, comment="-1: all"),
    _ref("vocabulary_id", "vocabulary.id"),
    sa.Index("model_sha256", "sha256"),
)

sampling = sa.Table(
    "sampling",
    metadata,
    _id(),
    sa.Column("sha256", sa.LargeBinary, nullable=False, unique=True),
    sa.Column("json", Text, nullable=False),
)

person = sa.Table(
    "person",
    metadata,
    _id(),
    sa.Column("discord_id", Snowflake, nullable=False, unique=True),
    sa.Column("name", Text, comment="as last seen"),
)

session = sa.Table(
    "session",
    metadata,
    _id(),
    sa.Column("public_id", Text, nullable=False, unique=True, comment="the same in every copy of the log"),
    sa.Column("kind", Text, nullable=False, comment="terminal, channel, thread, direct, import"),
    sa.Column("title", Text, nullable=False),
    sa.Column("guild_id", Snowflake),
    sa.Column("channel_id", Snowflake),
    _ref("person_id", "person.id", delete="SET NULL"),
    sa.Column("key", sa.LargeBinary, nullable=False, comment="of the hashes of its prompt blocks"),
    sa.Column("n_turns", sa.Integer, nullable=False, server_default="0"),
    sa.Column("last_turn_id", Id, nullable=False, server_default="0", comment="0: none yet"),
    sa.Column("created_us", sa.BigInteger, nullable=False),
    sa.Column("ended_us", sa.BigInteger),
    sa.Index("session_last_turn", "last_turn_id", "id"),
    sa.Index("session_channel", "channel_id", "last_turn_id"),
    sa.Index("session_guild", "guild_id", "last_turn_id"),
    sa.Index("session_person", "person_id"),
    sqlite_autoincrement=True,
)

message = sa.Table(
    "message",
    metadata,
    _id(),
    _ref("session_id", "session.id", null=False, delete="CASCADE"),
    _ref("parent_id", "message.id", delete="SET NULL"),
    sa.Column("role", Text, nullable=False),
    sa.Column("author", Text),
    _ref("person_id", "person.id", delete="SET NULL"),
    sa.Column("text", Text, nullable=False),
    sa.Column("reasoning", Text, nullable=False, server_default=""),
    sa.Column("ids", sa.LargeBinary, comment="the token ids it was generated as; NULL if typed"),
    sa.Column("turn_id", Id, comment="the turn that made it, or the newest that answers it"),
    sa.Column("discord_message_id", Snowflake),
    sa.Column("unspaced", sa.Boolean, nullable=False, comment="has script without spaces between words"),
    sa.Column("erased", sa.Boolean, nullable=False, server_default="0"),
    sa.Column("created_us", sa.BigInteger, nullable=False),
    sa.Index("message_session", "session_id", "id"),
    sa.Index("message_parent", "parent_id"),
    sa.Index("message_turn", "turn_id"),
    sa.Index("message_person", "person_id", "id", sqlite_where=sa.text("person_id IS NOT NULL")),
    sa.Index("message_unspaced", "id", "unspaced", "text", sqlite_where=sa.text("unspaced")),
    sa.Index("message_place", "id", "turn_id", "session_id"),
    sa.Index("message_discord", "discord_message_id", sqlite_where=sa.text("discord_message_id IS NOT NULL")),
    sqlite_autoincrement=True,
)

prompt_block = sa.Table(
    "prompt_block",
    metadata,
    _id(),
    _ref("session_id", "session.id", null=False, delete="CASCADE"),
    _ref("parent_id", "prompt_block.id", delete="CASCADE"),
    sa.Column("hash", sa.LargeBinary, nullable=False, comment="keyed by the session, over all ids up to its end"),
    sa.Column("ids", sa.LargeBinary, nullable=False),
    sa.Index("prompt_block_hash", "session_id", "hash", unique=True),
    sa.Index("prompt_block_parent", "parent_id"),
)

FACTS = (
    "session_id", "status", "perplexity", "n_out", "requester_id", "model_id", "created_us",
    "channel_id", "guild_id",
)  # fmt: skip
"""What filters ask of a turn: indexes hold it, so that no row is read."""

turn = sa.Table(
    "turn",
    metadata,
    _id(),
    _ref("session_id", "session.id", null=False, delete="CASCADE"),
    _ref("prompt_message_id", "message.id", delete="SET NULL"),
    _ref("reply_message_id", "message.id", delete="SET NULL"),
    _ref("parent_turn_id", "turn.id", delete="SET NULL"),
    sa.Column("first_step", sa.Integer, nullable=False),
    _ref("requester_id", "person.id", delete="SET NULL"),
    _ref("model_id", "model.id", null=False),
    _ref("sampling_id", "sampling.id", null=False),
    sa.Column("seed", sa.BigInteger, nullable=False),
    sa.Column("k", sa.Integer, nullable=False),
    sa.Column(
        "status",
        Text,
        sa.CheckConstraint("status IN ('pending', 'ok', 'stopped', 'error', 'interrupted')", name="turn_status"),
        nullable=False,
    ),
    sa.Column("finish", Text),
    sa.Column("error", Text),
    _ref("block_id", "prompt_block.id", delete="SET NULL"),
    sa.Column("tail", sa.LargeBinary, nullable=False, comment="prompt ids after the last whole block"),
    sa.Column("spans", sa.LargeBinary, nullable=False),
    sa.Column("n_prompt", sa.Integer, nullable=False),
    sa.Column("n_out", sa.Integer, nullable=False, server_default="0"),
    sa.Column("dropped_turns", sa.Integer, nullable=False),
    sa.Column("dropped_tokens", sa.Integer, nullable=False),
    sa.Column("budget", sa.Integer),
    sa.Column("n_cached", sa.Integer, nullable=False, server_default="0"),
    sa.Column("queue_us", sa.BigInteger),
    sa.Column("ttft_us", sa.BigInteger),
    sa.Column("gen_us", sa.BigInteger),
    sa.Column("perplexity", sa.Float),
    sa.Column("verifiable", sa.Boolean, nullable=False, server_default="1"),
    sa.Column("app_version", Text, nullable=False),
    sa.Column("created_us", sa.BigInteger, nullable=False),
    sa.Column("channel_id", Snowflake, comment="its session's, as is the next"),
    sa.Column("guild_id", Snowflake),
    sa.Index("turn_session", "session_id", "id"),
    sa.Index("turn_prompt_message", "prompt_message_id"),
    sa.Index("turn_reply_message", "reply_message_id"),
    sa.Index("turn_parent", "parent_turn_id", sqlite_where=sa.text("parent_turn_id IS NOT NULL")),
    *(
        sa.Index(
            f"turn_{name}",
            column,
            "id",
            *(fact for fact in FACTS if fact != column),
            sqlite_where=sa.text(f"{column} IS NOT NULL"),
        )
        for name, column in (("requester", "requester_id"), ("channel", "channel_id"), ("guild", "guild_id"))
    ),
    sa.Index("turn_model", "model_id", "id"),
    sa.Index("turn_created", "created_us"),
    sa.Index("turn_block", "block_id", sqlite_where=sa.text("block_id IS NOT NULL")),
    sa.Index("turn_odd", "status", "id", sqlite_where=sa.text("status <> 'ok'")),
    sa.Index("turn_facts", "id", *FACTS),
    sa.Index("turn_perplexity", "perplexity", "n_out"),
    sa.Index("turn_tokens", "n_out", "perplexity"),
    sqlite_autoincrement=True,
)

trace = sa.Table(
    "trace",
    metadata,
    sa.Column("turn_id", Id, sa.ForeignKey("turn.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("first_part", Id, nullable=False),
    sa.Column("start", sa.Integer, nullable=False, comment="in that part"),
    sa.Column("size", sa.Integer, nullable=False),
    sa.Column("n", sa.Integer, nullable=False),
    sa.Column("k", sa.Integer, nullable=False),
)

trace_part = sa.Table(
    "trace_part",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("data", sa.LargeBinary, nullable=False, comment="a page full of traces, one after another"),
)

trace_draft = sa.Table(
    "trace_draft",
    metadata,
    sa.Column("turn_id", Id, sa.ForeignKey("turn.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("data", sa.LargeBinary, nullable=False, comment="what a pending turn has generated so far"),
)

discord_part = sa.Table(
    "discord_part",
    metadata,
    sa.Column("discord_message_id", Snowflake, primary_key=True, autoincrement=False),
    _ref("turn_id", "turn.id", null=False, delete="CASCADE"),
    sa.Column("place", sa.Integer, nullable=False),
    sa.Index("discord_part_turn", "turn_id", "place"),
)

feedback = sa.Table(
    "feedback",
    metadata,
    _id(),
    _ref("turn_id", "turn.id", null=False, delete="CASCADE"),
    _ref("person_id", "person.id", delete="CASCADE"),
    sa.Column("source", Text, nullable=False, comment="discord: a person's thumb; review: a reviewer's rating"),
    sa.Column("value", sa.Integer, nullable=False, comment="discord: -1, 1; review: 1 to 5"),
    sa.Column("note", Text, nullable=False, server_default=""),
    sa.Column("created_us", sa.BigInteger, nullable=False),
    sa.Column("author", Text, nullable=False, server_default="", comment="review: its name"),
    sa.Index("feedback_turn", "turn_id", "source"),
    sa.Index("feedback_value", "source", "value", "turn_id"),
    sa.Index("feedback_person", "person_id", sqlite_where=sa.text("person_id IS NOT NULL")),
)

annotation = sa.Table(
    "annotation",
    metadata,
    _id(),
    _ref("turn_id", "turn.id", null=False, delete="CASCADE"),
    sa.Column("first", sa.Integer, comment="first step of the span; NULL: the whole turn"),
    sa.Column("last", sa.Integer),
    sa.Column("note", Text, nullable=False),
    sa.Column("author", Text, nullable=False, server_default=""),
    sa.Column("created_us", sa.BigInteger, nullable=False),
    sa.Index("annotation_turn", "turn_id"),
)

tag = sa.Table(
    "tag",
    metadata,
    sa.Column("turn_id", Id, sa.ForeignKey("turn.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("name", Text, primary_key=True),
    sa.Column("created_us", sa.BigInteger, nullable=False),
    sa.Column("author", Text, nullable=False, server_default="", comment="who gave it first"),
    sa.Index("tag_name", "name", "turn_id"),
    sqlite_with_rowid=False,
)

setting = sa.Table(
    "setting",
    metadata,
    sa.Column("scope", Text, primary_key=True, comment="server, channel, person …"),
    sa.Column("scope_id", Snowflake, primary_key=True),
    sa.Column("name", Text, primary_key=True),
    sa.Column("value", Text, nullable=False, comment="JSON"),
    sqlite_with_rowid=False,
)

erasure = sa.Table(
    "erasure",
    metadata,
    _id(),
    sa.Column("subject_hmac", sa.LargeBinary, nullable=False),
    sa.Column("subject", Text, comment="who or what, while it is not done"),
    sa.Column("requested_us", sa.BigInteger, nullable=False),
    sa.Column("done_us", sa.BigInteger),
    sa.Column("receipt", Text, comment="JSON: how many of what"),
)


def _sums(name: str, period: str, comment: str) -> sa.Table:
    amounts = (
        "turns", "stopped", "errors", "interrupted", "prompt_tokens", "cached_tokens", "tokens", "timed",
        "ttft_us", "gen_us", "gen_tokens", "ratings", "rating_sum", "thumbs_up", "thumbs_down",
    )  # fmt: skip
    return sa.Table(
        name,
        metadata,
        sa.Column("by", Text, primary_key=True, comment="model, server or user"),
        sa.Column(period, sa.Integer, primary_key=True, comment=comment),
        sa.Column("key", sa.BigInteger, primary_key=True, comment="model.id, guild_id or person.id; 0: none"),
        *(sa.Column(amount, sa.BigInteger, nullable=False, server_default="0") for amount in amounts),
        sa.Column("surprisal", sa.Float, nullable=False, server_default="0", comment="nats, over all tokens"),
        sqlite_with_rowid=False,
    )


daily = _sums("daily", "day", "days since 1970, UTC")
monthly = _sums("monthly", "month", "spans of 32 days since 1970; triggers keep it equal to the sum of `daily`")
