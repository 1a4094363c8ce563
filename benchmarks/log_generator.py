"""Fill a log with invented sessions, as large as wanted: `python -m benchmarks.log_generator FILE --turns 1000000`.

Words follow Zipf's law, so do persons and channels; sessions have 1 to 40 turns over a year; one message in thirty
is Japanese. Traces are real: the model writes a pool of replies of up to 160 tokens, recorded as the bot records
them, and every turn has one of them, with its prompt; its row says what the trace says. Rows are written in bulk,
past the program's way of writing; the schema, triggers and indexes are the program's.
"""

import argparse
import asyncio
import dataclasses
import datetime
import random
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from glasshead.predict.engine import ModelIdentity
from glasshead.predict.local import EngineSettings, LocalEngine
from glasshead.predict.message import Message
from glasshead.predict.model import Model
from glasshead.predict.prompt import Span
from glasshead.predict.render import Renderer
from glasshead.predict.sampling import Sampling
from glasshead.store.blocks import PackedPrompt, pack_ids
from glasshead.store.clock import DAY_US, now_us
from glasshead.store.codec import encode
from glasshead.store.database import writer_engine
from glasshead.store.migrate import migrate
from glasshead.store.models import model_id, pack_pieces, sampling_id, save_vocabulary
from glasshead.store.spans import pack_spans
from glasshead.store.traces import PART

from .engine import DEFAULT_MODEL

SYLLABLES = [a + b for a in "bdfghklmnprstvz" for b in ("a", "e", "i", "o", "u", "an", "er", "is")]
KANA = "東京都今日明日天気雨晴山川海猫犬本読書話食事朝昼夜時間友達学校先生電車駅道花"
THINGS = (
    "a storm",
    "tea",
    "the moon",
    "a lost key",
    "prime numbers",
    "bread",
    "a lighthouse",
    "jazz",
    "snow",
    "bees",
)
ASKED = (
    "Tell me about {}.",
    "Write a short story with {}.",
    "Why do people care about {}?",
    "Give me a list about {}.",
)


@dataclass(frozen=True)
class PooledReply:
    """A reply ready for storage, and the prompt it answers."""

    trace: bytes
    ids: bytes
    n: int
    perplexity: float
    surprisal: float
    tail: bytes
    n_prompt: int
    typed: tuple[int, int]


async def pool(path: Path, size: int) -> tuple[list[PooledReply], ModelIdentity, list[bytes]]:
    """Replies of the model, eight at a time, its identity, and the bytes of its tokens."""
    model = Model.load(path)
    engine = LocalEngine(model, EngineSettings(n_ctx=512, max_per_user=size, threads=1))
    renderer = Renderer(model.vocabulary, model.template, date=datetime.date(2026, 1, 1))

    async def reply(i: int) -> PooledReply:
        question = ASKED[i % len(ASKED)].format(THINGS[i % len(THINGS)])
        prompt = renderer.render((Message("user", question, id=0),), budget=250)
        generation = engine.generate(prompt.ids, Sampling(max_tokens=60 + i * 37 % 101), i)
        made = tuple([step async for step in generation])
        surprisal = -sum(step.logprob for step in made)
        typed = next((span.start, span.end) for span in prompt.spans if span.kind == "typed")
        print(f"reply {i + 1} of {size}: {len(made)} tokens", flush=True)
        return PooledReply(
            encode(made, generation.schedule, 10, seed=i), pack_ids([step.id for step in made]), len(made),
            float(np.exp(surprisal / len(made))), surprisal, PackedPrompt(prompt.ids, b"k" * 32).tail,
            len(prompt.ids), typed,
        )  # fmt: skip

    try:
        made = await asyncio.gather(*(reply(i) for i in range(size)))
        return list(made), engine.model, list(model.vocabulary.pieces())
    finally:
        await engine.aclose()


