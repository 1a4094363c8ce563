"""What a reply's events become at a terminal."""

from collections.abc import AsyncIterator
from typing import Any

from glasshead.chat import Done, Started, Text, Thought
from glasshead.cli.sitting import Sitting

DONE = Done(1, 2, "Hello!", "They greet; so do I.", "complete", "stop", 9, 7)


async def test_what_is_thought_is_kept_apart_from_what_is_said() -> None:
    said: list[str] = []
    shown: list[str] = []
    noted: list[str] = []

    async def reply() -> AsyncIterator[object]:
        yield Started(1, 9, 0, 0, 100, unread=2)
        for event in (Thought("They greet; "), Thought("so do I."), Text("Hel"), Text("lo!"), DONE):
            yield event

    def both(text: str) -> None:
        said.append(text)
        shown.append(text)

    chat: Any = None
    sitting = Sitting(chat, "", both, shown.append, noted.append)
    events: Any = reply()
    assert await sitting._print(events) is DONE
    (note,) = noted
    assert (
        note.startswith("Left out of what the model read: 2 earlier messages") and "`glasshead log check`" in note
    )
    assert "".join(said) == "Hello!"
    assert "".join(shown) == "They greet; so do I.\n\nHello!"
