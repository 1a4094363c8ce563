"""The loopback Discord: a server in this process, its world, and the handles a test pulls."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from .bare import bared
from .clock import Clock
from .errors import ApiError
from .gateway import DIRECT_REACTIONS, GUILD_REACTIONS, GUILDS, Gateway
from .interactions import Interactions
from .limits import Limits
from .people import Person
from .rest import API, Rest
from .things import Channel, ChannelType, Guild, Message
from .world import World

OLD_EDITS = 5
CUT = 0
"""As the status of a fault: the connection breaks."""


@dataclass
class Request:
    """One REST request as it was answered."""

    at: float
    method: str
    path: str
    status: int
    payload: Any


@dataclass
class Fault:
    """What goes wrong with requests that match; ``after``: only once the work is done (the answer gets lost)."""

    method: str
    path: str
    status: int | None = None
    times: int = 1
    delay: float = 0.0
    retry_after: float | None = None
    everywhere: bool = False
    """The rate limit is that of the whole bot."""
    after: bool = False
    code: int = 0


def _cut(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


class Double:
    """``async with Double() as discord:`` serves until the block ends."""

    def __init__(self, *, token: str = "test-token", port: int = 0, bare: bool = False) -> None:
        """``bare``: with as little as `bare` tells."""
        self.token = token
        self.port = port
        self.bare = bare
        self.clock = Clock(small_ids=bare)
        self.world = World(self.clock)
        self.gateway = Gateway(self.world, token, bare=bare)
        self.gateway.changed = self.changed
        self.limits = Limits()
        self.rest = Rest(self)
        self.interactions = Interactions(self)
        self.faults: list[Fault] = []
        self.requests: list[Request] = []
        self.typing: list[tuple[float, Channel]] = []
        self.rejected: list[Request] = []
        """Requests answered with 400 to 499, rate limits included."""
        self._waiters: list[tuple[Callable[[], Any], asyncio.Future[Any]]] = []
        self._old_edits: dict[int, int] = {}
        self.owner = self.world.add_user("owner")
        self.guild = self.world.add_guild("Aquarium", self.owner)
        self.general = self.world.add_channel(self.guild, "general")

    @property
    def bot_mention(self) -> str:
        return f"<@{self.world.bot.id}>"

    # serving

    async def start(self) -> None:
        app = web.Application(middlewares=[self._middleware], client_max_size=32 << 20)
        app.add_routes([*self.rest.routes(), *self.interactions.routes()])
        app.add_routes([web.get("/gateway/", self.gateway.handle), web.get("/resume/", self.gateway.handle)])
        self._runner = web.AppRunner(app, shutdown_timeout=0.5)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]
        self.world.base = f"http://127.0.0.1:{self.port}"

    async def stop(self) -> None:
        await self.gateway.disconnect(1001)
        await self._runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def url(self) -> str:
        return self.world.base

    @web.middleware
    async def _middleware(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if not request.path.startswith(API):
            return await handler(request)
        response = await self._answer(request, handler)
        payload = None
        if request.content_type == "application/json" and request.can_read_body:
            payload = json.loads(await request.read() or b"null")
        record = Request(self.clock.now(), request.method, request.path.removeprefix(API), response.status, payload)
        self.requests.append(record)
        if 400 <= response.status < 500:
            self.rejected.append(record)
        self.changed()
        return response

    async def _answer(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        hooked = "/webhooks/" in request.path or "/interactions/" in request.path
        if not hooked and request.headers.get("Authorization") != f"Bot {self.token}":
            return web.json_response({"message": "401: Unauthorized", "code": 0}, status=401)
        fault = self._fault(request)
        if fault is not None:
            await asyncio.sleep(fault.delay)
            if fault.retry_after is not None:
                return self._too_many(fault.retry_after, {}, everywhere=fault.everywhere)
            if fault.status == CUT and not fault.after:
                return _cut(request)
            if fault.status is not None and not fault.after:
                refusal = web.json_response({"message": "fault", "code": fault.code}, status=fault.status)
                if fault.code:  # in Discord's own words
                    refusal.headers["Content-Type"] = "application/json"
                return refusal
        match = request.match_info
        resource = match.route.resource
        route = f"{request.method} {(resource.canonical if resource else request.path).removeprefix(API)}"
        major = match.get("channel") or match.get("guild") or match.get("token") or ""
        bucket = self.limits.bucket(route, major)
        wait = bucket.take()
        if wait > 0:
            return self._too_many(wait, bucket.headers(route))
        try:
            response = await handler(request)
        except ApiError as error:
            response = web.json_response(error.body, status=error.status)
        if fault is not None and fault.after and fault.status == CUT:
            return _cut(request)
        if fault is not None and fault.after and fault.status is not None:
            return web.json_response({"message": "fault", "code": 0}, status=fault.status)
        if self.bare and isinstance(response, web.Response) and response.content_type == "application/json":
            assert response.text is not None
            response = web.json_response(bared(json.loads(response.text)), status=response.status)
        else:
            response.headers.update(bucket.headers(route.replace(" ", "-").replace("/", "_")))
        if isinstance(response, web.Response) and response.content_type == "application/json":
            response.headers["Content-Type"] = "application/json"  # discord.py compares the header as a whole
        return response

    def _too_many(self, seconds: float, headers: dict[str, str], *, everywhere: bool = False) -> web.Response:
        if self.bare:
            return web.json_response({"message": "You are being rate limited."}, status=429)
        body = {"message": "You are being rate limited.", "retry_after": round(seconds, 3), "global": everywhere}
        response = web.json_response(body, status=429, headers={"Via": "1.1 loopback", **headers})
        response.headers["Content-Type"] = "application/json"
        response.headers["Retry-After"] = f"{seconds:.3f}"
        response.headers["X-RateLimit-Scope"] = "global" if everywhere else "shared"
        return response

    def _fault(self, request: web.Request) -> Fault | None:
        path = request.path.removeprefix(API)
        for fault in self.faults:
            if fault.times > 0 and fault.method in ("*", request.method) and re.search(fault.path, path):
                fault.times -= 1
                return fault
        return None

    # faults

    def fail(
        self, method: str, path: str, status: int, *, times: int = 1, after: bool = False, code: int = 0
    ) -> Fault:
        """Answer the next ``times`` requests matching the regular expression with ``status``; CUT: not at all."""
        return self._add(Fault(method, path, status, times, after=after, code=code))

    def slow(self, method: str, path: str, seconds: float, *, times: int = 1) -> Fault:
        return self._add(Fault(method, path, times=times, delay=seconds))

    def too_many(
        self, method: str, path: str, retry_after: float, *, times: int = 1, everywhere: bool = False
    ) -> Fault:
        """A real 429, Via header and JSON included."""
        return self._add(Fault(method, path, times=times, retry_after=retry_after, everywhere=everywhere))

    def _add(self, fault: Fault) -> Fault:
        self.faults.append(fault)
        return fault

    # waiting

    def changed(self) -> None:
        """Something happened: look whether it is what somebody waits for."""
        for waiter in list(self._waiters):
            condition, future = waiter
            if future.done():
                continue
            try:
                value = condition()
            except Exception as error:
                future.set_exception(error)
                continue
            if value:
                future.set_result(value)

    async def until(self, condition: Callable[[], Any], timeout: float = 20.0) -> Any:
        """The first truthy value of ``condition``, looked at whenever anything happens here."""
        value = condition()
        if value:
            return value
        waiter = (condition, asyncio.get_running_loop().create_future())
        self._waiters.append(waiter)
        try:
            return await asyncio.wait_for(waiter[1], timeout)
        finally:
            self._waiters.remove(waiter)

    async def wait_for(self, predicate: Callable[[Message], bool], timeout: float = 20.0) -> Message:
        """The first message of the bot, in any channel, that satisfies ``predicate``."""

        def found() -> Message | None:
            return next((m for m in self.said() if predicate(m)), None)

        message: Message = await self.until(found, timeout)
        return message

    async def reply_to(
        self, message: Message, predicate: Callable[[Message], bool] = lambda _: True, timeout: float = 20.0
    ) -> Message:
        """The bot's first reply to ``message`` once it satisfies ``predicate``."""
        return await self.wait_for(lambda m: m.reference is message and predicate(m), timeout)

    async def bot_connected(self, timeout: float = 30.0) -> None:
        await self.until(lambda: self.gateway.connected, timeout)

    async def commands_synced(self, timeout: float = 30.0) -> None:
        await self.until(lambda: any(self.rest.commands.values()), timeout)

    def said(self, channel: Channel | None = None) -> list[Message]:
        """Every public message of the bot, oldest first."""
        channels = [channel] if channel else list(self.world.channels.values())
        return [m for c in channels for m in c.messages.values() if m.author is self.world.bot and not m.ephemeral]

    # the world

    def person(self, name: str, *, guild: Guild | None = None, nick: str | None = None) -> Person:
        """The person of that name; a member of the guild (the first one, unless told) from the first call on."""
        for user in self.world.users.values():
            if user.name == name and not user.bot:
                return Person(self, user)
        user = self.world.add_user(name, display=name.capitalize())
        guild = guild or self.guild
        self.world.add_member(guild, user, nick)
        self.gateway.dispatch(
            "GUILD_MEMBER_ADD", self.world.member_json(guild, user) | {"guild_id": str(guild.id)}, 1 << 1
        )
        return Person(self, user)

    def other_bot(self, name: str) -> Person:
        user = self.world.add_user(name, bot=True)
        self.world.add_member(self.guild, user)
        return Person(self, user)

    def channel(self, name: str, guild: Guild | None = None, kind: ChannelType = ChannelType.TEXT) -> Channel:
        channel = self.world.add_channel(guild or self.guild, name, kind)
        self.gateway.dispatch("CHANNEL_CREATE", self.world.channel_json(channel), GUILDS)
        return channel

    def thread(self, parent: Channel, name: str, owner: Person, *, private: bool = False) -> Channel:
        thread = self.world.add_thread(parent, name, owner.user)
        if private:
            thread.type = ChannelType.PRIVATE_THREAD
        self.gateway.dispatch("THREAD_CREATE", self.world.channel_json(thread) | {"newly_created": True}, GUILDS)
        return thread

    def update_channel(self, channel: Channel) -> None:
        """Tell the bot what was changed on the object: overwrites, archived, slow mode."""
        event = "THREAD_UPDATE" if channel.is_thread else "CHANNEL_UPDATE"
        self.gateway.dispatch(event, self.world.channel_json(channel), GUILDS)

    def remove_channel(self, channel: Channel) -> None:
        channel.deleted = True
        if channel.guild is not None:
            channel.guild.channels.pop(channel.id, None)
        event = "THREAD_DELETE" if channel.is_thread else "CHANNEL_DELETE"
        self.gateway.dispatch(event, self.world.channel_json(channel), GUILDS)
        self.changed()

    def add_reaction(self, user: Any, message: Message, emoji: str) -> None:
        users = message.reactions.setdefault(emoji, [])
        if user.id in users:
            return
        users.append(user.id)
        data: dict[str, Any] = {
            "user_id": str(user.id),
            "channel_id": str(message.channel.id),
            "message_id": str(message.id),
            "message_author_id": str(message.author.id),
            "emoji": {"id": None, "name": emoji},
            "burst": False,
            "type": 0,
        }
        if message.channel.guild is not None:
            data["member"] = self.world.member_json(message.channel.guild, user)
        self.gateway.dispatch_in(message.channel, "MESSAGE_REACTION_ADD", data, GUILD_REACTIONS, DIRECT_REACTIONS)
        self.changed()

    def take_old_edit(self, message: Message) -> bool:
        """Messages older than an hour may be edited a few times only (30046)."""
        used = self._old_edits.get(message.channel.id, 0)
        self._old_edits[message.channel.id] = used + 1
        return used < OLD_EDITS
