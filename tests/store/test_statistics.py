"""The sums: whatever is logged, rated, erased, imported or upgraded, they are what adding up the turns gives."""

import json
import math
from pathlib import Path

import pytest
import sqlalchemy as sa
from glasshead.store import Store, marks, transfer
from glasshead.store.clock import DAY_US
from glasshead.store.database import writer_engine
from glasshead.store.export import export
from glasshead.store.migrate import migrate
from glasshead.store.search_syntax import Query
from glasshead.store.statistics import MONTH, statistics
from glasshead.store.tables import daily, monthly, turn

from .making import ask

NAMES = [column.name for column in daily.c if not column.primary_key]
RECOMPUTED = """
SELECT turn.created_us / :day, {key}, count(*), sum(status = 'stopped'), sum(status = 'error'),
       sum(n_out), sum(n_prompt), sum(coalesce(ln(perplexity), 0) * n_out),
       coalesce(sum(stars.n), 0), coalesce(sum(stars.sum), 0)
FROM turn JOIN session ON session.id = turn.session_id LEFT JOIN
     (SELECT turn_id, count(*) AS n, sum(value) AS sum FROM feedback WHERE source = 'review' GROUP BY 1) AS stars
     ON stars.turn_id = turn.id
GROUP BY 1, 2
"""
KEYS = {"model": "model_id", "server": "coalesce(session.guild_id, 0)", "user": "coalesce(requester_id, 0)"}


def rolled(connection: sa.Connection, by: str) -> dict[tuple[int, int], tuple[float, ...]]:
    names = ("turns", "stopped", "errors", "tokens", "prompt_tokens", "surprisal", "ratings", "rating_sum")
    query = sa.select(daily.c.day, daily.c.key, *(daily.c[name] for name in names)).where(daily.c.by == by)
    return {(row[0], row[1]): tuple(row[2:]) for row in connection.execute(query)}


def recomputed(connection: sa.Connection, by: str) -> dict[tuple[int, int], tuple[float, ...]]:
    raw = connection.connection.driver_connection
    raw.create_function("ln", 1, lambda value: None if value is None else math.log(value))
    query = sa.text(RECOMPUTED.format(key=KEYS[by]))
    return {(row[0], row[1]): tuple(row[2:]) for row in connection.execute(query, {"day": DAY_US})}


def by_month(connection: sa.Connection) -> list[tuple[float, ...]]:
    month = daily.c.day / sa.literal_column(str(MONTH))
    sums = [sa.func.sum(daily.c[name]) for name in NAMES]
    query = sa.select(daily.c.by, sa.cast(month, sa.Integer), daily.c.key, *sums).group_by(sa.text("1, 2, 3"))
    return [tuple(row) for row in connection.execute(query.order_by(sa.text("1, 2, 3")))]


def assert_true(connection: sa.Connection) -> None:
    for by in KEYS:
        found = rolled(connection, by)
        assert found == {key: pytest.approx(row) for key, row in recomputed(connection, by).items()}
    kept = [tuple(row) for row in connection.execute(sa.select(monthly).order_by(sa.text("1, 2, 3")))]
    made = by_month(connection)
    assert [row[:3] for row in kept] == [row[:3] for row in made]
    assert all(row[3:] == pytest.approx(other[3:], abs=1e-6) for row, other in zip(kept, made, strict=True))


