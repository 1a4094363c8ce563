"""Long sessions, long prompts, long names: only what is shown is read, and everything can be reached."""

import asyncio
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from glasshead.config import Settings, StoreSection
from glasshead.predict.prompt import Prompt, Span
from glasshead.review.microscope import cut
from glasshead.store import Store
from playwright.sync_api import Browser
from store.making import MODEL, PIECES, ask

from .conftest import Log, Running, Site, open_tab
from .test_whole_characters import PIECES as HALVES
from .test_whole_characters import PromptPart

TOKENS = 5000


@pytest.fixture(scope="module")
def long(log: Log, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A session of 240 turns, the 230th without a reply, the last with a prompt of thousands of tokens and
    everything named as long as can be. (The other log is made first: once there is a browser, it cannot be.)"""
    path = tmp_path_factory.mktemp("long") / "log.db"
    with ThreadPoolExecutor(1) as apart:  # Playwright's loop may be running in this one
        apart.submit(asyncio.run, _write(path)).result()
    with Running(Settings(store=StoreSection(path=path))) as site:
        answer = site.ask(f"/enter?token={site.token}")
        yield replace(site, cookie=answer.headers["set-cookie"].split(";")[0])


async def _write(path: Path) -> None:
    store = await Store.open(path)
    await store.save_vocabulary(MODEL, PIECES)
    session = await store.start_session()
    said = None
    for number in range(240):
        reply = None if number == 230 else f"answer {number}"
        _, _, made = await ask(store, session, f"question {number}", reply, parent=said)
        said = made or said
    ids = tuple(1 + number % 1999 for number in range(TOKENS))
    prompt = Prompt(ids, (Span(0, 10, "marker", "system"), Span(10, TOKENS, "typed", "user", said)))
    model = replace(MODEL, name="m" * 200 + ".gguf", sha256="d" * 64)
    await store.save_vocabulary(model, PIECES)
    await ask(store, session, "W" * 300, "long", parent=said, given=prompt, by=model, author="N" * 90)
    await ask(store, session, "failed", "", n=0, status="error", author="\u3164")
    await store.database.write(
        lambda c: c.exec_driver_sql("UPDATE turn SET error = ? WHERE status = 'error'", ("/path" * 80,))
    )
    await store.close()


def test_a_long_session_is_read_stretch_by_stretch(long: Site) -> None:
    last = long.ask("/session/1?at=481").text
    assert "question 239" in last and 'id="m1"' not in last
    first = re.search(r'href="(\?at=\d+)[^"]*">From the beginning', last)
    assert first is not None
    begin = long.ask(f"/session/1{first[1]}").text
    assert "Messages 1 to 200 of 480" in begin and "question 99<" in begin and "question 100<" not in begin
    assert 'href="?at=5#m5"' in begin, "a link to a message finds it, however long the session becomes"
    later = re.search(r'rel="next" href="(\?at=\d+)', begin)
    assert later is not None and "question 100<" in long.ask(f"/session/1{later[1]}").text


def test_what_has_no_reply_stands_below_what_it_was_to_answer(long: Site) -> None:
    page = long.ask("/session/1?at=461").text  # another version of the question after it
    assert page.index("question 230") < page.index(">turn 231<")
    assert ">turn 231<" not in long.ask("/session/1?at=481").text


def test_of_a_long_prompt_a_reply_shows_the_end_and_links_to_all(long: Site) -> None:
    reply = long.ask("/turn/241").text
    assert reply.count('class="p"') == 1000 and "5,000 tokens" in reply
    link = re.search(r'href="(/turn/241/prompt)"', reply)
    assert link is not None
    first = long.ask(link[1]).text
    assert first.count('class="p"') == 4000 and "Tokens 1 to 4,000 of 5,000" in first and "Earlier" not in first
    following = re.search(r'rel="next" href="([^"]*)"', first)
    assert following is not None
    second = long.ask(link[1] + following[1]).text
    assert second.count('class="p"') == 1000 and "Later" not in second
    assert "There is nothing here" in long.ask(f"{link[1]}?from=999999").text
    assert "Read all" not in long.ask("/turn/1").text


def test_a_stretch_of_a_prompt_cuts_no_character() -> None:
    part = PromptPart(0, (11, 12, 13, 14, 15), HALVES, "typed", "user", None)
    assert [piece for each in cut([part], 0, 3) for piece in each.pieces] == list(HALVES[:4])
    (rest,) = cut([part], 3, 5)
    assert (rest.start, rest.ids, rest.pieces) == (4, (15,), HALVES[4:])


@pytest.mark.parametrize("width", [375, 1200])
def test_nothing_is_wider_than_the_page(long: Site, browser: Browser, tmp_path: Path, width: int) -> None:
    kept = [
        (f"/{name}", tmp_path / name.replace("/", "-"))
        for name in ("turn/241/record.html", "session/1/record.html")
    ]
    for path, file in kept:
        file.write_text(long.ask(path).text, encoding="utf-8")
    for tab in open_tab(long, browser):
        page = tab.page
        page.set_viewport_size({"width": width, "height": 800})
        paths = ("/", "/session/1", "/turn/241?step=1", "/turn/241/prompt", "/turn/242", "/health", "/statistics",
                 "/compare?a=1&b=241", "/?q=model:m", "/almost?word=w1")  # fmt: skip
        for path in (*(long.url + path for path in paths), *(file.as_uri() for _, file in kept)):
            page.goto(path)
            page.eval_on_selector_all("details", "all => all.forEach(each => { each.open = true })")
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        page.goto(f"{long.url}/health")
        assert page.locator("tbody th").first.bounding_box()["width"] > 90, "a column one letter wide"  # type: ignore[index]
        page.goto(f"{long.url}/")
        assert page.locator(".facets a").filter(has_text="mmm").bounding_box()["height"] < 80  # type: ignore[index]
        page.goto(f"{long.url}/session/1")
        assert set(page.locator(".avatar").all_inner_texts()) <= {"?", "N", "Y", "T", "M"}
