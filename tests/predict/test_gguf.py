import struct
from pathlib import Path

import pytest
from glasshead.errors import UserError
from glasshead.predict import gguf
from hypothesis import given, settings
from hypothesis import strategies as st

F32, Q4_0 = 0, 2


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def string(key: str, value: str) -> bytes:
    return text(key) + struct.pack("<I", 8) + text(value)


def u32(key: str, value: int) -> bytes:
    return text(key) + struct.pack("<II", 4, value)


def tensor(name: str, shape: tuple[int, ...], type_id: int, offset: int) -> bytes:
    dimensions = struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
    return text(name) + dimensions + struct.pack("<IQ", type_id, offset)


def file(
    values: tuple[bytes, ...] = (string("general.architecture", "llama"),),
    tensors: tuple[bytes, ...] = (),
    data: int = 0,
    version: int = 3,
    pad: bool = True,
) -> bytes:
    header = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(values)) + b"".join(values + tensors)
    return header + b"\0" * (-len(header) % 32 if pad else 0) + b"\0" * data


WHOLE = file(tensors=(tensor("a", (8,), F32, 0), tensor("b", (64, 2), Q4_0, 32)), data=32 + 72)


def complaint(tmp_path: Path, content: bytes) -> str:
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    with pytest.raises(UserError) as raised:
        gguf.check(path)
    message = str(raised.value)
    assert message.startswith(str(path)) and "\n" not in message
    return message


def test_a_header_says_what_the_model_is(model_path: Path) -> None:
    header = gguf.read(model_path)
    assert (header.architecture, header.quantization, header.n_ctx_train) == ("llama", "Q4_1", 8192)
    assert header.metadata["tokenizer.ggml.tokens"] == gguf.Array(8, 49152)
    assert "<|im_start|>" in (header.text("tokenizer.chat_template") or "")
    last = max(header.tensors, key=lambda info: info.offset)
    assert header.data_start + last.offset + last.size <= model_path.stat().st_size
    assert sum(info.size for info in header.tensors) > 0.95 * model_path.stat().st_size


def test_a_small_whole_file_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(WHOLE)
    assert [(info.name, info.shape, info.size) for info in gguf.read(path).tensors] == [
        ("a", (8,), 32),
        ("b", (64, 2), 72),
    ]


@pytest.mark.parametrize("size", range(len(WHOLE)))
def test_a_file_cut_off_anywhere_is_refused(tmp_path: Path, size: int) -> None:
    message = complaint(tmp_path, WHOLE[:size])
    assert any(word in message for word in ("truncated", "empty", "not a GGUF", "corrupt"))


@pytest.mark.parametrize("share", [0.02, 0.5, 0.999])
def test_a_download_cut_off_is_refused(tmp_path: Path, model_path: Path, share: float) -> None:
    whole = model_path.read_bytes()
    message = complaint(tmp_path, whole[: int(len(whole) * share)])
    assert "is truncated" in message


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the file is empty"),
        (b"hello, this is not a model", "is not a GGUF file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", "Git LFS pointer"),
        (b"<!DOCTYPE html><html><body>Sign in</body></html>", "is a web page"),
        (b"PK\x03\x04" + b"\0" * 60, "zip archive"),
        (b"lmgg" + b"\0" * 60, "older than GGUF"),
        (file(version=1), "has GGUF version 1"),
        (file(version=4), "has GGUF version 4"),
        (b"GGUF" + struct.pack(">IQQ", 3, 0, 1) + b"\0" * 60, "is big-endian"),
        (file(values=()), "names no general.architecture"),
        (
            file(values=(string("general.architecture", "x"), text("split.count") + struct.pack("<IH", 2, 3))),
            "one of 3 parts",
        ),
        (file(values=(string("a", "b"), string("a", "c"))), "appears twice"),
        (file(values=(string("general.architecture", "x"), u32("general.alignment", 3))), "not a power of two"),
        (file(values=(text("a") + struct.pack("<I", 99),)), "unknown type 99"),
        (file(values=(struct.pack("<Q", 1 << 60),)), "is truncated"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1 << 60, 1), "claims"),
        (file(values=(text("a") + struct.pack("<IIQ", 9, 8, 1 << 40),)), "claims"),
        (file(values=(text("a") + struct.pack("<IIQQ", 9, 8, 2, (1 << 64) - 1),)), "is truncated"),
        (
            file(
                values=(
                    text("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, 3) + text("a") + text("") + text("a"),
                )
            ),
            "two tokens",
        ),
        (file(tensors=(tensor("t", (8,), 4, 0),), data=99), "of type 4"),
        (file(tensors=(tensor("t", (33,), Q4_0, 0),), data=99), "impossible shape"),
        (file(tensors=(tensor("t", (1 << 40, 1 << 40), F32, 0),), data=99), "impossible shape"),
        (file(tensors=(tensor("t", (1, 1, 1, 1, 1), F32, 0),), data=99), "5 dimensions"),
        (file(tensors=(tensor("t", (8,), F32, 64),), data=99), "begins at 64"),
        (file(tensors=(tensor("t", (8,), F32, 0), tensor("t", (8,), F32, 32)), data=99), "one name"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, content: bytes, said: str) -> None:
    assert said in complaint(tmp_path, content)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        gguf.check(tmp_path / "absent.gguf")
    with pytest.raises(UserError, match="cannot be read"):
        gguf.check(tmp_path)


@settings(max_examples=300)
@given(st.integers(4, len(WHOLE) - 1), st.integers(0, 255))
def test_a_changed_byte_is_accepted_or_refused_but_never_worse(
    tmp_path_factory: pytest.TempPathFactory, at: int, byte: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "changed.gguf"
    path.write_bytes(WHOLE[:at] + bytes([byte]) + WHOLE[at + 1 :])
    try:
        gguf.check(path)
    except UserError as error:
        assert "\n" not in str(error)
