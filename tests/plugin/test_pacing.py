"""The pace of edits: one at a time, apart, slower where Discord slows them."""

import asyncio
import itertools
import time

import pytest
from glasshead.plugin.pacing import SLOWEST, Pace, Turnstile


@pytest.mark.parametrize(
    ("took", "interval"),
    [
        ([], 1.1),
        ([0.1, 0.1], 1.1),
        ([3.0], 2.6),
        ([3.0, 0.1], 2.08),
        ([3.0, 0.1, 0.1, 0.1, 0.1, 0.1], 1.1),
        ([9.0, 9.0], SLOWEST),
    ],
)
def test_pace(took: list[float], interval: float) -> None:
    pace = Pace(1.1)
    for seconds in took:
        pace.took(seconds)
    assert pace.interval == pytest.approx(interval, abs=0.01)


async def test_a_turnstile_lets_one_through_at_a_time_and_apart() -> None:
    turnstile, inside, entered = Turnstile(0.05), 0, []

    async def edit() -> None:
        nonlocal inside
        async with turnstile:
            inside += 1
            assert inside == 1
            entered.append(time.monotonic())
            inside -= 1

    await asyncio.gather(*(edit() for _ in range(4)))
    assert all(later - earlier >= 0.045 for earlier, later in itertools.pairwise(entered))


async def test_a_failed_or_cancelled_edit_does_not_block_the_next() -> None:
    turnstile = Turnstile(0.01)
    with pytest.raises(ValueError, match="no"):
        async with turnstile:
            raise ValueError("no")
    async with turnstile:
        waiting = asyncio.ensure_future(turnstile.__aenter__())
        await asyncio.sleep(0)
        waiting.cancel()
    async with turnstile:
        pass
