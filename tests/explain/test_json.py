"""The JSON contract of docs/json.md, on a real turn."""

import json
from pathlib import Path

import pytest
from glasshead.explain.branches import compare
from glasshead.explain.explanation import explain
from glasshead.explain.json import comparison_json, explanation_json
from glasshead.explain.turn import Turn

DOCS = Path(__file__).parents[2] / "docs" / "json.md"


def test_the_contract_s_fields_are_there_and_say_what_was_recorded(turn: Turn) -> None:
    out = json.loads(json.dumps(explanation_json(explain(turn)), allow_nan=False))
    assert out["turn"] == turn.id and out["seed"] == turn.seed
    assert out["model"]["name"] == turn.model.name and out["model"]["sha256"] == turn.model.sha256
    assert out["prompt_ids"] == list(turn.prompt.ids)
    assert out["spans"][1] == {"start": 14, "end": 24, "kind": "typed", "role": "user", "message": 7}
    assert out["schedule"][0] == {"rows": "tile", "count": len(turn.prompt.ids)}
    assert len(out["steps"]) == len(turn.trace.steps)
    for shown, step, piece in zip(out["steps"], turn.trace.steps, turn.trace.pieces, strict=True):
        assert bytes.fromhex(shown["bytes"]) == piece
        assert shown["logprob"] == step.logprob and shown["rank"] == step.rank
        assert shown["entropy"] == step.entropy and shown["u"] == step.u
        assert shown["interval"] == list(step.interval) and shown["p_final"] == step.p_final
        assert int(shown["row_hash"], 16) == step.row_hash
        assert [(c["id"], c["logprob"], c["removed_by"]) for c in shown["top"]] == [
            (c.id, c.logprob, c.removed_by) for c in step.top
        ]


def test_no_integer_needs_more_than_53_bits(turn: Turn) -> None:
    def walk(value: object) -> None:
        if isinstance(value, dict):
            for item in value.values():
                walk(item)
        elif isinstance(value, list):
            for item in value:
                walk(item)
        elif isinstance(value, int):
            assert abs(value) < 2**53

    walk(explanation_json(explain(turn)))


@pytest.mark.parametrize("part", ["", "model", "sampling", "spans", "steps", "top", "whole", "timings", "schedule"])
def test_every_field_is_documented(turn: Turn, part: str) -> None:
    out = explanation_json(explain(turn))
    chosen = {"": out, "spans": out["spans"][0], "steps": out["steps"][0], "schedule": out["schedule"][0]}
    fields = out["steps"][0]["top"][0] if part == "top" else chosen.get(part) or out[part]
    documented = DOCS.read_text(encoding="utf-8")
    assert [name for name in fields if f"`{name}`" not in documented] == []


def test_a_comparison_is_json_too(turn: Turn) -> None:
    out = comparison_json(compare(turn, turn))
    json.dumps(out, allow_nan=False)
    assert out["parts_at"] is None and out["same_prompt"] is True
