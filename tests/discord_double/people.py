"""A person at the keyboard: what they say and press, as Discord's own client would send it."""

from typing import TYPE_CHECKING, Any

from . import messages
from .interactions import Interaction
from .messages import Upload
from .things import Channel, Message, Permission, User, walk

if TYPE_CHECKING:
    from .double import Double

STRING, INTEGER, BOOLEAN, USER, CHANNEL, NUMBER, ATTACHMENT = 3, 4, 5, 6, 7, 10, 11


class Person:
    """One user. Everything is sent at once and awaited where the bot has to acknowledge."""

    def __init__(self, double: "Double", user: User) -> None:
        self.double = double
        self.user = user

    @property
    def id(self) -> int:
        return self.user.id

    @property
    def mention(self) -> str:
        return f"<@{self.id}>"

    @property
    def dm(self) -> Channel:
        return self.double.world.dm(self.user)

    async def say(
        self,
        channel: Channel,
        text: str,
        *,
        reply_to: Message | None = None,
        ping: bool = True,
        files: dict[str, bytes] | None = None,
        more: dict[str, Any] | None = None,
    ) -> Message:
        """``more``: what else Discord tells of the message, in its JSON."""
        payload: dict[str, Any] = {"content": text}
        if reply_to is not None:
            payload["message_reference"] = {"message_id": str(reply_to.id)}
            if not ping:
                payload["allowed_mentions"] = {"parse": ["users", "roles", "everyone"], "replied_user": False}
        uploads: dict[int, Upload] = {
            i: (name, "text/plain" if name.endswith((".txt", ".md", ".py")) else "application/octet-stream", data)
            for i, (name, data) in enumerate((files or {}).items())
        }
        self.double.rest.may_send(self.user, channel, bool(files), reply_to is not None)
        return messages.create(self.double, self.user, channel, payload, uploads, more=more)

    async def mention_bot(self, channel: Channel, text: str, **more: Any) -> Message:
        return await self.say(channel, f"<@{self.double.world.bot.id}> {text}", **more)

    async def post(self, forum: Channel, title: str, text: str) -> Message:
        """Open a post: a thread whose first message has its id."""
        thread = self.double.thread(forum, title, self)
        return messages.create(self.double, self.user, thread, {"content": text}, {}, id=thread.id)

    async def edit(self, message: Message, text: str) -> None:
        messages.edit(self.double, self.user, message, {"content": text}, {})

    async def delete(self, message: Message) -> None:
        granted = self.double.world.permissions(self.user, message.channel)
        assert message.author is self.user or Permission.MANAGE_MESSAGES in granted
        messages.delete(self.double, message)

    async def react(self, message: Message, emoji: str) -> None:
        self.double.add_reaction(self.user, message, emoji)

    # commands

    async def slash(
        self, path: str, channel: Channel | None = None, /, *, user_installed: bool = False, **options: Any
    ) -> Interaction:
        """``path`` may name a subcommand: "settings set"."""
        channel = channel or self.dm
        command, leaf, data = self._command(path, channel, 1)
        chosen, resolved = self._options(leaf.get("options", []), options)
        parts = path.split()[1:]
        for depth, part in enumerate(reversed(parts)):
            chosen = [{"type": 1 if depth == 0 else 2, "name": part, "options": chosen}]
        data |= {"options": chosen}
        if resolved:
            data["resolved"] = resolved
        self._may_use(command, channel, user_installed)
        return await self.double.interactions.start(
            self.user, channel, 2, data, name=path, user_installed=user_installed
        )

    async def complete(
        self, path: str, option: str, typed: str, channel: Channel | None = None, **options: Any
    ) -> list[dict[str, Any]]:
        """The choices offered while typing ``option``."""
        channel = channel or self.dm
        _, leaf, data = self._command(path, channel, 1)
        wanted = next(o for o in leaf["options"] if o["name"] == option)
        assert wanted.get("autocomplete"), f"{option} of {path} has no autocomplete"
        chosen, _ = self._options([o for o in leaf["options"] if o["name"] in options], options)
        chosen.append({"type": wanted["type"], "name": option, "value": typed, "focused": True})
        for depth, part in enumerate(reversed(path.split()[1:])):
            chosen = [{"type": 1 if depth == 0 else 2, "name": part, "options": chosen}]
        interaction = await self.double.interactions.start(
            self.user, channel, 4, data | {"options": chosen}, name=path
        )
        return interaction.choices or []

    async def menu(self, name: str, message: Message, *, user_installed: bool = False) -> Interaction:
        """A message menu (Apps → ``name``) on ``message``."""
        command, _, data = self._command(name, message.channel, 3)
        shown = self.double.world.message_json(message)
        data |= {"target_id": str(message.id), "resolved": {"messages": {str(message.id): shown}}}
        self._may_use(command, message.channel, user_installed)
        return await self.double.interactions.start(
            self.user, message.channel, 2, data, name=name, user_installed=user_installed
        )

    def _may_use(self, command: dict[str, Any], channel: Channel, user_installed: bool) -> None:
        contexts = command.get("contexts")
        here = 0 if channel.guild else 1
        assert contexts is None or here in contexts, f"{command['name']} is not offered here"
        needed = command.get("default_member_permissions")
        if needed is not None and channel.guild is not None:
            granted = int(self.double.world.permissions(self.user, channel))
            assert granted & int(needed) == int(needed), f"{command['name']} is not offered to {self.user.name}"
        if user_installed:
            assert 1 in (command.get("integration_types") or [0]), f"{command['name']} cannot be user-installed"

    def _command(
        self, path: str, channel: Channel, kind: int
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """The synced command, its innermost subcommand, and the start of the interaction's data."""
        scopes = [channel.guild.id if channel.guild else None, None]
        first, *rest = path.split() if kind == 1 else [path]
        synced = [c for scope in scopes for c in self.double.rest.commands.get(scope, [])]
        command = next((c for c in synced if c["name"] == first and c["type"] == kind), None)
        assert command is not None, f"no command {first!r} among {sorted(c['name'] for c in synced)}"
        leaf = command
        for part in rest:
            leaf = next(o for o in leaf["options"] if o["name"] == part)
        data: dict[str, Any] = {"id": command["id"], "name": command["name"], "type": kind}
        if "guild_id" in command:
            data["guild_id"] = command["guild_id"]
        return command, leaf, data

    def _options(
        self, defined: list[dict[str, Any]], given: dict[str, Any]
    ) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        names = {option["name"] for option in defined}
        assert set(given) <= names, f"no such option: {set(given) - names}, there are {names}"
        chosen: list[dict[str, Any]] = []
        resolved: dict[str, Any] = {}
        for option in defined:
            name, kind = option["name"], option["type"]
            if name not in given:
                assert not option.get("required"), f"{name} is required"
                continue
            value = given[name]
            if kind == STRING:
                assert len(value) <= option.get("max_length", 6000), f"{name} is too long"
            if kind in (INTEGER, NUMBER):
                least, most = option.get("min_value"), option.get("max_value")
                assert (least is None or value >= least) and (most is None or value <= most), f"{name} out of range"
                assert abs(value) < 2**53
            if option.get("choices"):
                assert value in [c["value"] for c in option["choices"]], f"{value!r} is not a choice of {name}"
            if isinstance(value, Person):
                value = value.user
            if isinstance(value, User):
                resolved.setdefault("users", {})[str(value.id)] = value.json()
                value = str(value.id)
            if isinstance(value, Channel):
                shown = self.double.world.channel_json(value) | {"permissions": "0"}
                resolved.setdefault("channels", {})[str(value.id)] = shown
                value = str(value.id)
            chosen.append({"type": kind, "name": name, "value": value})
        return chosen, resolved

    # components

    async def press(self, message: Message, label: str) -> Interaction:
        """Press the button whose label, emoji or custom_id is ``label``."""
        button = self._component(message, label, (2,))
        assert not button.get("disabled"), f"{label} is disabled"
        data = {"custom_id": button["custom_id"], "component_type": 2}
        return await self._component_used(message, data, label)

    async def choose(self, message: Message, select: str, *values: str) -> Interaction:
        """Pick options (by value or label) of the select whose placeholder or custom_id is ``select``."""
        component = self._component(message, select, (3,))
        options = component["options"]
        picked = [next(o["value"] for o in options if v in (o["value"], o["label"])) for v in values]
        data = {"custom_id": component["custom_id"], "component_type": 3, "values": picked}
        return await self._component_used(message, data, select)

    async def _component_used(self, message: Message, data: dict[str, Any], name: str) -> Interaction:
        assert not message.deleted, "the message is gone"
        installed = False
        if message.token is not None:
            installed = self.double.interactions.by_token[message.token].user_installed
            invoker = self.double.interactions.by_token[message.token].user
            assert not message.ephemeral or invoker is self.user, "an ephemeral message is seen by one person only"
        return await self.double.interactions.start(
            self.user, message.channel, 3, data, name=name, source=message, user_installed=installed
        )

    def _component(self, message: Message, name: str, kinds: tuple[int, ...]) -> dict[str, Any]:
        there = [c for c in walk(message.components) if c["type"] in kinds]
        for exact in (True, False):
            for component in there:
                names = [
                    component.get("label"),
                    component.get("custom_id"),
                    component.get("placeholder"),
                    (component.get("emoji") or {}).get("name"),
                ]
                if name in names or (not exact and any(name in (n or "") for n in names)):
                    return component
        labels = [c.get("label") or c.get("placeholder") or (c.get("emoji") or {}).get("name") for c in there]
        raise AssertionError(f"no component {name!r} among {labels}")

    async def submit(self, interaction: Interaction, **values: str) -> Interaction:
        """Fill in the modal that ``interaction`` was answered with: by label or custom_id."""
        assert interaction.modal is not None, "it was not answered with a modal"
        filled: list[dict[str, Any]] = []
        left = dict(values)
        for row in interaction.modal["components"]:
            inner = row["component"] if "component" in row else row["components"][0]
            names = (row.get("label"), inner.get("label"), inner["custom_id"])
            key = next((n for n in names if n in left), None)
            value = left.pop(key) if key else (inner.get("value") or "")
            assert value or not inner.get("required", True), f"{names} is required"
            field = {"type": inner["type"], "custom_id": inner["custom_id"], "id": inner.get("id", 0)}
            field |= {"value": value} if inner["type"] == 4 else {"values": [value]}
            shape = {"component": field} if "component" in row else {"components": [field]}
            filled.append({"type": row["type"], "id": row.get("id", 0)} | shape)
        assert not left, f"no such fields: {left}"
        data = {"custom_id": interaction.modal["custom_id"], "components": filled}
        return await self.double.interactions.start(
            self.user,
            interaction.channel,
            5,
            data,
            name=interaction.modal["title"],
            source=interaction.source,
            user_installed=interaction.user_installed,
        )
