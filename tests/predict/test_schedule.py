"""Schedules and batches: arithmetic of runs, chunks and kernel classes."""

from itertools import pairwise

from glasshead.predict.batch import BLOCK, LEAST_CHUNK, chunk, decode_classes
from glasshead.predict.reply import Reply
from glasshead.predict.sampling import Sampling
from glasshead.predict.schedule import Run, cut, join, length
from hypothesis import given
from hypothesis import strategies as st

runs = st.lists(st.builds(Run, st.sampled_from(["one", "many", "few", "block"]), st.integers(0, 9)), max_size=9)


def spell(schedule) -> list[str]:
    return [run.rows for run in schedule for _ in range(run.count)]


@given(runs, st.integers(0, 90))
def test_joining_and_cutting_keep_every_position(parts, n):
    schedule = join(parts)
    assert spell(schedule) == spell(parts)
    assert all(a.rows != b.rows and a.count and b.count for a, b in pairwise(schedule))
    assert spell(cut(schedule, n)) == spell(schedule)[:n]
    assert length(cut(schedule, n)) == min(n, length(schedule))


@given(runs)
def test_a_reply_counts_as_joining_does(parts):
    reply = Reply([1], Sampling(), 0, 0, "", lambda news: None)
    for run in parts:
        if run.count:
            reply.count(run.rows, run.count)
    assert reply.schedule == join(parts)
    assert reply.computed == length(join(parts))


@given(st.integers(1, 2000), st.integers(1, 512), st.integers(0, 12))
def test_chunks_are_whole_blocks_and_cover_a_prompt(left, limit, room):
    while part := chunk(left, limit, room):
        assert (part.rows + part.padding) % BLOCK == 0
        assert LEAST_CHUNK <= part.rows + part.padding <= max(LEAST_CHUNK, limit)
        assert part.padding <= room
        assert part.padding == 0 or part.rows == left
        left -= part.rows
        if left == 0:
            break
    assert left < LEAST_CHUNK
    assert left == 0 or room < LEAST_CHUNK


def test_rows_are_classed_by_the_company_they_keep():
    assert decode_classes([3], tells=True) == ["one"]
    assert decode_classes([0, 1, 2], tells=True) == ["few"] * 3
    assert decode_classes(range(6), tells=True) == ["block"] * 4 + ["few"] * 2
    assert decode_classes(range(9), tells=True) == ["wide"] * 8 + ["tail"]
    assert decode_classes([0, 1, 3, 5, 6, 7, 8], tells=True) == ["few", "few", "one", *["block"] * 4]
    assert decode_classes(range(9), tells=False) == ["one"] * 9
