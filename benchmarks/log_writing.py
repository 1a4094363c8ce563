"""Writing to a large log: durable turns with traces; erasing a person beside a chat."""

import asyncio
import gc
import shutil
import statistics
import sys
import time
from pathlib import Path

import sqlalchemy as sa
from glasshead.explain.turn import Turn
from glasshead.predict.engine import Timings
from glasshead.predict.prompt import Prompt, Span
from glasshead.store import Store
from glasshead.store.tables import person
from glasshead.store.tables import turn as turn_table

from .log_figures import Figure, p95

TURNS = 10_000
"""Of the person who is erased, or as many as the log has of one."""


async def writing(path: Path, seconds: float) -> list[Figure]:
    """On a copy of the log, which is removed."""
    copy = path.with_name("copy.db")
    shutil.copyfile(path, copy)
    store = await Store.open(copy)
    try:
        return [*await logging(store, seconds), *await erasing(store)]
    finally:
        await store.close()
        for old in copy.parent.glob("copy.db*"):
            old.unlink()


class Talk:
    """Somebody who says something, is answered with a recorded reply, and goes on."""

    def __init__(self, store: Store, replies: list[Turn]) -> None:
        self._store, self._replies = store, replies
        self.turns = 0
        self.waits: list[float] = []

    async def go_on(self, until: float) -> None:
        session = await self._store.start_session()
        parent = None
        while time.perf_counter() < until:
            begun = time.perf_counter()
            parent = await self._turn(session, parent)
            self.waits.append((time.perf_counter() - begun) * 1000)
            self.turns += 1

    async def _turn(self, session: int, parent: int | None) -> int:
        made = self._replies[self.turns % len(self._replies)]
        text = f"a question of moderate length {self.turns}"
        message = await self._store.append_message(session, "user", text, parent=parent)
        ids = made.prompt.ids
        prompt = Prompt(ids, (Span(0, 1, "marker", "user"), Span(1, len(ids), "typed", "user", message)))
        turn = await self._store.open_turn(
            session=session, prompt_message=message, prompt=prompt, model=made.model, sampling=made.sampling,
            seed=made.seed, k=10,
        )  # fmt: skip
        return await self._store.finish_turn(
            turn, steps=made.trace.steps, schedule=made.schedule, reply=made.reply, finish="stop", status="ok",
            timings=Timings(1, 2, 3),
        )  # fmt: skip


async def replies(store: Store) -> list[Turn]:
    return [await store.turn(id_) for id_ in range(1, 9)]


async def logging(store: Store, seconds: float) -> list[Figure]:
    made = await replies(store)
    talk = Talk(store, made)
    begun = time.perf_counter()
    await asyncio.gather(*(talk.go_on(begun + seconds) for _ in range(8)))
    took = time.perf_counter() - begun
    tokens = statistics.mean(len(turn.trace.steps) for turn in made)
    detail = f"8 conversations at once, {tokens:.0f} tokens a reply, 3 commits a turn"
    return [
        Figure("logging, turns with traces, durable", talk.turns / took, "turns/s", 200, floor=True, detail=detail)
    ]


async def erasing(store: Store) -> list[Figure]:
    count = sa.func.count()
    busiest = (
        sa.select(person.c.discord_id, count)
        .join(turn_table, turn_table.c.requester_id == person.c.id)
        .group_by(person.c.id)
        .order_by(sa.func.abs(count - TURNS))
    )
    who, turns = (await store.database.read(lambda c: c.execute(busiest).first())) or (0, 0)
    talk, made = Talk(store, await replies(store)), asyncio.Event()
    gc.collect()
    gc.freeze()  # as the bot does when it starts
    idle = await asyncio.create_subprocess_exec(
        sys.executable, "-m", __name__, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    chat, watch = asyncio.create_task(talk.go_on(float("inf"))), asyncio.create_task(longest_block(made))
    begun = time.perf_counter()
    receipt = await store.erase_person(who)
    took = time.perf_counter() - begun
    made.set()
    chat.cancel()
    alone = float((await idle.communicate(b"done"))[0])
    print(f"erased: {receipt}")
    return [
        Figure(f"erasing a user with {turns:,} turns", took, "s", 60),
        Figure("a whole turn logged meanwhile, median", statistics.median(talk.waits), "ms"),
        Figure("a whole turn logged meanwhile, p95", p95(talk.waits), "ms", 250),
        Figure("longest block of the event loop meanwhile", await watch, "ms", 50),
        Figure("the same of an idle loop in another process", alone, "ms"),
    ]


async def longest_block(end: asyncio.Event) -> float:
    """How many milliseconds too late a timer was at most."""
    longest = 0.0
    while not end.is_set():
        begun = time.perf_counter()
        await asyncio.sleep(0.005)
        longest = max(longest, (time.perf_counter() - begun) * 1000 - 5)
    return longest


async def idle() -> float:
    """The same where nothing else is done, until a line comes in."""
    end = asyncio.Event()
    reader = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    reader.add_done_callback(lambda _: end.set())
    return await longest_block(end)


if __name__ == "__main__":
    print(asyncio.run(idle()))
