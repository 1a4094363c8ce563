"""The radix tree against a plain list of sequences."""

from glasshead.predict.radix import RadixTree, common
from hypothesis import given
from hypothesis import strategies as st

ids = st.lists(st.integers(0, 3), max_size=8).map(tuple)


@given(st.lists(st.tuples(st.sampled_from(["put", "put", "remove"]), ids)), ids)
def test_it_finds_what_a_list_would(changes, query):
    tree: RadixTree[tuple[int, ...]] = RadixTree()
    known: set[tuple[int, ...]] = set()
    for change, sequence in changes:
        if change == "put":
            tree.put(sequence, sequence)
            known.add(sequence)
        else:
            tree.remove(sequence)
            known.discard(sequence)

    depth, sharing = tree.longest(query)
    expected = max((common(sequence, query) for sequence in known), default=0)
    assert depth == expected
    assert sorted(sharing) == sorted(sequence for sequence in known if sequence[:depth] == query[:depth])
    prefixes = [sequence for sequence in known if query[: len(sequence)] == sequence]
    assert tree.prefixes(query) == sorted(prefixes, key=len)


@given(ids, ids)
def test_the_common_prefix_is_as_long_as_it_goes(a, b):
    n = common(a, b)
    assert a[:n] == b[:n]
    assert n == min(len(a), len(b)) or a[n] != b[n]
