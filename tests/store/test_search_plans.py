"""How SQLite goes about a search: through indexes, not through whole rows. And that every way finds the same."""

import pytest
import sqlalchemy as sa
from glasshead.store import Store, search
from glasshead.store.search_syntax import parse

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


@pytest.mark.parametrize("typed", ["", "status:stopped", "perplexity:>1 tokens:>3", "channel:1", "user:1 after:2d"])
async def test_filters_walk_the_index_that_has_what_they_ask_for(filled: Store, typed: str):
    found = await steps(filled, typed)
    assert f"SEARCH {WALK_TURNS} (id>? AND id<?)" in found
    assert not [step for step in found if step.startswith("SCAN turn") or "USE TEMP B-TREE" in step]


async def test_words_with_a_filter_that_leaves_many(filled: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(search, "FEW", 3)
    found = await steps(filled, "cafe channel:1")
    walk = found.index("SEARCH message USING COVERING INDEX message_place (id=?)")
    assert found[walk - 1].startswith("SCAN message_words VIRTUAL TABLE"), found
    assert found[walk + 1].startswith(f"SEARCH {WALK_TURNS} (id=?"), found
    assert not [step for step in found if "USE TEMP B-TREE" in step], "newest first is the index's own order"


async def test_words_with_a_filter_that_leaves_few(filled: Store):
    found = await steps(filled, "cafe channel:1")
    assert "SEARCH message USING INDEX message_turn (turn_id=?)" in found
    lookups = [step for step in found if step.startswith("SCAN message_words VIRTUAL TABLE INDEX")]
    assert lookups and all("=M" in step for step in lookups), "one message after another"


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
    monkeypatch.setattr(search, "WINDOW", 5)
    assert await pages(3) == whole
    monkeypatch.setattr(search, "FEW", 2)
    assert await pages(3) == whole
