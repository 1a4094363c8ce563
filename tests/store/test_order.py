"""A span of time is a span of ids, whatever the clock did and whatever was imported."""

from collections.abc import Iterator, Sequence

import pytest
import sqlalchemy as sa
from glasshead.store import Store, clock, order, turns
from glasshead.store.search_syntax import Query
from glasshead.store.tables import metadata, setting, turn
from hypothesis import given, settings
from hypothesis import strategies as st

from .making import ask

NEEDED = {
    column.name: b"" if isinstance(column.type, sa.LargeBinary) else "" if column.name == "app_version" else 0
    for column in turn.columns
    if not column.nullable and column.server_default is None and column.name not in {"id", "status", "created_us"}
}


@pytest.fixture(scope="module")
def empty() -> Iterator[sa.Connection]:
    """A log of nothing but turns."""
    engine = sa.create_engine("sqlite://")
    metadata.create_all(engine, tables=[turn, setting])
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def insert(connection: sa.Connection, times: Sequence[int]) -> None:
    for time in times:
        connection.execute(turn.insert().values(status="ok", created_us=time, **NEEDED))


time = st.integers(0, 60)


@settings(max_examples=300)
@given(
    first=st.lists(time, max_size=12),
    then=st.lists(time, max_size=12),
    after=time,
    before=time,
    most=st.sampled_from((0, 100)),
)
def test_the_span_begins_and_ends_with_a_turn_of_that_time(
    empty: sa.Connection, first: list[int], then: list[int], after: int, before: int, most: int
) -> None:
    with empty.begin() as transaction, pytest.MonkeyPatch.context() as patch:
        patch.setattr(order, "UNSEEN", most)
        insert(empty, first)
        order.keep_order(empty)
        insert(empty, then)
        rows = empty.execute(sa.select(turn.c.id, turn.c.created_us)).all()
        late = [id for id, when in rows if when >= after]
        early = [id for id, when in rows if when < before]
        last = len(rows)
        exact = (min(late) if late else 1, max(early) if early else 0)
        lows, highs = order.id_span(empty, after, None), order.id_span(empty, None, before)
        both = order.id_span(empty, after, before)
        if most:  # the span of many turns is the whole log
            assert lows == ((exact[0], last) if late else (1, 0))
            assert highs == (1, exact[1])
            assert both == (exact if late and early else (1, 0))
        else:
            assert lows == ((1, last) if late else (1, 0))
            assert highs == ((1, last) if early else (1, 0))
            assert both == ((1, last) if late and early else (1, 0))
        transaction.rollback()


def test_what_was_not_kept_is_looked_at_once(empty: sa.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order, "UNSEEN", 3)
    monkeypatch.setattr(order, "_found", {})
    with empty.begin() as transaction:
        insert(empty, [5, 1, 6, 7, 8, 9])
        assert order.id_span(empty, None, 6) == (1, 2)
        looked = []
        monkeypatch.setattr(order, "_with_rest", lambda _, kept: looked.append(kept.seen) or kept)
        assert order.id_span(empty, 8, None) == (5, 6)
        assert looked == [6]
        transaction.rollback()


async def test_turns_of_an_old_clock_are_found_by_their_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    session = await store.start_session()
    await ask(store, session, "first")
    now = clock.now_us()
    monkeypatch.setattr(order, "EVERY", 1)
    for years in (3, 2):
        monkeypatch.setattr(turns, "now_us", lambda years=years: now - years * 365 * clock.DAY_US)
        await ask(store, session, f"{years} years ago")
    monkeypatch.undo()
    await ask(store, session, "last")
    long_ago = now - 900 * clock.DAY_US
    found = [hit.turn for hit in (await store.search(Query(before_us=long_ago))).hits]
    assert found == [2]
    found = [hit.turn for hit in (await store.search(Query(after_us=long_ago))).hits]
    assert found == [4, 3, 1]
