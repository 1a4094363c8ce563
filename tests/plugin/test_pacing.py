"""The pace of edits: one at a time, apart, slower where Discord slows them."""

import asyncio
import itertools
import time

import pytest
from glasshead.plugin.pacing import SLOWEST, Left, Pace, Turnstile


@pytest.mark.parametrize(
    ("happened", "interval"),
    [
        ([], 1.1),
        ([None, None], 1.1),
        ([3.0], 2.6),
        ([3.0, None], 2.08),
        ([3.0, None, None, None, None, None], 1.1),
        ([9.0, 9.0], SLOWEST),
    ],
)
def test_pace(happened: list[float | None], interval: float) -> None:
    """Each is a refusal and how long it said to wait, or (None) an edit that went through, however slowly."""
    pace = Pace(1.1)
    for seconds in happened:
        pace.passed() if seconds is None else pace.refused(seconds)
    assert pace.interval == pytest.approx(interval, abs=0.01)


@pytest.mark.parametrize(
    ("left", "seconds"),
    [(None, 1.1), (Left(4, 5.0), 1.1), (Left(1, 5.0), 2.5), (Left(0, 5.0), 5.0), (Left(0, 0.2), 1.1)],
)
def test_what_is_left_is_spread_over_its_time(left: Left | None, seconds: float) -> None:
    assert Pace(1.1).until_next(left) == pytest.approx(seconds)


async def test_slow_answers_do_not_slow_the_pace() -> None:
    turnstile = Turnstile(0.01)
    for _ in range(3):
        async with turnstile:
            await asyncio.sleep(0.05)
    assert turnstile.pace.interval == 0.01


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


async def test_who_only_shows_a_wait_lets_replies_through_between() -> None:
    turnstile, passed = Turnstile(0.0), list[str]()

    async def reply(name: str) -> None:
        async with turnstile:
            passed.append(name)

    async def place(name: str) -> None:
        async with turnstile.second():
            passed.append(name)

    async with turnstile:
        every = [place("a"), place("b"), place("c"), reply("one"), reply("two")]
        waiting = [asyncio.ensure_future(each) for each in every]
        await asyncio.sleep(0)
    await asyncio.gather(*waiting)
    assert passed[0] == "a" and passed.index("two") < 4 and sorted(passed) == ["a", "b", "c", "one", "two"]
    async with asyncio.timeout(1):
        await asyncio.gather(place("a"), place("b"))


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
