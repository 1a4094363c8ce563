"""`glasshead review`: the log in a browser, on this machine only."""

import asyncio
import socket
import webbrowser
from pathlib import Path
from typing import Annotated

import typer
import uvicorn

from ..config import Settings, load_settings
from ..errors import UserError
from ..review.app import create_app, local_hosts
from ..store import Owned, Store
from .logs import start_logging


def review(
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port; 0 for any free one.")] = None,
    browser: Annotated[bool, typer.Option(help="Open the browser.")] = True,
    config: Annotated[Path | None, typer.Option(help="Settings file instead of config.toml.")] = None,
) -> None:
    """Search and read the log in the browser, mark what you find. The address works once, for you."""
    settings = load_settings(config)
    start_logging(settings)
    asyncio.run(_serve(settings, settings.review.port if port is None else port, browser))


async def _serve(settings: Settings, port: int, browser: bool) -> None:
    listener = _listen(port)
    port = listener.getsockname()[1]
    store, owner = await _open(settings.store.path)
    try:
        app = create_app(store, hosts=local_hosts(port), writable=not owner, owner=owner)
        address = f"http://127.0.0.1:{port}/enter?token={app.state.entry.token}"
        typer.echo(address)
        if owner:
            typer.echo(f"{owner} writes the log, so marks are read-only here.", err=True)
        typer.echo("Ctrl-C ends it.", err=True)
        if browser:
            await asyncio.to_thread(webbrowser.open, address)
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off", server_header=False))
        await server.serve(sockets=[listener])
    finally:
        await store.close()


async def _open(path: Path) -> tuple[Store, str]:
    """The store, and who owns it if not we."""
    try:
        return await Store.open(path), ""
    except Owned as owned:
        name = f"process {owned.owner.pid} ({owned.owner.program})" if owned.owner else "another process"
        return await Store.open(path, writable=False), name


def _listen(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        listener.close()
        raise UserError(f"port {port}: {error.strerror}: is it open already? Or choose one with --port") from None
    return listener
