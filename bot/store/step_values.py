"""The steps of a trace as values for JSON, straight from their columns: what a whole log's export has time for.

To make them into objects first takes five times as long.
"""

from functools import cache
from typing import Any

import numpy as np

from .codec import Columns
from .finer import PARTS
from .units import FINE, GRID, MINUS_INFINITY, NAT

_NAMES = (
    "id", "logprob", "rank", "entropy", "log_normaliser", "top", "u", "interval", "p_final", "stages", "row_hash",
)  # fmt: skip


def step_values(columns: Columns | None) -> list[dict[str, Any]]:
    """Each step as docs/json.md describes it. What is not finite becomes null when it is written."""
    if columns is None:
        return []
    listed = list(
        zip(
            columns.candidate_id.tolist(),
            candidate_logprobs(columns),
            columns.removed_by.tolist(),
            strict=True,
        )
    )
    acted = list(
        zip(
            columns.stage_name.tolist(),
            columns.survivors.tolist(),
            (columns.stage_log_normaliser / FINE).tolist(),
            strict=True,
        )
    )
    width, ends = columns.width, columns.stage_ends
    low, high = np.array(columns.low, np.float64) / GRID, np.array(columns.high, np.float64) / GRID
    steps = zip(
        columns.id,
        columns.logprob,
        columns.rank,
        (np.array(columns.entropy) / NAT).tolist(),
        (np.array(columns.log_normaliser) / FINE).tolist(),
        [listed[at : at + width] for at in range(0, width * len(ends), width)] if width else [[]] * len(ends),
        (np.array(columns.u, np.float64) / GRID).tolist(),
        zip(low.tolist(), high.tolist(), strict=True),
        columns.p_final,
        [acted[start:end] for start, end in zip([0, *ends], ends, strict=False)],
        [f"{value:016x}" for value in columns.row_hash],
        strict=True,
    )
    return [dict(zip(_NAMES, step, strict=True)) for step in steps]


def candidate_logprobs(columns: Columns) -> list[float | None]:
    """Of each candidate, in nats; None for log 0."""
    logprobs = list(map(nats().__getitem__, columns.candidate_logprob.tolist()))
    for place, rest in rests(columns):
        logprobs[place] = (logprobs[place] or 0.0) - rest
    return logprobs


def rests(columns: Columns) -> list[tuple[int, float]]:
    """Where a candidate's surprisal is kept finer, and what it is more than its whole units, in nats."""
    if columns.candidate_rest is None:
        return []
    places = columns.candidate_rest.nonzero()[0]
    left = columns.candidate_rest[places] / (NAT * PARTS)
    return list(zip(places.tolist(), left.tolist(), strict=True))


@cache
def nats() -> list[float | None]:
    """Every log-probability of a candidate that there is; None for log 0."""
    return [*(value / -NAT for value in range(MINUS_INFINITY)), None]
