"""Any text in any column: stored, or refused in words; never anything else."""

import json
from pathlib import Path
from typing import Any

import pytest
from glasshead.errors import UserError
from glasshead.predict.sampling import Sampling
from glasshead.store import Store, marks
from glasshead.store.backup import check
from glasshead.store.search_syntax import parse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .making import MODEL, PIECES, ask, prompt, steps

ANY = st.text(st.characters(exclude_categories=()) | st.sampled_from("\0\ud800\udfff\udc80 \n'\"\x1b"), max_size=12)
NASTY = ("\0", "\ud800", "a\0b", "\udcff x", "\ud83d\ude00 apart", "'; DROP TABLE turn", "\x1b[31m", "\uffff")


def held(text: str) -> str:
    return "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in text)


async def log_everywhere(store: Store, text: str) -> None:
    """A turn with ``text`` wherever text goes, read back."""
    session = await store.start_session(title=text, kind="channel", channel_id=1, person=5)
    root = await store.append_message(session, "system", text)
    message = await store.append_message(session, "user", text, parent=root, author=text, person=5)
    turn = await store.open_turn(
        session=session, prompt_message=message, prompt=prompt("a b", message), model=MODEL,
        sampling=Sampling(stop=(text,) if text else ()), seed=1, requester=5, k=10,
    )  # fmt: skip
    await store.save_progress(turn, steps=steps(2), schedule=(), reply=text, reasoning=text)
    await store.finish_turn(
        turn, steps=steps(2), schedule=(), reply=text, reasoning=text, finish="error", status="error", error=text
    )
    await store.rename_session(session, text)
    await store.set_feedback(turn, person=5, value=1, note=text)
    await store.set_setting("server", 1, "preference", {"words": text})
    await store.database.write(lambda c: marks.add_note(c, turn, f"x{text}", author=text))
    row = await store.message(message)
    assert (row.text, row.author) == (held(text), held(text))
    recorded = await store.turn(turn)
    assert (recorded.reply, recorded.reasoning, recorded.error) == (held(text),) * 3
    through_json = json.loads(json.dumps(text))  # it joins the halves of a pair
    assert recorded.sampling.stop == ((through_json,) if text else ())
    shown = await store.session(session)
    assert (shown.title, shown.preview) == (held(text), held(text))
    newest = (await store.search(parse("status:error"), limit=1)).hits[0]
    assert "".join(newest.snippet) == held(text)
    assert (await store.settings("server", 1))["preference"] == {"words": through_json}
    assert (await store.marks(session))[turn].notes[0].author == held(text)
    assert [part.text for part in await store.conversation(message)] == [held(text)] * 2


@pytest.mark.parametrize("text", NASTY)
async def test_nasty_text_is_stored_everywhere(store: Store, text: str):
    await log_everywhere(store, text)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(text=ANY)
async def test_any_text_is_stored_everywhere(store: Store, text: str):
    await log_everywhere(store, text)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(text=ANY)
async def test_any_text_as_a_tag_or_a_question_is_taken_or_refused(store: Store, text: str):
    _, turn, _ = await ask(store, await store.start_session(), "words")
    uses: list[Any] = [
        lambda: store.database.write(lambda c: marks.add_tag(c, turn, text)),
        lambda: store.search(parse(text)),
        lambda: store.search(parse(f'"{text}" user:{text}')),
    ]
    for use in uses:
        try:
            await use()
        except UserError as refusal:
            assert str(refusal)


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**30])
async def test_a_number_too_large_is_refused_in_words(store: Store, path: Path, number: int):
    session = await store.start_session()
    for use in (
        lambda: store.append_message(session, "user", "x", person=number),
        lambda: store.start_session(channel_id=number),
        lambda: store.set_setting("server", number, "x", 1),
        lambda: store.turn_of_discord_message(number),
        lambda: store.erase_message(number),
        lambda: store.erase_person(number),
    ):
        with pytest.raises(UserError, match="so large a number"):
            await use()
    await store.close()
    await (await Store.open(path)).close()  # an erasure that was noted would be tried at every start


async def test_a_log_full_of_it_is_sound(path: Path):
    store = await Store.open(path)
    await store.save_vocabulary(MODEL, PIECES)
    for text in NASTY:
        await log_everywhere(store, text)
    await store.close()
    assert check(path) == []
