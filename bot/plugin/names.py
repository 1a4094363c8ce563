"""Names and mentions as plain words: what a model should read in place of Discord's codes."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from ..explain.visible import UNSEEN

LONGEST_NAME = 32
_UNSEEN = UNSEEN | {"\u2800"}
"""What people make names of that nobody is to see; braille's blank is a space where it stands among others."""

_CODE = re.compile(
    r"<(?:@!?(?P<user>\d+)|@&(?P<role>\d+)|#(?P<channel>\d+)|a?:(?P<emoji>\w+):\d+|/(?P<command>[^:>]+):\d+"
    r"|t:(?P<moment>-?\d{1,11})(?::[a-zA-Z])?)>"
)


@dataclass(frozen=True, slots=True)
class Known:
    """Names by id, as far as the message names them."""

    users: Mapping[int, str] = field(default_factory=dict)
    roles: Mapping[int, str] = field(default_factory=dict)
    channels: Mapping[int, str] = field(default_factory=dict)


def speaker(display: str, user_id: int, account: str = "") -> str:
    """A display name as one short line of visible characters: it goes into the prompt before what was said.

    Line breaks, control and formatting characters (bidi overrides, zero-width ones) are dropped, and the colon
    that ends a speaker's name in the prompt cannot be part of it. A name with nothing left becomes the account's,
    else the user's id.
    """
    return _visible(display) or _visible(account) or f"user {user_id}"


def _visible(name: str) -> str:
    seen = (c for c in name if c not in _UNSEEN and (c.isspace() or unicodedata.category(c)[0] != "C"))
    kept = "".join(" " if c.isspace() else c for c in seen)
    return " ".join(kept.replace(":", " ").split())[:LONGEST_NAME].strip()


def readable(text: str, known: Known, *, us: int | None = None) -> str:
    """``text`` with mentions, channels, emoji, commands and moments spelled as people read them.

    A mention of ``us`` at either end only addresses the message and is dropped.
    """
    if us is not None:
        ours = rf"<@!?{us}>"
        text = re.sub(rf"^\s*(?:{ours}\s*[,:]?\s*)+|\s*(?:{ours}\s*)+$", "", text)

    def spelled(match: re.Match[str]) -> str:
        if match["user"]:
            return "@" + known.users.get(int(match["user"]), "somebody")
        if match["role"]:
            return "@" + known.roles.get(int(match["role"]), "role")
        if match["channel"]:
            return "#" + known.channels.get(int(match["channel"]), "channel")
        if match["moment"]:
            return _moment(int(match["moment"])) or match[0]
        return f":{match['emoji']}:" if match["emoji"] else f"/{match['command']}"

    return _CODE.sub(spelled, text)


def _moment(seconds: int) -> str:
    """Everybody sees a moment in their own time; a model is told it in one. Empty where no calendar has it."""
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"
    except (OverflowError, ValueError, OSError):
        return ""
