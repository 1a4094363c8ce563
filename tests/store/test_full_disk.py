"""A full disk under what people do to a log: one line that says so, and nothing lost or half there."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from glasshead.errors import UserError
from glasshead.store import Store
from glasshead.store.backup import backup, check, restore
from small_disk import LimitedFiles, SmallDisk, small_disk

from .making import MODEL, PIECES, ask
from .test_log_command import log


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk") as disk:
        if isinstance(disk, LimitedFiles):
            pytest.skip("no disk may be mounted here")
        yield disk


def fill(path: Path, turns: int = 3) -> None:
    asyncio.run(_fill(path, turns))


async def _fill(path: Path, turns: int) -> None:
    store = await Store.open(path)
    await store.save_vocabulary(MODEL, PIECES)
    session = await store.start_session()
    for i in range(turns):
        await ask(store, session, f"question {i}", "long words " * 100)
    await store.close()


def test_a_backup_that_does_not_fit_leaves_nothing(disk: SmallDisk, tmp_path: Path) -> None:
    fill(tmp_path / "log.db")
    disk.fill()
    with pytest.raises(UserError, match=r"copy\.db.*(disk is full|No space left)"):
        backup(tmp_path / "log.db", disk.path / "copy.db")
    assert [path.name for path in disk.path.iterdir()] == ["ballast"]
    disk.free()
    backup(tmp_path / "log.db", disk.path / "copy.db")
    assert check(disk.path / "copy.db") == []


def test_a_restore_that_does_not_fit_changes_nothing(disk: SmallDisk, tmp_path: Path) -> None:
    path, copy = disk.path / "log.db", tmp_path / "copy.db"
    fill(path)
    backup(path, copy)
    before = path.read_bytes()
    disk.fill()
    with pytest.raises(UserError, match=r"log\.db.*(disk is full|No space left)"):
        restore(path, copy)
    assert path.read_bytes() == before
    assert not list(disk.path.glob("*.restoring*"))
    disk.free()
    assert restore(path, copy) is not None and check(path) == []


def test_a_mark_that_does_not_fit_is_not_half_there(disk: SmallDisk) -> None:
    path = disk.path / "log.db"
    fill(path)
    disk.fill()
    said = log(path, "note", "1", "words " * 500, code=2)
    assert "the disk is full" in said and len(said.splitlines()) == 1
    disk.free()
    assert json.loads(log(path, "show", "1", "--json"))["turns"][0]["marks"]["notes"] == []
    log(path, "note", "1", "now")
    assert check(path) == []


def test_an_import_that_does_not_fit_is_finished_later(disk: SmallDisk, tmp_path: Path) -> None:
    fill(tmp_path / "log.db")
    everything = tmp_path / "all.jsonl"
    log(tmp_path / "log.db", "export", "-o", str(everything))
    path = disk.path / "log.db"
    fill(path, turns=0)
    disk.fill()
    said = log(path, "import", str(everything), code=2)
    assert "the disk is full" in said and len(said.splitlines()) == 1
    disk.free()
    assert "1 sessions imported" in log(path, "import", str(everything))
    assert check(path) == []


def test_an_export_that_does_not_fit_is_taken_back(disk: SmallDisk, tmp_path: Path) -> None:
    fill(tmp_path / "log.db", turns=40)
    disk.fill()
    target = disk.path / "all.jsonl"
    said = log(tmp_path / "log.db", "export", "-o", str(target), code=2)
    assert "all.jsonl cannot be written: No space left" in said
    assert not target.exists()
    disk.free()
    log(tmp_path / "log.db", "export", "-o", str(target))
    assert len(target.read_text().splitlines()) > 80
