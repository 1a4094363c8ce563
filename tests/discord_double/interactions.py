"""Interactions: how the bot answers them, and until when it may."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import web

from . import messages, validation
from .errors import ApiError, unknown
from .rest import API, Handler, body
from .things import LOADING, Channel, Message, User

if TYPE_CHECKING:
    from .double import Double

ACK_SECONDS = 3.0
TOKEN_SECONDS = 15 * 60
FOLLOWUPS_OF_USER_INSTALLS = 5
NAMES = {
    1: "pong",
    4: "message",
    5: "deferred message",
    6: "deferred update",
    7: "update",
    8: "choices",
    9: "modal",
}


class NoResponse(AssertionError):
    """The bot let three seconds pass: the person reads "The application did not respond"."""


@dataclass(eq=False)
class Interaction:
    """One interaction, from the person's side of the screen."""

    double: "Double"
    id: int
    token: str
    kind: int
    user: User
    channel: Channel
    created_at: float
    source: Message | None = None
    user_installed: bool = False
    name: str = ""
    acked: int | None = None
    acked_after: float | None = None
    response: Message | None = None
    followups: list[Message] = field(default_factory=list)
    modal: dict[str, Any] | None = None
    choices: list[dict[str, Any]] | None = None

    @property
    def answered_with(self) -> str | None:
        return NAMES.get(self.acked) if self.acked is not None else None

    @property
    def messages(self) -> list[Message]:
        """Everything it was answered with that is still there, the first answer first."""
        return [m for m in ([self.response] if self.response else []) + self.followups if not m.deleted]

    @property
    def text(self) -> str:
        return "\n".join(message.text for message in self.messages)

    @property
    def loading(self) -> bool:
        return self.response is not None and bool(self.response.flags & LOADING)

    async def acknowledged(self) -> "Interaction":
        deadline = ACK_SECONDS - (self.double.clock.now() - self.created_at)
        try:
            await self.double.until(lambda: self.acked is not None, timeout=deadline + 0.5)
        except TimeoutError:
            raise NoResponse(f"{self.name}: the application did not respond") from None
        return self

    async def shows(self, predicate: Callable[[Message], bool], timeout: float = 20.0) -> Message:
        """Wait until one of its answers satisfies ``predicate``."""

        def found() -> Message | None:
            return next((m for m in self.messages if not m.flags & LOADING and predicate(m)), None)

        message: Message = await self.double.until(found, timeout=timeout)
        return message

    async def answer(self, timeout: float = 20.0) -> Message:
        """Its first finished message."""
        return await self.shows(lambda _: True, timeout)


