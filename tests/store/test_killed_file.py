"""kill -9 inside a migration, a backup, a restore: the next start finds a whole log, the old one or the new."""

import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from functools import cache
from pathlib import Path

import pytest
from glasshead.store import Store, migrate
from glasshead.store.backup import backup, check, restore

from .killed_file import add_a_migration
from .making import MODEL, PIECES, ask

SCRIPT = Path(__file__).with_name("killed_file.py")
TURNS, LATER = 5, 2


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a backup of five turns, and a log that has two more, in a WAL as a killed bot leaves it."""
    import asyncio

    folder = tmp_path_factory.mktemp("original")

    async def fill() -> None:
        store = await Store.open(folder / "log.db")
        await store.save_vocabulary(MODEL, PIECES)
        session = await store.start_session()
        for i in range(TURNS):
            await ask(store, session, f"question {i}", f"answer {i} 東京タワー")
        backup(folder / "log.db", folder / "copy.db")
        for i in range(LATER):
            await ask(store, session, f"later {i}", "after the backup")
        saved = [(path, path.read_bytes()) for path in folder.glob("log.db*")]
        await store.close()
        for path, data in saved:
            path.write_bytes(data)

    asyncio.run(fill())
    return folder


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "here"))


def start(work: str, folder: Path, stop: int) -> subprocess.Popen[str]:
    target = folder / ("new.db" if work == "backup" else "copy.db")
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), work, str(folder / "log.db"), str(target), str(stop)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@cache
def steps(work: str, original: Path) -> int:
    """How many there are, seen in a process that lives."""
    folder = original.with_name(f"{original.name}-{work}")
    shutil.copytree(original, folder)
    output, error = start(work, folder, 0).communicate()
    assert output.split()[:2] == ["begin", "end"], error
    return int(output.split()[2]) - 1


def turns(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("SELECT count(*) FROM turn WHERE status = 'ok'").fetchone()[0])


def assert_sound(work: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Go on as the next start would."""
    log = folder / "log.db"
    if work == "migrate":
        for name in ("_SCRIPTS", "REVISIONS", "HEAD"):
            monkeypatch.setattr(migrate, name, getattr(migrate, name))
        add_a_migration(folder / "migrations")
    migrate.migrate(log)
    assert migrate.version(log) == migrate.HEAD
    assert check(log) == []
    assert turns(log) in ((TURNS, TURNS + LATER) if work == "restore" else (TURNS + LATER,))
    assert not list(folder.glob("*.restoring*"))
    if work == "migrate":
        with closing(sqlite3.connect(log)) as connection:
            assert connection.execute("SELECT count(*) FROM later").fetchone()[0] == 2 * (TURNS + LATER)
        for saved in folder.glob("*.backup"):
            assert (check(saved), turns(saved)) == ([], TURNS + LATER)
    elif work == "backup":
        if (folder / "new.db").exists():  # under its name it is whole
            (folder / "new.db").rename(folder / "found.db")
            assert (check(folder / "found.db"), turns(folder / "found.db")) == ([], TURNS + LATER)
        backup(log, folder / "new.db")
        assert turns(folder / "new.db") == TURNS + LATER
    else:
        for kept in folder.glob("*.before-restore*"):
            if not kept.name.endswith(("-wal", "-shm")):
                assert turns(kept) == TURNS + LATER
        kept = restore(log, folder / "copy.db")
        assert kept is not None and turns(log) == TURNS
    assert all(path.stat().st_mode & 0o077 == 0 for path in folder.glob("*.db*") if path.name != "log.db-shm")


@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("work", ["migrate", "backup", "restore"])
def test_killed_at_a_step(
    work: str, part: float, original: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = steps(work, original)
    process = start(work, folder, 1 + round(part * (last - 1)))
    _, error = process.communicate()
    assert process.returncode == -signal.SIGKILL, error
    assert_sound(work, folder, monkeypatch)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(210))
def test_killed_anywhere(seed: int, original: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(seed)
    work = ("migrate", "backup", "restore")[seed % 3]
    if seed % 2:
        process = start(work, folder, rng.randint(1, steps(work, original)))
    else:
        process = start(work, folder, 0)
        assert process.stdout is not None and process.stdout.readline() == "begin\n"
        time.sleep(rng.uniform(0, 0.25))  # any moment is as good: inside SQLite, too
        process.kill()
    process.communicate()
    assert_sound(work, folder, monkeypatch)


@pytest.mark.parametrize("use", [check, migrate.require_version, migrate.migrate])
def test_what_a_killed_restore_had_half_written_is_undone_by_whoever_opens_the_log(use, folder: Path):
    log = folder / "log.db"
    before = turns(log)
    half = (
        "import os, sqlite3, sys; log = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "for words in ('PRAGMA journal_mode = DELETE', 'PRAGMA cache_size = 1', 'BEGIN', 'DELETE FROM turn'):\n"
        "    log.execute(words).fetchall()\n"
        "os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", half, str(log)], check=False)
    assert (folder / "log.db-journal").stat().st_size
    assert not use(log)
    assert turns(log) == before
