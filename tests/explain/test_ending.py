"""How a reply ended, read from its record."""

from dataclasses import replace

import pytest
from glasshead.explain.ending import stop_string
from glasshead.explain.explanation import explain
from glasshead.explain.lines import plain
from glasshead.explain.text import outcome, step_lines
from glasshead.explain.turn import Turn
from glasshead.predict.sampling import Sampling

from .recording import Recorder


def stopped(recorder: Recorder, reply: str, *stop: str) -> Turn:
    """A reply that ended at a stop string."""
    turn = recorder.read("Say it.", reply)
    return replace(turn, finish="stop", sampling=replace(turn.sampling, stop=stop))


def test_the_end_of_turn_token_has_a_step_with_candidates(turn: Turn) -> None:
    explanation = explain(turn)
    assert turn.finish == "stop"
    last = explanation.tokens[-1]
    assert last.is_end and last.bytes == b"<|im_end|>" and not last.is_unshown
    assert len(explanation.step(last.index).candidates) >= turn.trace.k
    assert "end of turn" in plain(step_lines(explanation, last.index))
    assert outcome(explanation) == "ended its turn"


@pytest.mark.parametrize("stop", ["</b>", "five", " four, five"])
def test_a_stop_string_is_no_end_of_turn_whatever_it_looks_like(recorder: Recorder, stop: str) -> None:
    explanation = explain(stopped(recorder, f"One, two, three,{stop}", "###", stop))
    assert stop_string(explanation.turn) == stop
    assert not any(token.is_end for token in explanation.tokens)
    unshown = b"".join(token.bytes for token in explanation.tokens if token.is_unshown)
    assert unshown.endswith(stop.encode())
    assert unshown.removesuffix(stop.encode()) in (b"", b",")
    assert "of the stop string, not shown" in plain(step_lines(explanation, len(explanation.tokens) - 1))
    assert "stop string" in outcome(explanation)


def test_a_stop_string_that_was_never_met_ended_nothing(turn: Turn) -> None:
    explanation = explain(replace(turn, sampling=replace(turn.sampling, stop=("@@",))))
    assert explanation.tokens[-1].is_end and stop_string(explanation.turn) is None


@pytest.mark.parametrize("finish", ["length", "stopped", "error"])
def test_a_reply_cut_short_has_no_end_of_turn(recorder: Recorder, finish: str) -> None:
    turn = replace(recorder.write("Tell me a story.", Sampling(max_tokens=5), seed=1), finish=finish)
    assert not any(token.is_end or token.is_unshown for token in explain(turn).tokens)
