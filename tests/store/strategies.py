"""Steps as Hypothesis draws them: everything the domain type allows, not only what a model would do."""

from typing import get_args

from glasshead.predict.sampling import DEFAULT_STAGES
from glasshead.predict.schedule import Rows, Run, join
from glasshead.predict.step import Candidate, Stage, Step
from hypothesis import strategies as st

GRID = 2**32
ids = st.integers(0, 2**18)
logprobs = st.one_of(st.floats(-90, 0, width=32), st.just(float("-inf")), st.just(0.0))


@st.composite
def steps(draw: st.DrawFn, width: int) -> Step:
    low = draw(st.integers(0, GRID - 1))
    high = draw(st.integers(low + 1, GRID))
    names = draw(st.lists(st.sampled_from(DEFAULT_STAGES), unique=True))
    return Step(
        id=draw(ids),
        logprob=draw(st.floats(-1000, 0, width=32)),
        rank=draw(st.integers(1, 2**18)),
        entropy=draw(st.floats(0, 20)),
        log_normaliser=draw(st.floats(-500, 500)),
        top=tuple(
            Candidate(draw(ids), draw(logprobs), draw(st.sampled_from([None, *DEFAULT_STAGES])))
            for _ in range(width)
        ),
        u=draw(st.integers(low, high - 1)) / GRID,
        interval=(low / GRID, high / GRID),
        p_final=draw(st.floats(0, 1, width=32)),
        stages=tuple(Stage(n, draw(st.integers(1, 2**18)), draw(st.floats(-1e5, 1e5))) for n in names),
        row_hash=draw(st.integers(0, 2**64 - 1)),
    )


traces = st.integers(0, 5).flatmap(lambda width: st.lists(steps(width), max_size=5))
schedules = st.lists(st.builds(Run, st.sampled_from(get_args(Rows)), st.integers(1, 5000)), max_size=8).map(join)
