"""The trace codec: the steps of a reply and its schedule as one small, checked byte string.

Precision: the chosen token's log-probability and final probability are f32; the candidates' log-probabilities
and the entropy are fixed point in steps of 2⁻¹⁰ nats, saturating just below 64, minus infinity reserved; the
log-normalisers, raw and of each stage, are fixed point in steps of 2⁻¹² nats. The draw, its interval and the
row's hash are exact.

Layout, version 1: "GT", version, CRC-32 of the rest; then counts, the reply's schedule, the distinct lists of
stage names, and three parts: ids, numbers, noise. Numbers are stored as differences from what the record
already implies (the chosen id from its rank, a stage's normaliser from the listed candidates it left, the
final probability from the interval), so that the usual case costs next to nothing and every other case still
round-trips. "Noise" cannot be compressed and is not.
"""

import json
import struct
import zlib
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any, Generic, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from ..predict.sampling import DEFAULT_STAGES
from ..predict.schedule import Rows, Run, Schedule, plain
from ..predict.step import Candidate, Stage, Step
from .columns import Damaged, Ints, Reader, Writer, f32, f32_bits, planes, squeeze, unsqueeze, unzigzag, zigzag
from .unopened import Unopened

R = TypeVar("R", Candidate, Stage)

VERSION = 1
GRID = 2**32
"""Steps of the draw and its interval in [0, 1)."""
NAT = 1024
"""Fixed-point units in a nat."""
SATURATED = 0xFFFE
MINUS_INFINITY = 0xFFFF
FINE = 4096
"""Units in a nat for the log-normalisers."""

_STAGES = DEFAULT_STAGES
"""A stage is stored as its place in this list, 1-based: append only."""
_ROWS: tuple[Rows, ...] = get_args(Rows)
"""A kernel class is stored as its place in this list: append only."""


@dataclass(frozen=True, slots=True)
class Columns:
    """The steps of a trace, number by number. A list has one value for each step; those of candidates ``width``,
    those of stages as many as ``stage_ends`` says. Logarithms are in units, draws and intervals on their grid."""

    width: int
    id: list[int]
    logprob: list[float]
    rank: list[int]
    entropy: list[int]
    log_normaliser: list[int]
    u: list[int]
    low: list[int]
    high: list[int]
    p_final: list[float]
    row_hash: list[int]
    candidate_id: Ints
    candidate_logprob: Ints
    """Of −log p; MINUS_INFINITY for log 0."""
    removed_by: NDArray[np.object_]
    stage_name: NDArray[np.object_]
    survivors: Ints
    stage_log_normaliser: Ints
    stage_ends: list[int]


def encode(steps: Sequence[Step], schedule: Schedule, k: int) -> bytes:
    """Steps and schedule as bytes. Every step lists the same number of candidates, at most ``k``."""
    width = len(steps[0].top) if steps else 0
    named = [tuple([stage.name for stage in step.stages]) for step in steps]
    lists = list(dict.fromkeys(named))
    if any(len(step.top) != width for step in steps):
        raise ValueError("the steps of one trace list different numbers of candidates")
    head = {
        "n": len(steps),
        "k": k,
        "width": width,
        "stages": [[_STAGES.index(name) + 1 for name in names] for names in lists],
        "schedule": [[_ROWS.index(rows), *numbers] for rows, *numbers in plain(schedule)],
    }
    body = Writer()
    body.put_sized(json.dumps(head, separators=(",", ":")).encode())
    if steps:
        ids, numbers, noise = _columns(steps, lists, named, width)
        body.put_sized(squeeze(ids, pairs=True))
        body.put_sized(squeeze(numbers))
        body.put(noise)
    data = body.bytes()
    return b"GT" + struct.pack("<BI", VERSION, zlib.crc32(data)) + data


def decode(blob: bytes) -> tuple[tuple[Step, ...], Schedule, int]:
    """Steps, schedule and k. Raises Damaged."""
    columns, schedule, k = decode_columns(blob)
    return () if columns is None else _steps(columns), schedule, k


def decode_columns(blob: bytes) -> tuple[Columns | None, Schedule, int]:
    """The same, the steps still as columns; None where there is no step. Raises Damaged."""
    if len(blob) < 7 or blob[:2] != b"GT":
        raise Damaged("not a trace")
    version, crc = struct.unpack("<BI", blob[2:7])
    if version != VERSION:
        raise Damaged(f"trace format {version} is not known to this program")
    data = blob[7:]
    if zlib.crc32(data) != crc:
        raise Damaged("the checksum does not match")
    reader = Reader(data)
    try:
        head = json.loads(reader.take_sized())
        schedule = tuple(Run(_ROWS[code], *numbers) for code, *numbers in head["schedule"])
        columns = _read(head, reader) if head["n"] else None
        reader.end()
    except (KeyError, IndexError, TypeError, ValueError, struct.error) as error:
        raise Damaged(str(error)) from None
    return columns, schedule, head["k"]


