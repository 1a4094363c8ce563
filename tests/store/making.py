"""Making a log: a small vocabulary, replies sampled from invented logits by the real sampler."""

from functools import lru_cache

import numpy as np
from glasshead.predict.draw import draw
from glasshead.predict.engine import ModelIdentity, Timings
from glasshead.predict.prompt import Prompt, Span
from glasshead.predict.sampler import sample
from glasshead.predict.sampling import Sampling
from glasshead.predict.schedule import Run
from glasshead.predict.step import Step
from glasshead.store import Store

N_VOCAB = 2000
PIECES = [b"<eos>", *(f" w{i}".encode() for i in range(1, N_VOCAB))]
MODEL = ModelIdentity("tiny", "a" * 64, "Q4_1", N_VOCAB, 2048, "c" * 64, "b1")
SAMPLING = Sampling()
TIMINGS = Timings(1_000, 200_000, 1_000_000)


@lru_cache
def steps(n: int = 12, seed: int = 1, k: int = 10) -> tuple[Step, ...]:
    rng = np.random.default_rng(seed)
    out: list[Step] = []
    for t in range(n):
        row = (rng.gumbel(size=N_VOCAB) * 2.5).astype(np.float32)
        out.append(sample(row, SAMPLING, [step.id for step in out], draw(seed, t), k))
    return tuple(out)


def prompt(text: str, message: int) -> Prompt:
    """A marker, then the text as token ids of its words, then a marker."""
    body = tuple(1 + word.encode()[0] + 7 * len(word) for word in text.split())
    typed = Span(3, 3 + len(body), "typed", "user", message)
    end = typed.end
    return Prompt(
        (1, 2, 3, *body, 4, 5), (Span(0, 3, "marker", "user"), typed, Span(end, end + 2, "marker", "assistant"))
    )


async def ask(
    store: Store,
    session: int,
    text: str,
    reply: str | None = "well then",
    *,
    parent: int | None = None,
    person: int | None = None,
    author: str | None = None,
    n: int = 12,
    seed: int = 1,
    given: Prompt | None = None,
    status: str = "ok",
    by: ModelIdentity = MODEL,
    typed: int | None = None,
) -> tuple[int, int, int | None]:
    """A message and its turn: (message, turn, reply's message). ``reply`` None leaves the turn pending; ``typed``:
    the Discord message it is, if it is one."""
    message = await store.append_message(
        session, "user", text, parent=parent, person=person, author=author, discord_message_id=typed
    )
    turn = await store.open_turn(
        session=session,
        prompt_message=message,
        prompt=given or prompt(text, message),
        model=by,
        sampling=SAMPLING,
        seed=seed,
        requester=person,
        k=10,
    )
    if reply is None:
        return message, turn, None
    said = await store.finish_turn(
        turn,
        steps=steps(n, seed),
        schedule=(Run("tile", 5), Run("one", n)),
        reply=reply,
        finish="stop",
        status=status,
        timings=TIMINGS,
    )
    return message, turn, said
