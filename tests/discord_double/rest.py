"""REST v10 as far as a chat bot goes: users, channels, messages, threads, reactions, commands, attachments."""

import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from aiohttp import web

from . import messages, validation
from .errors import ApiError, forbidden, unknown
from .gateway import DIRECT_REACTIONS, GUILD_REACTIONS, GUILDS
from .messages import Upload
from .things import Channel, ChannelType, Guild, Message, Permission, User

if TYPE_CHECKING:
    from .double import Double

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
API = "/api/v10"


async def body(request: web.Request) -> tuple[dict[str, Any], dict[int, Upload]]:
    """The JSON payload and the files, whether sent as JSON or as multipart ``payload_json`` and ``files[n]``."""
    if request.content_type != "multipart/form-data":
        raw = await request.read()
        return (json.loads(raw) if raw else {}), {}
    payload: dict[str, Any] = {}
    uploads: dict[int, Upload] = {}
    async for part in await request.multipart():
        if part.name == "payload_json":
            payload = json.loads(await part.text())
        elif part.name and part.name.startswith("files["):
            index = int(part.name[6:-1])
            kind = "text/plain" if (part.filename or "").endswith((".txt", ".md")) else "application/octet-stream"
            uploads[index] = (part.filename or "file", kind, bytes(await part.read()))
    return payload, uploads


