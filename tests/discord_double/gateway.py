"""The gateway: HELLO, IDENTIFY, heartbeats, dispatch by intents, RESUME with replay, forced ends."""

import asyncio
import contextlib
import json
import zlib
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

from .bare import UNSENT, bared_event
from .things import Channel, Guild, Message, User
from .world import World

GUILDS, MEMBERS, GUILD_MESSAGES, GUILD_REACTIONS = 1 << 0, 1 << 1, 1 << 9, 1 << 10
DIRECT_MESSAGES, DIRECT_REACTIONS, MESSAGE_CONTENT = 1 << 12, 1 << 13, 1 << 15
ACK_DELAY = 0.03
"""discord.py divides by the latency it measures; a loopback of 0 ms would not be an honest Discord."""


class Connection:
    """One WebSocket, compressed if the client asked for it."""

    def __init__(self, socket: web.WebSocketResponse, compress: bool) -> None:
        self.socket = socket
        self._zlib = zlib.compressobj() if compress else None

    async def send(self, payload: dict[str, Any]) -> None:
        raw = json.dumps(payload)
        with contextlib.suppress(ConnectionError):
            if self._zlib is None:
                await self.socket.send_str(raw)
            else:
                packed = self._zlib.compress(raw.encode()) + self._zlib.flush(zlib.Z_SYNC_FLUSH)
                await self.socket.send_bytes(packed)


@dataclass(eq=False)
class Session:
    """What RESUME needs: every event sent since IDENTIFY, and where the client is now."""

    id: str
    intents: int
    events: list[dict[str, Any]] = field(default_factory=list)
    connection: Connection | None = None
    queue: "asyncio.Queue[dict[str, Any]]" = field(default_factory=asyncio.Queue)
    pump: "asyncio.Task[None] | None" = None


