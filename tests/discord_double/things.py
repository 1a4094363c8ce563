"""The things of the loopback Discord: users, roles, channels, messages."""

from dataclasses import dataclass, field
from enum import IntEnum, IntFlag
from typing import Any

EPHEMERAL = 1 << 6
LOADING = 1 << 7
COMPONENTS_V2 = 1 << 15


class ChannelType(IntEnum):
    TEXT = 0
    DM = 1
    PUBLIC_THREAD = 11
    PRIVATE_THREAD = 12
    FORUM = 15


class Permission(IntFlag):
    ADMINISTRATOR = 1 << 3
    MANAGE_CHANNELS = 1 << 4
    MANAGE_GUILD = 1 << 5
    ADD_REACTIONS = 1 << 6
    VIEW_CHANNEL = 1 << 10
    SEND_MESSAGES = 1 << 11
    MANAGE_MESSAGES = 1 << 13
    EMBED_LINKS = 1 << 14
    ATTACH_FILES = 1 << 15
    READ_MESSAGE_HISTORY = 1 << 16
    MENTION_EVERYONE = 1 << 17
    USE_APPLICATION_COMMANDS = 1 << 31
    MANAGE_THREADS = 1 << 34
    CREATE_PUBLIC_THREADS = 1 << 35
    SEND_MESSAGES_IN_THREADS = 1 << 38


ALL = Permission((1 << 50) - 1)
USUAL = (
    Permission.ADD_REACTIONS
    | Permission.VIEW_CHANNEL
    | Permission.SEND_MESSAGES
    | Permission.EMBED_LINKS
    | Permission.ATTACH_FILES
    | Permission.READ_MESSAGE_HISTORY
    | Permission.USE_APPLICATION_COMMANDS
    | Permission.CREATE_PUBLIC_THREADS
    | Permission.SEND_MESSAGES_IN_THREADS
)


@dataclass(eq=False)
class User:
    id: int
    name: str
    bot: bool = False
    display: str | None = None
    blocks_dms: bool = False

    def json(self) -> dict[str, Any]:
        return {
            "id": str(self.id),
            "username": self.name,
            "global_name": self.display,
            "discriminator": "0000" if self.bot else "0",
            "avatar": None,
            "bot": self.bot,
            "public_flags": 0,
        }


@dataclass(eq=False)
class Role:
    id: int
    name: str
    permissions: Permission

    def json(self) -> dict[str, Any]:
        return {
            "id": str(self.id),
            "name": self.name,
            "permissions": str(int(self.permissions)),
            "color": 0,
            "colors": {"primary_color": 0, "secondary_color": None, "tertiary_color": None},
            "hoist": False,
            "position": 0 if self.name == "@everyone" else 1,
            "managed": False,
            "mentionable": False,
            "flags": 0,
        }


@dataclass(eq=False)
class Member:
    user: User
    nick: str | None = None
    roles: list[int] = field(default_factory=list)
    timed_out_until: float | None = None


@dataclass(eq=False)
class Channel:
    id: int
    type: ChannelType
    name: str = ""
    guild: "Guild | None" = None
    parent: "Channel | None" = None
    owner_id: int | None = None
    recipients: list[User] = field(default_factory=list)
    denied: dict[int, Permission] = field(default_factory=dict)
    """Overwrites: role or user id to what is taken away."""
    joined: set[int] = field(default_factory=set)
    """Of a thread: who was let in besides its owner."""
    archived: bool = False
    locked: bool = False
    slowmode: int = 0
    deleted: bool = False
    messages: dict[int, "Message"] = field(default_factory=dict)
    nonces: dict[str, "Message"] = field(default_factory=dict)
    """Of messages that are gone, too: whether Discord forgets those, nobody says."""

    @property
    def is_thread(self) -> bool:
        return self.type in (ChannelType.PUBLIC_THREAD, ChannelType.PRIVATE_THREAD)

    @property
    def mention(self) -> str:
        return f"<#{self.id}>"


@dataclass(eq=False)
class Guild:
    id: int
    name: str
    owner: User
    roles: dict[int, Role] = field(default_factory=dict)
    members: dict[int, Member] = field(default_factory=dict)
    channels: dict[int, Channel] = field(default_factory=dict)
    has_bot: bool = True


@dataclass(eq=False)
class Attachment:
    id: int
    filename: str
    data: bytes
    content_type: str
    description: str | None = None


@dataclass(eq=False)
class Message:
    id: int
    channel: Channel
    author: User
    content: str = ""
    embeds: list[dict[str, Any]] = field(default_factory=list)
    components: list[dict[str, Any]] = field(default_factory=list)
    attachments: list[Attachment] = field(default_factory=list)
    flags: int = 0
    reference: "Message | None" = None
    reference_id: int | None = None
    nonce: str | None = None
    edited_at: float | None = None
    created_at: float = 0.0
    deleted: bool = False
    mentions: list[User] = field(default_factory=list)
    mention_everyone: bool = False
    pinged: set[str] = field(default_factory=set)
    """Who was notified: user and role ids as strings, "everyone"."""
    reactions: dict[str, list[int]] = field(default_factory=dict)
    revisions: list[tuple[float, str]] = field(default_factory=list)
    """Every content the message ever showed, with the time of it."""
    interaction: dict[str, Any] | None = None
    webhook_id: int | None = None
    token: str | None = None
    """Set on answers to interactions: the token that may still change them."""
    thread: Channel | None = None
    more: dict[str, Any] = field(default_factory=dict)
    """What else Discord tells of it: stickers, a poll, what it forwards."""

    @property
    def ephemeral(self) -> bool:
        return bool(self.flags & EPHEMERAL)

    @property
    def text(self) -> str:
        """All the words a person sees: content, embeds and text components."""
        words = [self.content]
        for embed in self.embeds:
            words += [embed.get("title") or "", embed.get("description") or ""]
            for each in embed.get("fields", []):
                words += [each["name"], each["value"]]
            words.append((embed.get("footer") or {}).get("text", ""))
        words += [c["content"] for c in walk(self.components) if c["type"] == 10]
        return "\n".join(word for word in words if word)

    @property
    def jump_url(self) -> str:
        guild = self.channel.guild.id if self.channel.guild else "@me"
        return f"https://discord.com/channels/{guild}/{self.channel.id}/{self.id}"


def walk(components: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every component, nested ones and accessories included, in the order they are shown."""
    out: list[dict[str, Any]] = []
    for component in components:
        out.append(component)
        out += walk(component.get("components", []))
        for key in ("accessory", "component"):
            if key in component:
                out += walk([component[key]])
    return out
