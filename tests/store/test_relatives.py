"""The replies to one message, however many there are."""

from glasshead.store import Store
from glasshead.store.relatives import MOST, relatives

from .making import MODEL, SAMPLING, ask, prompt, steps


async def test_what_is_too_much_to_read_at_once_is_named(store: Store) -> None:
    session = await store.start_session()
    message, first, _ = await ask(store, session, "which?")
    given, made = prompt("which?", message), [first]
    for seed in range(MOST + 2):
        turn = await store.open_turn(
            session=session, prompt_message=message, prompt=given, model=MODEL, sampling=SAMPLING, seed=seed,
            requester=None, k=10,
        )  # fmt: skip
        await store.finish_turn(turn, steps=steps(2), schedule=(), reply="x", finish="stop", status="ok")
        made.append(turn)
    family = await relatives(store, await store.turn(first))
    assert [turn.id for turn in family] == made[:MOST]
    assert family.left_out == tuple(made[MOST:]) and family.numbers == tuple(made)
    assert family.unread.startswith("3 more replies to this message")
    of_the_last = await relatives(store, await store.turn(made[-1]))
    assert made[-1] in [turn.id for turn in of_the_last] and of_the_last.numbers == tuple(made)
