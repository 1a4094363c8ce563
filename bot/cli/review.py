"""`glasshead review`: the log in a browser, on this machine only."""

import asyncio
import signal
import socket
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
import uvicorn

from ..catalog import Catalog
from ..config import Settings, load_settings
from ..errors import UserError
from ..review.app import create_app, local_hosts
from ..store import Store
from .actions import ModelActions
from .log_open import caches
from .logs import start_logging
from .options import Config


def review(
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port; 0 for any free one.")] = None,
    browser: Annotated[bool, typer.Option(help="Open the browser.")] = True,
    config: Config = None,
) -> None:
    """Search and read the log in the browser, mark what you find. The address works once, for you."""
    settings = load_settings(config)
    start_logging(settings)
    asyncio.run(_serve(settings, settings.review.port if port is None else port, browser))


class Server(uvicorn.Server):
    """Leaves signals to us: uvicorn would raise them again once it is done, before the log is closed."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _serve(settings: Settings, port: int, browser: bool) -> None:
    store = await Store.open(settings.store.path, writable=False)
    try:
        listener = _listen(port)
        here = Catalog.load(settings.model.folder).find(settings.model.name) is not None
        port = listener.getsockname()[1]
        app = create_app(
            store,
            hosts=local_hosts(port),
            actions=(lambda: ModelActions(settings)) if here else None,
            caches=caches(settings),
        )
        address = f"http://127.0.0.1:{port}/enter?token={app.state.entry.token}"
        typer.echo(address)
        typer.echo("The address works once. Ctrl-C ends the page.", err=True)
        if browser:
            await asyncio.to_thread(webbrowser.open, address)
        server = Server(uvicorn.Config(app, log_level="warning", lifespan="off", server_header=False))
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, lambda: setattr(server, "should_exit", True))
        await server.serve(sockets=[listener])
        await app.state.jobs.close()
    finally:
        await store.close()


def _listen(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
        listener.listen(128)  # so that whoever is quick with the printed address waits, and is not refused
    except OSError as error:
        listener.close()
        raise UserError(f"port {port}: {error.strerror}: is it open already? Or choose one with --port") from None
    return listener
