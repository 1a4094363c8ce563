"""What remembers erasures outlasts full disks and crashes."""

import os
from pathlib import Path

import pytest
from glasshead.store import Store, StoreError
from glasshead.store.ledger import Ledger, mac


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "log.db")


@pytest.mark.parametrize("cut", [1, 2, 20, 60])
def test_half_a_line_spoils_no_other(ledger: Ledger, cut: int, caplog: pytest.LogCaptureFixture):
    first = ledger.add("person:1", 1)
    second = ledger.add("person:2", 2)
    whole = ledger.path.read_bytes()
    ledger.path.write_bytes(whole[:-cut])
    kept = [first, second] if cut == 1 else [first]  # only the end of the line is missing
    assert ledger.entries() == kept and bool(caplog.records) == (cut > 1)
    third = ledger.add("person:3", 3)
    assert ledger.entries() == [*kept, third]
    key = ledger.key()
    assert key is not None and third.mac == mac(key, "person:3")


def test_a_key_that_was_torn_is_made_anew(ledger: Ledger):
    ledger.path.write_bytes(b'{"key": "00ff')
    entry = ledger.add("person:1", 1)
    key = ledger.key()
    assert ledger.entries() == [entry] and key is not None and entry.mac == mac(key, "person:1")


def test_what_the_disk_takes_in_parts_is_whole(ledger: Ledger, monkeypatch: pytest.MonkeyPatch):
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:7]))
    entry = ledger.add("person:1", 1)
    assert ledger.entries() == [entry]


async def test_an_erasure_that_cannot_be_noted_is_refused_and_the_log_opens(path: Path, monkeypatch):
    store = await Store.open(path)
    await store.start_session(person=5)

    def full(file: int, data: bytes) -> int:
        if len(data) < 40:
            raise OSError(28, "No space left on device")
        return write(file, data[:40])

    write = os.write
    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StoreError, match="nothing is erased") as refused:
        await store.erase_person(5)
    assert refused.value.reason == "full"
    monkeypatch.setattr(os, "write", write)
    assert (await store.erase_person(5)).done_us
    await store.close()
    store = await Store.open(path)
    await store.close()
