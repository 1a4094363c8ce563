"""Erasing one of our own replies, when its Discord message was deleted."""

from pathlib import Path

import pytest
from glasshead.predict.prompt import Prompt, Span
from glasshead.store import Store
from glasshead.store.blocks import ERASED

from .making import ask, prompt

REPLY = "a reply of ours that somebody wants gone"
SHOWN = (71001, 71002)
TOKENS = (901, 902, 903)


async def talk(store: Store) -> tuple[int, int, int]:
    """A reply over two Discord messages, its sibling, and a later turn with it in the prompt."""
    session = await store.start_session()
    question, turn, said = await ask(store, session, "one question", REPLY, person=5, typed=70001)
    again = await store.open_turn(
        session=session, prompt_message=question, prompt=prompt("one question", question),
        model=(await store.turn(turn)).model, sampling=(await store.turn(turn)).sampling, seed=2, k=10,
    )  # fmt: skip
    await store.finish_turn(again, steps=(), schedule=(), reply=REPLY, finish="stop", status="ok")
    given = Prompt(
        (1, *TOKENS, 5), (Span(0, 1, "marker"), Span(1, 4, "generated", "assistant", said), Span(4, 5, "marker"))
    )
    _, later, _ = await ask(store, session, f"you said: {REPLY}", "yes", parent=said, given=given)
    await store.link_discord(turn, SHOWN)
    return turn, again, later


@pytest.mark.parametrize("part", SHOWN)
async def test_a_reply_goes_with_its_trace_and_its_tokens(store: Store, part: int):
    turn, again, later = await talk(store)
    receipt = await store.erase_message(part)
    assert (receipt.sessions, receipt.messages, receipt.replies, receipt.prompts) == (1, 0, 1, 1)
    gone = await store.turn(turn)
    assert (gone.reply, gone.trace.steps, gone.verifiable) == ("", (), False)
    held = await store.turn(later)
    assert held.prompt.ids == (1, ERASED, ERASED, ERASED, 5)
    assert (held.verifiable, held.reply) == (False, "yes")
    assert (await store.turn(again)).reply == REPLY  # another version says the same, and is another message
    assert (await store.message(held.prompt_message)).text == f"you said: {REPLY}"
    assert (await store.erase_message(part)).replies == 0


async def test_a_restored_older_copy_loses_the_reply_again(path: Path):
    store = await Store.open(path)
    turn, _, _ = await talk(store)
    await store.database.checkpoint()
    old = path.read_bytes()
    await store.erase_message(SHOWN[0])
    await store.close()
    path.write_bytes(old)
    store = await Store.open(path)
    assert (await store.turn(turn)).reply == ""
    await store.close()


async def test_a_copied_reply_keeps_its_ids_and_goes_with_the_original(store: Store):
    turn, _, _ = await talk(store)
    row = (await store.turn(turn)).reply_message
    assert row is not None
    copy = await store.copy_message(row, parent=None)
    (copied,), original = await store.conversation(copy), (await store.conversation(row))[-1]
    assert (copied.text, copied.ids, copied.role) == (original.text, original.ids, "assistant")
    await store.erase_message(SHOWN[0])
    assert (await store.message(copy)).erased and await store.conversation(copy) == ()
