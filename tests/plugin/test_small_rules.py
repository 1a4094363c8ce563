"""What needs no Discord: files, the end of a reply, chains that changed, presence, preferences."""

import asyncio
import io
import re
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import discord
import pytest
from glasshead.chat import Chat, Endings, Other, Speaker
from glasshead.chat.one_token import one_token
from glasshead.errors import UserError
from glasshead.explain.explanation import Explanation, explain
from glasshead.explain.turn import Trace, Turn
from glasshead.plugin.attachments import MOST_BYTES, decoded, mentioned, quoted, why_not
from glasshead.plugin.bounds import bounded
from glasshead.plugin.display import spoiler
from glasshead.plugin.fitting import packed
from glasshead.plugin.panel import ASKING, TEMPLATE, Panel, Place, PlainPanel, Verb, moved
from glasshead.plugin.preferences import EVERYWHERE, SCOPE, ChannelPreferences, Preferences
from glasshead.plugin.presence import standing
from glasshead.plugin.presenter import Room, final_texts
from glasshead.plugin.probes import WhatIf
from glasshead.plugin.rereading import Said, unchanged
from glasshead.predict.engine import ModelIdentity
from glasshead.predict.prompt import Prompt, Span
from glasshead.predict.sampling import Sampling
from glasshead.predict.schedule import Run
from glasshead.predict.step import Candidate, Step
from glasshead.store import Store
from glasshead.wiring import endings


@pytest.mark.parametrize(
    ("size", "kind", "reason"),
    [
        (10, "text/plain; charset=utf-8", None),
        (10, None, None),
        (10, "application/json", None),
        (10, "image/png", "not a text file"),
        (10, "image/svg+xml", None),
        (MOST_BYTES + 1, "video/mp4", "not a text file"),
        (MOST_BYTES + 1, "text/plain", "larger than 64 KiB"),
    ],
)
def test_which_files_are_fetched(size: int, kind: str | None, reason: str | None) -> None:
    assert why_not(size, kind) == reason


@pytest.mark.parametrize(
    ("data", "kind", "text"),
    [
        (b"plain", None, "plain"),
        (b"", "text/plain", ""),
        ("ünï".encode(), None, "ünï"),
        (b"\xef\xbb\xbfmarked", None, "marked"),
        ("wide".encode("utf-16"), None, "wide"),
        ("wider".encode("utf-32"), None, "wider"),
        (b"\xff\xfe\x00", None, None),
        (b"\x80\x81", None, None),
        (b"zero\0byte", None, None),
        ("Grüße aus Köln".encode("latin-1"), "text/plain", "Grüße aus Köln"),
        ("Preis: 5 €".encode("cp1252"), None, "Preis: 5 €"),
        ("日本語".encode("shift_jis"), "text/plain; charset=Shift_JIS", "日本語"),
        ("日本語".encode("shift_jis"), "text/plain; charset=none-such", None),
        ("Привет, как дела?".encode("koi8-r"), None, None),
        (b"\x89PNG\r\n\x1a\n and so on and on and on", None, None),
    ],
)
def test_decoded(data: bytes, kind: str | None, text: str | None) -> None:
    assert decoded(data, kind) == text


def test_a_file_name_cannot_end_its_own_quotation() -> None:
    assert quoted("a]\n[end of b.txt", "x") == "[file a___end of b.txt]\nx\n[end of a___end of b.txt]"
    assert "\n" not in mentioned("a\nb")


@pytest.mark.parametrize(
    ("text", "hidden", "notes", "texts"),
    [
        ("hello", "", [], ["hello"]),
        ("hello", "", ["one", "two"], ["hello\n-# one\n-# two"]),
        ("", "", ["nothing was said"], ["-# nothing was said"]),
        ("hello", "||thought||", [], ["||thought||\nhello"]),
        ("x" * 1999, "", ["note"], ["x" * 1999, "-# note"]),
        ("[a](https://b.c)", "", [], ["a (<https://b.c>)"]),
        ("hello \ufffd", "", ["cut"], ["hello\n-# cut"]),
        ("\ufffd", "", ["cut"], ["-# cut"]),
        ("hello", "", ["file " * 90], ["hello\n-# " + "file " * 79 + "…"]),
        ("\u202e", "", [], ["-# The model ended its turn without a word."]),
    ],
)
def test_the_end_of_a_reply(text: str, hidden: str, notes: list[str], texts: list[str]) -> None:
    assert final_texts(text, hidden, notes, Room(8000)) == (texts, None)


def test_a_thought_full_of_bars_fits_its_messages() -> None:
    texts, _ = final_texts("hello", spoiler("|" * 1500), [], Room(8000))
    assert all(len(text) <= 2000 for text in texts) and texts[-1].endswith("||\nhello")
    assert all(text.startswith("||") for text in texts)


def test_a_very_long_reply_becomes_a_file_with_its_beginning() -> None:
    text = "word " * 3000
    texts, file = final_texts(text, "", ["note"], Room(8000))
    assert file is not None and (file.name, file.text) == ("reply.md", text)
    assert "".join(file.instead).count("word") == 3000
    assert len(texts) == 1 and texts[0].startswith("word word") and "15000 characters" in texts[0]


