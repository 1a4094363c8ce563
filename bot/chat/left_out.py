"""How people are told that the model has not read all of a conversation, wherever they talk."""

from .events import Started


def left_out(event: Started, remedy: str) -> list[str]:
    """What was left out, a line each: of a conversation that is too long, where that begins. ``remedy``: who mends
    a damaged log, and how."""
    lines = []
    if event.dropped_turns and not event.known:
        turns = "the oldest turn" if event.dropped_turns == 1 else f"the {event.dropped_turns} oldest turns"
        room = f"there is room for {event.budget} tokens"
        lines.append(f"Left out of what the model read: {turns} ({event.dropped_tokens} tokens); {room}.")
    if event.unread:
        messages = "an earlier message" if event.unread == 1 else f"{event.unread} earlier messages"
        lines.append(f"Left out of what the model read: {messages}. The log is damaged there: {remedy}.")
    return lines
