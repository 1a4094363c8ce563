"""A tiny Mamba model with random weights: a recurrent model whose state cannot be cut."""

import struct
from pathlib import Path

import numpy as np

from .test_gguf import F32, file, string, tensor, text, u32

WIDTH, INNER, STATE, KERNEL, RANK, LAYERS = 64, 128, 16, 4, 8, 2


def _array(key: str, type_id: int, values: list[bytes]) -> bytes:
    return text(key) + struct.pack("<IIQ", 9, type_id, len(values)) + b"".join(values)


def mamba(path: Path) -> Path:
    """Write the model: bytes as its vocabulary, F32 weights."""
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    types = [2, 3, 3, *([6] * 256)]
    values = (
        string("general.architecture", "mamba"),
        u32("mamba.context_length", 1024),
        u32("mamba.embedding_length", WIDTH),
        u32("mamba.feed_forward_length", 0),
        u32("mamba.attention.head_count", 0),
        u32("mamba.block_count", LAYERS),
        u32("mamba.ssm.conv_kernel", KERNEL),
        u32("mamba.ssm.inner_size", INNER),
        u32("mamba.ssm.state_size", STATE),
        u32("mamba.ssm.time_step_rank", RANK),
        text("mamba.attention.layer_norm_rms_epsilon") + struct.pack("<If", 6, 1e-5),
        string("tokenizer.ggml.model", "llama"),
        _array("tokenizer.ggml.tokens", 8, [text(piece) for piece in pieces]),
        _array("tokenizer.ggml.scores", 6, [struct.pack("<f", 0.0)] * len(pieces)),
        _array("tokenizer.ggml.token_type", 5, [struct.pack("<i", kind) for kind in types]),
    )
    shapes: dict[str, tuple[int, ...]] = {"token_embd.weight": (WIDTH, len(pieces)), "output_norm.weight": (WIDTH,)}
    for layer in range(LAYERS):
        shapes |= {
            f"blk.{layer}.attn_norm.weight": (WIDTH,),
            f"blk.{layer}.ssm_in.weight": (WIDTH, 2 * INNER),
            f"blk.{layer}.ssm_conv1d.weight": (KERNEL, INNER),
            f"blk.{layer}.ssm_conv1d.bias": (INNER,),
            f"blk.{layer}.ssm_x.weight": (INNER, RANK + 2 * STATE),
            f"blk.{layer}.ssm_dt.weight": (RANK, INNER),
            f"blk.{layer}.ssm_dt.bias": (INNER,),
            f"blk.{layer}.ssm_a": (STATE, INNER),
            f"blk.{layer}.ssm_d": (INNER,),
            f"blk.{layer}.ssm_out.weight": (INNER, WIDTH),
        }
    rng = np.random.default_rng(5)
    infos, data = [], b""
    for name, shape in shapes.items():
        weights = rng.normal(0, 0.3, int(np.prod(shape))).astype("<f4")
        if name.endswith("ssm_a"):
            weights = -np.abs(weights) - 0.1  # a decaying state
        if "norm" in name:
            weights = np.abs(weights) + 1
        infos.append(tensor(name, shape, F32, len(data)))
        data += weights.astype("<f4").tobytes()
        data += b"\0" * (-len(data) % 32)
    path.write_bytes(file(values, tuple(infos)) + data)
    return path
