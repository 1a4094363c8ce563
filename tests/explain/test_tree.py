"""The tree of what-ifs: what hangs below what, and what each fork says."""

from dataclasses import replace

import pytest
from glasshead.explain.contrast import kin_text
from glasshead.explain.explanation import explain
from glasshead.explain.family import Family
from glasshead.explain.json import tree_json
from glasshead.explain.lines import plain, width
from glasshead.explain.tree import tree, tree_lines
from glasshead.explain.turn import Turn

from .recording import Recorder

STEP = 2


def branch(recorder: Recorder, parent: Turn, step: int, text: str, number: int, **fields: object) -> Turn:
    """The parent's reply up to ``step``, then ``text``, whose first token was forced."""
    forced, *rest = recorder.tokenise(text)
    kept = (*(s.id for s in parent.trace.steps[:step]), forced)
    ids = parent.prompt.ids + kept
    written = recorder.read("", b"".join(map(recorder.piece, rest)))
    made = replace(
        parent,
        id=number,
        parent_turn=parent.id,
        first_step=parent.first_step + len(kept),
        prompt=replace(parent.prompt, ids=ids),
        prompt_pieces=tuple(map(recorder.piece, ids)),
        trace=written.trace,
        finish="length",
    )
    return replace(made, **fields)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def family(recorder: Recorder) -> list[Turn]:
    parent = recorder.read("Say it.", "I like red apples because they are sweet and round.", turn=1)
    other = branch(recorder, parent, STEP, " green apples because they are sweet and round.", 2)
    return [
        parent,
        other,
        branch(recorder, other, 1, " pears.", 3, seed=9),
        branch(recorder, parent, 4, " of the smell.", 4),
    ]


def test_branches_hang_below_the_turn_they_came_from(family: list[Turn]) -> None:
    forest = tree([*reversed(family), replace(family[0], id=9, parent_turn=77)])
    assert [root.turn.id for root in forest] == [1, 9]
    assert [branch.turn.id for branch in forest[0].branches] == [2, 4]
    assert [branch.turn.id for branch in forest[0].branches[0].branches] == [3]


def test_a_fork_says_what_was_taken_for_what_as_the_parent_predicted_it(family: list[Turn]) -> None:
    parent, fork = family[0], tree(family)[0].branches[0].fork
    step = explain(parent).step(STEP)
    assert fork is not None and (fork.parent, fork.step, fork.same_draws) == (1, STEP, True)
    assert (fork.took.bytes, fork.instead) == (b" green", b" red")
    assert fork.instead_p == step.p
    assert fork.took_p == next((c.p for c in step.candidates if c.bytes == b" green"), None)
    assert fork.meets_at == (3, 3)


def test_a_fork_of_a_fork_counts_its_step_in_the_branch_s_own_record(family: list[Turn]) -> None:
    fork = tree(family)[0].branches[0].branches[0].fork
    assert fork is not None and (fork.parent, fork.step, fork.same_draws) == (2, 1, False)
    assert fork.instead == family[1].trace.pieces[1]


def test_a_parent_whose_record_is_gone_leaves_the_branch_where_it_is(family: list[Turn]) -> None:
    empty = replace(family[0], trace=replace(family[0].trace, steps=(), pieces=(), fault="damaged"))
    forest = tree([empty, family[1]])
    assert forest[0].branches[0].fork is None
    assert "turn 2" in plain(tree_lines(forest))


@pytest.mark.parametrize("columns", [40, 56, 80])
def test_the_tree_as_text(family: list[Turn], columns: int) -> None:
    lines = plain(tree_lines(tree(family), current=2, columns=columns)).splitlines()
    assert [line.split("turn ")[0] for line in lines if " tokens" in line] == ["", "├─ ", "│  └─ ", "└─ "]
    words = " ".join(" ".join(line.strip(" │├└─") for line in lines).split())
    assert "the same draws ◀ this one step 2: “·green”" in words and "not “·red”" in words
    assert "meets turn 1 again at token 3" in words
    assert all(width(line) <= columns for line in lines)


def test_the_tree_as_data(family: list[Turn]) -> None:
    data = tree_json(Family(tuple(family), (8, 9)))
    assert data["left_out"] == [8, 9]
    child = data["trees"][0]["branches"][0]
    assert (child["turn"], child["fork"]["step"], child["fork"]["took"]["text"]) == (2, STEP, " green")
    assert child["fork"]["instead"]["text"] == " red"
    assert child["branches"][0]["fork"]["same_draws"] is False


def test_a_branch_stands_beside_the_reply_it_left(family: list[Turn]) -> None:
    said = kin_text(Family(tuple(family)), family[1], 56)
    assert "turn 1 (<) and turn 2 (>)" in said and "<  red" in said and ">  green" in said
    assert "(<)" not in kin_text(Family(tuple(family)), family[0], 56)
