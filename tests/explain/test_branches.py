"""Two replies token by token: where they part, and where they meet again."""

import dataclasses

from glasshead.explain.branches import compare, reply
from glasshead.explain.contrast import compare_lines
from glasshead.explain.lines import plain
from glasshead.explain.turn import Turn

from .recording import Recorder


def test_a_reply_agrees_with_itself(turn: Turn) -> None:
    comparison = compare(turn, turn)
    assert comparison.parts_at is None and comparison.meets_at is None
    assert [stretch.same for stretch in comparison.stretches] == [True]


def test_they_part_at_the_changed_token_and_meet_again(recorder: Recorder) -> None:
    left = recorder.read("Say it.", "I like red apples because they are sweet and round.")
    right = recorder.read("Say it.", "I like green apples because they are sweet and round.")
    comparison = compare(left, right)
    assert comparison.parts_at is not None and comparison.meets_at is not None
    at = comparison.parts_at
    assert [token.id for token in comparison.left[:at]] == [token.id for token in comparison.right[:at]]
    assert comparison.left[at].bytes == b" red" and comparison.right[at].bytes == b" green"
    assert comparison.left[comparison.meets_at[0]].bytes == b" apples"
    assert comparison.right[comparison.meets_at[1]].bytes == b" apples"
    assert comparison.same_prompt


def test_a_branch_s_reply_begins_with_what_it_kept(turn: Turn) -> None:
    kept = 4
    ids = tuple(step.id for step in turn.trace.steps[:kept])
    branch = dataclasses.replace(
        turn,
        id=99,
        parent_turn=turn.id,
        first_step=kept,
        prompt=dataclasses.replace(turn.prompt, ids=turn.prompt.ids + ids),
        prompt_pieces=turn.prompt_pieces + turn.trace.pieces[:kept],
        trace=dataclasses.replace(turn.trace, steps=turn.trace.steps[kept:], pieces=turn.trace.pieces[kept:]),
    )
    assert [token.id for token in reply(branch)] == [token.id for token in reply(turn)]
    assert [token.logprob is None for token in reply(branch)[: kept + 1]] == [True] * kept + [False]
    comparison = compare(turn, branch)
    assert comparison.parts_at is None and comparison.same_prompt


def test_a_comparison_in_words(recorder: Recorder) -> None:
    left = recorder.read("Say it.", "I like red apples because they are sweet and round.", turn=1)
    right = recorder.read("Say it.", "I like green apples because they are sweet and round.", turn=2)
    said = plain(compare_lines(compare(left, right), left, right))
    assert "<  red" in said and ">  green" in said
    assert "they part at step 2" in said and "meet again at step 3" in said
    assert "the same tokens throughout" in plain(compare_lines(compare(left, left), left, left))