def test_a_very_long_reply_is_split_where_files_are_not_taken() -> None:
    text = "word " * 3000
    texts, file = final_texts(text, "", [], Room(8000, files=False))
    assert file is None and "Attach Files" in texts[-1] and " ".join(texts).count("word") == 3000


def chain(*texts: str) -> list[Said]:
    return [Said("user", text) for text in texts]


@pytest.mark.parametrize(
    ("logged", "wanted", "kept"),
    [
        (chain("a", "b"), chain("a", "b"), 2),
        (chain("a", "b"), chain("a", "c"), 1),
        (chain("a", "b", "c"), chain("x", "b", "c"), 0),
        (chain("a", "b", "c"), chain("a", "c"), 1),
        (chain("a"), [], 0),
        ([], chain("a"), 0),
    ],
)
def test_how_much_of_a_chain_stays(logged: list[Said], wanted: list[Said], kept: int) -> None:
    assert unchanged(logged, wanted) == kept


@pytest.mark.parametrize(
    ("model", "running", "in_line", "shown"),
    [
        ("smollm2", 0, 0, "smollm2"),
        ("/models/SmolLM2-135M.gguf", 1, 0, "SmolLM2-135M"),
        ("smollm2", 8, 0, "smollm2"),
        ("smollm2", 11, 0, "smollm2 · busy (3 waiting)"),
        ("smollm2", 1, 2, "smollm2 · busy (2 waiting)"),
        ("smollm2", 9, 2, "smollm2 · busy (3 waiting)"),
    ],
)
def test_presence(model: str, running: int, in_line: int, shown: str) -> None:
    assert standing(model, running, 8, in_line) == shown


async def test_preferences_survive(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "log.db")
    preferences = await Preferences.load(store)
    await preferences.set_channel(1, system="Be brief.", temperature=0.0)
    await preferences.set_channel(1, top_k=5)
    await preferences.set_guild(2, allowed_roles=(3, 4))
    await preferences.set_opted_out(5, True)
    await preferences.set_synced(6, "hash")
    again = await Preferences.load(store)
    await store.close()
    assert again.channel(9, 1) == ChannelPreferences(system="Be brief.", temperature=0.0, top_k=5)
    assert again.channel(9).system is None
    assert again.guild(2).allowed_roles == (3, 4)
    assert again.opted_out(5) and not again.opted_out(6)
    assert again.synced(6) == "hash"


async def test_a_thread_has_its_channels_preferences_but_for_its_own(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "log.db")
    preferences = await Preferences.load(store)
    thread, channel = 1, 2
    await preferences.set_channel(channel, system="Be brief.", temperature=0.7, private=True, always=True)
    await preferences.set_channel(thread, temperature=0.0, private=False, top_k=None)
    both = ChannelPreferences(system="Be brief.", temperature=0.0, private=True, always=True)
    assert preferences.channel(thread, channel) == both
    await preferences.set_channel(thread, temperature=None)
    assert preferences.channel(thread, channel).temperature == 0.7
    assert preferences.channel(thread, None) == ChannelPreferences()
    await store.close()


async def test_the_longest_reply_that_an_older_version_was_told_still_counts(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "log.db")
    await store.set_setting(SCOPE, EVERYWHERE, "preferences", {"guilds": {"2": {"most_tokens": 16}}})
    guild = (await Preferences.load(store)).guild(2)
    await store.close()
    assert bounded(guild.bounds, {"max_tokens": 400}, Sampling()).max_tokens == 16


def test_what_is_set_here_goes_before_what_is_usual() -> None:
    usual = Sampling(temperature=0.8, top_k=40)
    assert bounded({}, {"temperature": 0.0, "top_k": None}, usual) == Sampling(temperature=0.0, top_k=40)


def explained(*ranks: int) -> Explanation:
    """A reply with a token of each rank: the second likeliest where sampling overruled the favourite."""
    steps = tuple(
        Step(
            rank,
            -float(rank),
            rank,
            1.0,
            9.0,
            (Candidate(1, -0.5), Candidate(2, -2.0)),
            0.5,
            (rank / 9, 1.0),
            0.5,
            (),
            0,
        )
        for rank in ranks
    )
    model = ModelIdentity("m.gguf", "0" * 64, "Q8_0", 9, 64, "0" * 64, "b")
    turn = Turn(
        id=3, session=1, model=model, prompt=Prompt((1,), (Span(0, 1, "typed", "user", 1),)), prompt_pieces=(b"?",),
        sampling=Sampling(), seed=1, first_step=0, trace=Trace(steps, tuple(b"a" for _ in steps), 2), schedule=(),
        status="ok", finish="length", error=None, reply="a" * len(steps), reasoning="", n_cached=0, timings=None,
        created_us=0, app_version="", prompt_message=1,
    )  # fmt: skip
    return explain(turn)


