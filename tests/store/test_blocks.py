"""Token ids and spans as bytes."""

import pytest
from glasshead.predict.prompt import Span
from glasshead.store.blocks import BLOCK, ERASED, PackedPrompt, pack_ids, unpack_ids
from glasshead.store.columns import Damaged
from glasshead.store.spans import pack_spans, unpack_spans
from hypothesis import given, settings
from hypothesis import strategies as st

ids = st.lists(st.one_of(st.integers(ERASED, 300), st.integers(0, 2**18), st.just(2**32 - 2)), max_size=200)


@settings(deadline=None)
@given(ids)
def test_ids_come_back(values: list[int]):
    assert unpack_ids(pack_ids(values)) == tuple(values)


@settings(deadline=None)
@given(st.integers(0, 2000), st.integers(1, 2000), st.integers(0, 600))
def test_a_sequence_comes_back_whether_it_compresses_or_not(start: int, step: int, count: int):
    values = tuple((start + i * step) % 1999 for i in range(count))
    assert unpack_ids(pack_ids(values)) == values


def test_a_block_is_known_by_all_before_it_and_by_the_key():
    one = PackedPrompt(range(2 * BLOCK + 3), b"k" * 32)
    same_start = PackedPrompt([*range(2 * BLOCK), 9], b"k" * 32)
    other_start = PackedPrompt([7, *range(1, 2 * BLOCK)], b"k" * 32)
    other_key = PackedPrompt(range(2 * BLOCK), b"l" * 32)
    assert len(one.blocks) == 2 and unpack_ids(one.tail) == (512, 513, 514)
    assert one.blocks == same_start.blocks
    assert one.blocks[1][1] == other_start.blocks[1][1] and one.blocks[1][0] != other_start.blocks[1][0]
    assert not {hash_ for hash_, _ in one.blocks} & {hash_ for hash_, _ in other_key.blocks}


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 3000),
            st.sampled_from(["marker", "typed", "generated", "rewritten"]),
            st.sampled_from([None, "system", "user", "assistant"]),
            st.one_of(st.none(), st.integers(1, 2**40)),
        ),
        max_size=30,
    )
)
def test_spans_come_back(parts):
    spans, at = [], 0
    for size, kind, role, message in parts:
        spans.append(Span(at, at + size, kind, role, message))
        at += size
    assert unpack_spans(pack_spans(tuple(spans))) == tuple(spans)


def test_spans_with_a_gap_are_refused():
    with pytest.raises(ValueError, match="without gap"):
        pack_spans((Span(0, 3, "marker"), Span(4, 5, "typed")))


@pytest.mark.parametrize("data", [b"", b"\x12\xff\xff", b"\x02\x01"])
def test_damaged_ids_are_noticed(data: bytes):
    with pytest.raises((Damaged, ValueError)):
        unpack_ids(data)