class Gateway:
    """All sessions of the one application."""

    def __init__(self, world: World, token: str, *, bare: bool = False) -> None:
        self.bare = bare
        self.unsent = set(UNSENT) if bare else set()
        """Events that nobody is told of."""
        self.world = world
        self.token = token
        self.content_intent_granted = True
        """Whether the developer portal allows the message-content intent."""
        self.refusing = False
        self.closing_with = 0
        """The code that every IDENTIFY is answered with, if any is."""
        self.sessions: dict[str, Session] = {}
        self.presence: dict[str, Any] = {}
        self.identified = 0
        self.resumed = 0
        self.changed = lambda: None
        self._sockets: set[web.WebSocketResponse] = set()

    @property
    def connected(self) -> bool:
        return any(s.connection is not None for s in self.sessions.values())

    def sees_content(self, session: Session) -> bool:
        return bool(session.intents & MESSAGE_CONTENT)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if self.refusing:
            return web.json_response({"message": "upstream unavailable"}, status=503)
        socket = web.WebSocketResponse(max_msg_size=1 << 24)
        await socket.prepare(request)
        connection = Connection(socket, request.query.get("compress") == "zlib-stream")
        self._sockets.add(socket)
        session: Session | None = None
        tasks: set[asyncio.Task[None]] = set()
        try:
            await connection.send({"op": 10, "d": {"heartbeat_interval": 41250}, "s": None, "t": None})
            async for frame in socket:
                if frame.type is not WSMsgType.TEXT:
                    break
                message = json.loads(frame.data)
                op, data = message["op"], message.get("d")
                if op == 1:
                    task = asyncio.ensure_future(self._acknowledge(connection))
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
                elif op == 2:
                    session = await self._identify(connection, data)
                elif op == 6:
                    session = await self._resume(connection, data)
                elif op == 3:
                    self.presence = data
                    self.changed()
                elif op == 8 and session is not None:
                    self._chunk(session, data)
        finally:
            for task in tasks:
                task.cancel()
            self._sockets.discard(socket)
            if session is not None and session.connection is connection:
                session.connection = None
                if session.pump is not None:
                    session.pump.cancel()
            self.changed()
        return socket

    async def _acknowledge(self, connection: Connection) -> None:
        await asyncio.sleep(ACK_DELAY)
        await connection.send({"op": 11, "d": None, "s": None, "t": None})

    async def _identify(self, connection: Connection, data: dict[str, Any]) -> Session | None:
        if self.closing_with:
            await connection.socket.close(code=self.closing_with)
            return None
        if data["token"] != self.token:
            await connection.socket.close(code=4004, message=b"Authentication failed.")
            return None
        if data["intents"] & MESSAGE_CONTENT and not self.content_intent_granted:
            await connection.socket.close(code=4014, message=b"Disallowed intent(s).")
            return None
        self.identified += 1
        if data.get("presence"):
            self.presence = data["presence"]
        session = Session(f"session{len(self.sessions)}", data["intents"])
        for old in self.sessions.values():
            if old.connection is not None:
                await old.connection.socket.close(code=4000)
        self.sessions = {session.id: session}
        guilds = [g for g in self.world.guilds.values() if g.has_bot]
        ready = {
            "v": 10,
            "user": self.world.bot.json() | {"verified": True, "mfa_enabled": False},
            "guilds": [{"id": str(g.id), "unavailable": True} for g in guilds],
            "session_id": session.id,
            "resume_gateway_url": self.world.base.replace("http", "ws", 1) + "/resume/",
            "application": {"id": str(self.world.application_id), "flags": 1 << 19},
        }
        self._record(session, "READY", ready)
        for guild in guilds:
            if "GUILD_CREATE" not in self.unsent:
                self._record(session, "GUILD_CREATE", self.world.guild_json(guild))
        await self._attach(session, connection, session.events)
        return session

    async def _resume(self, connection: Connection, data: dict[str, Any]) -> Session | None:
        session = self.sessions.get(data["session_id"])
        if session is None or data["token"] != self.token:
            await connection.send({"op": 9, "d": False, "s": None, "t": None})
            return None
        self.resumed += 1
        missed = [event for event in session.events if event["s"] > data["seq"]]
        self._record(session, "RESUMED", {})
        await self._attach(session, connection, [*missed, session.events[-1]])
        return session

    async def _attach(self, session: Session, connection: Connection, backlog: list[dict[str, Any]]) -> None:
        backlog = list(backlog)
        sent = backlog[-1]["s"]
        for event in backlog:
            await connection.send(event)
        session.queue = asyncio.Queue()
        for event in session.events:
            if event["s"] > sent:
                session.queue.put_nowait(event)
        session.connection = connection
        session.pump = asyncio.ensure_future(self._pump(session, connection))
        self.changed()

    async def _pump(self, session: Session, connection: Connection) -> None:
        """Events go out one after the other, in order."""
        queue = session.queue
        while True:
            await connection.send(await queue.get())

    def _record(self, session: Session, name: str, data: dict[str, Any]) -> dict[str, Any]:
        data = bared_event(name, data) if self.bare else data
        event = {"op": 0, "t": name, "s": len(session.events) + 1, "d": data}
        session.events.append(event)
        return event

    def dispatch(self, name: str, data: dict[str, Any], intent: int = 0) -> None:
        """Tell every session that asked for it; one that is away gets it when it resumes."""
        if name in self.unsent:
            return
        for session in self.sessions.values():
            if intent == 0 or session.intents & intent:
                self._send(session, name, data)

    def _send(self, session: Session, name: str, data: dict[str, Any]) -> None:
        event = self._record(session, name, data)
        if session.connection is not None:
            session.queue.put_nowait(event)

    def dispatch_message(self, name: str, message: Message) -> None:
        channel = message.channel
        if name in self.unsent or (channel.guild is not None and not self._visible(channel)):
            return
        intent = GUILD_MESSAGES if channel.guild else DIRECT_MESSAGES
        for session in self.sessions.values():
            if not session.intents & intent:
                continue
            full = self.sees_content(session) or self.world.open_to_bot(message)
            data = self.world.message_json(message, content=full)
            if channel.guild is not None:
                data["guild_id"] = str(channel.guild.id)
                if message.author.id in channel.guild.members:
                    data["member"] = self.world.member_json(channel.guild, message.author, with_user=False)
                data["mentions"] = [
                    user.json() | {"member": self.world.member_json(channel.guild, user, with_user=False)}
                    for user in message.mentions
                    if user.id in channel.guild.members
                ]
            self._send(session, name, data)

    def dispatch_in(self, channel: Channel, name: str, data: dict[str, Any], guilds: int, directs: int) -> None:
        if channel.guild is not None:
            if not self._visible(channel):
                return
            data = data | {"guild_id": str(channel.guild.id)}
        self.dispatch(name, data, guilds if channel.guild else directs)

    def _visible(self, channel: Channel) -> bool:
        assert channel.guild is not None
        return channel.guild.has_bot and bool(self.world.permissions(self.world.bot, channel) & 1 << 10)

    def _chunk(self, session: Session, data: dict[str, Any]) -> None:
        guild = self.world.guilds[int(data["guild_id"])]
        wanted = [int(u) for u in data.get("user_ids") or []]
        query = (data.get("query") or "").lower()
        users: list[User] = [m.user for m in guild.members.values()]
        users = [u for u in users if u.id in wanted] if wanted else [u for u in users if query in u.name.lower()]
        chunk = {
            "guild_id": str(guild.id),
            "members": [self.world.member_json(guild, user) for user in users],
            "chunk_index": 0,
            "chunk_count": 1,
            "not_found": [],
            "nonce": data.get("nonce"),
        }
        self._send(session, "GUILD_MEMBERS_CHUNK", chunk)

    def guild_created(self, guild: Guild) -> None:
        self.dispatch("GUILD_CREATE", self.world.guild_json(guild), GUILDS)

    # ends

    async def disconnect(self, code: int = 4000) -> None:
        """Drop every connection; sessions stay and can be resumed."""
        for socket in list(self._sockets):
            await socket.close(code=code, message=b"dropped", drain=False)

    async def send_garbage(self) -> None:
        """What is neither JSON nor compressed."""
        for session in self.sessions.values():
            if session.connection is not None:
                await session.connection.socket.send_bytes(b"\xff\x00\x00\xff\xff")

    async def ask_reconnect(self) -> None:
        for session in self.sessions.values():
            if session.connection is not None:
                await session.connection.send({"op": 7, "d": None, "s": None, "t": None})

    async def invalidate(self, *, resumable: bool = False) -> None:
        """Op 9. Not resumable: the sessions are forgotten."""
        sessions = list(self.sessions.values())
        if not resumable:
            self.sessions = {}
        for session in sessions:
            if session.connection is not None:
                await session.connection.send({"op": 9, "d": resumable, "s": None, "t": None})
