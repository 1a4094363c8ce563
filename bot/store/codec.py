"""The trace codec: the steps of a reply and its schedule as one small, checked byte string.

Precision: the chosen token's log-probability and final probability are f32; the candidates' log-probabilities
and the entropy are fixed point in steps of 2⁻¹⁰ nats, saturating just below 64, minus infinity reserved; the
log-normalisers, raw and of each stage, are fixed point in steps of 2⁻¹² nats. The draw, its interval and the
row's hash are exact. At a low temperature candidates that could have been drawn have finer steps (see `finer`).

Layout: "GT", version, CRC-32 of the rest; then counts, the reply's schedule, the distinct lists of stage names, and
three parts: ids, numbers, noise. Numbers are stored as differences from what the record already implies (the
chosen id from its rank, a stage's normaliser from the one before and the listed candidates it left, the final
probability from the interval), so that the usual case costs next to nothing and every other case still
round-trips. "Noise" cannot be compressed and is not: the hashes, the low bytes of the candidates'
log-probabilities, the draws where they are not those of the seed, and what is finer. Versions 1 and 2 are still
read: in them those low bytes are with the numbers, each normaliser is implied by the candidates alone, all draws
are noise, and what is finer (version 2) is whole bytes.
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

from ..predict.draw import tickets
from ..predict.sampling import DEFAULT_STAGES
from ..predict.schedule import Rows, Run, Schedule, plain
from ..predict.step import Candidate, Stage, Step
from . import finer, implied
from .columns import Damaged, Ints, Reader, Writer, f32, f32_bits, planes, squeeze, unsqueeze, unzigzag, zigzag
from .units import FINE, GRID, MINUS_INFINITY, NAT, SATURATED, in_units, on_grid, surprisals
from .unopened import Unopened

R = TypeVar("R", Candidate, Stage)

FIRST, FINER, VERSION = 1, 2, 3

_HEAD = ("n", "k", "schedule", "width", "stages", "draws", "cold", "late")

_STAGES = DEFAULT_STAGES
"""A stage is stored as its place in this list, 1-based: append only."""
_CODES = {name: code for code, name in enumerate((None, *_STAGES))}
_MOVING = frozenset((_CODES["logit_bias"], _CODES["penalties"]))
_ROWS: tuple[Rows, ...] = get_args(Rows)
"""A kernel class is stored as its place in this list: append only."""
_json = json.JSONEncoder(separators=(",", ":")).encode


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
    candidate_rest: Ints | None
    """What is to be added to it, in finer units; None where nothing is."""
    removed_by: NDArray[np.object_]
    stage_name: NDArray[np.object_]
    survivors: Ints
    stage_log_normaliser: Ints
    stage_ends: list[int]


def encode(
    steps: Sequence[Step], schedule: Schedule, k: int, *, seed: int | None = None, first_step: int = 0
) -> bytes:
    """Steps and schedule as bytes. Every step lists the same number of candidates, at most ``k``.

    Draws that are u(``seed``, ``first_step`` + step) are kept as these two numbers.
    """
    width = len(steps[0].top) if steps else 0
    if any([len(step.top) != width for step in steps]):
        raise ValueError("the steps of one trace list different numbers of candidates")
    named = [tuple([stage.name for stage in step.stages]) for step in steps]
    lists = {names: place for place, names in enumerate(dict.fromkeys(named))}
    codes = [[_STAGES.index(name) + 1 for name in names] for names in lists]
    runs = [[_ROWS.index(rows), *numbers] for rows, *numbers in plain(schedule)]
    body = Writer()
    if steps:
        u = on_grid([step.u for step in steps])
        draws = None
        if seed is not None and np.array_equal(u, tickets(seed, first_step, len(steps))):
            draws = [seed, first_step]
        which = np.array([lists[names] for names in named], np.int64)
        ids, numbers, noise, cold, late = _columns(steps, width, which, codes, None if draws else u)
        head = [len(steps), k, runs, width, codes, draws, cold, *([True] if late else [])]
        body.put_sized(_json(head).encode())
        body.put_sized(squeeze(ids, pairs=True))
        body.put_sized(squeeze(numbers))
        body.put(noise)
    else:
        body.put_sized(_json([0, k, runs]).encode())
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
    if version not in (FIRST, FINER, VERSION):
        raise Damaged(f"trace format {version} is not known to this program")
    data = blob[7:]
    if zlib.crc32(data) != crc:
        raise Damaged("the checksum does not match")
    reader = Reader(data)
    try:
        head = json.loads(reader.take_sized())
        if version == VERSION:
            head = dict(zip(_HEAD, head, strict=False))
        schedule = tuple(Run(_ROWS[code], *numbers) for code, *numbers in head["schedule"])
        columns = _read(head, reader, version) if head["n"] else None
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


def _columns(
    steps: Sequence[Step], width: int, which: Ints, codes: list[list[int]], u: Ints | None
) -> tuple[bytes, bytes, bytes, float, bool]:
    """Ids, numbers, noise with the draws ``u`` if there are any, how cold the record shows it was, and whether
    any candidate changed late."""
    n = len(steps)
    candidates = [candidate for step in steps for candidate in step.top]
    top = np.array([candidate.id for candidate in candidates], np.int64).reshape(n, width)
    logprobs = np.array([candidate.logprob for candidate in candidates], np.float64).reshape(n, width)
    logs = surprisals(logprobs)
    took = bytes([_CODES[candidate.removed_by] for candidate in candidates])
    removed = np.frombuffer(took, np.uint8).reshape(n, width)
    chosen = np.array([step.id for step in steps], np.int64)
    rank = np.array([step.rank for step in steps], np.int64)
    low, high = on_grid([*zip(*[step.interval for step in steps], strict=True)])
    room = high - low - 1
    raw_logprob = np.array([step.logprob for step in steps])
    raw_normaliser = np.array([step.log_normaliser for step in steps])
    raw_p_final = np.array([step.p_final for step in steps])
    logprob, p_final, normaliser = f32_bits(raw_logprob), f32_bits(raw_p_final), in_units(raw_normaliser, FINE)

    surprise = chosen - implied.chosen(top, rank)
    ids = np.concatenate([(top & 0xFFFF).ravel(), surprise & 0xFFFF]).astype("<u2").tobytes()
    numbers = Writer()
    numbers.put(planes(np.concatenate([top.T.ravel() >> 16, (surprise & 0xFFFFFFFF) >> 16]), 2))
    down = (_from_the_left(logs) & 0xFFFF).T.ravel()
    numbers.put(planes(down >> 8, 1))
    numbers.put(planes(rank, 4) + planes(zigzag(logprob - implied.logprob(logs, rank)), 5))
    numbers.put(planes(np.minimum(in_units([step.entropy for step in steps], NAT), SATURATED), 2))
    middle = int(implied.median(normaliser))
    numbers.put(struct.pack("<q", middle) + planes(zigzag(normaliser - middle), 5))
    numbers.put(planes(low, 4) + planes(room, 4))
    numbers.put(planes(zigzag(p_final - implied.p_final(room)), 5))

    numbers.put(planes(which, 2))
    stages, used = _stages(codes, which)
    acted = [stage for step in steps for stage in step.stages]
    survivors = np.zeros(used.shape, np.int64)
    survivors[used] = [stage.survivors for stage in acted]
    raw_fine = np.zeros(stages.shape)
    raw_fine[:, :-1][used] = [stage.log_normaliser for stage in acted]
    last = np.where(used.any(axis=1), raw_fine[np.arange(n), used.sum(axis=1) - 1], np.nan)
    slope = implied.slope(raw_logprob + raw_normaliser, last, raw_p_final)
    numbers.put(struct.pack("<d", slope))
    numbers.put(planes(zigzag(_from_the_left(survivors)).T.ravel(), 4))
    fine = in_units(raw_fine[:, :-1], FINE)
    guessed = implied.Normalisers(logs, normaliser, f32(logprob), f32(p_final), survivors, stages, slope)
    numbers.put(planes(zigzag(fine - guessed.of(fine)).T.ravel(), 5))
    numbers.put(planes((removed - implied.removed(survivors, stages, width)).T.ravel() & 0xFF, 1))

    noise = np.array([step.row_hash for step in steps], "<u8").tobytes() + planes(down & 0xFF, 1)
    noise += b"" if u is None else planes((u - low) & (GRID - 1), 4)
    cold, late = finer.coldness(slope), _late(codes, which, removed)
    if cold:
        moved = _moved(codes, which)
        kept = finer.bits(top, chosen, removed, f32(logprob), f32(p_final), logs, moved, cold, late)
        noise += finer.pack(logprobs, logs, kept)
    return ids, numbers.bytes(), noise, cold, cold > 0 and bool(late.any())


def _moved(codes: list[list[int]], which: Ints) -> NDArray[np.bool_]:
    """In which steps some tokens became likelier beside the others than predicted."""
    moved: NDArray[np.bool_] = np.array([not _MOVING.isdisjoint(each) for each in codes])[which]
    return moved


def _late(codes: list[list[int]], which: Ints, removed: NDArray[Any]) -> NDArray[np.bool_]:
    """Which candidates a stage behind the temperature took out, or may have made less likely."""
    table = np.zeros((len(codes), 256), np.bool_)
    for row, each in zip(table, codes, strict=True):
        if _CODES["temperature"] in each:
            after = each[each.index(_CODES["temperature"]) + 1 :]
            row[after], row[0] = True, not _MOVING.isdisjoint(after)
    late: NDArray[np.bool_] = table[which[:, None], removed]
    return late


def _from_the_left(values: Ints) -> Ints:
    """Each number less the one before it in its row."""
    out = values.copy()
    out[:, 1:] -= values[:, :-1]
    return out


def _stages(codes: list[list[int]], which: Ints) -> tuple[Ints, NDArray[np.bool_]]:
    """The codes of each step's stages and a 0 after them, in rows of the same length; and which of them are stages,
    without the last column, which never is one."""
    depth = max(map(len, codes), default=0)
    rows = np.array([[*each, *[0] * (depth + 1 - len(each))] for each in codes], np.int64)
    stages = rows[which]
    return stages, stages[:, :depth] > 0


def _read(head: dict[str, Any], reader: Reader, version: int) -> Columns:
    n, width = head["n"], head["width"]
    ids = Reader(unsqueeze(reader.take_sized(), pairs=True))
    numbers = Reader(unsqueeze(reader.take_sized()))

    low_ids = np.frombuffer(ids.take(2 * n * (width + 1)), "<u2").astype(np.int64)
    ids.end()
    high_ids = numbers.planes(n * (width + 1), 2)
    top = low_ids[: n * width].reshape(n, width) | (high_ids[: n * width].reshape(width, n).T << 16)
    surprise = (low_ids[n * width :] | (high_ids[n * width :] << 16)).astype("<u4").view("<i4").astype(np.int64)
    if version < VERSION:
        down, hashes = numbers.planes(n * width, 2), b""
    else:
        down, hashes = numbers.planes(n * width, 1) << 8, reader.take(8 * n)
        down |= reader.planes(n * width, 1)
    logs = np.cumsum(down.reshape(width, n).T, axis=1) & 0xFFFF
    rank = numbers.planes(n, 4)
    chosen = implied.chosen(top, rank) + surprise
    logprob = f32(unzigzag(numbers.planes(n, 5)) + implied.logprob(logs, rank))
    entropy = numbers.planes(n, 2)
    (middle,) = struct.unpack("<q", numbers.take(8))
    normaliser = unzigzag(numbers.planes(n, 5)) + middle
    low = numbers.planes(n, 4)
    room = numbers.planes(n, 4)
    p_final = f32(unzigzag(numbers.planes(n, 5)) + implied.p_final(room))
    which = numbers.planes(n, 2)
    stages, used = _stages(head["stages"], which)
    depth = used.shape[1]
    (slope,) = struct.unpack("<d", numbers.take(8))
    survivors = np.cumsum(unzigzag(numbers.planes(n * depth, 4)).reshape(depth, n).T, axis=1)
    fine = unzigzag(numbers.planes(n * depth, 5)).reshape(depth, n).T
    guessed = implied.Normalisers(logs, normaliser, logprob, p_final, survivors, stages, slope)
    fine = fine + guessed.each() if version < VERSION else guessed.summed(fine)
    removed = numbers.planes(n * width, 1).reshape(width, n).T + implied.removed(survivors, stages, width)
    numbers.end()
    hashes = hashes or reader.take(8 * n)
    draws = head.get("draws")
    u = tickets(draws[0], draws[1], n) if draws else (reader.planes(n, 4) + low) & (GRID - 1)
    rests: Ints | None = None
    if version == FINER:
        marked = finer.kept(top, chosen, removed & 0xFF, p_final, logs)
        rests = np.zeros_like(logs)
        rests[marked] = finer.unpack_bytes(reader.take(int(marked.sum())))
    elif cold := head.get("cold"):
        codes, removed = head["stages"], removed & 0xFF
        moved, late = _moved(codes, which), _late(codes, which, removed) if head.get("late") else None
        kept = finer.bits(top, chosen, removed, logprob, p_final, logs, moved, cold, late)
        rests = finer.unpack(reader.take(finer.size(kept)), kept)
    names = np.array([None, *_STAGES], object)
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
        row_hash=np.frombuffer(hashes, "<u8").tolist(),
        candidate_id=top.ravel(),
        candidate_logprob=logs.ravel(),
        candidate_rest=None if rests is None else rests.ravel(),
        removed_by=names[removed & 0xFF].ravel(),
        stage_name=names[stages[:, :depth][used]],
        survivors=survivors[used],
        stage_log_normaliser=fine[used],
        stage_ends=np.cumsum(used.sum(axis=1)).tolist(),
    )


def _steps(columns: Columns) -> tuple[Step, ...]:
    width, n = columns.width, len(columns.id)
    logs = columns.candidate_logprob
    logprobs = np.where(logs == MINUS_INFINITY, -np.inf, logs / -NAT)
    if columns.candidate_rest is not None:
        logprobs -= columns.candidate_rest / (NAT * finer.PARTS)
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
