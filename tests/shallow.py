"""The default model without most of its layers: its words, kernels and sizes, in a tenth of the time."""

import struct
from pathlib import Path

from glasshead.predict import gguf

LAYERS = 3
"""Of thirty. What it says is nonsense: " ( I I ( , and, and", and it never ends by itself."""
_ALIGNMENT = 32


def shallow(source: Path, path: Path) -> Path:
    """Write a copy of a model of the architecture llama with its first layers only."""
    header, data = gguf.read(source), source.read_bytes()
    infos, tensors, count = bytearray(), bytearray(), 0
    for info in header.tensors:
        if info.name.startswith("blk.") and int(info.name.split(".")[1]) >= LAYERS:
            continue
        infos += _text(info.name) + struct.pack("<I", len(info.shape))
        infos += struct.pack(f"<{len(info.shape)}QIQ", *info.shape, info.type, len(tensors))
        begin = header.data_start + info.offset
        tensors += data[begin : begin + info.size] + bytes(-info.size % _ALIGNMENT)
        count += 1
    values = bytearray(data[: data.index(_text(header.tensors[0].name))])
    struct.pack_into("<Q", values, 8, count)
    depth = _text("llama.block_count")
    struct.pack_into("<I", values, values.index(depth) + len(depth) + 4, LAYERS)
    head = values + infos
    path.write_bytes(head + bytes(-len(head) % _ALIGNMENT) + tensors)
    return path


def _text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()
