"""Replies of which little is known: the page says what is so, and offers what can be done."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from .conftest import Log, Running, Site, open_tab


@pytest.fixture
def spoilt(log: Log, tmp_path: Path) -> Iterator[Site]:
    """The log with its first turn still running, the second without steps, all of a model that is gone, and the
    trace of the fourth damaged."""
    path = tmp_path / "log.db"
    running, none, _, damaged = log.turns[:4]
    with closing(sqlite3.connect(log.settings.store.path)) as source, closing(sqlite3.connect(path)) as target:
        source.backup(target)
        target.execute("UPDATE turn SET status = 'pending', finish = NULL WHERE id = ?", (running,))
        target.execute("UPDATE turn SET n_out = 0 WHERE id = ?", (none,))
        target.execute("DELETE FROM trace WHERE turn_id = ?", (none,))
        target.execute("UPDATE model SET name = 'gone', sha256 = ?", ("f" * 64,))
        target.execute("UPDATE trace SET size = size - 3 WHERE turn_id = ?", (damaged,))
        target.commit()
    store = log.settings.store.model_copy(update={"path": path})
    with Running(log.settings.model_copy(update={"store": store})) as site:
        answer = site.ask(f"/enter?token={site.token}")
        yield replace(site, cookie=answer.headers["set-cookie"].split(";")[0])


def test_what_is_not_known_is_not_shown_and_what_cannot_be_done_is_not_offered(log: Log, spoilt: Site) -> None:
    running, none, other, damaged = (spoilt.ask(f"/turn/{turn}?step=0").text for turn in log.turns[:4])
    assert "still being written" in running and "still running" in running and "/prove" not in running
    assert "No token was recorded." in none and "Pick a token" not in none and "perplexity" not in none
    assert "/prove" not in none and "/loss" not in none
    assert "was made by gone" in other and "/branch" not in other and "/prove" in other
    assert "No step can be read: the record is damaged." in damaged and "erased" not in damaged
    assert "There is nothing to prove: turn" in damaged and "/loss" not in damaged


def test_a_reply_still_being_written_grows_on_the_page(
    log: Log, spoilt: Site, tmp_path: Path, browser: Browser
) -> None:
    turn, path = log.turns[0], tmp_path / "log.db"
    with (
        closing(sqlite3.connect(path, isolation_level=None)) as database,
        contextmanager(open_tab)(spoilt, browser) as tab,
    ):
        row = database.execute("SELECT * FROM trace WHERE turn_id = ?", (turn,)).fetchone()
        (count,) = database.execute("SELECT n_out FROM turn WHERE id = ?", (turn,)).fetchone()
        database.execute("DELETE FROM trace WHERE turn_id = ?", (turn,))
        database.execute("UPDATE turn SET n_out = 0 WHERE id = ?", (turn,))
        page = tab.go(f"/turn/{turn}")
        expect(page.locator(".reply")).to_contain_text("No token was recorded yet.")
        database.execute(f"INSERT INTO trace VALUES ({', '.join('?' * len(row))})", row)
        database.execute("UPDATE turn SET n_out = ? WHERE id = ?", (count, turn))
        expect(page.locator("#scope")).to_have_attribute("data-count", str(count), timeout=15_000)
        page.get_by_label("A note").fill("half a")
        page.get_by_label("A note").press("Escape")
        page.locator("#saw summary").click()
        for key in ("Home", "ArrowRight", "l", "s"):
            page.keyboard.press(key)
        expect(page.locator("#step .walk")).to_contain_text("1 /")
        database.execute("UPDATE turn SET status = 'ok', finish = 'length' WHERE id = ?", (turn,))
        expect(page.locator("#live[data-pulse]")).to_have_count(0, timeout=15_000)
        expect(page.locator("#live .note").filter(has_text="still being written")).to_have_count(0)
        expect(page.locator("#step .walk")).to_contain_text("1 /")
        expect(page.locator(".t[aria-current]")).to_have_attribute("data-first", "1")
        expect(page.locator("#scope")).to_have_attribute("data-layer", "surprisal")
        expect(page.locator("#reveal")).to_have_attribute("aria-pressed", "true")
        expect(page.locator("#saw")).to_have_attribute("open", "")
        expect(page.get_by_label("A note")).to_have_value("half a")
        page.keyboard.press("ArrowRight")
        expect(page.locator("#step .walk")).to_contain_text("2 /")
        assert tab.alarms == []
