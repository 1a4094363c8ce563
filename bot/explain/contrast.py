"""Two replies compared, as text: what they share, where they part, where they meet again."""

import textwrap
from collections.abc import Sequence

from .branches import Comparison, ReplyToken, Stretch, compare
from .family import Family
from .lines import Line, lay_out, plain
from .tree import tree, tree_lines
from .turn import Turn
from .visible import neutral


def compare_lines(comparison: Comparison, left: Turn, right: Turn, columns: int = 80) -> list[Line]:
    """The two replies stretch by stretch: lines with ``=`` are in both, ``<`` in the left, ``>`` in the right."""
    lines: list[Line] = [
        [("bold", f"turn {left.id} (<) and turn {right.id} (>)")],
        *([("", fact)] for fact in facts(comparison)),
        [],
    ]
    for stretch in comparison.stretches:
        if stretch.same:
            lines += _block("=", "", comparison.left, stretch.left, columns)
            continue
        lines += _block("<", "fg:ansiyellow", comparison.left, stretch.left, columns)
        lines += _block(">", "fg:ansicyan", comparison.right, stretch.right, columns)
    return lines


def kin_text(family: Family, turn: Turn, columns: int) -> str:
    """The tree of the replies to one message; below it ``turn``, if it is a branch, beside the reply it left."""
    lines = family_lines(family, turn, columns)
    parent = next((other for other in family if other.id == turn.parent_turn), None)
    if parent is not None:
        lines += [[], *compare_lines(compare(parent, turn), parent, turn, columns)]
    return plain(lines)


def family_lines(family: Family, turn: Turn, columns: int) -> list[Line]:
    """The tree of the replies to one message, ``turn`` marked in it, and what it does not show."""
    unread: list[Line] = [[("", part)] for part in textwrap.wrap(family.unread, columns)]
    return tree_lines(tree(family), turn.id, columns) + unread


def facts(comparison: Comparison) -> list[str]:
    """What the two share, where they part, where they meet again."""
    out = [] if comparison.same_prompt else ["they answer different prompts"]
    if comparison.parts_at is None:
        out.append("the same tokens throughout")
    else:
        out.append(f"{_shared(comparison.stretches)} tokens in common; they part at step {comparison.parts_at}")
        if comparison.meets_at:
            out.append("and meet again at step {} of the left, {} of the right".format(*comparison.meets_at))
        else:
            out.append("and do not meet again for three tokens in a row")
    return out


def _shared(stretches: Sequence[Stretch]) -> int:
    return sum(stretch.left[1] - stretch.left[0] for stretch in stretches if stretch.same)


def _block(sign: str, style: str, tokens: Sequence[ReplyToken], part: tuple[int, int], columns: int) -> list[Line]:
    text = neutral(b"".join(token.bytes for token in tokens[part[0] : part[1]]))
    if not text:
        return []
    words = text.replace("\t", "    ").replace(" ", "\0 ").split("\0")
    rows = lay_out([word for word in words if word], columns - 2)
    return [[("", f"{sign} "), (style, "".join(cell.text for cell in row))] for row in rows]
