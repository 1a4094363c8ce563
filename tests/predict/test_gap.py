"""How much of a prompt is read between two steps of the running replies."""

import pytest
from glasshead.predict import gap
from glasshead.predict.batch import BLOCK, LEAST_CHUNK
from glasshead.predict.gap import Gap
from glasshead.predict.pace import Pace
from glasshead.predict.reply import Reply
from glasshead.predict.sampling import Sampling


def rows(*, step_s: float, row_s: float, least: int = BLOCK, new: int = 0) -> int:
    """Of a chunk, where steps and rows take so long, for a newcomer that has ``new`` tokens."""
    pace = Pace()
    pace.note("some", 0, 2, 1, row_s)
    between = Gap(pace, least=least, most=256)
    between.note(step_s)
    between.begin()
    newcomer = Reply([0] * new, Sampling(), 0, 0, "", lambda _: None) if new else None
    return between.rows(0, 2, newcomer)


def test_chunk_and_step_together_take_no_longer_than_the_gap_may():
    assert rows(step_s=0.05, row_s=0.005) == pytest.approx((gap.GAP_S - 0.05) / 0.005, abs=BLOCK)


def test_eight_rows_may_be_felt_a_little():
    assert rows(step_s=0.1, row_s=0.0124) == LEAST_CHUNK


def test_weights_have_their_fewest_rows_however_long_these_take():
    assert rows(step_s=0.19, row_s=0.1) == BLOCK
    assert rows(step_s=0.19, row_s=0.1, least=LEAST_CHUNK) == LEAST_CHUNK


def test_where_steps_are_slow_a_chunk_may_take_a_little_all_the_same():
    assert rows(step_s=1.0, row_s=0.002) == pytest.approx(gap.LEAST_S / 0.002, abs=BLOCK)


def test_a_brief_newcomer_is_read_at_once_where_that_takes_no_more_than_a_few_steps():
    assert rows(step_s=0.1, row_s=0.004, new=60) == 60
    assert rows(step_s=0.1, row_s=0.004, new=65) < 60


def test_where_no_reply_is_running_a_chunk_has_a_tile_at_least_or_all_there_may_be():
    pace = Pace()
    pace.note("some", 0, 2, 1, 1.0)
    assert Gap(pace, least=BLOCK, most=256).rows_alone(0, 2) == gap.ALONE_ROWS
    assert Gap(pace, least=BLOCK, most=64).rows_alone(0, 2) == 64
