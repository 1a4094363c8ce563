"""A LoRA adapter, made here: it changes the numbers, keeps the bits, and what does not fit is refused."""

import struct
from pathlib import Path

import numpy as np
import pytest
from glasshead.errors import UserError
from glasshead.predict import replay
from glasshead.predict.adapter import adapt
from glasshead.predict.local import EngineSettings, LocalEngine
from glasshead.predict.logits import hash_row
from glasshead.predict.model import Model

from .replies import WILD, read
from .test_gguf import F32, file, string, tensor, text

PROMPT = tuple(range(100, 140))


def lora(path: Path, *, arch: str = "llama", kind: str = "adapter", target: str = "blk.2.attn_q.weight") -> Path:
    """An adapter of rank 4 for one weight of 576 × 576."""
    values = (
        string("general.architecture", arch),
        string("general.type", kind),
        string("adapter.type", "lora"),
        text("adapter.lora.alpha") + struct.pack("<If", 6, 4.0),
    )
    size = 576 * 4 * 4
    pair = (
        tensor(f"{target}.lora_a", (576, 4), F32, 0),
        tensor(f"{target}.lora_b", (4, 576), F32, size),
    )
    weights = np.random.default_rng(1).normal(0, 0.05, 2 * 576 * 4).astype("<f4").tobytes()
    path.write_bytes(file(values, pair) + weights)
    return path


async def test_an_adapter_changes_the_numbers_and_keeps_the_bits(shallow_path, tmp_path, start):
    plain = await start(spill_folder=tmp_path / "kv")
    without = await read(PROMPT, plain.generate(PROMPT, WILD, 1))
    await plain.aclose()

    model = Model.load(shallow_path)
    adapt(model, lora(tmp_path / "lora.gguf"), 0.5)
    engine = LocalEngine(model, EngineSettings(n_ctx=512, max_running=4, threads=1, spill_folder=tmp_path / "kv"))
    made = await read(PROMPT, engine.generate(PROMPT, WILD, 1))
    await engine.aclose()
    assert (engine.model.adapter_scale, len(engine.model.adapter_sha256 or "")) == (0.5, 64)
    assert made.n_cached == 0  # what the plain model left on disk is not for this one
    assert made.hashes[0] != without.hashes[0]

    with Model.load(shallow_path) as again:
        adapt(again, tmp_path / "lora.gguf", 0.5)
        rows = replay.follow(again, made.ids, len(PROMPT), made.schedule, threads=1)
        assert [hash_row(row) for _, row in rows] == made.hashes


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"kind": "model"}, "is not a LoRA adapter"),
        ({"arch": "qwen2"}, "is for qwen2 models"),
        ({"target": "blk.99.attn_q.weight"}, "does not fit"),
        ({"target": "blk.3.attn_k.weight"}, "does not fit"),
    ],
)
def test_what_does_not_fit_is_refused(loaded, tmp_path, settings, complaint):
    with pytest.raises(UserError, match=complaint):
        adapt(loaded, lora(tmp_path / "lora.gguf", **settings))
    assert loaded.adapter is None
