"""What every `glasshead log` command needs: the log opened, JSON printed."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from ..config import Settings, load_settings
from ..store import Store
from ..store.owner import Write, writer

T = TypeVar("T")

AsJson = Annotated[bool, typer.Option("--json", help="JSON, as docs/json.md describes.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="At most so many.")]
Query = Annotated[list[str] | None, typer.Argument(help="Words and filters, in single quotes; see docs/log.md.")]


def reading(config: Path | None, work: Callable[[Store], Awaitable[T]]) -> T:
    """Run ``work`` on the log, read-only: it may run beside the bot."""

    async def run() -> T:
        store = await Store.open(load_settings(config).store.path, writable=False)
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(run())


def writing(config: Path | None, work: Callable[[Write], Awaitable[T]], *, long: bool = False) -> T:
    """Run ``work`` with a way to write: through the running bot, or as the log's owner where none runs (which takes
    what others write meanwhile, if it is ``long``)."""
    settings = load_settings(config)

    async def run() -> T:
        async with writer(settings.store.path, caches(settings), long=long) as write:
            return await work(write)

    return asyncio.run(run())


def caches(settings: Settings) -> tuple[Path, ...]:
    """Folders of saved KV caches; an erasure deletes what was saved there."""
    return (settings.engine.kv_folder,)
