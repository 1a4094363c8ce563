"""A process that logs turns until it is killed: `python killed.py DATABASE STAGE COUNT`.

It says on standard output what it was told is durable; STAGE names where it kills itself, at the COUNT-th time.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

from glasshead.store import Store, erasure, search_indexes, sessions, traces, turns

sys.path.insert(0, str(Path(__file__).parent.parent))
from store.making import MODEL, PIECES, SAMPLING, ask, prompt, steps

STAGES = {
    "message": (sessions, "append_message"),
    "open": (turns, "open_turn"),
    "blocks": (turns, "save_blocks"),
    "finish": (turns, "save_outcome"),
    "trace": (turns, "save_trace"),
    "count": (turns, "count_turn"),
    "draft": (turns, "save_draft"),
    "parts": (traces, "_of"),
    "erase": (erasure, "apply"),
    "forget": (erasure, "forget_person"),
    "merge": (search_indexes, "merge_search_index"),
}
"""Functions that run inside a transaction: killed before they begin, or (with a `+`) after they have run."""


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def arm(stage: str, count: int) -> None:
    module, name = STAGES[stage.rstrip("+")]
    whole = getattr(module, name)
    left = [count]

    def deadly(*args: object, **options: object) -> object:
        left[0] -= 1
        if not left[0] and not stage.endswith("+"):
            die()
        result = whole(*args, **options)
        if not left[0]:
            die()
        return result

    setattr(module, name, deadly)


def say(*words: object) -> None:
    print(*words, flush=True)


async def main(path: Path, stage: str, count: int) -> None:
    store = await Store.open(path)
    await store.save_vocabulary(MODEL, PIECES)
    erasure.BUDGET_S = -1  # one edit a transaction: more places to die between
    arm(stage, count)
    session = await store.start_session(person=5)
    parent = None
    for i in range(8):
        text = f"question {i} with some words of mine"
        message = await store.append_message(session, "user", text, parent=parent, person=5)
        say("message", message)
        turn = await store.open_turn(
            session=session, prompt_message=message, prompt=prompt(text, message), model=MODEL,
            sampling=SAMPLING, seed=1, requester=5, k=10,
        )  # fmt: skip
        say("pending", turn)
        await store.save_progress(turn, steps=steps(6), schedule=(), reply="so f")
        say("progress", turn)
        parent = await store.finish_turn(
            turn, steps=steps(), schedule=(), reply="so far", finish="stop", status="ok"
        )
        say("finished", turn)
    await ask(store, await store.start_session(), "of another", "kept", person=6)
    say("erasing", 5)
    await store.erase_person(5)
    say("erased", 5)
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
