"""A radix tree over token ids: which known sequence shares the longest prefix with a new one."""

from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

V = TypeVar("V")
Ids = tuple[int, ...]


class _Node(Generic[V]):
    """``edge`` is what leads here from the parent. Every node but the root holds a value or has two children."""

    __slots__ = ("children", "edge", "value")

    def __init__(self, edge: Ids, value: V | None = None) -> None:
        self.edge = edge
        self.value = value
        self.children: dict[int, _Node[V]] = {}

    def values(self) -> Iterator[V]:
        """All values here and below."""
        open_nodes = [self]
        while open_nodes:
            node = open_nodes.pop()
            if node.value is not None:
                yield node.value
            open_nodes += node.children.values()


class RadixTree(Generic[V]):
    """Values by token sequences. None is no value."""

    def __init__(self) -> None:
        self._root: _Node[V] = _Node(())

    def put(self, ids: Ids, value: V) -> None:
        """Set the value of exactly this sequence."""
        node, depth = self._root, 0
        while depth < len(ids):
            child = node.children.get(ids[depth])
            if child is None:
                node.children[ids[depth]] = _Node(ids[depth:], value)
                return
            same = common(child.edge, ids[depth:])
            if same < len(child.edge):
                middle: _Node[V] = _Node(child.edge[:same])
                child.edge = child.edge[same:]
                middle.children[child.edge[0]] = child
                node.children[ids[depth]] = middle
                child = middle
            node, depth = child, depth + same
        node.value = value

    def remove(self, ids: Ids) -> None:
        """Forget exactly this sequence, if it is known."""
        path, depth = [self._root], 0
        while depth < len(ids):
            child = path[-1].children.get(ids[depth])
            if child is None or child.edge != ids[depth : depth + len(child.edge)]:
                return
            path.append(child)
            depth += len(child.edge)
        path[-1].value = None
        for parent, node in zip(path[-2::-1], path[:0:-1], strict=True):
            if node.value is not None or len(node.children) > 1:
                return
            if node.children:
                (child,) = node.children.values()
                child.edge = node.edge + child.edge
                parent.children[child.edge[0]] = child
                return
            del parent.children[node.edge[0]]

    def longest(self, ids: Ids) -> tuple[int, list[V]]:
        """The length of the longest prefix shared with any known sequence, and the values that share it."""
        node, depth = self._root, 0
        while child := node.children.get(ids[depth]) if depth < len(ids) else None:
            same = common(child.edge, ids[depth:])
            node, depth = child, depth + same
            if same < len(child.edge):
                break
        return depth, list(node.values())

    def prefixes(self, ids: Ids) -> list[V]:
        """The values of all known sequences that ``ids`` begins with, the shortest first."""
        node, depth, found = self._root, 0, []
        while True:
            if node.value is not None:
                found.append(node.value)
            child = node.children.get(ids[depth]) if depth < len(ids) else None
            if child is None or child.edge != ids[depth : depth + len(child.edge)]:
                return found
            node, depth = child, depth + len(child.edge)


def common(a: Sequence[int], b: Sequence[int]) -> int:
    """The length of the longest common prefix. ``a`` and ``b`` are of one type (two lists, two tuples)."""
    low, high = 0, min(len(a), len(b))
    if a[:high] == b[:high]:
        return high
    while high - low > 1:
        middle = (low + high) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle
    return low
