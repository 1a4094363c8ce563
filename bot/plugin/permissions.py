"""What the bot needs where it is asked to speak, and how it says that something is missing."""

from collections.abc import Collection

VIEW = "view_channel"
SEND = "send_messages"
SEND_IN_THREADS = "send_messages_in_threads"
HISTORY = "read_message_history"

SHOWN = {
    VIEW: "View Channel",
    SEND: "Send Messages",
    SEND_IN_THREADS: "Send Messages in Threads",
    HISTORY: "Read Message History",
}


def needed(*, thread: bool) -> tuple[str, ...]:
    """To answer there at all (replying needs the history)."""
    return VIEW, SEND_IN_THREADS if thread else SEND, HISTORY


def missing(granted: Collection[str], *, thread: bool) -> tuple[str, ...]:
    return tuple(name for name in needed(thread=thread) if name not in granted)


def plea(lacking: Collection[str], place: str) -> str:
    """One line for the person who asked, naming what the server's staff must grant."""
    names = ", ".join(f"**{SHOWN[name]}**" for name in lacking)
    return f"I cannot answer in {place}: I lack {names} there. Somebody who runs this server can grant it."
