"""What other processes may ask the owner to write: functions of a store and JSON values."""

import asyncio
import base64
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from ..predict.engine import ModelIdentity
from . import backup, marks, transfer
from .backup import search_index_findings
from .clock import now_us
from .models import unpack_pieces
from .store import Store


async def rate(store: Store, *, turn: int, stars: int | None, author: str = "") -> None:
    await store.database.write(lambda c: marks.rate(c, turn, stars, author=author))


async def add_tag(store: Store, *, turn: int, name: str, author: str = "") -> None:
    await store.database.write(lambda c: marks.add_tag(c, turn, name, author=author))


async def remove_tag(store: Store, *, turn: int, name: str) -> None:
    await store.database.write(lambda c: marks.remove_tag(c, turn, name))


async def add_note(
    store: Store, *, turn: int, text: str, first: int | None = None, last: int | None = None, author: str = ""
) -> int:
    return await store.database.write(
        lambda c: marks.add_note(c, turn, text, first=first, last=last, author=author)
    )


async def remove_note(store: Store, *, note: int) -> None:
    await store.database.write(lambda c: marks.remove_note(c, note))


async def erase_person(store: Store, *, person: str) -> dict[str, Any]:
    return asdict(await store.erase_person(int(person)))


async def erase_message(store: Store, *, discord_message: str) -> dict[str, Any]:
    return asdict(await store.erase_message(int(discord_message)))


async def import_session(store: Store, *, lines: list[dict[str, Any]]) -> int | None:
    """The session's new id, None if the log has it already."""
    with transfer.understood():
        prepared = await asyncio.to_thread(transfer.prepare, lines)
        return await store.database.write(lambda c: transfer.import_session(c, prepared))


async def import_vocabulary(store: Store, *, line: dict[str, Any]) -> None:
    with transfer.understood():
        pieces = await asyncio.to_thread(unpack_pieces, base64.b64decode(line["pieces"]))
        await store.save_vocabulary(ModelIdentity(**line["model"]), pieces)


async def check_search_index(store: Store) -> list[tuple[str, str]]:
    found = await store.database.write(search_index_findings)
    return [(finding.what, finding.remedy) for finding in found]


async def note_backup(store: Store, *, target: str, size: int) -> None:
    await store.database.write(lambda c: backup.note_backup(c, target, size, now_us()))


WRITES: dict[str, Callable[..., Awaitable[Any]]] = {
    work.__name__: work
    for work in (
        rate, add_tag, remove_tag, add_note, remove_note, erase_person, erase_message,
        import_session, import_vocabulary, check_search_index, note_backup,
    )
}  # fmt: skip
