"""What people set from inside Discord: one small JSON file beside the log, replaced as a whole."""

import asyncio
import json
import os
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from ..errors import UserError
from ..predict.sampling import Sampling

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ChannelPreferences:
    """Of one channel or thread. None: as configured."""

    system: str | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    max_tokens: int | None = None
    seed: int | None = None
    always: bool = False
    private: bool = False
    """Opted out: answered as single turns, nothing kept."""

    def sampling(self, usual: Sampling) -> Sampling:
        """``usual`` with what is set here."""
        names = ("temperature", "top_p", "top_k", "min_p", "max_tokens")
        return replace(usual, **{name: getattr(self, name) for name in names if getattr(self, name) is not None})


@dataclass(frozen=True, slots=True)
class GuildPreferences:
    """Of one server, set by those who run it."""

    welcomed: bool = False
    most_tokens: int | None = None
    """The upper bound of max_tokens in its channels."""
    allowed_roles: tuple[int, ...] = ()
    """Empty: everybody."""
    blocked_users: tuple[int, ...] = ()
    blocked_channels: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class _All:
    channels: dict[int, ChannelPreferences] = field(default_factory=dict)
    guilds: dict[int, GuildPreferences] = field(default_factory=dict)
    opted_out: tuple[int, ...] = ()
    blocked: tuple[int, ...] = ()
    synced: dict[int, str] = field(default_factory=dict)
    """Application id to the hash of the commands it has synced."""


class Preferences:
    """Reading is from memory; a change is on disk before it counts."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._all = _read(path)
        self._lock = asyncio.Lock()

    def channel(self, *ids: int | None) -> ChannelPreferences:
        """Of the first id that has any: a thread's own, else its channel's."""
        found = (self._all.channels[id] for id in ids if id in self._all.channels)
        return next(found, ChannelPreferences())

    def guild(self, id: int | None) -> GuildPreferences:
        return self._all.guilds.get(id or 0, GuildPreferences())

    def opted_out(self, user: int) -> bool:
        return user in self._all.opted_out

    def blocked(self, user: int) -> bool:
        return user in self._all.blocked

    def synced(self, application: int) -> str | None:
        return self._all.synced.get(application)

    async def set_channel(self, id: int, **values: Any) -> None:
        changed = replace(self._all.channels.get(id, ChannelPreferences()), **values)
        await self._save(replace(self._all, channels={**self._all.channels, id: changed}))

    async def set_guild(self, id: int, **values: Any) -> None:
        await self._save(replace(self._all, guilds={**self._all.guilds, id: replace(self.guild(id), **values)}))

    async def set_opted_out(self, user: int, out: bool) -> None:
        others = tuple(u for u in self._all.opted_out if u != user)
        await self._save(replace(self._all, opted_out=(*others, user) if out else others))

    async def set_blocked(self, user: int, blocked: bool) -> None:
        others = tuple(u for u in self._all.blocked if u != user)
        await self._save(replace(self._all, blocked=(*others, user) if blocked else others))

    async def set_synced(self, application: int, digest: str) -> None:
        await self._save(replace(self._all, synced={**self._all.synced, application: digest}))

    async def _save(self, everything: _All) -> None:
        async with self._lock:
            await asyncio.to_thread(_write, self._path, json.dumps(asdict(everything), indent=1))
            self._all = everything


def _read(path: Path) -> _All:
    if not path.exists():
        return _All()
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        return _All(
            channels={int(id): _made(ChannelPreferences, each) for id, each in raw["channels"].items()},
            guilds={int(id): _made(GuildPreferences, each) for id, each in raw["guilds"].items()},
            opted_out=tuple(raw["opted_out"]),
            blocked=tuple(raw["blocked"]),
            synced={int(id): digest for id, digest in raw["synced"].items()},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: cannot be read ({error}): mend it or move it away") from None


def _made(kind: type[T], raw: dict[str, Any]) -> T:
    known = {f.name for f in fields(kind)}  # type: ignore[arg-type]
    return kind(**{key: tuple(v) if isinstance(v, list) else v for key, v in raw.items() if key in known})


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    with fresh.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
