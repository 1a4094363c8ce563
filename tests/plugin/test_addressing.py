"""Who the bot answers: the table of its manners."""

import pytest
from glasshead.plugin.addressing import Heard, Once, addressed


@pytest.mark.parametrize(
    ("heard", "reason"),
    [
        (Heard(), None),
        (Heard(direct=True), "direct"),
        (Heard(mentions_us=True), "mention"),
        (Heard(mentions_us=True, mentions_others=True), "mention"),
        (Heard(mentions_us=True, replies_to_other=True), "mention"),
        (Heard(replies_to_us=True), "reply"),
        (Heard(replies_to_us=True, mentions_others=True), "reply"),
        (Heard(in_own_thread=True), "thread"),
        (Heard(in_always=True), "always"),
        (Heard(in_own_thread=True, in_always=True), "thread"),
        # people talking to each other, even where the bot usually answers
        (Heard(in_own_thread=True, replies_to_other=True), None),
        (Heard(in_always=True, replies_to_other=True), None),
        (Heard(in_always=True, mentions_others=True), None),
        (Heard(replies_to_other=True), None),
        # bots and system messages, whatever else is true
        (Heard(by_bot=True, mentions_us=True), None),
        (Heard(by_bot=True, direct=True), None),
        (Heard(by_bot=True, replies_to_us=True), None),
        (Heard(by_bot=True, in_always=True), None),
        (Heard(by_system=True, in_own_thread=True), None),
    ],
)
def test_addressed(heard: Heard, reason: str | None) -> None:
    assert addressed(heard) == reason


def test_once() -> None:
    once = Once(remembered=2)
    assert [once.first(id) for id in (1, 1, 2, 1, 3)] == [True, False, True, False, True]
    assert once.first(1), "the oldest is forgotten, memory is bounded"
