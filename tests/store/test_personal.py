"""What a person may have of the log: theirs, and nobody else's."""

from typing import Any

import pytest
from glasshead.store import Store
from glasshead.store.marks import rate
from glasshead.store.personal import of_person

from .making import MODEL, SAMPLING, ask, prompt

ALICE, BOB, CAROL = 11, 12, 13


async def had_by(store: Store, person: int) -> dict[str, Any]:
    return await store.database.read(lambda c: of_person(c, person))


async def said_to_alice(store: Store) -> tuple[int, int]:
    """Session and message: what Alice asked, answered."""
    session = await store.start_session(kind="channel", channel_id=1)
    root = await store.append_message(session, "system", "Be secret.")
    message, turn, _ = await ask(store, session, "w1 w2", "just for Alice", parent=root, person=ALICE)
    await store.set_feedback(turn, person=ALICE, value=1)
    await store.database.write(lambda c: rate(c, turn, 4, author="Rita"))
    return session, message


@pytest.mark.parametrize("forgotten", [False, True])
async def test_who_is_not_in_the_log_has_nothing(store: Store, forgotten: bool) -> None:
    await said_to_alice(store)
    if forgotten:
        await ask(store, await store.start_session(kind="direct"), "w3", person=CAROL)
        await store.erase_person(CAROL)
    data = await had_by(store, CAROL)
    assert data == {"person": str(CAROL), "messages": [], "turns": [], "thumbs": []}


async def test_what_is_theirs(store: Store) -> None:
    await said_to_alice(store)
    data = await had_by(store, ALICE)
    assert [each["text"] for each in data["messages"]] == ["w1 w2"]
    assert [(each["asked"], each["answered"]) for each in data["turns"]] == [("w1 w2", "just for Alice")]
    assert [each["value"] for each in data["thumbs"]] == [1]


async def test_who_has_anothers_message_answered_once_more_gets_the_reply_alone(store: Store) -> None:
    session, message = await said_to_alice(store)
    turn = await store.open_turn(
        session=session,
        prompt_message=message,
        prompt=prompt("w1 w2", message),
        model=MODEL,
        sampling=SAMPLING,
        seed=2,
        requester=BOB,
        k=10,
    )
    data = await had_by(store, BOB)
    assert [(each["turn"], each["asked"]) for each in data["turns"]] == [(turn, None)]
    assert not data["messages"]
    assert turn in [each["turn"] for each in (await had_by(store, ALICE))["turns"]]
