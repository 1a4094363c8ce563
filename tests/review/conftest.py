"""A real log, the page over it on loopback, and a real browser."""

import asyncio
import http.client
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest
import uvicorn
from browser import chromium
from glasshead.chat import Chat, Done, ReplyRequest
from glasshead.cli.actions import ModelActions
from glasshead.config import EngineSection, ModelSection, SamplingSection, Settings, StoreSection
from glasshead.review import create_app
from glasshead.review.app import local_hosts
from glasshead.store import Store
from glasshead.wiring import open_chat
from playwright.sync_api import Browser, Page

HOSTILE = (
    "<script>alert('script')</script>",
    "<img src=x onerror=alert('img')><svg onload=alert('svg')><iframe srcdoc='<script>alert(1)</script>'>",
    '"><style>body{display:none}</style><link rel=stylesheet href=//evil.example/x.css>',
    "javascript:alert(1) [c](javascript:alert(2)) <a href='javascript:alert(3)' autofocus onfocus=alert(4)>x</a>",
    "{{ 7*7 }} {% raw %} ${alert(5)} #{1} <%= 1 %>",
    "</textarea></title></script><script>alert('out')</script><!--",
    "```\n<b>code</b>\n``` `<i>inline</i>` **<u>bold</u>**",
    "\u202egnp.exe\u202c \u2066isolated\u2069 \u200f",
    "\x1b[31mred\x1b[0m \x1b]0;title\x07 \x00 \x08\x7f",
    "W" * 100_000,
    "\ud800 lone, 👩‍👩‍👧‍👦 joined, नमस्ते, مرحبا, 日本語, e\u0301\u0301\u0301\u0301\u0301\u0301",
)


@dataclass(frozen=True)
class Log:
    """``first`` is a session of two replies, the second in three versions; ``hostile`` one of hostile messages."""

    settings: Settings
    first: int
    turns: tuple[int, ...]
    hostile: int


@pytest.fixture(scope="session")
def log(shallow_path: Path, shared_model: None, tmp_path_factory: pytest.TempPathFactory) -> Log:
    settings = Settings(
        model=ModelSection(name=str(shallow_path), context=2048),
        store=StoreSection(path=tmp_path_factory.mktemp("review") / "log.db"),
        engine=EngineSection(threads=1, streams=1),
        sampling=SamplingSection(max_tokens=8, temperature=1.5),
    )
    return asyncio.run(_write(settings))


async def _write(settings: Settings) -> Log:
    async with open_chat(settings) as chat:
        first = await chat.store.start_session()
        parent = await chat.store.append_message(first, "system", "You are a helpful assistant.")
        question = await chat.store.append_message(first, "user", "Name a colour.", parent=parent)
        one = await _answer(chat, first, question, 1)
        again = await chat.store.append_message(first, "user", "And a fruit?", parent=one.message)
        rest = [await _answer(chat, first, again, seed) for seed in (2, 3, 4)]
        hostile = await chat.store.start_session(
            title=HOSTILE[0], kind="channel", guild_id=1, channel_id=2, person=3
        )
        parent = None
        for text in HOSTILE:
            name = text[:60].encode(errors="replace").decode()
            parent = await chat.store.append_message(hostile, "user", text, parent=parent, author=name, person=3)
        bad = await chat.store.append_message(hostile, "user", HOSTILE[1], author="<b>Eve</b>", person=3)
        done = await _answer(chat, hostile, bad, 5)
        # What a model writes is no better than what people do: a reply that is all markup.
        await chat.store.database.write(
            lambda c: c.exec_driver_sql("UPDATE message SET text = ?, reasoning = ? WHERE id = ?",
                                        (" ".join(HOSTILE[:7]), HOSTILE[1], done.message))
        )  # fmt: skip
        return Log(settings, first, (one.turn, *(done.turn for done in rest), done.turn), hostile)


async def _answer(chat: Chat, session: int, message: int, seed: int) -> Done:
    done = None
    async for event in chat.reply(ReplyRequest(session=session, message=message, seed=seed)):
        done = event
    assert isinstance(done, Done)
    return done


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    text: str