def may_list(blob: bytes, tokens: frozenset[int]) -> bool:
    """Whether a candidate may be one of ``tokens``: from the ids' low halves alone, in a fifth of the time.

    Raises Damaged.
    """
    try:
        reader = Reader(blob[7:])
        reader.take_sized()
        ids = np.frombuffer(unsqueeze(reader.take_sized(), pairs=True), "<u2") if reader.at < len(blob) - 7 else ()
        return bool(np.isin(ids, [token & 0xFFFF for token in tokens]).any())
    except (ValueError, struct.error) as error:
        raise Damaged(str(error)) from None


def _fixed(logprobs: Sequence[float]) -> Ints:
    """−log p in units of 2⁻¹⁰ nats."""
    values = np.array(logprobs, np.float64)
    units = np.clip(np.rint(-values * NAT), 0, SATURATED)
    whole: Ints = np.where(values == -np.inf, MINUS_INFINITY, units).astype(np.int64)
    return whole


def _used(lists: list[tuple[Any, ...]], which: Ints) -> tuple[NDArray[np.bool_], int]:
    """Which places of the stages' columns are used, by step; and how many columns there are."""
    depth = max(map(len, lists), default=0)
    return np.arange(depth)[None, :] < np.array([len(names) for names in lists])[which][:, None], depth


def _columns(
    steps: Sequence[Step], lists: list[tuple[Any, ...]], named: list[tuple[Any, ...]], width: int
) -> tuple[bytes, bytes, bytes]:
    n = len(steps)
    candidates = [candidate for step in steps for candidate in step.top]
    top = np.array([candidate.id for candidate in candidates], np.int64).reshape(n, width)
    logs = _fixed([candidate.logprob for candidate in candidates]).reshape(n, width)
    chosen = np.array([step.id for step in steps], np.int64)
    rank = np.array([step.rank for step in steps], np.int64)
    u = _on_grid(step.u for step in steps)
    low = _on_grid(step.interval[0] for step in steps)
    room = _on_grid(step.interval[1] for step in steps) - low - 1
    normaliser = np.array([round(step.log_normaliser * FINE) for step in steps], np.int64)
    p_final = f32_bits(step.p_final for step in steps)
    logprob = f32_bits(step.logprob for step in steps)

    surprise = chosen - _expected(top, rank)
    ids = np.concatenate([(top & 0xFFFF).ravel(), surprise & 0xFFFF]).astype("<u2").tobytes()
    numbers = Writer()
    numbers.put(planes(np.concatenate([top.T.ravel() >> 16, (surprise & 0xFFFFFFFF) >> 16]), 2))
    numbers.put(planes((np.diff(logs, axis=1, prepend=0) & 0xFFFF).T.ravel(), 2))
    numbers.put(planes(rank, 4))
    numbers.put(planes(zigzag(logprob - _expected_logprob(logs, rank)), 5))
    numbers.put(planes(np.array([min(round(step.entropy * NAT), SATURATED) for step in steps], np.int64), 2))
    middle = int(np.median(normaliser))
    numbers.put(struct.pack("<q", middle))
    numbers.put(planes(zigzag(normaliser - middle), 5))
    numbers.put(planes(low, 4))
    numbers.put(planes(room, 4))
    numbers.put(planes(zigzag(p_final - _interval_bits(room)), 5))

    places = {names: place for place, names in enumerate(lists)}
    which = np.array([places[names] for names in named], np.int64)
    numbers.put(planes(which, 2))
    stages = [stage for step in steps for stage in step.stages]
    used, depth = _used(lists, which)
    survivors = np.zeros((n, depth), np.int64)
    survivors[used] = [stage.survivors for stage in stages]
    fine = np.zeros((n, depth), np.int64)
    fine[used] = [round(stage.log_normaliser * FINE) for stage in stages]
    codes = {name: code for code, name in enumerate((None, *_STAGES))}
    removed = np.array([codes[candidate.removed_by] for candidate in candidates], np.int64).reshape(n, width)
    slope = _slope(steps)
    numbers.put(struct.pack("<d", slope))
    numbers.put(planes(zigzag(np.diff(survivors, axis=1, prepend=0)).T.ravel(), 4))
    guess = _expected_fine(logs, normaliser, f32(logprob), f32(p_final), survivors, which, lists, slope)
    numbers.put(planes(zigzag(fine - guess).T.ravel(), 5))
    numbers.put(planes((removed - _expected_removed(survivors, which, lists, width)).T.ravel() & 0xFF, 1))

    hashes = np.array([step.row_hash for step in steps], "<u8").tobytes()
    noise = hashes + planes((u - low) & (GRID - 1), 4)
    return ids, numbers.bytes(), noise


