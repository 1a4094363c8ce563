"""What a message says besides its words: stickers, polls, and the embeds of one that has no words."""

from collections.abc import Sequence

import discord

from .attachments import plain

LONGEST = 1000
"""Characters read of one embed."""
Wordy = discord.Message | discord.MessageSnapshot


def besides(said: Wordy) -> list[str]:
    """Named, as files are. Embeds below words are previews of links, which come after the message: not read."""
    parts = [f"[sticker: {plain(each.name)}]" for each in said.stickers]
    poll = said.poll if isinstance(said, discord.Message) else None
    if poll is not None:
        parts.append(_named("poll", [poll.question, *(f"- {_answer(each)}" for each in poll.answers)]))
    if not said.content:
        parts += _embeds(said.embeds)
    return parts


def _answer(answer: discord.PollAnswer) -> str:
    return answer.text or str(answer.emoji or "")


def _embeds(embeds: Sequence[discord.Embed]) -> list[str]:
    out = []
    for each in embeds:
        fields = [part for field in each.fields for part in (field.name, field.value)]
        lines = [line for line in (each.title, each.description, *fields) if line]
        text = "\n".join(lines)
        cut = f"{text[:LONGEST]} […]" if len(text) > LONGEST else text
        out.append(_named("embed", [cut]) if text else "[embed, not readable here]")
    return out


def _named(kind: str, lines: Sequence[str]) -> str:
    text = "\n".join(lines)
    return f"[{kind}]\n{text}\n[end of {kind}]"
