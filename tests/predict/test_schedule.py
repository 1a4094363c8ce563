"""Schedules and batches: arithmetic of runs, chunks and kernel classes."""

from itertools import pairwise

import pytest
from glasshead.predict.batch import BLOCK, LEAST_CHUNK, TILE, chunk, decode_classes, least_chunk, tells_routes
from glasshead.predict.gguf import Header, TensorInfo
from glasshead.predict.reply import Reply
from glasshead.predict.sampling import Sampling
from glasshead.predict.schedule import Run, cut, join, length
from hypothesis import given
from hypothesis import strategies as st

classes = st.sampled_from(["one", "tile", "few", "split"])
runs = st.lists(st.builds(Run, classes, st.integers(0, 9), st.sampled_from([0, 2])), max_size=9)


def spell(schedule) -> list[tuple[str, int]]:
    return [(run.rows, run.threads) for run in schedule for _ in range(run.count)]


@given(runs, st.integers(0, 90))
def test_joining_and_cutting_keep_every_position(parts, n):
    schedule = join(parts)
    assert spell(schedule) == spell(parts)
    assert all(not a.follows(b) and a.count and b.count for a, b in pairwise(schedule))
    assert spell(cut(schedule, n)) == spell(schedule)[:n]
    assert length(cut(schedule, n)) == min(n, length(schedule))


@given(runs)
def test_a_reply_counts_as_joining_does(parts):
    reply = Reply([1], Sampling(), 0, 0, "", lambda news: None)
    for run in parts:
        if run.count:
            reply.count(run)
    assert reply.schedule == join(parts)
    assert reply.computed == length(join(parts))


@given(st.integers(1, 2000), st.integers(1, 512), st.integers(0, 12), st.sampled_from([BLOCK, LEAST_CHUNK]))
def test_chunks_are_whole_blocks_and_cover_a_prompt(left, limit, room, least):
    while part := chunk(left, limit, room, least):
        assert (part.rows + part.padding) % BLOCK == 0
        assert least <= part.rows + part.padding <= max(least, limit)
        assert part.padding <= room
        assert part.padding == 0 or part.rows == left
        assert part.kind == ("tile" if part.rows + part.padding >= TILE else "some")
        left -= part.rows
        if left == 0:
            break
    assert left < least
    assert left == 0 or room < least


def test_four_rows_are_a_chunk_where_no_kernel_tells_and_a_replay_may_fill_it_up():
    assert least_chunk(tells=False, can_trim=True) == 4
    assert {least_chunk(tells=True, can_trim=True), least_chunk(tells=False, can_trim=False)} == {8}


def test_rows_are_classed_by_the_company_they_keep():
    def named(streams, *, tells) -> list[str]:
        runs = decode_classes([(stream, 700) for stream in streams], tells=tells, threads=1)
        assert all(run.count == 1 and run.threads == 0 for run in runs)
        return [run.rows for run in runs]

    assert named([3], tells=True) == ["one"]
    assert named([0, 1, 2], tells=True) == ["few"] * 3
    assert named(range(6), tells=True) == ["block"] * 4 + ["few"] * 2
    assert named(range(9), tells=True) == ["wide"] * 8 + ["tail"]
    assert named([0, 1, 3, 5, 6, 7, 8], tells=True) == ["few", "few", "one", *["block"] * 4]
    assert named(range(9), tells=False) == ["one"] * 9


@pytest.mark.parametrize(("name", "type", "tells"), [
    ("ffn_down_exps", 14, True), ("ffn_down_exps", 23, True), ("ffn_down_exps", 12, True),
    ("ffn_down_exps", 2, False), ("ffn_down_exps", 8, False), ("ffn_down_exps", 39, False), ("ffn_down", 14, False),
])  # fmt: skip
def test_some_quantizations_of_experts_tell_how_many_rows_fall_to_one(name, type, tells):
    shape = (256, 256, 4) if "exps" in name else (256, 256)
    assert tells_routes(Header(3, {}, (TensorInfo(f"blk.0.{name}.weight", shape, type, 0, 0),), 0)) == tells


def test_a_row_alone_is_split_over_the_threads_from_512_cells_on():
    def alone(position, threads):
        return decode_classes([(0, position), (2, 0), (3, 900)], tells=False, threads=threads)

    assert alone(255, 2) == [Run("one", 1)] * 3
    assert alone(256, 2) == [Run("split", 1, 2), Run("one", 1), Run("one", 1)]
    assert alone(256, 1) == [Run("one", 1)] * 3
    assert alone(5000, 3)[0] == Run("split", 1, 3)
