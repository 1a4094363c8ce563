"""How SQLite goes about a search: through indexes, not through whole rows. And that every way finds the same."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from glasshead.store import Store, filters, marks, search, words
from glasshead.store.search_syntax import parse
from glasshead.store.small_index import TOKENIZERS
from glasshead.store.tables import turn

from .conftest import copy_of
from .making import ask

WALK_TURNS = "turn USING COVERING INDEX turn_facts"


@pytest.fixture(scope="module")
def filled_log(empty_log: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fifteen turns in two channels, two of which were stopped."""
    path = tmp_path_factory.mktemp("filled") / "log.db"

    async def fill() -> None:
        async with copy_of(empty_log, path) as store:
            for number in range(15):
                session = await store.start_session(kind="channel", guild_id=1, channel_id=number % 2)
                status = "ok" if number % 10 else "stopped"
                said = ("plain cafe", "Das Café", "nul\0cafe", "東京タワー", "nothing")[number % 5]
                more = {"person": number % 3, "author": "Ann", "n": 5, "status": status}
                await ask(store, session, said, f"reply {number}", **more)

    asyncio.run(fill())
    return path


@pytest.fixture
async def filled(filled_log: Path, path: Path) -> AsyncIterator[Store]:
    async with copy_of(filled_log, path) as store:
        yield store


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
        ("status:stopped", "walked USING COVERING INDEX turn_odd"),
        ("channel:1", "turn USING COVERING INDEX turn_channel"),
        ("channel:1 status:stopped", "walked USING COVERING INDEX turn_odd"),
        ("server:1 model:tiny perplexity:>2", "turn USING COVERING INDEX turn_guild"),
        ("user:1 after:2d", "turn USING COVERING INDEX turn_requester"),
        ("tag:odd user:1", "tag USING COVERING INDEX tag_name"),
        ("rating:up", "feedback USING COVERING INDEX feedback_value"),
        ("session:1 model:tiny", "walked USING COVERING INDEX turn_session"),
        ("model:tiny before:1h", "turn USING COVERING INDEX turn_created"),
    ],
)
async def test_the_rarest_filter_is_walked_in_its_own_index(
    filled: Store, monkeypatch: pytest.MonkeyPatch, typed: str, walked: str
):
    monkeypatch.setattr(filters, "RECENT", 1)
    monkeypatch.setattr(filters, "APART", 0.01)
    found = await steps(filled, typed)
    assert [step for step in found if step.startswith(f"SEARCH {walked}")], found
    assert not [step for step in found if step.startswith("SCAN turn") or "TEMP B-TREE FOR ORDER" in step]


@pytest.mark.parametrize(
    ("typed", "walked"),
    [
        ("perplexity:>1 tokens:>3", "turn_tokens (n_out=? AND perplexity>?)"),
        ("perplexity:>1 status:ok", "turn_perplexity (perplexity>?)"),
        ("tokens:>3 server:1", "turn_tokens (n_out>?)"),
    ],
)
async def test_a_range_that_leaves_few_is_sorted(
    filled: Store, monkeypatch: pytest.MonkeyPatch, typed: str, walked: str
):
    monkeypatch.setattr(filters, "RECENT", 1)
    monkeypatch.setattr(filters, "SHORT", 0)
    found = await steps(filled, typed)
    assert f"SEARCH turn USING COVERING INDEX {walked}" in found, found
    assert not [step for step in found if step.startswith("SCAN turn")]


@pytest.mark.parametrize("typed", ["", "status:ok", "perplexity:>0 status:ok"])
async def test_what_leaves_many_walks_the_newest(filled: Store, monkeypatch: pytest.MonkeyPatch, typed: str):
    monkeypatch.setattr(filters, "RECENT", 1)
    monkeypatch.setattr(filters, "FEW", 1)
    found = await steps(filled, typed)
    assert f"SEARCH {WALK_TURNS} (id>? AND id<?)" in found, found
    assert not [step for step in found if "USE TEMP B-TREE" in step]