@dataclass(frozen=True)
class Site:
    """The running page. ``cookie`` is that of somebody who came in by the token."""

    url: str
    port: int
    token: str
    csrf: str
    cookie: str = ""

    def ask(
        self,
        path: str,
        form: dict[str, str] | None = None,
        *,
        method: str = "",
        headers: dict[str, str] | None = None,
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        given = ({"Cookie": self.cookie} if self.cookie else {}) | (headers or {})
        body = None
        if form is not None:
            given["Content-Type"] = "application/x-www-form-urlencoded"
            body = urlencode(form)
        connection.request(method or ("POST" if form is not None else "GET"), path, body, given)
        response = connection.getresponse()
        answer = Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read().decode())
        connection.close()
        return answer


class Running:
    """A server on a thread of its own, over the log."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    async def _serve(self) -> None:
        store = await Store.open(self._settings.store.path, writable=False)
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        app = create_app(store, hosts=local_hosts(port), actions=lambda: ModelActions(self._settings))
        self.site = Site(f"http://127.0.0.1:{port}", port, app.state.entry.token, app.state.entry.csrf)
        self._server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
        self._ready.set()
        await self._server.serve(sockets=[listener])
        await app.state.jobs.close()
        await store.close()

    def __enter__(self) -> Site:
        self._thread.start()
        assert self._ready.wait(30)
        return self.site

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join()


@pytest.fixture
def closed(log: Log) -> Iterator[Site]:
    """A page that nobody has entered."""
    with Running(log.settings) as site:
        yield site


@pytest.fixture(scope="session")
def site(log: Log) -> Iterator[Site]:
    """A page that has been entered."""
    with Running(log.settings) as site:
        answer = site.ask(f"/enter?token={site.token}")
        yield replace(site, cookie=answer.headers["set-cookie"].split(";")[0])


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """For this package only: while Playwright runs, no other event loop can, and other packages have theirs."""
    with chromium() as browser:
        yield browser


@dataclass(frozen=True)
class Tab:
    """A browser's tab that has the cookie, and everything in it that must not happen."""

    page: Page
    alarms: list[str]

    def go(self, path: str) -> Page:
        self.page.goto(path)
        return self.page


@pytest.fixture(scope="package")
def one_tab(site: Site, browser: Browser) -> Iterator[Tab]:
    """One for all tests: a new one for each takes longer than most of them."""
    yield from open_tab(site, browser)


@pytest.fixture
def tab(site: Site, one_tab: Tab) -> Iterator[Tab]:
    """As new: empty, of the usual size and theme, without what a page has stored."""
    one_tab.alarms.clear()
    yield one_tab
    page = one_tab.page
    page.goto("about:blank")
    session = page.context.new_cdp_session(page)
    session.send("Storage.clearDataForOrigin", {"origin": site.url, "storageTypes": "local_storage"})
    session.detach()
    page.set_viewport_size({"width": 1280, "height": 720})
    page.emulate_media(color_scheme="light")


@pytest.fixture
def plain_tab(site: Site, browser: Browser) -> Iterator[Tab]:
    """With script off."""
    yield from open_tab(site, browser, java_script_enabled=False)


def open_tab(site: Site, browser: Browser, *, java_script_enabled: bool = True) -> Iterator[Tab]:
    context = browser.new_context(base_url=site.url, java_script_enabled=java_script_enabled)
    name, _, value = site.cookie.partition("=")
    context.add_cookies([{"name": name, "value": value, "url": site.url, "httpOnly": True, "sameSite": "Strict"}])
    page = context.new_page()
    page.add_init_script(
        "addEventListener('securitypolicyviolation', e => console.error('CSP ' + e.violatedDirective))"
    )
    alarms: list[str] = []

    def on_dialog(dialog) -> None:
        alarms.append(f"dialog {dialog.message}")
        dialog.dismiss()

    def on_request(request) -> None:
        if urlsplit(request.url).netloc != urlsplit(site.url).netloc:
            alarms.append(f"request {request.url}")

    page.on("dialog", on_dialog)
    page.on("request", on_request)
    page.on("pageerror", lambda error: alarms.append(f"error {error}"))
    page.on("console", lambda message: message.type == "error" and alarms.append(f"console {message.text}"))
    yield Tab(page, alarms)
    context.close()
