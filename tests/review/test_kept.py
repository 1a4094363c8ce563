"""A session kept as one HTML file: whole, inert, readable without script and without a network."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import expect

from .conftest import HOSTILE, Log, Site, Tab

REMARK = "mind\u202ethis </style><script>alert('note')</script>"


@pytest.fixture
def keep(site: Site, tmp_path: Path):
    def of(session: int) -> str:
        answer = site.ask(f"/session/{session}/record.html")
        assert answer.headers["content-disposition"] == f'attachment; filename="session-{session}.html"'
        path = tmp_path / f"session-{session}.html"
        path.write_text(answer.text, encoding="utf-8")
        return path.as_uri()

    return of


def replies_of(log: Log, session: int) -> int:
    with closing(sqlite3.connect(log.settings.store.path)) as file:
        query = "SELECT count(*) FROM message WHERE session_id = ? AND role = 'assistant'"
        return int(file.execute(query, (session,)).fetchone()[0])


def test_all_versions_with_every_token(keep, plain_tab: Tab, log: Log) -> None:
    page = plain_tab.page
    page.goto(keep(log.first))
    replies = replies_of(log, log.first)  # four, and a what-if for each test that has tried one before
    assert replies >= 4
    expect(page.locator(".message.assistant")).to_have_count(replies)
    expect(page.locator(".every")).to_have_count(replies)
    one = page.locator(".every").first
    one.locator("summary").click()
    unsure = one.locator(".t.R1, .t.R2, .t.R3, .t.R4").first
    tint = "e => getComputedStyle(e).backgroundColor"
    by_probability = unsure.evaluate(tint)  # a style that has settled: nothing has been switched yet
    page.get_by_label("rank").check()
    expect(unsure).not_to_have_css("background-color", by_probability)
    page.get_by_label("probability").check()
    expect(unsure).to_have_css("background-color", by_probability)
    token = one.locator(".t").nth(2)
    token.click()
    step = page.locator(".steps li:target")
    expect(step).to_be_visible()
    expect(step.locator(".alt code")).to_have_count(10)
    expect(step).to_contain_text("u = 0.")


def test_nothing_in_it_acts_or_loads(keep, site: Site, tab: Tab, log: Log) -> None:
    form = {"csrf": site.csrf, "text": REMARK, "author": HOSTILE[0], "first": "0", "last": "1"}
    assert site.ask(f"/turn/{log.turns[-1]}/note", form).status == 303
    page = tab.page
    page.goto(keep(log.hostile))
    assert (
        page.evaluate("document.querySelectorAll('script, iframe, img, link, svg[onload], [onerror]').length") == 0
    )
    assert page.evaluate("[...document.links].filter(a => !a.getAttribute('href').startsWith('#')).length") == 0
    shown = "\n".join(page.locator(".message .text").all_inner_texts())
    assert HOSTILE[0] in shown and "⟨U+202E⟩gnp.exe" in shown and "␛[31mred" in shown
    assert not set(page.content()) & set("\u202e\x1b\x00")
    expect(page.locator(".note").filter(has_text="mind⟨U+202E⟩this")).to_have_count(1)
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert [alarm for alarm in tab.alarms if not alarm.startswith("request file:")] == []


def test_a_session_that_is_not_there(site: Site) -> None:
    assert site.ask("/session/999/record.html").status == 404
