"""Statements run by the driver: the same as SQLAlchemy makes of them."""

import sqlite3

import pytest
import sqlalchemy as sa
from glasshead.store.database import writer_engine
from glasshead.store.prepared import inserted, run
from glasshead.store.tables import metadata, sampling, session

INSERT = sampling.insert()
BY_ID = sa.select(sampling.c.json).where(sampling.c.id == sa.bindparam("id"))


@pytest.fixture
def engine(tmp_path):
    engine = writer_engine(tmp_path / "log.db")
    metadata.create_all(engine)
    yield engine
    engine.dispose()


def test_values_are_converted_as_the_columns_say(engine):
    with engine.begin() as connection:
        new = inserted(connection, INSERT, {"sha256": b"a", "json": "lone \ud800"})
        assert run(connection, BY_ID, {"id": new}).fetchone() == ("lone \ufffd",)


def test_what_is_not_given_has_the_default_of_the_table(engine):
    values = {"public_id": "p", "kind": "terminal", "title": "", "key": b"k", "created_us": 1}
    with engine.begin() as connection:
        new = inserted(connection, session.insert(), values)
        row = connection.execute(sa.select(session).where(session.c.id == new)).one()
        assert (row.n_turns, row.last_turn_id, row.ended_us) == (0, 0, None)


def test_a_statement_brings_values_of_its_own(engine):
    longer = sampling.update().where(sampling.c.id == sa.bindparam("row")).values(json=sampling.c.json + "!")
    with engine.begin() as connection:
        new = inserted(connection, INSERT, {"sha256": b"a", "json": "{}"})
        run(connection, longer, {"row": new})
        assert run(connection, BY_ID, {"id": new}).fetchone() == ("{}!",)


def test_it_is_part_of_the_transaction(engine):
    with engine.connect() as connection:
        inserted(connection, INSERT, {"sha256": b"a", "json": "{}"})
        assert connection.in_transaction()
        connection.rollback()
        assert connection.execute(sa.select(sampling)).all() == []


def test_what_the_driver_raises_is_wrapped_and_names_no_values(engine):
    with pytest.raises(sa.exc.IntegrityError) as caught, engine.begin() as connection:
        for _ in range(2):
            inserted(connection, INSERT, {"sha256": b"a", "json": "secret"})
    assert isinstance(caught.value.orig, sqlite3.IntegrityError)
    assert "secret" not in str(caught.value)
