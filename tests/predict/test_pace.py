"""How many rows a chunk gets."""

import pytest
from glasshead.predict.batch import Chunk
from glasshead.predict.pace import Pace


@pytest.mark.parametrize(("threads", "rows"), [(1, 10), (2, 20), (4, 20)])
def test_other_threads_are_reckoned_from_the_last_that_were_measured(threads, rows):
    pace = Pace()
    pace.note("some", 0, 4, 100, 0.1)  # long ago, and quick
    pace.note("some", 0, 2, 10, 0.05)
    assert pace.rows(0, threads, 0.1) == rows


def test_slower_counts_at_once_and_faster_by_half():
    pace = Pace()
    for seconds, rows in ((0.04, 25), (0.08, 12), (0.04, 16)):
        pace.note("some", 0, 2, 10, seconds)
        assert pace.rows(0, 2, 0.1) == rows


def test_newcomers_at_different_depths_do_not_take_each_other_s_pace():
    pace = Pace()
    for _ in range(3):  # they take turns
        pace.note("some", 100, 2, 10, 0.03)
        pace.note("some", 2900, 2, 10, 0.12)
    assert (pace.rows(0, 2, 0.1), pace.rows(3000, 2, 0.1)) == (33, 8)
    assert pace.rows(2000, 2, 0.1) == 8  # nothing is known there: the nearest depth says most


def test_there_are_tiles_where_one_fits_into_the_time():
    pace = Pace()
    pace.note("some", 1000, 2, 10, 0.08)
    pace.note("tile", 1000, 2, 64, 0.3)
    assert [pace.rows(1000, 2, seconds) for seconds in (0.1, 0.29, 0.31, 0.6)] == [12, 36, 66, 128]


def test_a_chunk_below_a_tile_has_no_more_rows_than_that_however_quick_they_are():
    pace = Pace()
    pace.note("some", 0, 2, 8, 0.008)
    pace.note("tile", 0, 2, 64, 0.64)
    assert pace.rows(0, 2, 0.5) == 60


def test_a_chunk_is_filled_up_to_a_tile_where_that_is_quicker():
    pace = Pace()
    pace.note("some", 1000, 2, 10, 0.08)
    pace.note("tile", 1000, 2, 64, 0.3)
    chunks = [Chunk(36, 0), Chunk(38, 2), Chunk(60, 4)]  # 0.288, 0.32 seconds; a tile it is already
    assert [pace.is_quicker_as_tile(part, 1000, 2) for part in chunks] == [False, True, False]
