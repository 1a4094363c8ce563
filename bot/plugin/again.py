"""A logged reply as it stands in Discord: for what is shown once more, from the log."""

import discord

from ..explain.turn import Turn
from .display import unforged
from .presenter import endings, final_texts, hidden_thought, room_at
from .service import Service
from .surface import Attached, Surface

NOTE = "I was interrupted here and started again since. *Retry* writes another reply."


def quoted(text: str) -> str:
    """The question as one quoted line, where no message of the person shows it."""
    line = " ".join(discord.utils.escape_markdown(unforged(text)).split())
    return f"> {line[:180]}{'…' if len(line) > 180 else ''}"


async def heading(service: Service, turn: Turn) -> str:
    """What stands before a reply: the question, if it was given in a command and nothing else shows it."""
    store = service.chat.store
    if turn.prompt_message is None:
        return ""
    asked = await store.message(turn.prompt_message)
    if asked.discord_message_id is not None or asked.erased:
        return ""
    if (await store.session(turn.session)).kind == "thread":
        above = None if asked.parent is None else await store.message(asked.parent)
        if above is None or above.role == "system":
            return ""  # the thread stands below the question
    return quoted(asked.text) + "\n"


async def texts_again(service: Service, turn: Turn, surface: Surface) -> tuple[list[str], Attached | None]:
    """The texts of a reply's messages, with the small print that follows from the record, and its file."""
    notes = [NOTE] if turn.status == "interrupted" else endings(turn.status, turn.finish, turn.error)
    hidden, above = hidden_thought(service, turn.reasoning), await heading(service, turn)
    return final_texts(turn.reply, hidden, notes, room_at(service, surface), above)
