"""What people set from inside Discord, remembered in the log's database."""

import asyncio
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, TypeVar

from ..store import Store
from .bounds import Bounds

T = TypeVar("T")
SCOPE, EVERYWHERE = "discord", 0


@dataclass(frozen=True, slots=True)
class ChannelPreferences:
    """Of one channel or thread. None: as configured."""

    system: str | None = None
    model: str | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    max_tokens: int | None = None
    seed: int | None = None
    always: bool = False
    private: bool = False
    """Opted out: answered as single turns, nothing kept."""


@dataclass(frozen=True, slots=True)
class GuildPreferences:
    """Of one server, set by those who run it."""

    welcomed: bool = False
    bounds: Bounds = field(default_factory=dict)
    """Of what is set in its channels."""
    per_minute: int | None = None
    """Replies a minute for all its people together."""
    per_person: int | None = None
    """And for each of them."""
    models: tuple[str, ...] = ()
    """Empty: all that are configured."""
    allowed_roles: tuple[int, ...] = ()
    """Empty: everybody."""
    blocked_roles: tuple[int, ...] = ()
    blocked_users: tuple[int, ...] = ()
    blocked_channels: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class _All:
    channels: dict[int, ChannelPreferences] = field(default_factory=dict)
    guilds: dict[int, GuildPreferences] = field(default_factory=dict)
    opted_out: tuple[int, ...] = ()
    blocked: tuple[int, ...] = ()
    """People whom the bot answers nowhere, not even alone with it."""
    synced: dict[int, str] = field(default_factory=dict)
    """Application id to the hash of the commands it has synced."""


class Preferences:
    """Reading is from memory; a change is on disk before it counts."""

    def __init__(self, store: Store, everything: _All) -> None:
        self._store = store
        self._all = everything
        self._lock = asyncio.Lock()

    @classmethod
    async def load(cls, store: Store) -> "Preferences":
        raw = (await store.settings(SCOPE, EVERYWHERE)).get("preferences", {})
        return cls(
            store,
            _All(
                channels={int(id): _made(ChannelPreferences, each) for id, each in raw.get("channels", {}).items()},
                guilds={int(id): _guild(each) for id, each in raw.get("guilds", {}).items()},
                opted_out=tuple(raw.get("opted_out", ())),
                blocked=tuple(raw.get("blocked", ())),
                synced={int(id): digest for id, digest in raw.get("synced", {}).items()},
            ),
        )

    def channel(self, *ids: int | None) -> ChannelPreferences:
        """Each preference as the first of the ids has it: a thread's own, else its channel's. What holds for any of
        them holds: a thread cannot undo that nothing is kept in its channel."""
        merged: dict[str, Any] = {}
        for each in (self._all.channels[id] for id in reversed(ids) if id in self._all.channels):
            merged |= {
                name: value for name, value in asdict(each).items() if value is not None and value is not False
            }
        return ChannelPreferences(**merged)

    def guild(self, id: int | None) -> GuildPreferences:
        return self._all.guilds.get(id or 0, GuildPreferences())

    def opted_out(self, user: int) -> bool:
        return user in self._all.opted_out

    def blocked(self, user: int) -> bool:
        return user in self._all.blocked

    def synced(self, application: int) -> str | None:
        return self._all.synced.get(application)

    async def set_channel(self, id: int, **values: Any) -> None:
        async with self._lock:
            changed = replace(self._all.channels.get(id, ChannelPreferences()), **values)
            await self._save(replace(self._all, channels={**self._all.channels, id: changed}))

    async def set_guild(self, id: int, **values: Any) -> None:
        async with self._lock:
            changed = replace(self.guild(id), **values)
            await self._save(replace(self._all, guilds={**self._all.guilds, id: changed}))

    async def set_opted_out(self, user: int, out: bool) -> None:
        async with self._lock:
            await self._save(replace(self._all, opted_out=with_or_without(self._all.opted_out, user, out)))

    async def set_blocked(self, user: int, blocked: bool) -> None:
        async with self._lock:
            await self._save(replace(self._all, blocked=with_or_without(self._all.blocked, user, blocked)))

    async def set_synced(self, application: int, digest: str) -> None:
        async with self._lock:
            await self._save(replace(self._all, synced={**self._all.synced, application: digest}))

    async def _save(self, everything: _All) -> None:
        await self._store.set_setting(SCOPE, EVERYWHERE, "preferences", asdict(everything))
        self._all = everything


def with_or_without(ids: tuple[int, ...], id: int, there: bool) -> tuple[int, ...]:
    others = tuple(each for each in ids if each != id)
    return (*others, id) if there else others


def _guild(raw: dict[str, Any]) -> GuildPreferences:
    """One of an older version knew no bounds but this one."""
    older = {"bounds": {"max_tokens": (None, raw["most_tokens"])}} if raw.get("most_tokens") else {}
    return _made(GuildPreferences, older | raw)


def _made(kind: type[T], raw: dict[str, Any]) -> T:
    """A dataclass from JSON: lists were tuples, and names of another version are left out."""
    known = {f.name for f in fields(kind)}  # type: ignore[arg-type]
    return kind(**{key: tuple(v) if isinstance(v, list) else v for key, v in raw.items() if key in known})
