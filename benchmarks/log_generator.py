"""Fill a log with invented sessions, as large as wanted: `python -m benchmarks.log_generator FILE --turns 1000000`.

Words follow Zipf's law, so do persons and channels; sessions have 1 to 40 turns over a year; one message in thirty
is Japanese. Traces come from a pool of replies of 60 to 160 tokens, sampled from invented logits by the program's
own sampler and encoded by its own codec: every turn has one, and its row says what the trace says. Rows are written
in bulk, past the program's way of writing; the schema, triggers and indexes are the program's.
"""

import argparse
import random
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from glasshead.predict.draw import draw
from glasshead.predict.engine import ModelIdentity
from glasshead.predict.prompt import Span
from glasshead.predict.sampler import sample
from glasshead.predict.sampling import Sampling
from glasshead.predict.schedule import Run
from glasshead.predict.step import Step
from glasshead.store.blocks import BLOCK, PackedPrompt, pack_ids
from glasshead.store.clock import DAY_US, now_us
from glasshead.store.codec import encode
from glasshead.store.database import writer_engine
from glasshead.store.migrate import migrate
from glasshead.store.models import model_id, pack_pieces, sampling_id, save_vocabulary
from glasshead.store.spans import pack_spans
from glasshead.store.traces import PART

N_VOCAB = 49_152
SYLLABLES = [a + b for a in "bdfghklmnprstvz" for b in ("a", "e", "i", "o", "u", "an", "er", "is")]
KANA = "東京都今日明日天気雨晴山川海猫犬本読書話食事朝昼夜時間友達学校先生電車駅道花"


@dataclass(frozen=True)
class PooledReply:
    """A reply ready for storage."""

    trace: bytes
    ids: bytes
    n: int
    perplexity: float
    surprisal: float


def steps(n: int, seed: int, k: int = 10) -> tuple[Step, ...]:
    """A reply as a small model makes it: mostly sure, sometimes not."""
    rng = np.random.default_rng(seed)
    common = rng.integers(0, N_VOCAB, 600)
    out: list[Step] = []
    for t in range(n):
        row = rng.standard_normal(N_VOCAB).astype(np.float32) * 2
        row[rng.choice(common, 40)] += rng.gumbel(6, 3, 40).astype(np.float32)
        out.append(sample(row, Sampling(), [step.id for step in out], draw(seed, t), k))
    return tuple(out)


def pool(size: int) -> list[PooledReply]:
    out = []
    for seed in range(size):
        n = 60 + (seed * 37) % 101
        made = steps(n, seed)
        surprisal = -sum(step.logprob for step in made)
        trace = encode(made, (Run("many", 120), Run("one", n - 1)), 10)
        out.append(PooledReply(trace, pack_ids([s.id for s in made]), n, float(np.exp(surprisal / n)), surprisal))
    return out


class Words:
    """A vocabulary in which word r is about r times as rare as the first."""

    def __init__(self, rng: random.Random, size: int = 30_000) -> None:
        self._rng = rng
        made = ("".join(rng.choices(SYLLABLES, k=1 + i % 3)) + str(i % 7)[: i // 2000] for i in range(2 * size))
        self.words = list(dict.fromkeys(made))[:size]
        self._weights = np.cumsum([1 / (rank + 3) for rank in range(len(self.words))]).tolist()

    def text(self, low: int, high: int) -> str:
        if self._rng.random() < 1 / 30:
            return "".join(self._rng.choices(KANA, k=self._rng.randint(4, 40)))
        count = self._rng.randint(low, high)
        return " ".join(self._rng.choices(self.words, cum_weights=self._weights, k=count))


def generate(path: Path, turns: int, *, seed: int = 1, pool_size: int = 150) -> None:
    """Add ``turns`` turns to a new log."""
    rng = random.Random(seed)
    migrate(path)
    replies = pool(pool_size)
    words = Words(rng)
    prompts = [
        PackedPrompt([rng.randrange(N_VOCAB) for _ in range(rng.randint(40, BLOCK - 1))], b"k" * 32).tail
        for _ in range(300)
    ]
    engine = writer_engine(path)
    with engine.begin() as connection:
        identities = [
            ModelIdentity(f"model-{i}", f"{i:064x}", "Q4_1", N_VOCAB, 2048, "c" * 64, "b1") for i in range(3)
        ]
        models = [model_id(connection, identity) for identity in identities]
        packed = pack_pieces([f" {words.words[i % len(words.words)]}".encode() for i in range(N_VOCAB)])
        for identity in identities:
            save_vocabulary(connection, identity, *packed)
        sampler = sampling_id(connection, Sampling())
    engine.dispose()
    with sqlite3.connect(path, isolation_level=None) as raw:
        for pragma in ("synchronous = OFF", "journal_mode = WAL", "cache_size = -400000", "foreign_keys = ON"):
            raw.execute(f"PRAGMA {pragma}")
        persons = [(i, 10**17 + i, f"person{i}") for i in range(1, 5001)]
        raw.executemany("INSERT INTO person (id, discord_id, name) VALUES (?, ?, ?)", persons)
        filler = _Filler(raw, rng, words, replies, prompts, models, sampler)
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
FROM turn t JOIN session s ON s.id = t.session_id GROUP BY 1, 2, 3
"""
KEYS = {"model": "model_id", "server": "guild_id", "user": "requester_id"}


class _Filler:
    def __init__(self, raw, rng, words, replies, prompts, models, sampler) -> None:  # type: ignore[no-untyped-def]
        self.raw, self.rng, self.words = raw, rng, words
        self.replies, self.prompts, self.models, self.sampler = replies, prompts, models, sampler
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
            spans = pack_spans((Span(0, 20, "marker", "system"), Span(20, 40, "typed", "user", asked)))
            self.rows["message"] += (
                (asked, session, parent, "user", f"person{person}", person, question, None, turn, self.clock,
                 "東" < max(question) < "鿿", 10**18 + asked),
                (said, session, asked, "assistant", None, None, answer, reply.ids, turn, self.clock,
                 "東" < max(answer) < "鿿", None),
            )  # fmt: skip
            self.rows["turn"].append(
                (turn, session, asked, said, person, rng.choice(self.models), self.sampler, turn, 10, status,
                 "stop", rng.choice(self.prompts), spans, 120, reply.n, rng.choice((0, 100)), 500,
                 rng.randrange(50_000, 900_000), reply.n * 12_000, reply.perplexity, self.clock, 0, 0, 0, "0")
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
        " first_step, dropped_turns, dropped_tokens, app_version",
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
    options = parser.parse_args()
    if options.path.exists():
        raise SystemExit(f"{options.path} exists already")
    generate(options.path, options.turns, seed=options.seed)
    print(f"{options.path.stat().st_size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
