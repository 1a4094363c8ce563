"""What an explanation says of a real turn agrees with itself and with the record."""

import math
import time
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from glasshead.explain.explanation import explain
from glasshead.explain.json import explanation_json
from glasshead.explain.lines import plain, width
from glasshead.explain.text import BLURRED, full, headline, step_lines
from glasshead.explain.turn import Trace, Turn
from glasshead.predict.sampler import sample
from glasshead.predict.sampling import Sampling

from .recording import Recorder


def test_every_step_sums_to_one_before_and_after_sampling(turn: Turn) -> None:
    explanation = explain(turn)
    for index in range(len(turn.trace.steps)):
        step = explanation.step(index)
        assert sum(c.p for c in step.candidates) + step.remainder == pytest.approx(1, abs=1e-9)
        assert sum(c.p_final for c in step.candidates) + step.final_remainder == pytest.approx(1, abs=1e-9)


def test_the_chosen_token_is_among_the_candidates_and_could_be_drawn(turn: Turn) -> None:
    explanation = explain(turn)
    for index, recorded in enumerate(turn.trace.steps):
        chosen = [c for c in explanation.step(index).candidates if c.chosen]
        assert [c.id for c in chosen] == [recorded.id]
        assert chosen[0].removed_by is None
        assert chosen[0].p_final == pytest.approx(recorded.p_final, abs=1e-9)
        assert chosen[0].p == pytest.approx(math.exp(recorded.logprob), abs=1e-6)


def test_removed_candidates_name_a_stage_that_acted(turn: Turn) -> None:
    explanation = explain(turn)
    removed = 0
    for index in range(len(turn.trace.steps)):
        step = explanation.step(index)
        acted = {stage.name for stage in step.stages}
        for candidate in step.candidates:
            if candidate.removed_by:
                removed += 1
                assert candidate.removed_by in acted
                assert candidate.p_final == 0
    assert removed > 0


def test_the_bar_has_no_overlap_and_holds_the_draw_in_the_chosen_part(turn: Turn, recorder: Recorder) -> None:
    plain = recorder.read("Say it.", "The quick brown fox jumps over it.")
    for explained in (explain(turn), explain(plain)):
        for index in range(len(explained.tokens)):
            step = explained.step(index)
            edges = [edge for part in step.segments for edge in (part.low, part.high)]
            assert all(after >= before - 1e-3 for before, after in pairwise(edges))
            own = next(part for part in step.segments if part.id == step.id)
            assert own.low <= step.u < own.high


def test_what_temperature_zero_would_pick_is_what_it_picks(recorder: Recorder) -> None:
    """The record's answer against sampling the same rows greedily."""
    hot = Sampling(temperature=1.5, max_tokens=40, repetition_penalty=1.3, top_k=0, top_p=0.9, min_p=0.0)
    cold = replace(hot, temperature=0.0)
    drawn = recorder.write("List three animals.", hot, seed=11)
    ids = [step.id for step in drawn.trace.steps]
    rows = list(recorder.rows(drawn.prompt.ids, ids))
    explanation = explain(drawn)
    told = 0
    for index, row in enumerate(rows):
        greedy = explanation.step(index).greedy
        if greedy is None:
            continue
        told += 1
        history = [*drawn.prompt.ids, *ids[:index]]
        best = sample(row, cold, history, 0.0, 10)
        if best.top[0].logprob - best.top[1].logprob > 3:  # the teacher-forced rows are near, not equal
            assert greedy == best.id
    assert told > len(rows) / 2


def test_the_whole_follows_from_the_steps(turn: Turn) -> None:
    whole = explain(turn).whole
    steps = turn.trace.steps
    assert whole.tokens == len(steps)
    assert whole.perplexity == pytest.approx(math.exp(-sum(s.logprob for s in steps) / len(steps)))
    assert whole.first_choice_share == sum(s.rank == 1 for s in steps) / len(steps)
    worst = min(range(len(steps)), key=lambda i: steps[i].logprob)
    assert whole.least_certain[0] == worst
    assert all(steps[i].interval[0] > 0 for i in whole.overruled)
    assert whole.ms_per_token == pytest.approx(10)


def test_a_turn_without_steps_is_explained_too(turn: Turn) -> None:
    empty = replace(turn, trace=Trace((), (), turn.trace.k), status="pending", finish=None, timings=None, reply="")
    explanation = explain(empty)
    assert explanation.groups == ()
    assert explanation.whole.perplexity is None
    with pytest.raises(IndexError):
        explanation.step(0)


def test_a_step_out_of_range_is_an_index_error(turn: Turn) -> None:
    for index in (-1, len(turn.trace.steps)):
        with pytest.raises(IndexError):
            explain(turn).step(index)


def test_the_prompt_is_shown_whole_and_in_order(turn: Turn) -> None:
    parts = explain(turn).prompt
    assert [token for part in parts for token in part.ids] == list(turn.prompt.ids)
    assert b"".join(parts[1].pieces) == b"Name a colour and a fruit. Be brief."
    assert (parts[1].kind, parts[1].role, parts[1].message) == ("typed", "user", 7)