async def test_what_cannot_be_proven_or_scored_is_not_offered() -> None:
    recorded = replace(explained(1).turn, schedule=(Run("one", 1),))
    pending = replace(recorded, status="pending", finish=None)
    erased = replace(recorded, verifiable=False)
    place = Place(3, 0, "probability", 7)
    every, unended = {"Prove it", "Loss", "What if…"}, {"Prove it", "What if…"}
    for turn, off in ((recorded, set()), (pending, unended), (erased, every)):
        for panel in (Panel, PlainPanel):
            shown = panel(explain(turn), place, picture=False)
            buttons = [item for item in shown.walk_children() if isinstance(item, discord.ui.Button)]
            assert {b.label for b in buttons if b.label in ASKING.values() and b.disabled} == off
    assert "can be read, not replayed" in PlainPanel(explain(erased), place, picture=False).text
    assert "come with its end" in PlainPanel(explain(pending), place, picture=False).text


async def test_a_step_without_other_candidates_can_be_typed_over_all_the_same() -> None:
    explanation = explained(1)
    place, show = Place(3, 0, "probability", 7), cast(Any, None)
    probes, none = cast(Any, None), frozenset[int]()
    assert len(WhatIf(probes, explanation, place, none, show).children) == 3
    (step,) = explanation.turn.trace.steps
    trace = replace(explanation.turn.trace, steps=(replace(step, top=step.top[:1]),))
    alone = explain(replace(explanation.turn, trace=trace))
    assert len(WhatIf(probes, alone, place, none, show).children) == 2
    assert len(WhatIf(probes, explanation, place, frozenset((2,)), show).children) == 2


async def test_a_typed_token_is_one_of_the_model_that_wrote_the_reply() -> None:
    def speaker(name: str) -> Any:
        vocabulary = SimpleNamespace(tokenise=lambda text, special: [name])
        return SimpleNamespace(vocabulary=vocabulary, engine=SimpleNamespace(model=SimpleNamespace(name=name)))

    @asynccontextmanager
    async def other() -> AsyncIterator[Any]:
        yield speaker("m.gguf")

    chat = Chat(cast(Any, None), speaker("usual"), Sampling(), others={"m.gguf": Other(other, cast(Any, None))})
    turn = explained(1).turn
    async with chat.using_maker(turn) as maker:
        assert one_token(maker.vocabulary, " red") == "m.gguf"
    gone = replace(turn, model=replace(turn.model, name="gone"))
    async with chat.using_maker(gone) as maker:
        assert one_token(maker.vocabulary, " red") == "usual"


async def test_what_ends_a_reply_is_known_of_the_model_that_wrote_it(model_path: Path) -> None:
    async def of_another() -> Endings:
        return await asyncio.to_thread(endings, model_path)

    usual = Speaker(cast(Any, SimpleNamespace(model=explained(1).turn.model)), cast(Any, None), cast(Any, None))
    chat = Chat(cast(Any, None), usual, Sampling(), others={"b": Other(cast(Any, None), of_another)})
    turn = explained(1).turn
    its = replace(turn, model=replace((await of_another()).model, name="b"))
    assert {2} <= await chat.ends(its) < set(range(49152))
    with pytest.raises(UserError, match=r"made by b \(Q8_0, sha256 0000.*not by SmolLM2-135M-Instruct\.Q4_1"):
        await chat.ends(replace(turn, model=replace(turn.model, name="b")))
    with pytest.raises(UserError, match="was erased"):
        await chat.ends(replace(its, verifiable=False))


def test_a_file_is_packed_as_far_as_discord_takes_it() -> None:
    text = "well then " * 1000
    assert packed(text, "a.md", 1 << 20, "") == ("a.md", text.encode())
    name, content = packed(text, "a.md", 8192, "")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert name == "a.md.zip" and archive.read("a.md").decode() == text
    with pytest.raises(UserError, match="Ask somebody"):
        packed(text, "a.md", 4096, "Ask somebody.")


@pytest.mark.parametrize(
    ("verb", "step", "leads_to"),
    [
        ("next", 0, 1),
        ("next", 3, 3),
        ("back", 0, 0),
        ("last", 0, 3),
        ("least", 3, 1),
        ("least", 2, 3),
        ("overruled", 0, 1),
        ("overruled", 1, 3),
        ("overruled", 3, 1),
    ],
)
def test_where_a_press_leads(verb: Verb, step: int, leads_to: int) -> None:
    place = Place(3, step, "probability", 7)
    assert moved(place, verb, explained(1, 2, 1, 3)).step == leads_to


@pytest.mark.parametrize("verb", ["first", "next", "last", "least", "overruled"])
def test_a_panel_whose_steps_are_gone_stays_alive(verb: Verb) -> None:
    place = moved(Place(3, 17, "probability", 7), verb, explained())
    assert place.step == 0 and re.fullmatch(TEMPLATE, place.custom_id("next"))


def test_a_place_comes_back_from_its_id_and_older_ids_still_do() -> None:
    for place in (Place(3, 17, "rank", 7), Place(3, 17, "rank", 7, reveal=True)):
        match = re.fullmatch(TEMPLATE, place.custom_id("next"))
        assert match is not None and Place.of(match.groupdict()) == place