def _read(head: dict[str, Any], reader: Reader) -> Columns:
    n, width = head["n"], head["width"]
    lists = [tuple(_STAGES[code - 1] for code in codes) for codes in head["stages"]]
    ids = Reader(unsqueeze(reader.take_sized(), pairs=True))
    numbers = Reader(unsqueeze(reader.take_sized()))

    low_ids = np.frombuffer(ids.take(2 * n * (width + 1)), "<u2").astype(np.int64)
    ids.end()
    high_ids = numbers.planes(n * (width + 1), 2)
    top = low_ids[: n * width].reshape(n, width) | (high_ids[: n * width].reshape(width, n).T << 16)
    surprise = (low_ids[n * width :] | (high_ids[n * width :] << 16)).astype("<u4").view("<i4").astype(np.int64)
    logs = np.cumsum(numbers.planes(n * width, 2).reshape(width, n).T, axis=1) & 0xFFFF
    rank = numbers.planes(n, 4)
    chosen = _expected(top, rank) + surprise
    logprob = f32(unzigzag(numbers.planes(n, 5)) + _expected_logprob(logs, rank))
    entropy = numbers.planes(n, 2)
    (middle,) = struct.unpack("<q", numbers.take(8))
    normaliser = unzigzag(numbers.planes(n, 5)) + middle
    low = numbers.planes(n, 4)
    room = numbers.planes(n, 4)
    p_final = f32(unzigzag(numbers.planes(n, 5)) + _interval_bits(room))
    which = numbers.planes(n, 2)
    used, depth = _used(lists, which)
    (slope,) = struct.unpack("<d", numbers.take(8))
    survivors = np.cumsum(unzigzag(numbers.planes(n * depth, 4)).reshape(depth, n).T, axis=1)
    guess = _expected_fine(logs, normaliser, logprob, p_final, survivors, which, lists, slope)
    fine = unzigzag(numbers.planes(n * depth, 5)).reshape(depth, n).T + guess
    removed = numbers.planes(n * width, 1).reshape(width, n).T + _expected_removed(survivors, which, lists, width)
    numbers.end()
    hashes = np.frombuffer(reader.take(8 * n), "<u8")
    u = (reader.planes(n, 4) + low) & (GRID - 1)
    names = np.array([None, *_STAGES], object)
    codes = np.array([[*each, *[0] * (depth - len(each))] for each in head["stages"]], np.int64)
    return Columns(
        width=width,
        id=chosen.tolist(),
        logprob=logprob.tolist(),
        rank=rank.tolist(),
        entropy=entropy.tolist(),
        log_normaliser=normaliser.tolist(),
        u=u.tolist(),
        low=low.tolist(),
        high=(low + room + 1).tolist(),
        p_final=p_final.tolist(),
        row_hash=hashes.tolist(),
        candidate_id=top.ravel(),
        candidate_logprob=logs.ravel(),
        removed_by=names[removed & 0xFF].ravel(),
        stage_name=names[codes[which][used]],
        survivors=survivors[used],
        stage_log_normaliser=fine[used],
        stage_ends=np.cumsum(used.sum(axis=1)).tolist(),
    )


def _steps(columns: Columns) -> tuple[Step, ...]:
    width, n = columns.width, len(columns.id)
    logs = columns.candidate_logprob
    logprobs = np.where(logs == MINUS_INFINITY, -np.inf, logs / -NAT)
    listed = _Table(Candidate, (columns.candidate_id, logprobs, columns.removed_by))
    acted = _Table(Stage, (columns.stage_name, columns.survivors, columns.stage_log_normaliser / FINE))
    starts = [0, *columns.stage_ends[:-1]]
    return tuple(
        _made(
            id=columns.id,
            logprob=columns.logprob,
            rank=columns.rank,
            entropy=[value / NAT for value in columns.entropy],
            log_normaliser=[value / FINE for value in columns.log_normaliser],
            top=[Unopened(listed.rows, at * width, (at + 1) * width) for at in range(n)],
            u=[value / GRID for value in columns.u],
            interval=[(low / GRID, high / GRID) for low, high in zip(columns.low, columns.high, strict=True)],
            p_final=columns.p_final,
            stages=[Unopened(acted.rows, a, b) for a, b in zip(starts, columns.stage_ends, strict=True)],
            row_hash=columns.row_hash,
        )
    )