class Interactions:
    """All interactions of this Discord, and the endpoints that answer them."""

    def __init__(self, double: "Double") -> None:
        self.double = double
        self.by_token: dict[str, Interaction] = {}

    def routes(self) -> list[web.RouteDef]:
        hook = API + "/webhooks/{webhook}/{token}"
        table: list[tuple[str, str, Handler]] = [
            ("POST", API + "/interactions/{interaction}/{token}/callback", self.callback),
            ("POST", hook, self.follow_up),
            ("GET", hook + "/messages/{message}", self.get),
            ("PATCH", hook + "/messages/{message}", self.edit),
            ("DELETE", hook + "/messages/{message}", self.delete),
        ]
        return [web.route(method, path, handler) for method, path, handler in table]

    # from people

    async def start(
        self,
        user: User,
        channel: Channel,
        kind: int,
        data: dict[str, Any],
        *,
        name: str,
        source: Message | None = None,
        user_installed: bool = False,
    ) -> Interaction:
        """Send INTERACTION_CREATE and wait for the acknowledgement."""
        world, clock = self.double.world, self.double.clock
        interaction = Interaction(
            self.double,
            clock.snowflake(),
            secrets.token_hex(16),
            kind,
            user,
            channel,
            clock.now(),
            source,
            user_installed,
            name,
        )
        self.by_token[interaction.token] = interaction
        payload: dict[str, Any] = {
            "id": str(interaction.id),
            "application_id": str(world.application_id),
            "type": kind,
            "token": interaction.token,
            "version": 1,
            "channel_id": str(channel.id),
            "channel": world.channel_json(channel) | {"permissions": str(int(world.permissions(user, channel)))},
            "data": data,
            "locale": "en-US",
            "entitlements": [],
            "attachment_size_limit": 10 * 1024 * 1024,
            "app_permissions": str(int(world.permissions(world.bot, channel))),
            "context": 0 if channel.guild else 1,
        }
        if channel.guild is not None:
            payload["member"] = world.member_json(channel.guild, user) | {
                "permissions": str(int(world.permissions(user, channel)))
            }
            payload["guild_id"] = str(channel.guild.id)
            payload["guild_locale"] = "en-US"
            payload["guild"] = {"id": str(channel.guild.id), "locale": "en-US", "features": []}
        else:
            payload["user"] = user.json()
        owners = {"1": str(user.id)} if user_installed else {"0": str(channel.guild.id) if channel.guild else "0"}
        payload["authorizing_integration_owners"] = owners
        if source is not None:
            payload["message"] = world.message_json(source)
        self.double.gateway.dispatch("INTERACTION_CREATE", payload)
        return await interaction.acknowledged()

    # from the bot

    def _live(self, request: web.Request) -> Interaction:
        interaction = self.by_token.get(request.match_info["token"])
        if interaction is None or interaction.acked is None:
            raise unknown(10015, "Webhook")
        if self.double.clock.now() - interaction.created_at > TOKEN_SECONDS:
            raise ApiError(401, 50027, "Invalid Webhook Token")
        return interaction

    def _metadata(self, interaction: Interaction) -> dict[str, Any]:
        return {
            "id": str(interaction.id),
            "type": interaction.kind,
            "user": interaction.user.json(),
            "authorizing_integration_owners": {},
            "name": interaction.name,
        }

    def _create(
        self,
        interaction: Interaction,
        payload: dict[str, Any],
        uploads: dict[int, messages.Upload],
        loading: bool = False,
    ) -> Message:
        return messages.create(
            self.double,
            self.double.world.bot,
            interaction.channel,
            payload,
            uploads,
            token=interaction.token,
            interaction=self._metadata(interaction),
            loading=loading,
        )

    async def callback(self, request: web.Request) -> web.Response:
        interaction = self.by_token.get(request.match_info["token"])
        payload, uploads = await body(request)
        clock = self.double.clock
        if interaction is None or (
            interaction.acked is None and clock.now() - interaction.created_at > ACK_SECONDS
        ):
            raise unknown(10062, "interaction")
        if interaction.acked is not None:
            raise ApiError(400, 40060, "Interaction has already been acknowledged.")
        kind, data = payload["type"], payload.get("data") or {}
        resource: dict[str, Any] = {"type": kind}
        if kind == 4:
            interaction.response = self._create(interaction, data, uploads)
        elif kind == 5:
            interaction.response = self._create(interaction, {"flags": data.get("flags", 0)}, {}, loading=True)
        elif kind in (6, 7):
            if interaction.source is None:
                raise ApiError(400, 50035, "Invalid Form Body")
            interaction.response = interaction.source
            interaction.source.token = interaction.token
            if kind == 7:
                messages.edit(self.double, self.double.world.bot, interaction.source, data, uploads)
        elif kind == 8:
            if interaction.kind != 4 or len(data["choices"]) > 25:
                raise ApiError(400, 50035, "Invalid Form Body")
            for choice in data["choices"]:
                if not 1 <= len(choice["name"]) <= 100:
                    raise ApiError(400, 50035, "Invalid Form Body")
            interaction.choices = data["choices"]
        elif kind == 9:
            if interaction.kind == 5:
                raise ApiError(400, 50035, "Invalid Form Body")
            validation.modal(data)
            interaction.modal = data
        interaction.acked = kind
        interaction.acked_after = clock.now() - interaction.created_at
        out: dict[str, Any] = {"interaction": {"id": str(interaction.id), "type": interaction.kind}}
        if interaction.response is not None:
            out["interaction"] |= {
                "response_message_id": str(interaction.response.id),
                "response_message_loading": kind == 5,
                "response_message_ephemeral": interaction.response.ephemeral,
            }
            resource["message"] = self.double.world.message_json(interaction.response)
        out["resource"] = resource
        self.double.changed()
        return web.json_response(out)

    async def follow_up(self, request: web.Request) -> web.Response:
        interaction = self._live(request)
        payload, uploads = await body(request)
        if interaction.loading and not self.double.bare:
            assert interaction.response is not None
            message = messages.edit(self.double, self.double.world.bot, interaction.response, payload, uploads)
            return web.json_response(self.double.world.message_json(message))
        if interaction.user_installed and len(interaction.followups) >= FOLLOWUPS_OF_USER_INSTALLS:
            raise ApiError(
                400, 40094, "The maximum number of follow up messages for this interaction has been reached."
            )
        message = self._create(interaction, payload, uploads)
        interaction.followups.append(message)
        self.double.changed()
        return web.json_response(self.double.world.message_json(message))

    def _message(self, request: web.Request) -> Message:
        interaction = self._live(request)
        which = request.match_info["message"]
        if which == "@original":
            if interaction.response is None or interaction.response.deleted:
                raise unknown(10008, "Message")
            return interaction.response
        for message in [*interaction.messages, *([interaction.source] if interaction.source else [])]:
            if str(message.id) == which and not message.deleted:
                return message
        raise unknown(10008, "Message")

    async def get(self, request: web.Request) -> web.Response:
        if self.double.bare:
            raise ApiError(405, 0, "405: Method Not Allowed")
        return web.json_response(self.double.world.message_json(self._message(request)))

    async def edit(self, request: web.Request) -> web.Response:
        message = self._message(request)
        payload, uploads = await body(request)
        messages.edit(self.double, self.double.world.bot, message, payload, uploads)
        return web.json_response(self.double.world.message_json(message))

    async def delete(self, request: web.Request) -> web.Response:
        messages.delete(self.double, self._message(request))
        return web.Response(status=204)
