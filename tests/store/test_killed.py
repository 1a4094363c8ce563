"""kill -9 at every stage: what was acknowledged is there and whole, what was not is not half there."""

import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from glasshead.store import Store
from glasshead.store.backup import check

from .killed import STAGES

SCRIPT = Path(__file__).with_name("killed.py")


def told(output: str) -> dict[str, list[int]]:
    out: dict[str, list[int]] = {}
    for line in output.splitlines():
        word, number = line.split()
        out.setdefault(word, []).append(int(number))
    return out


async def assert_sound(path: Path, output: str) -> None:
    """Open the log as the next start would, and hold it against what the dead process was told."""
    if not path.exists():
        assert not output
        return
    known = told(output)
    store = await Store.open(path)
    try:
        erased = "erasing" in known
        for id_ in known.get("message", []):
            message = await store.message(id_)
            assert message.erased == erased or (not erased and message.text.startswith("question"))
        for id_ in known.get("pending", []):
            turn = await store.turn(id_)
            assert turn.trace.fault is None
            if erased:
                assert (turn.reply, turn.trace.steps) == ("", ())
            elif id_ in known.get("finished", []):
                assert (turn.status, turn.reply, len(turn.trace.steps)) == ("ok", "so far", 12)
            else:
                assert turn.status in ("interrupted", "ok")
                whole = turn.status == "ok"
                begun = id_ in known.get("progress", [])
                assert whole or not begun or (turn.reply, len(turn.trace.steps)) == ("so f", 6)
    finally:
        await store.close()
    assert check(path) == []
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM turn WHERE status = 'pending'").fetchone() == (0,)
        if erased:
            assert connection.execute("SELECT count(*) FROM erasure WHERE done_us IS NULL").fetchone() == (0,)
            assert b"words of mine" not in path.read_bytes()


def run(path: Path, stage: str, count: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), str(path), stage, str(count)],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("stage", "count"),
    [
        ("message", 2), ("open", 3), ("blocks+", 1), ("draft+", 2), ("finish", 2), ("trace", 1), ("trace+", 3),
        ("count+", 2), ("erase", 1), ("erase+", 2), ("forget+", 1), ("merge", 1),
    ],
)  # fmt: skip
async def test_a_process_killed_at_a_stage(path: Path, stage: str, count: int):
    done = run(path, stage, count)
    assert done.returncode == -signal.SIGKILL, done.stderr
    await assert_sound(path, done.stdout)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(200))
async def test_a_process_killed_anywhere(path: Path, seed: int):
    rng = random.Random(seed)
    if seed % 2:
        stage = rng.choice(list(STAGES)) + rng.choice(["", "+"])
        done = run(path, stage, rng.randint(1, 4))
        await assert_sound(path, done.stdout)
        return
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), str(path), "merge", "1000"], stdout=subprocess.PIPE, text=True
    )
    time.sleep(rng.uniform(0.3, 3))  # any moment is as good: starting, migrating, logging, erasing
    process.kill()
    output, _ = process.communicate()
    await assert_sound(path, output)
