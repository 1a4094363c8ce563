"""The steps of a trace as JSON text, straight from their columns: what a whole log's export has time for.

`json.dumps` of a thousand candidates a reply, first made into objects, takes five times as long.
"""

import math
from functools import cache

from .codec import FINE, GRID, MINUS_INFINITY, NAT, Columns


def steps_text(columns: Columns | None) -> str:
    """What `json.dumps` makes of the steps' `step_json`, up to spaces."""
    if columns is None:
        return "[]"
    nats = _nats()
    candidates = [
        f"[{id_},{nats[lp]},{_name(gone)}]"
        for id_, lp, gone in zip(
            columns.candidate_id.tolist(),
            columns.candidate_logprob.tolist(),
            columns.removed_by.tolist(),
            strict=True,
        )
    ]
    stages = [
        f"[{_name(name)},{survivors},{value / FINE!r}]"
        for name, survivors, value in zip(
            columns.stage_name.tolist(),
            columns.survivors.tolist(),
            columns.stage_log_normaliser.tolist(),
            strict=True,
        )
    ]
    width, at = columns.width, 0
    out = []
    start = 0
    for id_, logprob, rank, entropy, normaliser, u, low, high, p_final, row_hash, end in zip(
        columns.id, columns.logprob, columns.rank, columns.entropy, columns.log_normaliser, columns.u, columns.low,
        columns.high, columns.p_final, columns.row_hash, columns.stage_ends, strict=True,
    ):  # fmt: skip
        out.append(
            f'{{"id":{id_},"logprob":{_number(logprob)},"rank":{rank},"entropy":{entropy / NAT!r},'
            f'"log_normaliser":{normaliser / FINE!r},"top":[{",".join(candidates[at : at + width])}],'
            f'"u":{u / GRID!r},"interval":[{low / GRID!r},{high / GRID!r}],"p_final":{_number(p_final)},'
            f'"stages":[{",".join(stages[start:end])}],"row_hash":"{row_hash:016x}"}}'
        )
        at += width
        start = end
    return f"[{','.join(out)}]"


def _number(value: float) -> str:
    return repr(value) if math.isfinite(value) else "null"


@cache
def _name(stage: str | None) -> str:
    return "null" if stage is None else f'"{stage}"'


@cache
def _nats() -> list[str]:
    """Every log-probability of a candidate that there is, as it is written."""
    return [*(repr(value / -NAT) for value in range(MINUS_INFINITY)), "null"]
