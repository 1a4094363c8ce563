"""What of a conversation the model was not given, in words."""

from glasshead.chat import Started
from glasshead.chat.left_out import left_out


def test_what_was_left_out_is_said() -> None:
    assert left_out(Started(1, 9, 0, 0, 100), "mend it") == []
    assert left_out(Started(1, 9, 3, 90, 100), "mend it") == [
        "Left out of what the model read: the 3 oldest turns (90 tokens); there is room for 100 tokens."
    ]
    assert left_out(Started(1, 9, 3, 90, 100, known=True), "mend it") == [], "it was said"
    (note,) = left_out(Started(1, 9, 0, 0, 100, unread=2), "mend it")
    assert note == "Left out of what the model read: 2 earlier messages. The log is damaged there: mend it."
    assert len(left_out(Started(1, 9, 1, 30, 100, unread=1), "mend it")) == 2
