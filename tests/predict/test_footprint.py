"""What a model will take is known from its header, whatever its layers do."""

from dataclasses import replace

import pytest
from glasshead.predict import gguf
from glasshead.predict.context import Context, Place
from glasshead.predict.footprint import stream_size, weights_size
from glasshead.predict.model import Model

from .architectures import ARCHITECTURES
from .tiny import tiny

POSITIONS = 256
WINDOWED = ("gemma2", "gemma3", "gpt-oss")
"""What is outside a window is left out of a state, but has its place in memory."""


@pytest.mark.parametrize("architecture", [name for name in ARCHITECTURES if name not in WINDOWED])
def test_a_stream_takes_what_llama_cpp_says(architecture, tmp_path):
    with Model.load(tiny(tmp_path / "tiny.gguf", architecture)) as model:
        context = Context(model, n_ctx=POSITIONS, streams=1, threads=1, n_batch=POSITIONS)
        context.decode([Place(3 + i % 200, i, 0, i == POSITIONS - 1) for i in range(POSITIONS)])
        size = context.snapshot(0).size  # which tells where each token is, too
        context.close()
    assert stream_size(model.header, POSITIONS) == pytest.approx(size, rel=0.13)


def test_fused_and_shared_projections_count_too(tmp_path):
    header = gguf.read(tiny(tmp_path / "tiny.gguf"))

    def with_layer(**shapes):
        tensors = tuple(
            replace(header.tensors[0], name=f"blk.0.{name}.weight", shape=shape) for name, shape in shapes.items()
        )
        return replace(header, tensors=tensors)

    fused = with_layer(attn_qkv=(64, 64 + 32 + 32), attn_output=(64, 64))
    keys_only = with_layer(attn_q=(64, 64), attn_k=(64, 32), attn_output=(64, 64))
    assert stream_size(fused, 10) == stream_size(keys_only, 10) == 10 * 64 * 2
    assert weights_size(header) == sum(tensor.size for tensor in header.tensors)
