"""What exists on the loopback Discord, who may do what there, and how the API spells it in JSON."""

from typing import Any

from .clock import Clock
from .things import ALL, USUAL, Attachment, Channel, ChannelType, Guild, Member, Message, Permission, Role, User


class World:
    """All users, guilds, channels and messages, with their JSON."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.base = ""
        self.users: dict[int, User] = {}
        self.guilds: dict[int, Guild] = {}
        self.channels: dict[int, Channel] = {}
        self.bot = self.add_user("glasshead", bot=True)
        self.application_id = self.bot.id

    def add_user(self, name: str, *, bot: bool = False, display: str | None = None) -> User:
        user = User(self.clock.snowflake(), name, bot, display)
        self.users[user.id] = user
        return user

    def add_guild(self, name: str, owner: User) -> Guild:
        guild = Guild(self.clock.snowflake(), name, owner)
        guild.roles[guild.id] = Role(guild.id, "@everyone", USUAL)
        self.guilds[guild.id] = guild
        self.add_member(guild, owner)
        self.add_member(guild, self.bot)
        return guild

    def add_member(self, guild: Guild, user: User, nick: str | None = None) -> Member:
        guild.members[user.id] = member = Member(user, nick)
        return member

    def add_channel(self, guild: Guild, name: str, kind: ChannelType = ChannelType.TEXT) -> Channel:
        channel = Channel(self.clock.snowflake(), kind, name, guild)
        self.channels[channel.id] = guild.channels[channel.id] = channel
        return channel

    def add_thread(self, parent: Channel, name: str, owner: User, id: int | None = None) -> Channel:
        thread = Channel(
            id or self.clock.snowflake(), ChannelType.PUBLIC_THREAD, name, parent.guild, parent, owner_id=owner.id
        )
        self.channels[thread.id] = thread
        return thread

    def dm(self, user: User) -> Channel:
        for channel in self.channels.values():
            if channel.type == ChannelType.DM and user in channel.recipients:
                return channel
        channel = Channel(self.clock.snowflake(), ChannelType.DM, recipients=[user])
        self.channels[channel.id] = channel
        return channel

    def permissions(self, user: User, channel: Channel) -> Permission:
        """What ``user`` may do there, overwrites and time-outs applied."""
        guild = channel.guild
        if guild is None:
            return USUAL | Permission.MENTION_EVERYONE
        member = guild.members.get(user.id)
        if member is None:
            return Permission(0)
        if guild.owner is user:
            return ALL
        granted = guild.roles[guild.id].permissions
        for role in member.roles:
            granted |= guild.roles[role].permissions
        if Permission.ADMINISTRATOR in granted:
            return ALL
        source = channel.parent or channel
        for target in (guild.id, *member.roles, user.id):
            granted &= ~source.denied.get(target, Permission(0))
        if Permission.VIEW_CHANNEL not in granted:
            return Permission(0)
        if member.timed_out_until is not None and member.timed_out_until > self.clock.now():
            granted &= Permission.VIEW_CHANNEL | Permission.READ_MESSAGE_HISTORY
        return granted

    # JSON

    def member_json(self, guild: Guild, user: User, *, with_user: bool = True) -> dict[str, Any]:
        member = guild.members[user.id]
        until = member.timed_out_until
        out: dict[str, Any] = {
            "nick": member.nick,
            "roles": [str(role) for role in member.roles],
            "joined_at": "2024-01-01T00:00:00+00:00",
            "deaf": False,
            "mute": False,
            "flags": 0,
            "avatar": None,
            "pending": False,
            "communication_disabled_until": self.clock.iso(until) if until else None,
        }
        if with_user:
            out["user"] = user.json()
        return out

    def channel_json(self, channel: Channel) -> dict[str, Any]:
        out: dict[str, Any] = {
            "id": str(channel.id),
            "type": int(channel.type),
            "last_message_id": str(max(channel.messages)) if channel.messages else None,
            "flags": 0,
        }
        if channel.type == ChannelType.DM:
            out["recipients"] = [user.json() for user in channel.recipients]
            return out
        assert channel.guild is not None
        out |= {
            "guild_id": str(channel.guild.id),
            "name": channel.name,
            "parent_id": str(channel.parent.id) if channel.parent else None,
            "rate_limit_per_user": channel.slowmode,
        }
        if channel.is_thread:
            return out | {
                "owner_id": str(channel.owner_id),
                "message_count": len(channel.messages),
                "member_count": 1,
                "thread_metadata": {
                    "archived": channel.archived,
                    "auto_archive_duration": 1440,
                    "archive_timestamp": self.clock.iso(),
                    "locked": channel.locked,
                    "create_timestamp": self.clock.iso(),
                },
            }
        return out | {
            "position": 0,
            "topic": None,
            "nsfw": False,
            "permission_overwrites": [
                {
                    "id": str(target),
                    "type": 0 if target in channel.guild.roles else 1,
                    "allow": "0",
                    "deny": str(int(denied)),
                }
                for target, denied in channel.denied.items()
            ],
        }

    def guild_json(self, guild: Guild) -> dict[str, Any]:
        threads = [c for c in self.channels.values() if c.is_thread and c.guild is guild and not c.archived]
        return {
            "id": str(guild.id),
            "name": guild.name,
            "owner_id": str(guild.owner.id),
            "icon": None,
            "features": [],
            "emojis": [],
            "stickers": [],
            "roles": [role.json() for role in guild.roles.values()],
            "channels": [self.channel_json(c) for c in guild.channels.values()],
            "threads": [self.channel_json(c) for c in threads if not c.deleted],
            "members": [self.member_json(guild, m.user) for m in guild.members.values()],
            "member_count": len(guild.members),
            "large": False,
            "unavailable": False,
            "joined_at": "2024-01-01T00:00:00+00:00",
            "voice_states": [],
            "presences": [],
            "stage_instances": [],
            "guild_scheduled_events": [],
            "soundboard_sounds": [],
            "preferred_locale": "en-US",
            "verification_level": 0,
            "default_message_notifications": 0,
            "explicit_content_filter": 0,
            "mfa_level": 0,
            "nsfw_level": 0,
            "premium_tier": 0,
            "premium_progress_bar_enabled": False,
            "system_channel_id": None,
            "system_channel_flags": 0,
            "afk_channel_id": None,
            "afk_timeout": 300,
        }

    def attachment_json(self, message: Message, attachment: Attachment) -> dict[str, Any]:
        path = f"{self.base}/attachments/{message.channel.id}/{attachment.id}/{attachment.filename}"
        return {
            "id": str(attachment.id),
            "filename": attachment.filename,
            "size": len(attachment.data),
            "url": path,
            "proxy_url": path,
            "content_type": attachment.content_type,
            "description": attachment.description,
        }

    def message_json(self, message: Message, *, content: bool = True, nested: bool = True) -> dict[str, Any]:
        """``content`` False leaves out what the message-content intent guards."""
        out: dict[str, Any] = {
            "id": str(message.id),
            "type": 19 if message.reference_id else 0,
            "channel_id": str(message.channel.id),
            "author": message.author.json(),
            "content": message.content if content else "",
            "embeds": message.embeds if content else [],
            "components": self.shown_components(message) if content else [],
            "attachments": [self.attachment_json(message, a) for a in message.attachments] if content else [],
            "timestamp": self.clock.iso(message.created_at),
            "edited_timestamp": self.clock.iso(message.edited_at) if message.edited_at else None,
            "tts": False,
            "mention_everyone": message.mention_everyone,
            "mentions": [user.json() for user in message.mentions],
            "mention_roles": [],
            "pinned": False,
            "flags": message.flags,
        }
        out |= message.more
        if message.nonce is not None:
            out["nonce"] = message.nonce
        if message.reactions:
            out["reactions"] = [
                {
                    "emoji": {"id": None, "name": emoji},
                    "count": len(users),
                    "me": self.bot.id in users,
                    "me_burst": False,
                    "burst_colors": [],
                    "count_details": {"burst": 0, "normal": len(users)},
                }
                for emoji, users in message.reactions.items()
            ]
        if message.interaction:
            out["interaction_metadata"] = message.interaction
        if message.webhook_id:
            out["webhook_id"] = str(message.webhook_id)
            out["application_id"] = str(message.webhook_id)
        if message.thread is not None:
            out["thread"] = self.channel_json(message.thread)
        if message.reference_id:
            out["message_reference"] = {
                "type": 0,
                "message_id": str(message.reference_id),
                "channel_id": str(message.channel.id),
            }
            if message.channel.guild:
                out["message_reference"]["guild_id"] = str(message.channel.guild.id)
            if nested:
                target = message.reference
                gone = target is None or target.deleted
                out["referenced_message"] = (
                    None
                    if gone or target is None
                    else self.message_json(target, content=content or self.open_to_bot(target), nested=False)
                )
        return out

    def shown_components(self, message: Message) -> list[dict[str, Any]]:
        """The components, with ``attachment://`` media resolved to their addresses."""
        urls = {a.filename: self.attachment_json(message, a)["url"] for a in message.attachments}

        def shown(value: Any) -> Any:
            if isinstance(value, list):
                return [shown(each) for each in value]
            if not isinstance(value, dict):
                return value
            out = {key: shown(each) for key, each in value.items()}
            url = out.get("url")
            if isinstance(url, str) and url.startswith("attachment://"):
                resolved = urls[url.removeprefix("attachment://")]
                out |= {"url": resolved, "proxy_url": resolved, "loading_state": 2, "width": 1, "height": 1}
            return out

        result: list[dict[str, Any]] = shown(message.components)
        return result

    def open_to_bot(self, message: Message) -> bool:
        """Content a bot sees without the message-content intent: its own, direct messages, mentions of it."""
        return message.author is self.bot or message.channel.guild is None or self.bot in message.mentions
