"""A GGUF file's header, read in plain Python before llama.cpp sees the file.

llama.cpp ends the whole process on some malformed files, and fills the log with lines nobody can act on for others.
This reader says in one line what is wrong. Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import mmap
import struct
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Final

from ..errors import UserError

_SCALARS: Final = {
    0: struct.Struct("<B"),
    1: struct.Struct("<b"),
    2: struct.Struct("<H"),
    3: struct.Struct("<h"),
    4: struct.Struct("<I"),
    5: struct.Struct("<i"),
    6: struct.Struct("<f"),
    7: struct.Struct("<?"),
    10: struct.Struct("<Q"),
    11: struct.Struct("<q"),
    12: struct.Struct("<d"),
}
_STRING, _ARRAY = 8, 9
_U32, _U64 = _SCALARS[4], _SCALARS[10]
_VERSIONS = (2, 3)
_DEFAULT_ALIGNMENT = 32
_MAX_DIMENSIONS = 4
_MAX_NAME = 63  # bytes; GGML_MAX_NAME less its terminator
_MAX_BYTES = 2**63 - 1

# ggml type id: (elements in a block, bytes of a block). Ids missing here were withdrawn or never assigned.
_BLOCKS: Final = {
    0: (1, 4),  # F32
    1: (1, 2),  # F16
    2: (32, 18),  # Q4_0
    3: (32, 20),  # Q4_1
    6: (32, 22),  # Q5_0
    7: (32, 24),  # Q5_1
    8: (32, 34),  # Q8_0
    9: (32, 36),  # Q8_1
    10: (256, 84),  # Q2_K
    11: (256, 110),  # Q3_K
    12: (256, 144),  # Q4_K
    13: (256, 176),  # Q5_K
    14: (256, 210),  # Q6_K
    15: (256, 292),  # Q8_K
    16: (256, 66),  # IQ2_XXS
    17: (256, 74),  # IQ2_XS
    18: (256, 98),  # IQ3_XXS
    19: (256, 50),  # IQ1_S
    20: (32, 18),  # IQ4_NL
    21: (256, 110),  # IQ3_S
    22: (256, 82),  # IQ2_S
    23: (256, 136),  # IQ4_XS
    24: (1, 1),  # I8
    25: (1, 2),  # I16
    26: (1, 4),  # I32
    27: (1, 8),  # I64
    28: (1, 8),  # F64
    29: (256, 56),  # IQ1_M
    30: (1, 2),  # BF16
    34: (256, 54),  # TQ1_0
    35: (256, 66),  # TQ2_0
    39: (32, 17),  # MXFP4
    40: (64, 36),  # NVFP4
    41: (128, 18),  # Q1_0
    42: (64, 18),  # Q2_0
}

# general.file_type; https://github.com/ggml-org/llama.cpp/blob/master/include/llama.h, enum llama_ftype
_FILE_TYPES: Final = {
    0: "F32",
    1: "F16",
    2: "Q4_0",
    3: "Q4_1",
    7: "Q8_0",
    8: "Q5_0",
    9: "Q5_1",
    10: "Q2_K",
    11: "Q3_K_S",
    12: "Q3_K_M",
    13: "Q3_K_L",
    14: "Q4_K_S",
    15: "Q4_K_M",
    16: "Q5_K_S",
    17: "Q5_K_M",
    18: "Q6_K",
    19: "IQ2_XXS",
    20: "IQ2_XS",
    21: "Q2_K_S",
    22: "IQ3_XS",
    23: "IQ3_XXS",
    24: "IQ1_S",
    25: "IQ4_NL",
    26: "IQ3_S",
    27: "IQ3_M",
    28: "IQ2_S",
    29: "IQ2_M",
    30: "IQ4_XS",
    31: "IQ1_M",
    32: "BF16",
    36: "TQ1_0",
    37: "TQ2_0",
    38: "MXFP4_MOE",
    39: "NVFP4",
    40: "Q1_0",
    41: "Q2_0",
}


@dataclass(frozen=True, slots=True)
class Array:
    """A metadata array, its values left in the file (a vocabulary has a quarter of a million)."""

    type: int
    count: int


Value = int | float | bool | str | Array


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """``offset`` counts bytes from the start of the data section, ``size`` is in bytes."""

    name: str
    shape: tuple[int, ...]
    type: int
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Header:
    """What a GGUF file says about itself. ``data_start`` is where tensor data begins in the file, in bytes."""

    version: int
    metadata: dict[str, Value]
    tensors: tuple[TensorInfo, ...]
    data_start: int

    def text(self, key: str) -> str | None:
        """A string value, None where it is missing or something else."""
        value = self.metadata.get(key)
        return value if isinstance(value, str) else None

    def number(self, key: str) -> int | None:
        """An integer value, None where it is missing or something else."""
        value = self.metadata.get(key)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    @property
    def architecture(self) -> str:
        return self.text("general.architecture") or "unknown"

    @property
    def quantization(self) -> str | None:
        """The file's own name for its quantization, as publishers spell it: ``Q4_K_M``. None where it has none."""
        file_type = self.number("general.file_type")
        return None if file_type is None else _FILE_TYPES.get(file_type, f"type {file_type}")

    @property
    def n_ctx_train(self) -> int | None:
        """How many tokens of context the model was trained for."""
        return self.number(f"{self.architecture}.context_length")


