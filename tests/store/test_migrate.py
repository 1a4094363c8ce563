"""The schema: what migrations make is what the tables say; other databases are refused in words."""

import os
import sqlite3
import time
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from glasshead.errors import UserError
from glasshead.store import Store
from glasshead.store import migrate as migrate_module
from glasshead.store.database import BUSY_MS, PATIENT_MS, writer_engine
from glasshead.store.migrate import HEAD, migrate
from glasshead.store.tables import metadata


def test_migrations_and_tables_agree(path: Path):
    migrate(path)
    engine = writer_engine(path)
    ours = set(metadata.tables)

    def mine(item, name, kind, reflected, other):
        return kind != "table" or name in ours

    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_object": mine})
        assert compare_metadata(context, metadata) == []
        autoincrement = {name for (name,) in connection.exec_driver_sql("SELECT name FROM sqlite_sequence")}
        assert autoincrement <= ours
    engine.dispose()
    assert migrate(path) is None


def test_a_newer_database_is_refused(path: Path):
    migrate(path)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    for call in (migrate,):
        with pytest.raises(UserError, match=f"newer Glasshead.*9999.*{HEAD}.*update"):
            call(path)


def test_another_programs_database_is_refused(path: Path):
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    with pytest.raises(UserError, match="not one of Glasshead's"):
        migrate(path)


@pytest.mark.parametrize(
    "content", [b"not a database at all, but long enough to look", b"SQLite format 3\0" + b"\1" * 200]
)
def test_what_is_no_database_is_refused(path: Path, content: bytes):
    path.write_bytes(content)
    with pytest.raises(UserError, match="damaged"):
        migrate(path)


async def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be created"):
        await Store.open(tmp_path / "file" / "log.db")
    with pytest.raises(UserError, match="is a folder"):
        await Store.open(tmp_path)
    if os.geteuid() != 0:
        tmp_path.chmod(0o500)
        with pytest.raises(UserError, match="read-only"):
            await Store.open(tmp_path / "log.db")
        tmp_path.chmod(0o700)


async def test_reading_a_log_that_is_not_there(path: Path):
    with pytest.raises(UserError, match="there is no log"):
        await Store.open(path, writable=False)
    assert not path.exists()


def test_only_the_owner_may_read_the_file(path: Path):
    migrate(path)
    assert path.stat().st_mode & 0o077 == 0


def test_an_upgrade_waits_for_a_foreign_writer_as_long_as_a_reply_does(path: Path, monkeypatch: pytest.MonkeyPatch):
    assert PATIENT_MS > 30_000
    migrate(path)
    foreign = sqlite3.connect(path, isolation_level=None)
    foreign.execute("UPDATE alembic_version SET version_num = '0006'")
    foreign.execute("BEGIN IMMEDIATE")
    monkeypatch.setattr(migrate_module, "PATIENT_MS", 50)
    begun = time.monotonic()
    with pytest.raises(UserError, match="another program holds the database locked"):
        migrate(path)
    assert time.monotonic() - begun < BUSY_MS / 2000
    foreign.rollback()
    foreign.close()
