"""The full-text indexes under everything that touches messages: always whole, always what the messages say."""

import sqlite3
import tempfile
from functools import cache
from pathlib import Path

import pytest
import sqlalchemy as sa
from glasshead.store import erasure, search_indexes, sessions
from glasshead.store.backup import search_index_findings
from glasshead.store.database import writer_engine
from glasshead.store.migrate import migrate
from glasshead.store.search import search
from glasshead.store.search_syntax import parse
from glasshead.store.tables import message
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

WORDS = ("alpha", "beta", "gamma", "Ünder", "שָׁלוֹם")
SIGNS = "東京タワー日本語"
PLENTY = 1 << 20

spaced = st.lists(st.sampled_from(WORDS), max_size=40).map(" ".join)
unspaced = st.text(SIGNS, min_size=1, max_size=60)
HUGE = ("W" * 5_000, "W" * 40_000, SIGNS * 800, "alpha\0beta " * 300)
huge = st.sampled_from(range(len(HUGE))).map(HUGE.__getitem__)
texts = st.one_of(spaced, unspaced, st.tuples(spaced, unspaced).map(" ".join), huge, st.text(max_size=30))
indexes = st.sampled_from(search_indexes.SEARCH_INDEXES)


@cache
def empty_log() -> bytes:
    """A log with one session: made once, copied for each run."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.db"
        migrate(path)
        engine = writer_engine(path)
        with engine.begin() as connection:
            sessions.start_session(
                connection, title="", kind="terminal", guild_id=None, channel_id=None, discord_id=None
            )
        engine.dispose()
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return path.read_bytes()


class SearchIndex(RuleBasedStateMachine):
    """Messages come, change, are erased and deleted; transactions fail; the disk fills up; indexes merge."""

    @initialize()
    def start(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        path = Path(self.folder.name) / "log.db"
        path.write_bytes(empty_log())
        self.engine = writer_engine(path)
        self.said: dict[int, str] = {}

    def teardown(self) -> None:
        self.engine.dispose()
        self.folder.cleanup()

    def add(self, connection: sa.Connection, text: str) -> int:
        return sessions.append_message(
            connection, 1, "user", text, parent=None, author=None, discord_id=None, discord_message_id=None
        )

    def any_of_them(self, number: int) -> int:
        return sorted(self.said)[number % len(self.said)]

    @rule(new=st.lists(texts, min_size=1, max_size=4))
    def say(self, new: list[str]) -> None:
        with self.engine.begin() as connection:
            made = {self.add(connection, text): text for text in new}
        self.said |= made

    @precondition(lambda self: self.said)
    @rule(number=st.integers(0, 99), text=texts)
    def edit(self, number: int, text: str) -> None:
        id_ = self.any_of_them(number)
        with self.engine.begin() as connection:
            erasure.apply(connection, [("message", id_, text)])
        self.said[id_] = text

    @precondition(lambda self: self.said)
    @rule(number=st.integers(0, 99))
    def erase(self, number: int) -> None:
        id_ = self.any_of_them(number)
        with self.engine.begin() as connection:
            erasure.apply(connection, [("message", id_, None)])
        self.said[id_] = ""

    @precondition(lambda self: self.said)
    @rule(number=st.integers(0, 99))
    def delete(self, number: int) -> None:
        id_ = self.any_of_them(number)
        with self.engine.begin() as connection:
            connection.execute(message.delete().where(message.c.id == id_))
        del self.said[id_]

    @rule(text=texts, number=st.integers(0, 99), other=texts)
    def take_back(self, text: str, number: int, other: str) -> None:
        """As in a shared commit: one that fails is undone, the one after it stays."""
        with self.engine.begin() as connection:
            savepoint = connection.begin_nested()
            self.add(connection, text)
            if self.said:
                erasure.apply(connection, [("message", self.any_of_them(number), other)])
            savepoint.rollback()
            made = self.add(connection, other)
        self.said[made] = other

    @rule(new=st.lists(texts, min_size=1, max_size=4), room=st.integers(0, 5))
    def fill_the_disk(self, new: list[str], room: int) -> None:
        made: dict[int, str] = {}
        with self.engine.connect() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + room}")
            try:
                made = {self.add(connection, text): text for text in new}
                connection.commit()
            except sa.exc.OperationalError as error:
                assert "full" in str(error)
                connection.rollback()
                made = {}
            connection.exec_driver_sql(f"PRAGMA max_page_count = {PLENTY}")
        self.said |= made

    @rule(index=indexes, pages=st.sampled_from([-64, -1, 1, 8, 64, 10_000]))
    def merge(self, index: str, pages: int) -> None:
        with self.engine.begin() as connection:
            search_indexes.merge_search_index(connection, index, pages)

    @rule(index=indexes)
    def rebuild(self, index: str) -> None:
        with self.engine.begin() as connection:
            search_indexes.rebuild_search_index(connection, index)

    @invariant()
    def the_indexes_are_whole(self) -> None:
        if not hasattr(self, "engine"):
            return
        with self.engine.begin() as connection:
            assert search_index_findings(connection) == []
            # Beyond its own structure: word for word what the messages say.
            connection.exec_driver_sql(
                "INSERT INTO message_words (message_words, rank) VALUES ('integrity-check', 1)"
            )

    @rule(word=st.sampled_from(WORDS), sign=st.integers(0, len(SIGNS) - 3))
    def look(self, word: str, sign: int) -> None:
        part = SIGNS[sign : sign + 3]
        with self.engine.begin() as connection:
            for wanted, expected in (
                (word, {id_ for id_, text in self.said.items() if word in text.replace("\0", " ").split()}),
                (part, {id_ for id_, text in self.said.items() if part in text}),
            ):
                hits = search(connection, parse(wanted), limit=10_000).hits
                assert expected <= {hit.message for hit in hits}
                gone = {hit.message for hit in hits} - set(self.said)
                assert gone == set()


QUIET = {"deadline": None, "suppress_health_check": list(HealthCheck)}
TestSearchIndex = SearchIndex.TestCase
TestSearchIndex.settings = settings(max_examples=8, stateful_step_count=12, **QUIET)


@pytest.mark.soak
class TestSearchIndexForLong(SearchIndex.TestCase):
    settings = settings(max_examples=400, stateful_step_count=60, **QUIET)
