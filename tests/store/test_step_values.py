"""Steps written as JSON are the steps that were recorded."""

import json

from glasshead.store.codec import decode, decode_columns, encode
from glasshead.store.json import line_text
from glasshead.store.step_values import step_values
from glasshead.store.transfer import step_from
from hypothesis import given

from .making import steps
from .strategies import schedules, traces


@given(traces, schedules)
def test_steps_come_back_from_their_text(made, schedule):
    record = encode(made, schedule, 5)
    columns, _, _ = decode_columns(record)
    assert tuple(map(step_from, json.loads(line_text(step_values(columns))))) == decode(record)[0]


def test_what_a_step_looks_like():
    record = encode(steps(2), (), 10)
    first, _ = json.loads(line_text(step_values(decode_columns(record)[0])))
    step = decode(record)[0][0]
    assert first == {
        "id": step.id,
        "logprob": step.logprob,
        "rank": step.rank,
        "entropy": step.entropy,
        "log_normaliser": step.log_normaliser,
        "top": [[c.id, c.logprob, c.removed_by] for c in step.top],
        "u": step.u,
        "interval": list(step.interval),
        "p_final": step.p_final,
        "stages": [[s.name, s.survivors, s.log_normaliser] for s in step.stages],
        "row_hash": f"{step.row_hash:016x}",
    }
