"""One real model for the room, and the turns it wrote."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from glasshead.explain.turn import Turn
from glasshead.predict.sampling import Sampling

from .recording import Recorder


@pytest.fixture(scope="session")
def recorder(model_path: Path) -> Iterator[Recorder]:
    recorder = Recorder(model_path)
    yield recorder
    recorder.close()


@pytest.fixture(scope="session")
def shallow_recorder(shallow_path: Path) -> Iterator[Recorder]:
    recorder = Recorder(shallow_path)
    yield recorder
    recorder.close()


@pytest.fixture(scope="session")
def turn(recorder: Recorder) -> Turn:
    """A drawn reply that ended by itself: the first such, as the words of a seed differ between kinds of CPU."""
    sampling = Sampling(temperature=1.2, max_tokens=60, repetition_penalty=1.1)
    drawn = (recorder.write("Name a colour and a fruit. Be brief.", sampling, seed) for seed in range(5, 100))
    return next(turn for turn in drawn if turn.finish == "stop" and len(turn.trace.steps) > 20)


@pytest.fixture(scope="session")
def long_turn(recorder: Recorder) -> Turn:
    """Five hundred real steps at the default settings, some of them more than once."""
    turn = recorder.write("Tell me a long story about a lighthouse.", Sampling(max_tokens=100), seed=3)
    times = 500 // len(turn.trace.steps) + 1
    steps, pieces = (turn.trace.steps * times)[:500], (turn.trace.pieces * times)[:500]
    return replace(turn, trace=replace(turn.trace, steps=steps, pieces=pieces))
