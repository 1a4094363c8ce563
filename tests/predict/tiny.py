"""Tiny models with random weights, of any architecture, vocabulary and chat template a test asks for."""

import ctypes
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from .architectures import ARCHITECTURES, LAST_NORM, REFUSED, WIDTH
from .gguf_writer import Value, write_gguf

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, BYTE = 1, 2, 3, 4, 6


@dataclass(frozen=True)
class Words:
    """A SentencePiece vocabulary, as Llama 2 has it: bytes and a few words; ``filler`` more that no text has."""

    control: Sequence[str] = ()
    user_defined: Sequence[str] = ()
    filler: int = 0
    adds_bos: bool = True

    def metadata(self) -> dict[str, Value]:
        letters = "▁ etaoinshr"
        tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
        kinds = [UNKNOWN, CONTROL, CONTROL, *([BYTE] * 256)]
        for text, kind in (
            *((text, CONTROL) for text in self.control),
            *((text, USER_DEFINED) for text in self.user_defined),
            *((text, NORMAL) for text in (*letters, "▁t", "he", "▁the", "in")),
            *((f"\u2060{n}", NORMAL) for n in range(self.filler)),
        ):
            tokens.append(text)
            kinds.append(kind)
        return {
            "tokenizer.ggml.model": "llama",
            "tokenizer.ggml.tokens": tokens,
            "tokenizer.ggml.scores": [-float(n % 1000) for n in range(len(tokens))],
            "tokenizer.ggml.token_type": kinds,
            "tokenizer.ggml.bos_token_id": 1,
            "tokenizer.ggml.eos_token_id": 2,
            "tokenizer.ggml.add_bos_token": self.adds_bos,
        }


def tiny(
    path: Path,
    architecture: str = "llama",
    *,
    words: Words | None = None,
    template: str | None = None,
    poison: int | None = None,
    extra: Mapping[str, Value] | None = None,
) -> Path:
    """Write a model of about a hundred thousand weights, F32. ``poison`` is a token whose embedding is NaN."""
    hyper, shapes = (ARCHITECTURES | REFUSED)[architecture]()
    metadata: dict[str, Value] = {"general.architecture": architecture, "general.file_type": 0}
    metadata |= (words or Words()).metadata()
    tokens = metadata["tokenizer.ggml.tokens"]
    assert isinstance(tokens, list)
    metadata |= {f"{architecture}.{key}": value for key, value in hyper.items()} | dict(extra or {})
    if "vocab_size" in hyper:
        metadata[f"{architecture}.vocab_size"] = len(tokens)
    if template is not None:
        metadata["tokenizer.chat_template"] = template
    last_norm = LAST_NORM.get(architecture, "output_norm.weight")
    shapes = {"token_embd.weight": (WIDTH, len(tokens)), last_norm: (WIDTH,)} | shapes
    tensors = {name: weights(name, tuple(size or len(tokens) for size in shape)) for name, shape in shapes.items()}
    if poison is not None:
        tensors["token_embd.weight"][poison] = np.nan
    return write_gguf(path, metadata, tensors)


def weights(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Random weights that let activations through, and not too large: norms near one, states that decay."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    out = rng.normal(0, 0.15 if "ssm_" in name else 0.3, shape[::-1]).astype(np.float32)
    if "ssm_a" in name:
        return -np.abs(out) - 0.1
    if "norm" in name and name.endswith("weight"):
        return np.abs(out) + 1
    return out


def quantize(source: Path, path: Path, name: str) -> Path:
    """A copy in another quantization, made once."""
    if not path.exists():
        params = llama_cpp.llama_model_quantize_default_params()
        params.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{name}")
        params.allow_requantize = True
        assert llama_cpp.llama_model_quantize(str(source).encode(), str(path).encode(), ctypes.byref(params)) == 0
    return path