class Rest:
    """Handlers; every one raises ApiError for what Discord would refuse."""

    def __init__(self, double: "Double") -> None:
        self.double = double
        self.world = double.world
        self.commands: dict[int | None, list[dict[str, Any]]] = {None: []}
        """Guild id or None (global) to what the bot has synced."""
        self.syncs = 0

    def routes(self) -> list[web.RouteDef]:
        c, m = API + "/channels/{channel}", API + "/channels/{channel}/messages"
        one, app = m + "/{message}", API + "/applications/{application}"
        table: list[tuple[str, str, Handler]] = [
            ("GET", API + "/users/@me", self.me),
            ("GET", API + "/users/{user}", self.user),
            ("GET", API + "/oauth2/applications/@me", self.application),
            ("GET", API + "/applications/@me", self.application),
            ("GET", API + "/gateway", self.gateway_url),
            ("GET", API + "/gateway/bot", self.gateway_url),
            ("POST", API + "/users/@me/channels", self.open_dm),
            ("GET", API + "/guilds/{guild}", self.guild),
            ("GET", API + "/guilds/{guild}/channels", self.guild_channels),
            ("GET", API + "/guilds/{guild}/members/{user}", self.member),
            ("GET", c, self.channel),
            ("PATCH", c, self.edit_channel),
            ("DELETE", c, self.delete_channel),
            ("POST", c + "/typing", self.typing),
            ("POST", c + "/threads", self.start_thread),
            ("GET", c + "/thread-members", self.thread_members),
            ("GET", c + "/thread-members/{user}", self.thread_member),
            ("PUT", c + "/thread-members/{user}", self.nothing),
            ("POST", m, self.send),
            ("GET", m, self.history),
            ("GET", one, self.message),
            ("PATCH", one, self.edit),
            ("DELETE", one, self.delete),
            ("POST", one + "/threads", self.start_thread),
            ("PUT", one + "/reactions/{emoji}/@me", self.react),
            ("DELETE", one + "/reactions/{emoji}/@me", self.unreact),
            ("GET", app + "/commands", self.get_commands),
            ("PUT", app + "/commands", self.put_commands),
            ("GET", app + "/guilds/{guild}/commands", self.get_commands),
            ("PUT", app + "/guilds/{guild}/commands", self.put_commands),
        ]
        return [web.route(method, path, handler) for method, path, handler in table] + [
            web.get("/attachments/{channel}/{attachment}/{name}", self.attachment)
        ]

    # what a request names

    def _channel(self, request: web.Request, needs: Permission = Permission.VIEW_CHANNEL) -> Channel:
        channel = self.world.channels.get(int(request.match_info["channel"]))
        if channel is None or channel.deleted:
            raise unknown(10003, "Channel")
        if channel.guild is not None and not channel.guild.has_bot:
            raise forbidden(50001, "Missing Access")
        granted = self.world.permissions(self.world.bot, channel)
        if Permission.VIEW_CHANNEL not in granted:
            raise forbidden(50001, "Missing Access")
        if needs not in granted:
            raise forbidden()
        return channel

    def _message(self, request: web.Request, needs: Permission = Permission.VIEW_CHANNEL) -> Message:
        channel = self._channel(request, needs)
        message = channel.messages.get(int(request.match_info["message"]))
        if message is None or message.ephemeral:
            raise unknown(10008, "Message")
        return message

    def _shown(self, message: Message) -> dict[str, Any]:
        full = self.double.gateway.content_intent_granted or self.world.open_to_bot(message)
        return self.world.message_json(message, content=full)

    # users, application, guilds

    async def nothing(self, request: web.Request) -> web.Response:
        return web.Response(status=204)

    async def me(self, request: web.Request) -> web.Response:
        return web.json_response(
            self.world.bot.json() | {"verified": True, "mfa_enabled": False, "locale": "en-US"}
        )

    async def user(self, request: web.Request) -> web.Response:
        user = self.world.users.get(int(request.match_info["user"]))
        if user is None:
            raise unknown(10013, "User")
        return web.json_response(user.json())

    async def application(self, request: web.Request) -> web.Response:
        return web.json_response(
            {
                "id": str(self.world.application_id),
                "name": "glasshead",
                "description": "",
                "icon": None,
                "summary": "",
                "bot_public": True,
                "bot_require_code_grant": False,
                "verify_key": "0" * 64,
                "owner": self.double.owner.json(),
                "team": None,
                "flags": 1 << 19 if self.double.gateway.content_intent_granted else 0,
                "hook": True,
            }
        )

    async def gateway_url(self, request: web.Request) -> web.Response:
        limit = {"total": 1000, "remaining": 999, "reset_after": 0, "max_concurrency": 1}
        url = self.world.base.replace("http", "ws", 1) + "/gateway/"
        return web.json_response({"url": url, "shards": 1, "session_start_limit": limit})

    async def open_dm(self, request: web.Request) -> web.Response:
        payload, _ = await body(request)
        return web.json_response(
            self.world.channel_json(self.world.dm(self.world.users[int(payload["recipient_id"])]))
        )

    def _guild(self, request: web.Request) -> Guild:
        guild = self.world.guilds.get(int(request.match_info["guild"]))
        if guild is None or not guild.has_bot:
            raise unknown(10004, "Guild")
        return guild

    async def guild(self, request: web.Request) -> web.Response:
        return web.json_response(self.world.guild_json(self._guild(request)))

    async def guild_channels(self, request: web.Request) -> web.Response:
        channels = self._guild(request).channels.values()
        return web.json_response([self.world.channel_json(c) for c in channels])

    async def member(self, request: web.Request) -> web.Response:
        guild, user = self._guild(request), int(request.match_info["user"])
        if user not in guild.members:
            raise unknown(10007, "Member")
        return web.json_response(self.world.member_json(guild, guild.members[user].user))

    # channels and threads

    async def channel(self, request: web.Request) -> web.Response:
        return web.json_response(self.world.channel_json(self._channel(request)))

    async def edit_channel(self, request: web.Request) -> web.Response:
        channel = self._channel(request)
        payload, _ = await body(request)
        owns = channel.is_thread and channel.owner_id == self.world.bot.id
        needs = Permission.MANAGE_THREADS if channel.is_thread else Permission.MANAGE_CHANNELS
        granted = self.world.permissions(self.world.bot, channel)
        if needs not in granted and (not owns or channel.locked):
            raise forbidden()
        channel.name = payload.get("name", channel.name)
        channel.archived = payload.get("archived", channel.archived)
        channel.locked = payload.get("locked", channel.locked)
        event = "THREAD_UPDATE" if channel.is_thread else "CHANNEL_UPDATE"
        self.double.gateway.dispatch(event, self.world.channel_json(channel), GUILDS)
        self.double.changed()
        return web.json_response(self.world.channel_json(channel))

    async def delete_channel(self, request: web.Request) -> web.Response:
        channel = self._channel(request)
        needs = Permission.MANAGE_THREADS if channel.is_thread else Permission.MANAGE_CHANNELS
        if needs not in self.world.permissions(self.world.bot, channel):
            raise forbidden()
        self.double.remove_channel(channel)
        return web.json_response(self.world.channel_json(channel))

    async def typing(self, request: web.Request) -> web.Response:
        channel = self._channel(request, Permission.SEND_MESSAGES)
        self.double.typing.append((self.double.clock.now(), channel))
        self.double.changed()
        return web.Response(status=204)

    async def start_thread(self, request: web.Request) -> web.Response:
        channel = self._channel(request, Permission.CREATE_PUBLIC_THREADS)
        payload, _ = await body(request)
        source = self._message(request) if "message" in request.match_info else None
        if source is not None and source.thread is not None:
            raise ApiError(400, 160004, "A thread has already been created for this message")
        thread = self.world.add_thread(channel, payload["name"], self.world.bot, source.id if source else None)
        if source is not None:
            source.thread = thread
        shown = self.world.channel_json(thread)
        self.double.gateway.dispatch("THREAD_CREATE", shown | {"newly_created": True}, GUILDS)
        self.double.changed()
        return web.json_response(shown, status=201)

    async def thread_members(self, request: web.Request) -> web.Response:
        channel = self._channel(request)
        return web.json_response([self._in_thread(channel, self.world.bot.id)])

    async def thread_member(self, request: web.Request) -> web.Response:
        channel, user = self._channel(request), int(request.match_info["user"])
        if user != channel.owner_id and user not in channel.joined:
            raise unknown(10007, "Member")
        return web.json_response(self._in_thread(channel, user))

    def _in_thread(self, channel: Channel, user: int) -> dict[str, Any]:
        joined = self.double.clock.iso()
        return {"id": str(channel.id), "user_id": str(user), "flags": 0, "join_timestamp": joined}

    # messages

    def may_send(self, author: User, channel: Channel, files: bool, replies: bool) -> None:
        """Refuse as Discord does: permissions, archived and locked threads, closed direct messages."""
        if channel.type == ChannelType.DM:
            if any(user.blocks_dms for user in channel.recipients):
                raise forbidden(50007, "Cannot send messages to this user")
            return
        granted = self.world.permissions(author, channel)
        needed = Permission.SEND_MESSAGES_IN_THREADS if channel.is_thread else Permission.SEND_MESSAGES
        if Permission.VIEW_CHANNEL not in granted:
            raise forbidden(50001, "Missing Access")
        if needed not in granted or (files and Permission.ATTACH_FILES not in granted):
            raise forbidden()
        if replies and Permission.READ_MESSAGE_HISTORY not in granted:
            raise ApiError(400, 160002, "You cannot reply to a message without permission to read message history.")
        if channel.locked and Permission.MANAGE_THREADS not in granted:
            raise ApiError(400, 50083, "Thread is archived")
        if channel.archived:
            channel.archived = False

    async def send(self, request: web.Request) -> web.Response:
        channel = self._channel(request)
        payload, uploads = await body(request)
        self.may_send(self.world.bot, channel, bool(uploads), bool(payload.get("message_reference")))
        message = messages.create(self.double, self.world.bot, channel, payload, uploads)
        return web.json_response(self._shown(message))

    async def history(self, request: web.Request) -> web.Response:
        channel = self._channel(request)
        if Permission.READ_MESSAGE_HISTORY not in self.world.permissions(self.world.bot, channel):
            return web.json_response([])
        query = request.query
        limit = int(query.get("limit", 50))
        if not 1 <= limit <= 100:
            raise ApiError(400, 50035, "Invalid Form Body")
        found = [m for m in channel.messages.values() if not m.ephemeral]
        if "after" in query:
            found = [m for m in found if m.id > int(query["after"])][:limit]
        elif "around" in query:
            near = sorted(found, key=lambda m: abs(m.id - int(query["around"])))[:limit]
            found = sorted(near, key=lambda m: m.id)
        else:
            before = int(query.get("before", 1 << 62))
            found = [m for m in found if m.id < before][-limit:]
        return web.json_response([self._shown(m) for m in reversed(found)])

    async def message(self, request: web.Request) -> web.Response:
        return web.json_response(self._shown(self._message(request, Permission.READ_MESSAGE_HISTORY)))

    async def edit(self, request: web.Request) -> web.Response:
        message = self._message(request)
        payload, uploads = await body(request)
        channel = message.channel
        if channel.archived or channel.locked:
            raise ApiError(400, 50083, "Thread is archived")
        if uploads and Permission.ATTACH_FILES not in self.world.permissions(self.world.bot, channel):
            raise forbidden()
        if self.double.clock.now() - message.created_at > 3600 and not self.double.take_old_edit(message):
            raise ApiError(
                429, 30046, "Maximum number of edits to messages older than 1 hour reached. Try again later."
            )
        return web.json_response(self._shown(messages.edit(self.double, self.world.bot, message, payload, uploads)))

    async def delete(self, request: web.Request) -> web.Response:
        message = self._message(request)
        granted = self.world.permissions(self.world.bot, message.channel)
        if message.author is not self.world.bot and Permission.MANAGE_MESSAGES not in granted:
            raise forbidden()
        messages.delete(self.double, message)
        return web.Response(status=204)

    async def react(self, request: web.Request) -> web.Response:
        message = self._message(request, Permission.ADD_REACTIONS)
        self.double.add_reaction(self.world.bot, message, request.match_info["emoji"])
        return web.Response(status=204)

    async def unreact(self, request: web.Request) -> web.Response:
        message, emoji = self._message(request), request.match_info["emoji"]
        if self.world.bot.id in message.reactions.get(emoji, []):
            message.reactions[emoji].remove(self.world.bot.id)
            data = {
                "user_id": str(self.world.bot.id),
                "channel_id": str(message.channel.id),
                "message_id": str(message.id),
                "emoji": {"id": None, "name": emoji},
                "burst": False,
                "type": 0,
            }
            self.double.gateway.dispatch_in(
                message.channel, "MESSAGE_REACTION_REMOVE", data, GUILD_REACTIONS, DIRECT_REACTIONS
            )
        return web.Response(status=204)

    async def attachment(self, request: web.Request) -> web.Response:
        channel = self.world.channels.get(int(request.match_info["channel"]))
        for message in list(channel.messages.values()) if channel else []:
            for each in message.attachments:
                if str(each.id) == request.match_info["attachment"]:
                    return web.Response(body=each.data, content_type=each.content_type)
        return web.Response(status=404)

    # commands

    def _scope(self, request: web.Request) -> int | None:
        return int(request.match_info["guild"]) if "guild" in request.match_info else None

    async def get_commands(self, request: web.Request) -> web.Response:
        return web.json_response(self.commands.get(self._scope(request), []))

    async def put_commands(self, request: web.Request) -> web.Response:
        payload = await request.json()
        validation.commands(payload)
        scope = self._scope(request)
        self.commands[scope] = [self._stored(command, scope) for command in payload]
        self.syncs += 1
        self.double.changed()
        return web.json_response(self.commands[scope])

    def _stored(self, command: dict[str, Any], scope: int | None) -> dict[str, Any]:
        usual: dict[str, Any] = {
            "type": 1,
            "description": "",
            "default_member_permissions": None,
            "dm_permission": True,
            "nsfw": False,
        }
        fixed = {
            "id": str(self.double.clock.snowflake()),
            "application_id": str(self.world.application_id),
            "version": str(self.double.clock.snowflake()),
        }
        if scope is not None:
            fixed["guild_id"] = str(scope)
        return usual | command | fixed
