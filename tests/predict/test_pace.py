"""How many rows a chunk gets."""

import pytest
from glasshead.predict.pace import Pace


@pytest.mark.parametrize(("threads", "rows"), [(1, 10), (2, 20), (4, 20)])
def test_other_threads_are_reckoned_from_the_last_that_were_measured(threads, rows):
    pace = Pace()
    pace.note(4, 100, 0.1)  # long ago, and quick
    pace.note(2, 10, 0.05)
    assert pace.rows(threads, 0.1) == rows


def test_slower_counts_at_once_and_faster_by_half():
    pace = Pace()
    for seconds, rows in ((0.04, 25), (0.08, 12), (0.04, 16)):
        pace.note(2, 10, seconds)
        assert pace.rows(2, 0.1) == rows