@dataclass(frozen=True, slots=True)
class _Table(Generic[R]):
    """Records of one kind, as columns until they are asked for."""

    kind: Callable[..., R]
    columns: tuple[NDArray[Any], ...]

    def rows(self, start: int, end: int) -> tuple[R, ...]:
        return tuple(map(self.kind, *(column[start:end].tolist() for column in self.columns)))


def _made(**columns: list[Any]) -> list[Step]:
    """Steps from their columns, field by field: a third of the time that as many constructors take."""
    (size,) = {len(column) for column in columns.values()}
    made = list(map(object.__new__, repeat(Step, size)))
    for name, column in columns.items():
        deque(map(getattr(Step, name).__set__, made, column), maxlen=0)
    return made


def _on_grid(values: Any) -> Ints:
    scaled = np.array([value * GRID for value in values])
    exact = np.rint(scaled)
    if (exact != scaled).any():
        raise ValueError("a draw or an interval is not on the grid of 2^-32")
    grid: Ints = exact.astype(np.int64)
    return grid


def _listed(rank: Ints, width: int) -> tuple[Any, Ints]:
    """Which steps chose a listed candidate, and which one."""
    return (rank >= 1) & (rank <= width), np.clip(rank - 1, 0, max(width - 1, 0))


def _expected(top: Ints, rank: Ints) -> Ints:
    if not top.shape[1]:
        return np.zeros_like(rank)
    listed, place = _listed(rank, top.shape[1])
    expected: Ints = np.where(listed, top[np.arange(len(rank)), place], 0)
    return expected


def _expected_logprob(logs: Ints, rank: Ints) -> Ints:
    if not logs.shape[1]:
        return np.zeros_like(rank)
    listed, place = _listed(rank, logs.shape[1])
    return f32_bits(np.where(listed, logs[np.arange(len(rank)), place], 0) / -NAT)


def _interval_bits(room: Ints) -> Ints:
    return f32_bits((room + 1) / GRID)


def _slope(steps: Sequence[Step]) -> float:
    """1 / temperature as the record shows it: the last normaliser against the chosen token's raw logit."""
    x = np.array([step.logprob + step.log_normaliser for step in steps])
    y = np.array(
        [s.stages[-1].log_normaliser + np.log(s.p_final) if s.stages and s.p_final > 0 else np.nan for s in steps]
    )
    good = np.isfinite(x) & np.isfinite(y) & (np.abs(x) > 1e-3)
    if not good.any():
        return 1.0
    slope = float(np.median(y[good] / x[good]))
    return slope if np.isfinite(slope) and abs(slope) < 1e6 else 1.0


def _expected_fine(  # noqa: PLR0917  columns, in the order of the record
    logs: Ints, normaliser: Ints, logprob: Any, p_final: Any, survivors: Ints, which: Ints, lists: Any, slope: float
) -> Ints:
    """The stages' log-normalisers (in units) that the rest of the record implies: before the last stage the mass
    of the listed candidates it left, at the last one what makes the choice's final probability come out."""
    n, depth = survivors.shape
    if not depth:
        return np.zeros((n, 0), np.int64)
    base = normaliser / FINE
    mass = np.cumsum(np.exp(-logs / NAT), axis=1) if logs.shape[1] else np.ones((n, 1))
    place = np.clip(survivors - 1, 0, mass.shape[1] - 1)
    within = np.minimum(np.take_along_axis(mass, place, axis=1), 1.0)
    whole = np.where((survivors > mass.shape[1])[:, :], 1.0, np.maximum(within, 1e-30))
    guess = base[:, None] + np.log(whole)
    last = np.array([len(names) - 1 for names in lists])[which]
    with np.errstate(divide="ignore", invalid="ignore"):
        final = slope * (logprob.astype(np.float64) + base) - np.log(p_final.astype(np.float64))
    rows = np.flatnonzero((last >= 0) & np.isfinite(final))
    guess[rows, last[rows]] = final[rows]
    guess = np.where(np.isfinite(guess) & (np.abs(guess) < 2**20), guess, 0.0)
    used = np.arange(depth)[None, :] <= last[:, None]
    return np.where(used, np.rint(guess * FINE), 0).astype(np.int64)


def _expected_removed(survivors: Ints, which: Ints, lists: Any, width: int) -> Ints:
    """The stage that would have taken each candidate out if every stage kept the likeliest."""
    out = np.zeros((len(which), width), np.int64)
    places = np.arange(width)[None, :]
    depths = np.array([len(names) for names in lists])[which]
    codes = [[_STAGES.index(name) + 1 for name in names] for names in lists]
    for j in range(survivors.shape[1] - 1, -1, -1):
        code = np.array([names[j] if j < len(names) else 0 for names in codes])[which]
        gone = (j < depths)[:, None] & (places >= survivors[:, j : j + 1])
        out = np.where(gone, code[:, None], out)
    return out
