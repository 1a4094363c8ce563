"""Who is served when: first come first served per user, round robin between users."""

import pytest
from glasshead.predict.engine import QueueFull
from glasshead.predict.queue import FairQueue
from glasshead.predict.reply import Reply
from glasshead.predict.sampling import Sampling
from hypothesis import given
from hypothesis import strategies as st


def reply(user: str) -> Reply:
    return Reply([1], Sampling(), 0, 0, user, lambda news: None)


def served(queue: FairQueue) -> list[Reply]:
    out = []
    while one := queue.get():
        out.append(one)
    return out


def test_a_user_with_many_does_not_hold_up_the_others():
    queue = FairQueue(100, 100, 1)
    replies = [reply(user) for user in ["ann", "ann", "ann", "bob", "eve", "bob"]]
    for one in replies:
        queue.put(one)
    assert [one.user for one in served(queue)] == ["ann", "bob", "eve", "ann", "bob", "ann"]


def test_one_users_replies_keep_their_order():
    queue = FairQueue(100, 100, 1)
    mine = [reply("ann") for _ in range(4)]
    for one in mine:
        queue.put(one)
    assert served(queue) == mine


def test_both_limits_answer():
    queue = FairQueue(2, 2, 1)
    queue.put(first := reply("ann"))
    queue.put(reply("ann"))
    with pytest.raises(QueueFull, match="you have 2 replies"):
        queue.put(reply("ann"))
    queue.put(reply("bob"))
    with pytest.raises(QueueFull, match="full, 2 replies waiting"):
        queue.put(reply("eve"))
    assert queue.get() is first
    with pytest.raises(QueueFull, match="you have 2 replies"):
        queue.put(reply("ann"))  # a running one counts
    queue.done(first)
    queue.put(reply("ann"))


def test_what_a_free_stream_takes_does_not_count_as_waiting():
    queue = FairQueue(1, 9, 2)
    begun = [reply("ann") for _ in range(3)]
    for each in begun:
        queue.put(each)  # two for the streams, one to wait: nobody has taken them yet
    with pytest.raises(QueueFull):
        queue.put(reply("bob"))
    assert [queue.get(), queue.get()] == begun[:2]
    queue.done(begun[0])
    queue.put(reply("bob"))


@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=24), st.integers(0, 8), st.sets(st.integers(0, 23)))
def test_the_place_is_when_one_is_served(users, before, leaving):
    queue = FairQueue(100, 100, 1)
    for user in "abcd"[:before]:
        queue.put(reply(user))
    for _ in range(before // 2):
        queue.get()
    replies = [reply(user) for user in users]
    for one in replies:
        queue.put(one)
    for number, one in enumerate(replies):
        if number in leaving:
            assert queue.remove(one)
            assert queue.place(one) == 0
    places = {id(one): queue.place(one) for number, one in enumerate(replies) if number not in leaving}
    for turn, one in enumerate(served(queue), start=1):
        assert places.get(id(one), turn) == turn
        assert queue.place(one) == 0