class _Malformed(Exception):
    """What is wrong, as the end of a sentence that begins with the file's path."""


def read(path: Path) -> Header:
    """The header of a complete, single-file GGUF. Raises UserError with one line saying what is wrong."""
    try:
        state = path.stat()
    except OSError:
        return _read(path)  # which says what is wrong
    return _remembered(path, state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)


@lru_cache(maxsize=8)
def _remembered(path: Path, *_: int) -> Header:
    """A start reads a header several times, and a large vocabulary takes a second."""
    return _read(path)


def _read(path: Path) -> Header:
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _Reader(data).header()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except ValueError:  # mmap of an empty file
        raise UserError(f"{path}: the file is empty") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except _Malformed as error:
        raise UserError(f"{path}: {error}") from None


def check(path: Path) -> None:
    """Raise UserError unless llama.cpp can be trusted with the file: whole, well formed, of a version it reads."""
    read(path)


class _Reader:
    """Reads forward through a mapped file, never past its end."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._size = len(data)
        self._at = 0

    def header(self) -> Header:
        self._check_magic()
        version = self._u32()
        if version not in _VERSIONS:
            swapped = int.from_bytes(version.to_bytes(4, "little"), "big") in _VERSIONS
            what = "is big-endian" if swapped else f"has GGUF version {version}"
            raise _Malformed(f"{what}; this program reads little-endian versions 2 and 3")
        n_tensors, n_values = self._u64(), self._u64()
        # The smallest tensor entry takes 24 bytes, the smallest value 13: more cannot fit.
        if n_tensors > self._size // 24 or n_values > self._size // 13:
            raise _Malformed(f"is corrupt: it claims {n_tensors} tensors and {n_values} values")
        metadata: dict[str, Value] = {}
        for _ in range(n_values):
            key = self._text("a key")
            if not key or key in metadata:
                raise _Malformed(f"is corrupt: metadata key {key!r} is empty or appears twice")
            metadata[key] = self._value(key)
        if "general.architecture" not in metadata:
            raise _Malformed("is not a model: it names no general.architecture")
        splits = metadata.get("split.count")
        if isinstance(splits, int) and splits > 1:
            raise _Malformed(f"is one of {splits} parts of a split model; merge them with llama-gguf-split --merge")
        infos = [self._tensor() for _ in range(n_tensors)]
        if len({info.name for info in infos}) != len(infos):
            raise _Malformed("is corrupt: two tensors have one name")
        alignment = metadata.get("general.alignment", _DEFAULT_ALIGNMENT)
        if not isinstance(alignment, int) or alignment < 1 or alignment & (alignment - 1):
            raise _Malformed(f"is corrupt: general.alignment is {alignment!r}, not a power of two")
        data_start = -(-self._at // alignment) * alignment
        self._check_data(infos, data_start, alignment)
        return Header(version, metadata, tuple(infos), data_start)

    def _check_magic(self) -> None:
        start = self._data[:64]
        if start.startswith(b"GGUF"):
            self._at = 4
        elif start.startswith(b"version https://git-lfs"):
            raise _Malformed("is a Git LFS pointer, not the model itself; fetch it with git lfs pull")
        elif start.lstrip().lower().startswith((b"<!doctype", b"<html")):
            raise _Malformed("is a web page, not a GGUF file; the download was answered by an error or login page")
        elif start.startswith(b"PK\x03\x04"):
            raise _Malformed("is a zip archive (perhaps a PyTorch checkpoint), not a GGUF file")
        elif start[:4] in (b"ggml", b"lmgg", b"ggjt", b"tjgg"):
            raise _Malformed("has a format older than GGUF; get the model again as GGUF")
        else:
            raise _Malformed("is not a GGUF file")

    def _check_data(self, infos: list[TensorInfo], data_start: int, alignment: int) -> None:
        # Tensors lie one after the other in the order of their entries, each padded to the alignment; llama.cpp
        # insists on it too. So one pass finds holes and overlaps, and the last tensor's end is the file's.
        expected = 0
        for info in infos:
            if info.offset != expected:
                raise _Malformed(f"is corrupt: tensor {info.name!r} begins at {info.offset}, not at {expected}")
            expected += -(-info.size // alignment) * alignment
        end = data_start + max((info.offset + info.size for info in infos), default=0)
        if infos and end > self._size:
            raise _Malformed(
                f"is truncated: it has {self._size} bytes of at least {end} (a download cut off?); get it again"
            )

    def _tensor(self) -> TensorInfo:
        name = self._text("a tensor's name")
        if len(name.encode()) > _MAX_NAME:
            raise _Malformed(f"is corrupt: tensor name {name[:80]!r} is too long")
        n_dimensions = self._u32()
        if n_dimensions > _MAX_DIMENSIONS:
            raise _Malformed(f"is corrupt: tensor {name!r} has {n_dimensions} dimensions")
        shape = tuple(self._u64() for _ in range(n_dimensions))
        type_id = self._u32()
        offset = self._u64()
        if type_id not in _BLOCKS:
            raise _Malformed(f"holds tensor {name!r} of type {type_id}, which this llama.cpp cannot compute with")
        elements, block_bytes = _BLOCKS[type_id]
        count = prod(shape)
        if count // elements * block_bytes > _MAX_BYTES or (shape[0] if shape else 1) % elements:
            raise _Malformed(f"is corrupt: tensor {name!r} has an impossible shape {shape}")
        return TensorInfo(name, shape, type_id, offset, count // elements * block_bytes)

    def _value(self, key: str) -> Value:
        type_id = self._u32()
        if type_id == _STRING:
            return self._text(key)
        if type_id == _ARRAY:
            return self._array(key)
        if type_id not in _SCALARS:
            raise _Malformed(f"is corrupt: the value of {key} has unknown type {type_id}")
        value: int | float | bool = self._unpack(_SCALARS[type_id])
        return value

    def _array(self, key: str) -> Array:
        item, count = self._u32(), self._u64()
        if item == _STRING:
            if count > self._size // 8:
                raise _Malformed(f"is truncated or corrupt: {key} claims {count} strings")
            starts = self._skip_strings(count)
            if key == "tokenizer.ggml.tokens":
                self._check_tokens(starts)
        elif item in _SCALARS:
            self._skip(_SCALARS[item].size * count)
        else:
            raise _Malformed(f"is corrupt: array {key} has unknown item type {item}")
        return Array(item, count)

    def _skip_strings(self, count: int) -> list[int]:
        """Where each of ``count`` strings begins, with its length before it."""
        # A hot loop: vocabularies have up to a quarter of a million strings.
        unpack, data, at = _U64.unpack_from, self._data, self._at
        starts = []
        try:
            for _ in range(count):
                starts.append(at)
                at += 8 + unpack(data, at)[0]
        except (struct.error, OverflowError):
            raise _Malformed("is truncated: it ends within its header") from None
        self._at = at
        self._skip(0)
        return starts

    def _check_tokens(self, starts: list[int]) -> None:
        # llama.cpp aborts the process where two tokens have one text (empty ones it names itself).
        data = self._data
        texts = [data[start + 8 : end] for start, end in pairwise([*starts, self._at])]
        texts = [text for text in texts if text]
        if len(set(texts)) != len(texts):
            raise _Malformed("is corrupt: two tokens of its vocabulary are the same")

    def _text(self, what: str) -> str:
        start = self._skip(self._u64())
        try:
            return self._data[start : self._at].decode()
        except UnicodeDecodeError:
            raise _Malformed(f"is corrupt: {what} is not UTF-8") from None

    def _u32(self) -> int:
        value: int = self._unpack(_U32)
        return value

    def _u64(self) -> int:
        value: int = self._unpack(_U64)
        return value

    def _unpack(self, layout: struct.Struct):  # type: ignore[no-untyped-def]
        return layout.unpack_from(self._data, self._skip(layout.size))[0]

    def _skip(self, size: int) -> int:
        """Move ``size`` bytes on and return where they began."""
        start = self._at
        if start + size > self._size:
            raise _Malformed("is truncated: it ends within its header")
        self._at = start + size
        return start
