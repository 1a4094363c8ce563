import errno
import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import llama_cpp.llama_cpp as llama
import pytest
from glasshead.errors import UserError
from glasshead.predict import library
from glasshead.predict.context import Context
from glasshead.predict.model import Model, file_sha256
from lent import lent

from .samples import vocabulary_file


@pytest.fixture(scope="module")
def model(model_path: Path) -> Iterator[Model]:
    with Model.load(model_path, vocab_only=True) as model:
        yield model


def test_a_model_knows_what_it_is(model: Model, model_path: Path) -> None:
    identity = model.identity
    assert identity.name == model_path.stem
    assert identity.sha256 == hashlib.sha256(model_path.read_bytes()).hexdigest()
    assert (identity.quantization, identity.n_vocab, identity.n_ctx_train) == ("Q4_1", 49152, 8192)
    assert model.template is not None
    assert identity.template_sha256 == hashlib.sha256(model.template.encode()).hexdigest()
    assert re.search(r"llama\.cpp .*, compiled as [0-9a-f]{16}$", identity.llamacpp_build)
    assert (identity.cpu, identity.gpu_layers) == (library.cpu_name(), 0)
    assert not model.is_recurrent


def test_the_same_version_compiled_otherwise_is_other_code(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "lib").mkdir()
    monkeypatch.setattr(library.llama_cpp, "__file__", str(tmp_path / "__init__.py"))
    told = []
    for code in (b"one", b"one", b"another"):
        (tmp_path / "lib" / "libggml-cpu.so").write_bytes(code)
        library.build.cache_clear()
        told.append(library.build())
    library.build.cache_clear()
    assert told[0] == told[1] != told[2]


@pytest.mark.parametrize("layers", [0, 7, -1])
def test_without_gpu_layers_no_batch_goes_to_a_gpu(loaded: Model, layers: int, monkeypatch) -> None:
    asked: list[bool] = []

    def spy(pointer: Any, params: Any) -> Any:
        asked.append(params.op_offload)
        return make(pointer, params)

    make = llama.llama_init_from_model
    monkeypatch.setattr(llama, "llama_init_from_model", spy)
    model = lent(loaded)
    model.identity = replace(model.identity, gpu_layers=layers)
    Context(model, n_ctx=256, streams=1, threads=1, n_batch=64).close()
    assert asked == [layers != 0]


def test_a_name_can_be_given(model_path: Path) -> None:
    with Model.load(model_path, name="small", vocab_only=True) as model:
        assert model.identity.name == "small"


def test_a_truncated_file_is_refused_before_llama_cpp_sees_it(model_path: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(model_path.read_bytes()[:-1000])
    with pytest.raises(UserError, match="is truncated"):
        Model.load(cut)


def test_what_llama_cpp_refuses_is_told_in_one_line(
    model_path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    strange = tmp_path / "strange.gguf"
    data = model_path.read_bytes()
    architecture = data.index(b"general.architecture") + len("general.architecture") + 12
    assert data[architecture : architecture + 5] == b"llama"
    strange.write_bytes(data[:architecture] + b"lumma" + data[architecture + 5 :])
    with pytest.raises(UserError, match=r"llama\.cpp cannot load it: .*lumma") as raised:
        Model.load(strange, vocab_only=True)
    assert "\n" not in str(raised.value)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_a_vocabulary_alone_cannot_answer() -> None:
    with pytest.raises(UserError, match="no weights"):
        Model.load(vocabulary_file("llama-spm"))


def test_a_vocabulary_without_all_byte_tokens_is_refused(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(vocabulary_file("llama-spm").read_bytes().replace(b"<0x9F>", b"<0x9G>", 1))
    with pytest.raises(UserError, match="lacks byte tokens"):
        Model.load(broken, vocab_only=True)


def test_closing_twice_does_no_harm(model_path: Path) -> None:
    model = Model.load(model_path, vocab_only=True)
    model.close()
    model.close()


@pytest.fixture
def settled(tmp_path: Path) -> Path:
    """A file old enough for its hash to be kept."""
    path = tmp_path / "file.gguf"
    path.write_bytes(b"one")
    return path


def age(path: Path) -> None:
    """Let the file look as if it had been written long ago, its change time excepted."""
    os.utime(path, ns=(10**18, 10**18))


def test_the_hash_is_the_files(settled: Path) -> None:
    assert file_sha256(settled) == hashlib.sha256(b"one").hexdigest()


def test_a_hash_is_not_kept_for_a_file_just_written(settled: Path) -> None:
    file_sha256(settled)
    assert [path.name for path in settled.parent.iterdir()] == ["file.gguf"]


def test_a_kept_hash_counts_only_for_the_same_file(settled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glasshead.predict.model._RACY_NS", -1)
    age(settled)
    first = file_sha256(settled)
    assert settled.with_name("file.gguf.sha256").exists()
    settled.write_bytes(b"two")  # as long as before, and made to look as old
    age(settled)
    assert file_sha256(settled) == hashlib.sha256(b"two").hexdigest() != first


def test_a_kept_hash_saves_reading_the_file(settled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glasshead.predict.model._RACY_NS", -1)
    first = file_sha256(settled)
    monkeypatch.setattr("hashlib.file_digest", None)
    assert file_sha256(settled) == first


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"stamp": 1, "sha256": 2}', b"\xff", b'"x"'])
def test_a_damaged_record_is_not_believed(settled: Path, content: bytes) -> None:
    settled.with_name("file.gguf.sha256").write_bytes(content)
    assert file_sha256(settled) == hashlib.sha256(b"one").hexdigest()


def test_a_folder_in_the_way_of_the_record_does_no_harm(settled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glasshead.predict.model._RACY_NS", -1)
    settled.with_name("file.gguf.sha256").mkdir()
    assert file_sha256(settled) == hashlib.sha256(b"one").hexdigest()
    assert not list(settled.parent.glob("*.part"))


def test_a_file_system_that_cannot_be_written_does_no_harm(settled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr("glasshead.predict.model._RACY_NS", -1)
    for change in ("write_text", "replace", "unlink"):  # such a one refuses to unlink even what is not there
        monkeypatch.setattr(Path, change, refuse)
    assert file_sha256(settled) == hashlib.sha256(b"one").hexdigest()


def test_a_copy_elsewhere_has_the_same_hash(settled: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.gguf"
    shutil.copy2(settled, copy)
    assert file_sha256(copy) == file_sha256(settled)
