"""simonw/llm's log (PyPI `llm`) on the same conversations, in the same run: size, list, search.

The conversations are taken out of our log into a new one of ours and into one of llm's, by its own way of logging
(a model that says what the reply says). Both commands run in this process, so Python's start is in neither.
"""

import asyncio
import json
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import llm
import sqlite_utils
from click.testing import CliRunner
from glasshead.cli.log import app
from glasshead.store import Store
from glasshead.store.bulk import heads
from glasshead.store.export import export
from glasshead.store.missing import Missing
from glasshead.store.search_syntax import MOST, parse
from glasshead.store.writes import import_session, import_vocabulary
from llm.cli import cli as llm_command
from typer.main import get_command

from .log_figures import Figure

REPEATS = 9


class Recorded(llm.Model):
    """Says what was said, and leaves the response as an API would have given it."""

    model_id = "recorded"
    can_stream = False

    def __init__(self) -> None:
        self.reply = ""
        self.response: dict[str, Any] | None = None

    def execute(
        self, prompt: llm.Prompt, stream: bool, response: llm.Response, conversation: llm.Conversation | None
    ) -> Iterator[str]:
        response.response_json = self.response
        yield self.reply


async def peer(store: Store, turns: int) -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        ours, plain, theirs, bare = (
            Path(folder) / name for name in ("ours.db", "plain.db", "llm.db", "llm-bare.db")
        )
        sessions = await chosen(store, turns)
        query = parse(" ".join(f"session:{id_}" for id_ in sessions))
        took = {}
        count = 0
        for path, traces in ((ours, True), (plain, False)):
            count = await copy(store, query, path, traces=traces)
        for path, with_logprobs in ((theirs, True), (bare, False)):
            begun = time.perf_counter()
            await log_with_llm(store, sessions, path, with_logprobs=with_logprobs)
            took[path] = time.perf_counter() - begun
        print(f"{count} turns in {len(sessions)} sessions; llm logged them in {took[theirs]:.0f} s")
        said = [
            message.text
            for head in await store.database.read(lambda c: heads(c, sessions[:40], Missing()))
            for message in head.messages
        ]
        words = [text.split()[0] for text in said if text.isascii() and text.strip()][:REPEATS]
        out = [
            Figure(f"{name}, {what}", path.stat().st_size / count / 1000, "kB a turn")
            for what, paths in (("with log-probabilities", (ours, theirs)), ("words alone", (plain, bare)))
            for name, path in zip(("Glasshead", "llm"), paths, strict=True)
        ]
        await asyncio.to_thread(os.sync)
        for what, mine, other in (
            ("list 50", lambda i: ["list", "-n", "50", "--json"], lambda i: ["-n", "50", "--json"]),
            ("search a word, newest 50", lambda i: ["search", words[i], "-n", "50", "--json"],
             lambda i: ["-q", words[i], "-l", "-n", "50", "--json"]),
            ("search a word, best 50", lambda i: ["search", words[i], "--best", "-n", "50", "--json"],
             lambda i: ["-q", words[i], "-n", "50", "--json"]),
        ):  # fmt: skip
            ours_ms = await asyncio.to_thread(ask_glasshead, ours, mine)
            theirs_ms = await asyncio.to_thread(ask_llm, theirs, other)
            out += [Figure(f"Glasshead, {what}", ours_ms, "ms"), Figure(f"llm, {what}", theirs_ms, "ms")]
        return out


async def chosen(store: Store, turns: int) -> list[int]:
    """The newest sessions with so many turns together, or as many as one search takes."""
    out, count = [], 0
    for row in await store.sessions(limit=MOST):
        if count >= turns:
            break
        out.append(row.id)
        count += row.n_turns
    return out


async def copy(store: Store, query: Any, path: Path, *, traces: bool) -> int:
    target = await Store.open(path)
    session: list[dict[str, Any]] = []
    done = [0]
    async for line in lines_of(export(store, "jsonl", query, traces=traces, progress=done.append)):
        if line["type"] in ("vocabulary", "session") and session:
            await import_session(target, lines=session)
            session = []
        if line["type"] == "vocabulary":
            await import_vocabulary(target, line=line)
        elif line["type"] != "log":
            session.append(line)
    await import_session(target, lines=session)
    await target.database.checkpoint()
    await target.close()
    return done[-1]


async def lines_of(pieces: AsyncIterator[str]) -> AsyncIterator[dict[str, Any]]:
    """What an export writes, line by line: its pieces end where they like."""
    begun = ""
    async for piece in pieces:
        *whole, begun = (begun + piece).split("\n")
        for line in whole:
            yield json.loads(line)


async def log_with_llm(store: Store, sessions: list[int], path: Path, *, with_logprobs: bool) -> None:
    lines: dict[int, dict[str, Any]] = {}
    if with_logprobs:
        for start in range(0, len(sessions), 50):
            query = parse(" ".join(f"session:{id_}" for id_ in sessions[start : start + 50]))
            async for line in lines_of(export(store, "openai", query)):
                response = line["response"]
                lines[int(response["id"].removeprefix("turn-"))] = response
            await write(store, sessions[start : start + 50], path, lines)
            lines.clear()
        return
    await write(store, sessions, path, lines)


async def write(store: Store, sessions: list[int], path: Path, lines: dict[int, dict[str, Any]]) -> None:
    database = sqlite_utils.Database(path)
    llm.migrations.migrate(database)
    model = Recorded()
    for id_ in sessions:
        conversation = model.conversation()
        for row in await store.turns(id_):
            model.reply, model.response = row.reply, lines.get(row.id)
            response = conversation.prompt(row.prompt, stream=False)
            response.text()
            response.log_to_db(database)
    database.close()


def ask_glasshead(path: Path, arguments: Callable[[int], list[str]]) -> float:
    command, environment = get_command(app), {"GLASSHEAD_STORE__PATH": str(path)}
    return median(lambda i: CliRunner().invoke(command, arguments(i), env=environment))


def ask_llm(path: Path, arguments: Callable[[int], list[str]]) -> float:
    return median(lambda i: CliRunner().invoke(llm_command, ["logs", "list", "-d", str(path), *arguments(i)]))


def median(ask: Callable[[int], Any]) -> float:
    taken = []
    for i in range(-1, REPEATS):
        begun = time.perf_counter()
        done = ask(i)
        taken.append((time.perf_counter() - begun) * 1000)
        assert done.exit_code == 0, done.output
        json.loads(done.output)
    return statistics.median(taken[1:])
