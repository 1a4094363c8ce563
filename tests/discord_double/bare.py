"""A Discord that says no more than it must: what others build to test a bot against.

Every field the API calls optional is left out where discord.py can do without it, and some it does not. Ids are
small, permissions are not modelled, threads and channels are not announced, rate limits come without headers.
"""

from typing import Any

MESSAGE = (
    "referenced_message", "member", "nonce", "interaction_metadata", "thread", "flags", "reactions", "webhook_id",
    "application_id", "mention_roles",
)  # fmt: skip
CHANNEL = (
    "last_message_id", "flags", "topic", "nsfw", "permission_overwrites", "rate_limit_per_user", "recipients",
)  # fmt: skip
INTERACTION = (
    "context", "authorizing_integration_owners", "app_permissions", "locale", "guild_locale", "guild",
    "entitlements",
)  # fmt: skip
UNSENT = ("CHANNEL_CREATE", "CHANNEL_UPDATE", "THREAD_CREATE", "THREAD_UPDATE", "GUILD_MEMBER_ADD")


def bared(value: Any) -> Any:
    """``value`` as JSON with the optional fields of every message and channel in it left out."""
    if isinstance(value, list):
        return [bared(each) for each in value]
    if not isinstance(value, dict):
        return value
    dropped: tuple[str, ...] = ()
    if "author" in value:
        dropped = MESSAGE
    elif "type" in value and ("parent_id" in value or "recipients" in value):
        dropped = CHANNEL
    return {key: bared(each) for key, each in value.items() if key not in dropped}


def bared_event(name: str, data: dict[str, Any]) -> dict[str, Any]:
    if name == "READY":
        data = data | {"guilds": []}
        del data["application"]
    elif name == "GUILD_CREATE":
        roles = [role | {"permissions": "0"} for role in data["roles"]]
        data = data | {"members": [], "threads": [], "channels": [], "roles": roles}
    elif name == "INTERACTION_CREATE":
        data = {key: value for key, value in data.items() if key not in INTERACTION}
    out: dict[str, Any] = bared(data)
    return out
