"""The review page over a large log, in Chromium: milliseconds until a page is complete."""

import asyncio
import random
import shutil
import socket

import uvicorn
from glasshead.review.app import create_app, local_hosts
from glasshead.store import Store
from playwright.async_api import Page, async_playwright

from .log_figures import Figure, p95
from .log_generator import Words

COMPLETE = "performance.getEntriesByType('navigation')[0].loadEventEnd"
VISITS = 20


async def pages(store: Store) -> list[Figure]:
    last = await store.latest_turn() or 1
    rng = random.Random(3)
    words = Words(random.Random(1)).words
    turns = [rng.randint(1, last) for _ in range(VISITS)]
    sessions = [row.session for row in await store.turn_rows(turns)]
    visits = {
        "sessions": ["/"] * VISITS,
        "a search": [f"/?q={words[i * 7]}" for i in range(VISITS)],
        "a filter": [f"/?q=perplexity:>{i % 9}+channel:{i + 1}" for i in range(VISITS)],
        "a session": [f"/session/{id_}" for id_ in sessions],
        "a reply": [f"/turn/{id_}" for id_ in turns],
        "a reply, a step open": [f"/turn/{id_}?step=3&layer=entropy" for id_ in turns],
        "two replies compared": [f"/compare?a={a}&b={b}" for a, b in zip(turns, reversed(turns), strict=True)],
        "statistics of a year": ["/statistics?days=365"] * VISITS,
        "the log's health": ["/health"] * VISITS,
    }
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        app = create_app(store, hosts=local_hosts(port))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            async with async_playwright() as playwright:
                browser = await playwright.chromium.launch(
                    executable_path=shutil.which("chromium"), args=["--no-sandbox"]
                )
                page = await browser.new_page()
                await page.goto(f"http://127.0.0.1:{port}/enter?token={app.state.entry.token}")
                await page.wait_for_url(f"http://127.0.0.1:{port}/")
                out = [
                    Figure(f"page complete in Chromium: {name}, p95", await complete(page, port, paths), "ms", 300)
                    for name, paths in visits.items()
                ]
                await browser.close()
                return out
        finally:
            server.should_exit = True
            await serving


async def complete(page: Page, port: int, paths: list[str]) -> float:
    taken = []
    for path in [paths[0], *paths]:
        await page.goto(f"http://127.0.0.1:{port}{path}", wait_until="load")
        await page.wait_for_function(f"{COMPLETE} > 0")
        taken.append(float(await page.evaluate(COMPLETE)))
    return p95(taken[1:])
