"""The prefix cache with made-up snapshots: what is found, what goes first, what survives."""

import os
from concurrent.futures import wait
from pathlib import Path

import numpy as np
import pytest
from glasshead.predict.prefix import LEAST, PrefixCache
from glasshead.predict.schedule import Run
from glasshead.predict.spill import Spill, empty
from xxhash import xxh3_64_hexdigest

KEY = '["model", null, 0.0, "build"]'


def sequence(*parts: int) -> tuple[int, ...]:
    """20 ids for each part."""
    return tuple(part * 100 + i for part in parts for i in range(20))


def put(cache: PrefixCache, ids: tuple[int, ...], size: int = 1000) -> None:
    data = np.full(size, sum(ids) % 251, np.uint8)
    cache.put(ids, (Run("tile", len(ids)),), data)


def cache(
    folder: Path | None = None, *, memory: int = 10**6, disk: int = 10**6, can_trim: bool = True, key: str = KEY
):
    return PrefixCache(memory=memory, can_trim=can_trim, spill=Spill(folder, key, disk) if folder else None)


def found(cache: PrefixCache, ids: tuple[int, ...]) -> int:
    shared, entry = cache.find(ids)
    while entry is not None and entry.data is None:
        wait(cache._reading.values())
        cache.arrive()
        shared, entry = cache.find(ids)
    if entry is not None:
        assert entry.data is not None and set(entry.data) == {sum(entry.ids) % 251}
    return shared


def test_the_longest_shared_beginning_is_found():
    known = cache()
    put(known, sequence(1, 2, 3))
    put(known, sequence(1, 4))
    assert found(known, sequence(1, 2, 9)) == 40
    assert found(known, sequence(1, 4, 5)) == 40
    assert found(known, sequence(1, 7)) == 20
    assert found(known, sequence(8)) == 0
    assert found(known, sequence(1)[: LEAST - 1]) == 0


def test_a_longer_one_replaces_its_beginnings():
    known = cache(memory=2500)
    put(known, sequence(7))
    put(known, sequence(1))
    put(known, sequence(1, 2))  # three would not fit
    assert found(known, sequence(7)) == 20
    assert found(known, sequence(1, 2)) == 40


def test_what_cannot_be_trimmed_is_found_whole_only():
    known = cache(can_trim=False)
    put(known, sequence(1, 2, 3))
    put(known, sequence(1))
    assert found(known, sequence(1, 2, 9)) == 20
    assert found(known, sequence(1, 2, 3, 4)) == 60


def test_least_recently_used_goes_first():
    known = cache(memory=2500)
    put(known, sequence(1))
    put(known, sequence(2))
    assert found(known, sequence(1)) == 20
    put(known, sequence(3))
    assert [found(known, sequence(part)) for part in (1, 2, 3)] == [20, 0, 20]


def test_what_memory_cannot_hold_comes_back_from_disk(tmp_path):
    known = cache(tmp_path, memory=1500)
    for part in range(5):
        put(known, sequence(part))
    assert [found(known, sequence(part)) for part in range(5)] == [20] * 5


def test_disk_has_a_limit_too(tmp_path):
    known = cache(tmp_path, memory=1500, disk=2600)
    for part in range(6):
        put(known, sequence(part))
    known.close()
    assert len(list(tmp_path.iterdir())) == 2
    after = cache(tmp_path)
    assert [found(after, sequence(part)) for part in range(6)] == [0, 0, 0, 0, 20, 20]


def test_the_disks_limit_is_for_all_models_and_halves(tmp_path):
    for model in range(3):
        other = cache(tmp_path, key=f"model {model}")
        put(other, sequence(model))
        other.close()
    (oldest,) = tmp_path.glob(f"{xxh3_64_hexdigest(b'model 0')}*")
    os.utime(oldest, (1, 1))
    half, fresh = (tmp_path / f"{'0' * 16}-{'a' * 32}.{pid}.part" for pid in (1, 2))
    half.write_bytes(bytes(1000))
    fresh.write_bytes(bytes(1000))
    os.utime(half, (1, 1))
    now = cache(tmp_path, disk=4900)
    assert (oldest.exists(), half.exists(), fresh.exists()) == (True, False, True)
    put(now, sequence(7))
    now.close()
    assert not oldest.exists()
    assert len(list(tmp_path.iterdir())) == 4
    cache(tmp_path, disk=0)
    assert list(tmp_path.iterdir()) == [fresh]


def test_a_restart_finds_everything(tmp_path):
    before = cache(tmp_path)
    put(before, sequence(1, 2))
    put(before, sequence(1, 3))
    before.close()
    after = cache(tmp_path)
    assert found(after, sequence(1, 2, 5)) == 40
    assert found(after, sequence(1, 3)) == 40


