"""Where a conversation goes on after what-ifs, retries, edits and other versions; what waits for an answer."""

from functools import partial

import pytest
from glasshead.store import Store
from glasshead.store.continuing import answered, end_of, left_open, versions

from .making import MODEL, SAMPLING, ask, prompt, steps


@pytest.fixture
async def asked(store: Store) -> list[tuple[int, int, int]]:
    """Three questions that Discord messages 11 to 13 ask, each with its reply: (message, turn, reply's message)."""
    session, made, parent = await store.start_session(channel_id=7), [], None
    for number in (11, 12, 13):
        message = await store.append_message(
            session, "user", f"number {number}", parent=parent, person=1, discord_message_id=number
        )
        turn, parent = await reply(store, message)
        made.append((message, turn, parent))
    return made


async def reply(store: Store, message: int, parent_turn: int | None = None) -> tuple[int, int]:
    """A turn that answers a message, and the reply's message."""
    row = await store.message(message)
    turn = await store.open_turn(
        session=row.session, prompt_message=message, prompt=prompt(row.text, message), model=MODEL,
        sampling=SAMPLING, seed=1, k=10, parent_turn=parent_turn,
    )  # fmt: skip
    return turn, await store.finish_turn(turn, steps=steps(), schedule=(), reply="well", finish="stop", status="ok")


async def end(store: Store, session: int = 1) -> int | None:
    found = await store.database.read(partial(end_of, session_id=session))
    return None if found is None else found[0]


async def test_it_goes_on_after_what_was_said_last(store: Store, asked: list[tuple[int, int, int]]) -> None:
    assert await end(store) == asked[-1][2]
    await ask(store, 1, "a command", parent=asked[-1][2])
    assert await end(store) not in [last for _, _, last in asked]
    assert await end(store, await store.start_session()) is None


async def test_a_what_if_and_another_reply_to_something_earlier_change_nothing(
    store: Store, asked: list[tuple[int, int, int]]
) -> None:
    (first, turn, _), (_, _, last) = asked[0], asked[-1]
    branch, _ = await reply(store, first, parent_turn=turn)
    assert await end(store) == last
    assert await store.latest_turn() == branch and await store.latest_turn(channel_id=7) == asked[-1][1]
    await reply(store, first)
    edited = await store.append_message(1, "user", "number 11, I mean 10", person=1, discord_message_id=11)
    await reply(store, edited)
    assert await end(store) == last


async def test_it_goes_on_after_the_version_that_is_shown(store: Store, asked: list[tuple[int, int, int]]) -> None:
    message, turn, said = asked[-1]
    again, said_again = await reply(store, message)
    assert await end(store) == said_again
    await store.link_discord(turn, [99])
    assert await end(store) == said
    await store.link_discord(again, [99])
    assert await end(store) == said_again


async def test_versions_are_those_of_the_session(store: Store, asked: list[tuple[int, int, int]]) -> None:
    message = asked[0][0]
    edited = await store.append_message(1, "user", "edited", person=1, discord_message_id=11)
    await store.copy_message(message, parent=None, session=await store.start_session())
    assert await store.database.read(partial(versions, message_id=message)) == [message, edited]
    command, _, _ = await ask(store, 1, "a command")
    assert await store.database.read(partial(versions, message_id=command)) == [command]


async def test_what_waits_for_an_answer(store: Store, asked: list[tuple[int, int, int]]) -> None:
    async def state(number: int) -> tuple[bool, tuple[int, int] | None]:
        read = store.database.read
        return await read(lambda c: answered(c, number)), await read(lambda c: left_open(c, number))

    assert await state(11) == (True, None) and await state(99) == (False, None)
    waiting = await store.append_message(1, "user", "and?", parent=asked[-1][2], person=1, discord_message_id=14)
    assert await state(14) == (False, (1, waiting))
    await store.append_message(1, "user", "well?", parent=waiting, person=2, discord_message_id=15)
    assert await state(14) == (False, None), "read as context by what came after it"
    edited = await store.append_message(1, "user", "edited", parent=asked[1][2], person=1, discord_message_id=13)
    assert edited and (await state(13))[0], "an edit asks for no other answer"