def test_the_end_of_turn_token_is_marked(recorder: Recorder) -> None:
    ended = recorder.write("Why do cats purr? Answer in two sentences.", Sampling(max_tokens=90), seed=7)
    assert ended.finish == "stop"
    tokens = explain(ended).tokens
    assert [token.is_end for token in tokens] == [False] * (len(tokens) - 1) + [True]


def test_opening_a_long_reply_takes_milliseconds(long_turn: Turn) -> None:
    times = []
    for _ in range(5):
        start = time.process_time()
        explanation = explain(long_turn)
        assert explanation.groups and explanation.whole.tokens
        explanation.step(0)
        times.append(time.process_time() - start)
    assert min(times) < 0.020


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"status": "interrupted", "finish": None}, "interrupted"),
        ({"status": "pending", "finish": None}, "still running"),
        ({"status": "stopped", "finish": "stopped"}, "stopped by a person"),
        ({"status": "error", "finish": "error", "error": "out of\x1b memory"}, "ended by a fault: out of␛ memory"),
        ({"verifiable": False}, "was erased"),
    ],
)
def test_what_is_not_as_usual_is_said_at_the_top(turn: Turn, change: dict[str, object], said: str) -> None:
    assert said in "\n".join(headline(explain(replace(turn, **change))))  # type: ignore[arg-type]


def test_a_damaged_record_is_named_and_the_rest_works(turn: Turn) -> None:
    trace = replace(turn.trace, steps=turn.trace.steps[:5], pieces=turn.trace.pieces[:5], fault="part 2 is damaged")
    explanation = explain(replace(turn, trace=trace))
    said = full(explanation)
    assert "part 2 is damaged" in said and "5 tokens" in said
    assert explanation.step(4).index == 4


def test_a_what_if_says_where_it_goes_on(turn: Turn) -> None:
    kept = tuple(step.id for step in turn.trace.steps[:3])
    branch = replace(
        turn,
        first_step=3,
        parent_turn=turn.id,
        prompt=replace(turn.prompt, ids=turn.prompt.ids + kept),
        prompt_pieces=turn.prompt_pieces + turn.trace.pieces[:3],
    )
    said = "\n".join(headline(explain(branch)))
    assert f"after 3 tokens of turn {turn.id}" in said
    assert explain(branch).step(0).draw_index == 3


@pytest.mark.parametrize(
    ("fields", "fault", "reason"),
    [
        ({"status": "pending", "finish": None}, None, "No token was recorded yet."),
        ({}, "the checksum does not match", "No step can be read: the record is damaged."),
        ({"verifiable": False}, None, "The tokens of this reply were erased."),
    ],
)
def test_what_has_no_steps_says_why_and_shows_the_rest(
    turn: Turn, fields: dict[str, Any], fault: str | None, reason: str
) -> None:
    trace = replace(turn.trace, steps=(), pieces=(), fault=fault)
    said = full(explain(replace(turn, trace=trace, reply="It was blue.", **fields)))
    assert reason in said and "It was blue." in said and "What the model saw" in said
    assert ("was erased" in said) == ("verifiable" in fields)


def test_an_erased_part_of_the_prompt_says_so(turn: Turn) -> None:
    typed = next(span for span in turn.prompt.spans if span.kind == "typed")
    gone = range(typed.start, typed.end)
    ids = tuple(-1 if place in gone else token for place, token in enumerate(turn.prompt.ids))
    pieces = tuple(b"" if place in gone else piece for place, piece in enumerate(turn.prompt_pieces))
    prompt = replace(turn.prompt, ids=ids)
    said = full(explain(replace(turn, prompt=prompt, prompt_pieces=pieces, verifiable=False)))
    assert "(erased)" in said and "Name a colour" not in said.replace("│", "")


@pytest.mark.parametrize("columns", [56, 80])
def test_a_step_keeps_to_its_columns(turn: Turn, columns: int) -> None:
    explanation = explain(turn)
    for index in range(len(turn.trace.steps)):
        for line in step_lines(explanation, index, columns)[2:]:  # not its name and bytes
            assert width("".join(text for _, text in line)) <= columns
    removed = [line for line in plain(step_lines(explanation, 0, 80)).splitlines() if "removed" in line]
    assert any(": “" in line for line in removed)


def test_where_penalties_looked_back_on_what_was_erased_nothing_is_made_up(turn: Turn) -> None:
    prompt = replace(turn.prompt, ids=(-1,) * len(turn.prompt.ids))
    whole, erased = explain(turn), explain(replace(turn, prompt=prompt, verifiable=False))
    drawn = next(i for i, step in enumerate(turn.trace.steps) if step.interval[0] > 0)
    first = next(i for i, step in enumerate(turn.trace.steps) if step.interval[0] == 0)
    assert not whole.step(drawn).is_blurred
    view = erased.step(drawn)
    assert (view.is_blurred, view.greedy, len(view.segments)) == (True, None, 1)
    assert erased.step(first).greedy == erased.step(first).id, "what led is the token that was drawn"
    assert erased.whole.overruled == ()
    said = "\n".join("".join(text for _, text in line) for line in step_lines(erased, drawn, 200))
    assert BLURRED in said and "erased" in said.partition(BLURRED)[0]
    told = explanation_json(erased)["steps"][drawn]
    assert told["final_remainder"] is None
    assert {c["p_final"] for c in told["top"] if c["id"] != view.id and not c["removed_by"]} == {None}
