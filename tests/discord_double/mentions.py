"""Who a text pings, given allowed_mentions: the rules of the API."""

import re
from typing import Any

from .things import Channel, Message, Permission, User, walk
from .world import World

_USER = re.compile(r"<@!?(\d+)>")
_ROLE = re.compile(r"<@&(\d+)>")


def pinging_text(content: str, components: list[dict[str, Any]]) -> str:
    """Where mentions ping: content and text components; embeds never do."""
    return "\n".join([content, *(c["content"] for c in walk(components) if c["type"] == 10)])


def notified(
    world: World,
    author: User,
    channel: Channel,
    text: str,
    allowed: dict[str, Any] | None,
    reference: Message | None,
) -> set[str]:
    """User and role ids, and "everyone". Without ``allowed`` everything pings, as on Discord."""
    parse = ["users", "roles", "everyone"] if allowed is None else allowed.get("parse", [])
    allowed = allowed or {}
    out: set[str] = set()
    for found in _USER.findall(text):
        if "users" in parse or found in [str(u) for u in allowed.get("users", [])]:
            out.add(found)
    for found in _ROLE.findall(text):
        if "roles" in parse or found in [str(r) for r in allowed.get("roles", [])]:
            out.add(found)
    loud = "@everyone" in text or "@here" in text
    if loud and "everyone" in parse and Permission.MENTION_EVERYONE in world.permissions(author, channel):
        out.add("everyone")
    wants_reply = allowed.get("replied_user", "parse" not in allowed)
    if reference is not None and wants_reply and reference.author is not author:
        out.add(str(reference.author.id))
    return out
