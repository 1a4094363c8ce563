"""Messages that try to be more than text: nothing runs, nothing is fetched, nothing leaves its place."""

from urllib.parse import quote

import pytest

from .conftest import HOSTILE, Log, Site, Tab


@pytest.fixture
def paths(log: Log) -> list[str]:
    turn = log.turns[-1]
    return [
        "/", "/?q=alert", "/?q=" + quote(HOSTILE[1]), "/?q=" + quote(HOSTILE[4]), f"/session/{log.hostile}",
        f"/session/{log.hostile}?at=%3Cscript%3E", f"/turn/{turn}?step=1", f"/turn/{turn}?layer=%22%3E%3Cscript%3E",
        "/compare?a=%3Cscript%3Ealert(1)%3C/script%3E&b=2", "/statistics", "/health",
        "/almost?word=%3Cscript%3E&q=" + quote(HOSTILE[1]), "/almost?word=a",
    ]  # fmt: skip


def test_nothing_runs_and_nothing_is_fetched(paths: list[str], tab: Tab, log: Log) -> None:
    for path in paths:
        page = tab.go(path)
        assert (
            page.evaluate("document.querySelectorAll('iframe, svg[onload], [onerror], [onfocus], base').length")
            == 0
        )
        scripts = page.evaluate("[...document.scripts].map(s => s.getAttribute('src'))")
        assert scripts == ["/static/legible.js", "/static/script.js"], path
        assert page.evaluate("document.querySelectorAll('link[rel=stylesheet]').length") == 2, path
        bad = "[...document.querySelectorAll('a')].filter(a => !a.href.startsWith(location.origin)).length"
        assert page.evaluate(bad) == 0
    assert tab.alarms == []


def test_every_message_is_readable_as_it_was_typed(tab: Tab, log: Log) -> None:
    page = tab.go(f"/session/{log.hostile}?at={_leaf(tab, log)}")
    shown = page.locator(".message .text").all_inner_texts()
    assert HOSTILE[0] in shown
    assert HOSTILE[4] in shown
    assert any("<b>code</b>" in text and "<u>bold</u>" in text for text in shown)
    joined = "\n".join(shown)
    assert "\u202e" not in joined and "\x1b" not in joined and "\x00" not in joined
    assert "⟨U+202E⟩gnp.exe" in joined and "␛[31mred" in joined


def _leaf(tab: Tab, log: Log) -> int:
    """The last message of the line of hostile ones: the other line is newer."""
    page = tab.go(f"/session/{log.hostile}")
    page.get_by_label("Previous version").first.click()
    return int(page.locator(".message").last.get_attribute("id").removeprefix("m"))


def test_a_line_of_100_000_characters_stays_in_its_column(tab: Tab, log: Log) -> None:
    tab.page.set_viewport_size({"width": 390, "height": 800})
    page = tab.go(f"/session/{log.hostile}?at={_leaf(tab, log)}")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_note_and_a_tag_are_text_too(site: Site, tab: Tab, log: Log) -> None:
    turn = log.turns[-1]
    for text in HOSTILE[:8]:
        form = {"csrf": site.csrf, "text": text, "author": text[:70]}
        assert site.ask(f"/turn/{turn}/note", form).status == 303
    assert site.ask(f"/turn/{turn}/tag", {"csrf": site.csrf, "name": "<script>alert(9)</script>"}).status == 303
    page = tab.go(f"/turn/{turn}")
    assert HOSTILE[0] in page.locator(".remark .text").all_inner_texts()
    tab.go("/")
    assert tab.alarms == []