async def test_words_with_a_filter_that_leaves_many(filled: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(filters, "FEW", 3)
    found = await steps(filled, "cafe channel:1")
    walk = found.index("SEARCH message USING COVERING INDEX message_place (id=?)")
    assert found[walk - 1].startswith("SCAN message_words VIRTUAL TABLE"), found
    assert found[walk + 1].startswith(f"SEARCH {WALK_TURNS} (id=?"), found
    assert not [step for step in found if "USE TEMP B-TREE" in step], "newest first is the index's own order"


async def test_words_with_a_filter_that_leaves_few(filled: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(words, "RARE", 1)
    found = await steps(filled, "cafe channel:1")
    assert "SEARCH message USING COVERING INDEX message_turn (turn_id=?)" in found
    asked = [step for step in found if step.startswith("SCAN message_words VIRTUAL TABLE INDEX")]
    assert asked and not [step for step in asked if "=M" in step], "never one message after another"


@pytest.mark.parametrize(
    ("typed", "found", "start"),
    [("cafe session:1", [1], 3), ("cafe before:1h", [5, 3, 1], 11), ("東 before:1h", [7], 11)],
)
async def test_old_turns_are_looked_for_where_they_begin(
    filled: Store, monkeypatch: pytest.MonkeyPatch, typed: str, found: list[int], start: int
):
    """Not from the newest message with the words: of common ones there are very many in between."""
    sql = "UPDATE turn SET created_us = created_us - 7200000000 WHERE id <= 5"
    await filled.database.write(lambda c: c.exec_driver_sql(sql))
    walked, walk = [], words._newest

    def see(*given, **more) -> list[int]:
        walked.append(given[6])
        return walk(*given, **more)

    monkeypatch.setattr(words, "_newest", see)
    monkeypatch.setattr(words, "RARE", 1)
    monkeypatch.setattr(filters, "FEW", 0)
    page = await filled.search(parse(typed))
    assert [hit.message for hit in page.hits] == found
    assert walked[-1] <= start, walked


async def test_a_filter_whose_turns_are_old_is_no_rarer_for_that(filled: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(filters, "PROBED", 2)

    def cost(connection: sa.Connection) -> list[float]:
        ways = [filters.Way(turn.c.id, condition) for condition in (turn.c.id <= 10, turn.c.id > 0)]
        return [way.cost(connection, (1, 10**6)) for way in ways]

    assert await filled.database.read(cost) == [2 * 9, 2 * 14]


async def test_few_are_tokenized_as_all_are(filled: Store):
    def made(connection: sa.Connection, name: str) -> str:
        return connection.exec_driver_sql("SELECT sql FROM sqlite_master WHERE name = ?", (name,)).scalar_one()

    for name, tokenizer in TOKENIZERS.items():
        sql = await filled.database.read(lambda c, name=name: made(c, name))
        assert re.search("""tokenize = ["'](.*)["']""", sql)[1] == tokenizer


async def test_a_character_or_two_are_looked_for_in_the_index_of_such_messages(filled: Store):
    assert "SCAN message USING COVERING INDEX message_unspaced" in await steps(filled, "東京")
    among_few = await steps(filled, "東京 channel:1")
    assert "SEARCH message USING COVERING INDEX message_unspaced (id=?)" in among_few, among_few


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
    monkeypatch.setattr(words, "CHUNK", 2)
    assert await pages(3) == whole
    monkeypatch.setattr(words, "RARE", 1)
    for walking in (0.0, 1e9):
        monkeypatch.setattr(words, "WALKED_US", walking)
        assert await pages(3) == whole
    monkeypatch.setattr(words, "RANKED", 1)
    assert sorted(await pages(3)) == sorted(whole), "ranked among others, in another order"
    monkeypatch.undo()
    monkeypatch.setattr(filters, "RECENT", 5)
    assert await pages(3) == whole
    monkeypatch.setattr(filters, "FEW", 2)
    assert await pages(3) == whole


COMBINED = (
    "channel:1 status:stopped",
    "user:1 user:2 model:tiny",
    "user:ann tokens:>3 rating:4",
    "tag:odd channel:0",
    "tag:odd rating:>=3",
    "session:3 session:4 status:ok",
    "perplexity:>1 tokens:<9 server:1",
    "before:1h",
    "after:1h status:ok",
    "model:nobody",
    "user:nobody status:ok",
    "status:stopped status:ok perplexity:<0.5",
)


@pytest.mark.parametrize("typed", COMBINED)
@pytest.mark.parametrize("constants", [{}, {"RECENT": 1}, {"RECENT": 1, "SHORT": 0}, {"RECENT": 1, "APART": 0.01}])
async def test_filters_together_leave_what_their_conditions_leave(
    filled: Store, monkeypatch: pytest.MonkeyPatch, typed: str, constants: dict[str, float]
):
    for number in (2, 5, 6):
        await filled.database.write(lambda c, number=number: marks.add_tag(c, number, "odd"))
        await filled.database.write(lambda c, number=number: marks.rate(c, number, 4))
    for name, value in constants.items():
        monkeypatch.setattr(filters, name, value)
    query = parse(typed)

    def work(connection: sa.Connection) -> tuple[list[int], list[int], list[int]]:
        asked = sa.select(turn.c.id).where(*filters.turn_conditions(connection, query)).order_by(turn.c.id.desc())
        whole = list(connection.execute(asked).scalars())
        return (
            whole,
            filters.newest_turns(connection, query, 100),
            filters.newest_turns(connection, query, 2, below=9),
        )

    whole, found, page = await filled.database.read(work)
    assert found == whole and page == [id_ for id_ in whole if id_ < 9][:2]