class Words:
    """A vocabulary in which word r is about r times as rare as the first."""

    def __init__(self, rng: random.Random, size: int = 30_000) -> None:
        self._rng = rng
        made = ("".join(rng.choices(SYLLABLES, k=1 + i % 3)) + str(i % 7)[: i // 2000] for i in range(2 * size))
        self.words = list(dict.fromkeys(made))[:size]
        weights = np.array([1 / (rank + 3) for rank in range(len(self.words))])
        self._drawn = np.random.default_rng(rng.randrange(2**32)).choice(
            len(self.words), 4_000_000, p=weights / weights.sum()
        )
        self._strings = np.array(self.words, dtype=object)

    def text(self, low: int, high: int) -> str:
        """Some words in a row of four million drawn beforehand."""
        if self._rng.random() < 1 / 30:
            return "".join(self._rng.choices(KANA, k=self._rng.randint(4, 40)))
        start = self._rng.randrange(len(self._drawn) - high)
        return " ".join(self._strings[self._drawn[start : start + self._rng.randint(low, high)]])


def generate(path: Path, turns: int, *, model: Path = DEFAULT_MODEL, seed: int = 1, pool_size: int = 16) -> None:
    """Add ``turns`` turns to a new log."""
    rng = random.Random(seed)
    migrate(path)
    replies, identity, pieces = asyncio.run(pool(model, pool_size))
    words = Words(rng)
    engine = writer_engine(path)
    with engine.begin() as connection:
        identities = [identity, *(dataclasses.replace(identity, name=name, sha256=name) for name in ("b", "c"))]
        models = [model_id(connection, each) for each in identities]
        for each in identities:
            save_vocabulary(connection, each, *pack_pieces(pieces))
        sampler = sampling_id(connection, Sampling())
    engine.dispose()
    with sqlite3.connect(path, isolation_level=None) as raw:
        for pragma in ("synchronous = OFF", "journal_mode = WAL", "cache_size = -400000", "foreign_keys = ON"):
            raw.execute(f"PRAGMA {pragma}")
        persons = [(i, 10**17 + i, f"person{i}") for i in range(1, 5001)]
        raw.executemany("INSERT INTO person (id, discord_id, name) VALUES (?, ?, ?)", persons)
        filler = _Filler(raw, rng, words, replies, models, sampler)
        begun = time.perf_counter()
        while filler.turn < turns:
            raw.execute("BEGIN IMMEDIATE")
            goal = min(filler.turn + 5000, turns)
            while filler.turn < goal:
                filler.session(turns)
            filler.flush()
            raw.execute("COMMIT")
            if filler.turn % 50_000 < 5000:
                print(
                    f"{filler.turn} turns, {filler.turn / (time.perf_counter() - begun):.0f} a second", flush=True
                )
        raw.execute("INSERT INTO trace_part (id, data) VALUES (?, ?)", (filler.part, filler.rest))
        for by, key in KEYS.items():
            raw.execute(ROLLUP.format(by=by, key=key, day=DAY_US))
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    raw.close()


ROLLUP = """
INSERT INTO daily (by, day, key, turns, stopped, errors, interrupted, prompt_tokens, cached_tokens, tokens, timed,
                   ttft_us, gen_us, gen_tokens, surprisal)
SELECT '{by}', t.created_us / {day}, coalesce({key}, 0), count(*), sum(status = 'stopped'), sum(status = 'error'),
       sum(status = 'interrupted'), sum(n_prompt), sum(n_cached), sum(n_out), count(*), sum(ttft_us), sum(gen_us),
       sum(n_out - 1), sum(ln(perplexity) * n_out)
FROM turn t GROUP BY 1, 2, 3
"""
KEYS = {"model": "model_id", "server": "guild_id", "user": "requester_id"}


class _Filler:
    def __init__(self, raw, rng, words, replies, models, sampler) -> None:  # type: ignore[no-untyped-def]
        self.raw, self.rng, self.words = raw, rng, words
        self.replies, self.models, self.sampler = replies, models, sampler
        self.session_id = self.message = self.turn = 0
        self.part, self.rest = 1, b""
        self.clock = now_us() - 365 * DAY_US
        self.rows: dict[str, list[tuple[object, ...]]] = {name: [] for name in INSERTS}

    def session(self, turns: int) -> None:
        rng = self.rng
        self.session_id += 1
        session, count = self.session_id, min(int(rng.paretovariate(0.9)), 40, turns - self.turn)
        channel = min(int(rng.paretovariate(0.7)), 400)
        person = min(int(rng.paretovariate(0.5)), 5000)
        parent = None
        for _ in range(count):
            self.turn += 1
            self.clock += rng.randrange(2 * 365 * DAY_US // turns)
            asked, said = self.message + 1, self.message + 2
            self.message += 2
            reply, turn = rng.choice(self.replies), self.turn
            question, answer = self.words.text(3, 30), self.words.text(reply.n // 2, reply.n)
            status = rng.choices(("ok", "stopped", "error", "interrupted"), (96, 2, 1, 1))[0]
            first, last = reply.typed
            spans = pack_spans(
                (Span(0, first, "marker", "system"), Span(first, last, "typed", "user", asked),
                 Span(last, reply.n_prompt, "marker", "assistant"))
            )  # fmt: skip
            self.rows["message"] += (
                (asked, session, parent, "user", f"person{person}", person, question, None, turn, self.clock,
                 "東" < max(question) < "鿿", 10**18 + asked),
                (said, session, asked, "assistant", None, None, answer, reply.ids, turn, self.clock,
                 "東" < max(answer) < "鿿", None),
            )  # fmt: skip
            self.rows["turn"].append(
                (turn, session, asked, said, person, rng.choice(self.models), self.sampler, turn, 10, status,
                 "stop", reply.tail, spans, reply.n_prompt, reply.n, rng.choice((0, reply.n_prompt - 1)), 500,
                 rng.randrange(50_000, 900_000), reply.n * 12_000, reply.perplexity, self.clock, 0, 0, 0, "0",
                 channel, channel % 20 + 1)
            )  # fmt: skip
            self.rows["trace"].append((turn, self.part, len(self.rest), len(reply.trace), reply.n, 10))
            self.rest += reply.trace
            while len(self.rest) >= PART:
                self.rows["trace_part"].append((self.part, self.rest[:PART]))
                self.rest = self.rest[PART:]
                self.part += 1
            if rng.random() < 0.01:
                self.rows["feedback"].append((turn, "review", rng.randint(1, 5), self.clock))
            if rng.random() < 0.005:
                self.rows["tag"].append((turn, rng.choice(("odd", "funny", "wrong")), self.clock))
            parent = said
        self.rows["session"].append(
            (session, f"{session:016x}", "channel", "", channel % 20 + 1, channel, person, b"k" * 32, count,
             self.turn, self.clock)
        )  # fmt: skip

    def flush(self) -> None:
        for name, statement in INSERTS.items():
            self.raw.executemany(statement, self.rows[name])
            self.rows[name].clear()


def _insert(table: str, columns: str) -> str:
    marks = ", ".join("?" for _ in columns.split(","))
    return f"INSERT INTO {table} ({columns}) VALUES ({marks})"


INSERTS = {
    "session": _insert(
        "session",
        "id, public_id, kind, title, guild_id, channel_id, person_id, key, n_turns, last_turn_id, created_us",
    ),
    "message": _insert(
        "message",
        "id, session_id, parent_id, role, author, person_id, text, ids, turn_id, created_us, unspaced,"
        " discord_message_id",
    ),
    "turn": _insert(
        "turn",
        "id, session_id, prompt_message_id, reply_message_id, requester_id, model_id, sampling_id, seed, k, status,"
        " finish, tail, spans, n_prompt, n_out, n_cached, queue_us, ttft_us, gen_us, perplexity, created_us,"
        " first_step, dropped_turns, dropped_tokens, app_version, channel_id, guild_id",
    ),
    "trace": _insert("trace", "turn_id, first_part, start, size, n, k"),
    "trace_part": _insert("trace_part", "id, data"),
    "feedback": _insert("feedback", "turn_id, source, value, created_us"),
    "tag": _insert("tag", "turn_id, name, created_us"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", type=Path)
    parser.add_argument("--turns", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--model", type=Path, default=DEFAULT_MODEL)
    options = parser.parse_args()
    if options.path.exists():
        raise SystemExit(f"{options.path} exists already")
    generate(options.path, options.turns, model=options.model, seed=options.seed)
    print(f"{options.path.stat().st_size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
