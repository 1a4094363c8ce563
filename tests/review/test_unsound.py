"""Replies of which little is known: the page says what is so, and offers what can be done."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from .conftest import Log, Running, Site


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
