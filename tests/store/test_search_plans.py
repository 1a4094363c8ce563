"""How SQLite goes about a search: through indexes, not through whole rows. And that every way finds the same."""

import pytest
import sqlalchemy as sa
from glasshead.store import Store, filters, search
from glasshead.store.search_syntax import parse
from glasshead.store.small_index import TOKENIZERS

from .making import ask

WALK_TURNS = "turn USING COVERING INDEX turn_facts"


@pytest.fixture
async def filled(store: Store) -> Store:
    """Fifteen turns in two channels, two of which were stopped."""
    for number in range(15):
        session = await store.start_session(kind="channel", guild_id=1, channel_id=number % 2)
        status = "ok" if number % 10 else "stopped"
        said = ("plain cafe", "Das Café", "nul\0cafe", "東京タワー", "nothing")[number % 5]
        await ask(store, session, said, f"reply {number}", person=number % 3, author="Ann", n=5, status=status)
    return store


async def steps(store: Store, typed: str, order: search.Order = "newest") -> list[str]:
    def work(connection: sa.Connection) -> list[str]:
        seen: list[tuple[str, tuple[object, ...]]] = []

        def see(_connection, _cursor, sql, given, *_) -> None:
            seen.append((sql, given))

        sa.event.listen(connection, "before_cursor_execute", see)
        search.search(connection, parse(typed), order=order)
        sa.event.remove(connection, "before_cursor_execute", see)
        raw = connection.connection.driver_connection
        return [row[3] for sql, given in seen for row in raw.execute(f"EXPLAIN QUERY PLAN {sql}", given)]

    return await store.database.read(work)


@pytest.mark.parametrize(
    ("typed", "walked"),
    [
        ("status:stopped", "turn USING COVERING INDEX turn_odd"),
        ("channel:1", "turn USING COVERING INDEX turn_channel"),
        ("channel:1 status:stopped", "turn USING INDEX turn_odd"),
        ("server:1 model:tiny perplexity:>2", "turn USING COVERING INDEX turn_guild"),
        ("user:1 after:2d", "turn USING COVERING INDEX turn_requester"),
        ("tag:odd user:1", "tag USING COVERING INDEX tag_name"),
        ("rating:up", "feedback USING COVERING INDEX feedback_value"),
        ("perplexity:>1 tokens:>3", "turn USING COVERING INDEX turn_perplexity"),
    ],
)
async def test_the_rarest_filter_is_walked_in_its_own_index(
    filled: Store, monkeypatch: pytest.MonkeyPatch, typed: str, walked: str
):
    monkeypatch.setattr(filters, "RECENT", 1)
    found = await steps(filled, typed)
    assert [step for step in found if step.startswith(f"SEARCH {walked}")], found
    assert not [step for step in found if step.startswith("SCAN turn") or "TEMP B-TREE FOR ORDER" in step]


@pytest.mark.parametrize("typed", ["", "status:ok", "perplexity:>0 status:ok"])
async def test_what_leaves_many_walks_the_newest(filled: Store, monkeypatch: pytest.MonkeyPatch, typed: str):
    monkeypatch.setattr(filters, "RECENT", 1)
    monkeypatch.setattr(filters, "FEW", 1)
    found = await steps(filled, typed)
    assert f"SEARCH {WALK_TURNS} (id>?)" in found and f"SCAN {WALK_TURNS}" in found
    assert not [step for step in found if "USE TEMP B-TREE" in step]


async def test_words_with_a_filter_that_leaves_many(filled: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(filters, "FEW", 3)
    found = await steps(filled, "cafe channel:1")
    walk = found.index("SEARCH message USING COVERING INDEX message_place (id=?)")
    assert found[walk - 1].startswith("SCAN message_words VIRTUAL TABLE"), found
    assert found[walk + 1].startswith(f"SEARCH {WALK_TURNS} (id=?"), found
    assert not [step for step in found if "USE TEMP B-TREE" in step], "newest first is the index's own order"


async def test_words_with_a_filter_that_leaves_few(filled: Store):
    found = await steps(filled, "cafe channel:1")
    assert "SEARCH message USING COVERING INDEX message_turn (turn_id=?)" in found
    asked = [step for step in found if step.startswith("SCAN message_words VIRTUAL TABLE INDEX")]
    assert asked and not [step for step in asked if "=M" in step], "never one message after another"


async def test_few_are_tokenized_as_all_are(filled: Store):
    def made(connection: sa.Connection, name: str) -> str:
        return connection.exec_driver_sql("SELECT sql FROM sqlite_master WHERE name = ?", (name,)).scalar_one()

    for name, tokenizer in TOKENIZERS.items():
        assert f"tokenize = '{tokenizer}'" in await filled.database.read(lambda c, name=name: made(c, name))


async def test_a_character_or_two_are_looked_for_in_the_index_of_such_messages(filled: Store):
    assert "SCAN message USING COVERING INDEX message_unspaced" in await steps(filled, "東京")


@pytest.mark.parametrize("order", ["newest", "best"])
@pytest.mark.parametrize(
    "typed", ["cafe channel:0", "café", "reply user:1", "東京 channel:1", "タワー", "tokens:5 status:ok"]
)
async def test_every_way_finds_the_same(filled: Store, monkeypatch: pytest.MonkeyPatch, typed: str, order):
    async def pages(limit: int) -> list[int]:
        found, after = [], None
        while True:
            page = await filled.search(parse(typed), order=order, limit=limit, after=after)
            found += [hit.message for hit in page.hits]
            after = page.next
            if after is None:
                return found

    whole = await pages(100)
    assert whole
    assert await pages(3) == whole
    monkeypatch.setattr(search, "CHUNK", 2)
    assert await pages(3) == whole
    monkeypatch.setattr(search, "RARE", 0)
    for walking in (0.0, 1e9):
        monkeypatch.setattr(search, "WALKED_US", walking)
        assert await pages(3) == whole
    monkeypatch.setattr(filters, "RECENT", 5)
    assert await pages(3) == whole
    monkeypatch.setattr(filters, "FEW", 2)
    assert await pages(3) == whole
