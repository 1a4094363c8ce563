"""A model with a larger vocabulary: what 262 thousand tokens cost where only a small model can be had.

Rows of the token embeddings (and of the output layer, if it has its own) are repeated, whatever their
quantization: what it says means nothing, but each step computes, captures and samples as many logits as a model of
that size does.
"""

from pathlib import Path

import gguf
import numpy as np

WIDE = 262_144
_BY_TOKEN = ("tokenizer.ggml.tokens", "tokenizer.ggml.token_type", "tokenizer.ggml.scores")


def widen(path: Path, into: Path, n_vocab: int = WIDE) -> Path:
    """Write ``path`` with a vocabulary of ``n_vocab`` tokens; those it has keep their ids and meaning."""
    reader = gguf.GGUFReader(path)
    writer = gguf.GGUFWriter(into, reader.fields["general.architecture"].contents())
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name == "general.architecture":
            continue
        value, kind = field.contents(), field.types[0]
        if name in _BY_TOKEN:
            value += [_filler(name, i) for i in range(len(value), n_vocab)]
        elif name.endswith(".vocab_size"):
            value = n_vocab
        inner = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(name, value, kind, inner)
    for tensor in reader.tensors:
        data = tensor.data
        if tensor.name in ("token_embd.weight", "output.weight"):
            data = np.resize(data, (n_vocab, data.shape[1]))
        writer.add_tensor(tensor.name, data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return into


def _filler(name: str, id: int) -> str | int | float:
    if name == "tokenizer.ggml.tokens":
        return f"<filler {id}>"
    return int(gguf.TokenType.UNUSED) if name == "tokenizer.ggml.token_type" else -1e4