@pytest.fixture
async def used(store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Three persons in two servers over 80 days."""
    for number in range(24):
        now = (20_000 + 7 * (number // 2)) * DAY_US + number
        monkeypatch.setattr("glasshead.store.turns.now_us", lambda now=now: now)
        session = await store.start_session(kind="channel", guild_id=1 + number % 2, channel_id=number)
        status = ("ok", "stopped", "error")[number % 3]
        await ask(store, session, "how so", person=5 + number % 3, n=5 + number % 4, seed=number % 2, status=status)
        if number % 5 == 0:
            await store.database.write(lambda c, t=number + 1: marks.rate(c, t, 1 + t % 5))
    return store


async def test_sums_are_what_adding_up_the_turns_gives(used: Store):
    for turn_id, stars, author in ((1, 4, "Ann"), (1, 2, "Bo"), (1, 5, "Ann"), (1, None, ""), (6, None, "Bo")):
        await used.database.write(lambda c, t=turn_id, s=stars, a=author: marks.rate(c, t, s, author=a))
    await used.database.read(assert_true)


async def test_sums_after_an_erasure(used: Store):
    await used.erase_person(6)
    await used.database.read(assert_true)
    whole = await used.database.read(lambda c: statistics(c, "user", since=0, until=30_000))
    assert sum(row.turns for row in whole) == 24, "the turns stay, whoever asked is not known any more"


async def test_sums_after_an_import(used: Store, tmp_path: Path):
    lines = [json.loads(line) for line in "".join([p async for p in export(used, "jsonl", Query())]).splitlines()]
    copy = await Store.open(tmp_path / "copy.db")
    sessions: list[list[dict[str, object]]] = []
    for line in lines:
        if line["type"] == "session":
            sessions.append([])
        if sessions:
            sessions[-1].append(line)
    for session in sessions:
        prepared = transfer.prepare([line for line in session if line["type"] != "vocabulary"])
        await copy.database.write(lambda c, p=prepared: transfer.import_session(c, p))
    await copy.database.read(assert_true)
    await copy.close()


@pytest.mark.parametrize(
    ("since", "until"), [(0, 30_000), (20_001, 20_062), (19_968, 20_031), (20_007, 20_007), (20_020, 20_070)]
)
@pytest.mark.parametrize("by", ["day", "model", "server", "user"])
async def test_whole_months_and_the_days_around_them(used: Store, by, since: int, until: int):
    rows = await used.database.read(lambda c: statistics(c, by, since=since, until=until))
    inside = turn.c.created_us.between(since * DAY_US, (until + 1) * DAY_US - 1)
    query = sa.select(sa.func.count(), sa.func.sum(turn.c.n_out)).where(inside)
    turns, tokens = await used.database.read(lambda c: c.execute(query).one())
    assert sum(row.turns for row in rows) == turns
    assert sum(row.tokens for row in rows) == (tokens or 0)
    most = await used.database.read(lambda c: statistics(c, by, since=since, until=until, limit=2))
    assert most == (rows if by == "day" else rows[:2])


async def test_an_upgrade_fills_the_months(used: Store):
    def before(connection: sa.Connection) -> None:
        for name in ("insert", "update", "delete"):
            connection.exec_driver_sql(f"DROP TRIGGER monthly_{name}")
        for statement in (
            "DROP TABLE monthly", "DROP INDEX turn_facts", "DROP INDEX message_place",
            "DROP INDEX turn_channel", "DROP INDEX turn_guild", "DROP INDEX turn_requester",
            "CREATE INDEX turn_requester ON turn (requester_id, id) WHERE requester_id IS NOT NULL",
            "ALTER TABLE turn DROP COLUMN channel_id", "ALTER TABLE turn DROP COLUMN guild_id",
            "ALTER TABLE model DROP COLUMN cpu", "ALTER TABLE model DROP COLUMN gpu_layers",
            "ALTER TABLE feedback DROP COLUMN author", "ALTER TABLE tag DROP COLUMN author",
            "DROP TRIGGER message_words_forget",
            *(f"DROP VIEW {name}" for name in sa.inspect(connection).get_view_names()),
            "UPDATE alembic_version SET version_num = '0001'",
        ):  # fmt: skip
            connection.exec_driver_sql(statement)

    await used.database.write(before)
    await used.close()
    path = used.database.path
    migrate(path)
    engine = writer_engine(path)
    with engine.connect() as connection:
        assert_true(connection)
    engine.dispose()


async def test_a_year_by_user_reads_months(used: Store):
    seen: list[str] = []

    def plan(connection: sa.Connection) -> list[str]:
        sa.event.listen(
            connection, "before_cursor_execute", lambda c, cur, sql, given, *_: seen.append((sql, given))
        )
        statistics(connection, "user", since=19_700, until=20_064, limit=50)
        raw = connection.connection.driver_connection
        return [row[3] for sql, given in list(seen) for row in raw.execute(f"EXPLAIN QUERY PLAN {sql}", given)]

    steps = await used.database.read(plan)
    assert any("SEARCH monthly USING PRIMARY KEY (by=? AND month>? AND month<?" in step for step in steps)
    assert not any(step.startswith("SCAN daily") or step.startswith("SCAN monthly") for step in steps)
