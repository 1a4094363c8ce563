"""A log on media that nobody can write: it is read, and nothing is made beside it."""

import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from glasshead.store import Store
from glasshead.store.readonly import read_only


@pytest.fixture
async def log(path: Path, empty_log: Path) -> Path:
    shutil.copy2(empty_log, path)
    store = await Store.open(path)
    await store.append_message(await store.start_session(), "user", "Hello")
    await store.close()
    return path


@pytest.fixture
def mounted_read_only(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_flag=os.ST_RDONLY))


async def test_it_is_read_and_nothing_is_made_beside_it(log: Path, mounted_read_only: None) -> None:
    before = sorted(path.name for path in log.parent.iterdir())
    store = await Store.open(log, writable=False)
    assert [row.text for row in await store.messages(1)] == ["Hello"]
    assert sorted(path.name for path in log.parent.iterdir()) == before
    await store.close()


def test_what_was_not_yet_written_into_the_file_is_not_passed_over(log: Path, mounted_read_only: None) -> None:
    assert read_only(log).endswith("?mode=ro&immutable=1")
    log.with_name("log.db-wal").write_bytes(b"pages")
    assert read_only(log).endswith("?mode=ro")


def test_elsewhere_another_process_may_write(log: Path) -> None:
    assert read_only(log).endswith("?mode=ro")