def test_another_models_files_are_left_alone(tmp_path):
    before = cache(tmp_path)
    put(before, sequence(1))
    before.close()
    assert found(cache(tmp_path, key=KEY.replace("model", "other")), sequence(1)) == 0
    assert found(cache(tmp_path), sequence(1)) == 20


@pytest.mark.parametrize("place", [0, 10, 16, 40, 200, -900, -1])
def test_a_flipped_byte_makes_a_file_worthless_and_harmless(tmp_path, place):
    before = cache(tmp_path)
    put(before, sequence(1))
    before.close()
    (path,) = tmp_path.iterdir()
    raw = bytearray(path.read_bytes())
    raw[place] ^= 4
    path.write_bytes(raw)
    assert found(cache(tmp_path), sequence(1)) == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [0, 1, 30, 500])
def test_a_file_cut_short_is_ignored(tmp_path, size):
    before = cache(tmp_path)
    put(before, sequence(1))
    before.close()
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:size])
    assert found(cache(tmp_path), sequence(1)) == 0


def test_what_cannot_be_removed_hinders_nothing(tmp_path):
    before = cache(tmp_path)
    put(before, sequence(1))
    before.close()
    (path,) = tmp_path.iterdir()
    path.unlink()
    path.mkdir()
    assert found(cache(tmp_path), sequence(1)) == 0


def test_files_may_vanish_at_any_time(tmp_path):
    before = cache(tmp_path)
    put(before, sequence(1))
    before.close()
    after = cache(tmp_path)
    for path in tmp_path.iterdir():
        path.unlink()
    assert found(after, sequence(1)) == 0
    put(after, sequence(1))
    assert found(after, sequence(1)) == 20


@pytest.mark.parametrize("error", [MemoryError, RuntimeError])
def test_a_file_that_cannot_be_read_for_whatever_reason_is_passed_over(tmp_path, monkeypatch, error):
    before = cache(tmp_path)
    put(before, sequence(1))
    before.close()
    after = cache(tmp_path)

    def fromfile(*_):
        raise error

    monkeypatch.setattr(np, "fromfile", fromfile)
    assert found(after, sequence(1)) == 0


def test_a_file_that_cannot_be_written_for_whatever_reason_loses_only_itself(tmp_path, monkeypatch, caplog):
    def failing(*_):
        raise RuntimeError("unforeseen")

    known = cache(tmp_path, memory=1500)
    with monkeypatch.context() as broken:
        broken.setattr("glasshead.predict.spill.gently", failing)
        put(known, sequence(1))
        put(known, sequence(2))
        assert found(known, sequence(1)) == 0
        put(known, sequence(4))
        assert found(known, sequence(2)) == 0
    assert list(tmp_path.iterdir()) == []
    put(known, sequence(3))
    assert [found(known, sequence(part)) for part in (4, 3)] == [20, 20]
    known.close()
    told = [record.getMessage().partition(",")[0].partition(":")[0] for record in caplog.records]
    assert told == ["conversations' caches cannot be written", "conversations' caches can be written again"]


def test_what_is_no_file_is_left_alone(tmp_path, caplog):
    first = cache(tmp_path)
    put(first, sequence(1))
    first.close()
    (whole,) = tmp_path.iterdir()
    pipe, folder = (tmp_path / f"{whole.name[:17]}{letter * 32}.kv" for letter in "ab")
    os.mkfifo(pipe)
    folder.mkdir()
    held = os.open(pipe, os.O_RDWR)
    os.write(held, bytes(100))  # else who opens it would wait for the test
    assert found(cache(tmp_path), sequence(1)) == 20
    os.close(held)
    empty(tmp_path)
    assert set(tmp_path.iterdir()) == {pipe, folder}
    assert caplog.text == ""


def test_of_a_folder_go_the_snapshots_of_the_sessions_named(tmp_path):
    first = cache(tmp_path)
    for of, session in enumerate((7, 8, None), 1):
        first.put(sequence(of), (Run("tile", 20),), np.full(1000, sum(sequence(of)) % 251, np.uint8), session)
    first.close()
    (tmp_path / ("0" * 16 + "-" + "0" * 32 + ".kv")).write_text("of whom, it does not say")
    empty(tmp_path, [8])
    again = cache(tmp_path)
    assert [found(again, sequence(of)) for of in (1, 2, 3)] == [20, 0, 0]
    assert len(list(tmp_path.iterdir())) == 1
    wait([again.clear([7])])
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_loses_only_the_cache(tmp_path):
    (tmp_path / "file").write_text("in the way")
    known = cache(tmp_path / "file" / "folder", memory=1500)
    put(known, sequence(1))
    put(known, sequence(2))
    assert found(known, sequence(1)) == 0
    assert found(known, sequence(2)) == 20
    known.close()
