"""Writes GGUF files: metadata from Python values, tensors from NumPy arrays."""

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Value = bool | int | float | str | Sequence[bool] | Sequence[int] | Sequence[float] | Sequence[str]

_ALIGNMENT = 32
_U32, _I32, _F32, _BOOL, _STRING, _ARRAY = 4, 5, 6, 7, 8, 9
_KINDS: tuple[tuple[type, int], ...] = ((bool, _BOOL), (int, _U32), (float, _F32), (str, _STRING))
_ITEMS = {_U32: "<u4", _I32: "<i4", _F32: "<f4", _BOOL: "?"}
_TENSOR_TYPES = {np.dtype("float32"): 0, np.dtype("float16"): 1}


def write_gguf(path: Path, metadata: Mapping[str, Value], tensors: Mapping[str, NDArray[np.generic]]) -> Path:
    """Write a file. Arrays have the slowest dimension first, as in NumPy; GGUF names them the other way round."""
    out = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    out += b"".join(_string(key) + _typed(value) for key, value in metadata.items())
    data = bytearray()
    for name, array in tensors.items():
        shape = array.shape[::-1]
        out += _string(name) + struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
        out += struct.pack("<IQ", _TENSOR_TYPES[array.dtype], len(data))
        data += array.tobytes()
        data += bytes(-len(data) % _ALIGNMENT)
    path.write_bytes(out + bytes(-len(out) % _ALIGNMENT) + data)
    return path


def _string(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _typed(value: Value) -> bytes:
    if not isinstance(value, list | tuple):
        return struct.pack("<I", _kind(value)) + _plain(value)
    kind = _kind(value[0])
    kind = _I32 if kind == _U32 else kind  # llama.cpp insists on it for the types of tokens
    items = b"".join(map(_string, value)) if kind == _STRING else np.array(value, _ITEMS[kind]).tobytes()
    return struct.pack("<IIQ", _ARRAY, kind, len(value)) + items


def _kind(value: object) -> int:
    return next(kind for type_, kind in _KINDS if isinstance(value, type_))


def _plain(value: object) -> bytes:
    return _string(value) if isinstance(value, str) else np.array(value, _ITEMS[_kind(value)]).tobytes()
