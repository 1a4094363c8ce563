"""Reading rows: against plain f64 mathematics and a full sort, on kind and on hostile rows."""

import math

import numpy as np
import pytest
import xxhash
from glasshead.predict.exponentials import PART, by_numpy, sums
from glasshead.predict.logits import BadLogits, Logits, Scratch, capture, largest, rank, score
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

rows = hnp.arrays(
    np.float32,
    st.integers(1, 1500),
    elements=st.one_of(st.sampled_from([-3e38, -100.0, -1.0, 0.0, 1.0, 100.0, 3e38]), st.floats(-50, 50, width=32)),
)


def by_sorting(row: Logits, n: int) -> list[int]:
    return [int(i) for i in np.lexsort((np.arange(row.size), -row))[:n]]


def gaussian(n: int, seed: int = 0) -> Logits:
    return np.random.default_rng(seed).normal(0, 3, n).astype(np.float32)


@pytest.mark.parametrize("way", [sums, by_numpy])
@given(rows, st.integers(1, 20), st.data())
@settings(deadline=None)
def test_sums_of_exponentials_are_those_of_f64(way, row: Logits, times: int, data: st.DataObject) -> None:
    row = np.tile(row, times)  # of one part and of several
    row[data.draw(st.integers(0, row.size - 1))] = data.draw(st.sampled_from([row[0], -np.inf, -90.0]))
    shift = float(row.max())
    if not np.isfinite(shift):
        return
    with np.errstate(invalid="ignore"):
        logits = row.astype(np.float64)
        exact = np.exp(logits - shift)
        weighted = exact * logits
    total, summed = way(row, shift, np.empty(PART, np.float32))
    assert total == pytest.approx(exact.sum(), rel=3e-6)
    if abs(shift) < 500:
        within = 1e-5 * np.abs(weighted).sum() + 1e-30  # row - shift is rounded, too
        assert summed == pytest.approx(weighted.sum(), abs=within, nan_ok=True)


@given(rows, st.integers(0, 60))
@settings(max_examples=300, deadline=None)
def test_largest_equals_a_full_sort(row: Logits, n: int) -> None:
    assert largest(row, n).tolist() == by_sorting(row, n)


HOSTILE = {
    "all equal": np.zeros(49_152, np.float32),
    "ascending": np.arange(49_152, dtype=np.float32),
    "descending": -np.arange(49_152, dtype=np.float32),
    "one finite": np.where(np.arange(49_152) == 777, 0, -np.inf).astype(np.float32),
    "two values": (np.arange(49_152) % 2).astype(np.float32),
    "all large ones in one column": np.where(np.arange(49_152) % 768 == 5, 9, gaussian(49_152)).astype(np.float32),
    "huge": np.where(np.arange(49_152) % 3 == 0, 3e38, -3e38).astype(np.float32),
    "ties at the border": np.round(gaussian(262_144)),
    "no multiple of 64": gaussian(32_001),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("n", [1, 10, 50, 5000])
def test_largest_on_hostile_rows(name: str, n: int) -> None:
    row = HOSTILE[name]
    assert largest(row, n).tolist() == by_sorting(row, n)


@given(rows, st.data())
@settings(deadline=None)
def test_rank_is_the_place_in_the_sorted_row(row: Logits, data: st.DataObject) -> None:
    token = data.draw(st.integers(0, row.size - 1))
    assert rank(row, token) == by_sorting(row, row.size).index(token) + 1


@pytest.mark.parametrize("row", [gaussian(49_152), gaussian(262_144), 3 * gaussian(49_152), *HOSTILE.values()])
def test_normaliser_and_entropy_equal_f64_mathematics(row: Logits) -> None:
    exact = row.astype(np.float64)
    shifted = exact - exact.max()
    log_normaliser = math.log(np.exp(shifted).sum())
    p = np.exp(shifted - log_normaliser)
    entropy = -(p * np.where(p > 0, shifted - log_normaliser, 0)).sum()
    read = capture(row, 10)
    assert read.log_normaliser == pytest.approx(exact.max() + log_normaliser, abs=1e-6, rel=1e-12)
    assert read.entropy == pytest.approx(entropy, abs=1e-5)


def test_hash_is_of_the_little_endian_bytes() -> None:
    row = gaussian(1000)
    assert capture(row, 1).hash == xxhash.xxh3_64_intdigest(row.astype("<f4").tobytes())
    assert capture(row[::2], 1).hash == xxhash.xxh3_64_intdigest(row[::2].tobytes())


def test_scratch_changes_nothing_and_the_row_stays() -> None:
    row, scratch = gaussian(5000), Scratch(5000)
    before = row.copy()
    first, second = capture(row, 10, scratch), capture(row, 10)
    capture(gaussian(5000, 1), 10, scratch)
    assert (first.hash, first.log_normaliser, first.entropy) == (second.hash, second.log_normaliser, second.entropy)
    assert np.array_equal(row, before)


@pytest.mark.parametrize(("bad", "name"), [(math.nan, "NaN"), (math.inf, "inf")])
def test_names_what_is_no_distribution(bad: float, name: str) -> None:
    row = gaussian(1000)
    row[500] = bad
    with pytest.raises(BadLogits, match=name) as caught:
        capture(row, 10)
    assert caught.value.reason == "bad_logits"


def test_names_a_row_of_nothing() -> None:
    with pytest.raises(BadLogits, match="nothing finite"):
        capture(np.full(1000, -np.inf, np.float32), 10)


def test_score_reads_a_given_token() -> None:
    row = gaussian(49_152)
    order = by_sorting(row, 49_152)
    read = score(row, order[123], 5)
    assert (read.id, read.rank, [c.id for c in read.top]) == (order[123], 124, order[:5])
    assert read.logprob == pytest.approx(float(row[order[123]]) - capture(row, 1).log_normaliser)
    assert [c.logprob for c in read.top] == sorted((c.logprob for c in read.top), reverse=True)
