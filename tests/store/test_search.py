"""What a search finds."""

import math
from pathlib import Path

import pytest
from glasshead.review import almost
from glasshead.store import Store, marks
from glasshead.store.backup import search_index_findings
from glasshead.store.points import bare, pointed
from glasshead.store.search_syntax import parse
from glasshead.store.tables import message as message_table

from .making import MODEL, PIECES, SAMPLING, ask, prompt, steps


@pytest.fixture
async def filled(store: Store) -> Store:
    here = await store.start_session(kind="channel", guild_id=1, channel_id=10)
    there = await store.start_session(kind="channel", guild_id=2, channel_id=20)
    await ask(store, here, "Is the café open?", "Almost: yes, at nine.", person=5, author="Ann")  # turn 1
    await ask(store, here, "東京タワーはどこですか", "It stands in Tokyo.", person=6, author="Bo", n=30)  # turn 2
    await ask(store, there, "almost no", "yes or no?", person=5, author="Ann", status="stopped")  # turn 3
    await ask(store, there, "say 100% a_b", "[]{}", person=6)  # turn 4
    await store.database.write(lambda c: marks.rate(c, 1, 5))
    await store.database.write(lambda c: marks.add_tag(c, 3, "odd"))
    await store.set_feedback(2, person=5, value=-1)
    return store


@pytest.mark.parametrize(
    ("typed", "turns"),
    [
        ("yes", [3, 1]),
        ("CAFE", [1]),
        ("café", [1]),
        ('"yes at nine"', [1]),
        ('"nine yes"', []),
        ("almost yes", [1]),
        ("almost -yes", [3]),
        ("alm*", [3, 1]),
        ("タワー", [2]),
        ("東京", [2]),
        ("東", [2]),
        ("京東", []),
        ("100%", [4]),
        ("a_b", [4]),
        ("user:5", [3, 1]),
        ("user:ann yes", [3, 1]),
        ("user:bo", [4, 2]),
        ("channel:10", [2, 1]),
        ("server:2 yes", [3]),
        ("model:TIN", [4, 3, 2, 1]),
        ("model:other", []),
        ("status:stopped", [3]),
        ("rating:5", [1]),
        ("rating:down", [2]),
        ("rating:up", []),
        ("tag:odd no", [3, 3]),
        ("tokens:>20", [2]),
        ("tokens:12 yes", [3, 1]),
        ("perplexity:>1e9", None),
        ("after:1h", [4, 3, 2, 1]),
        ("before:1h", []),
        ("", [4, 3, 2, 1]),
    ],
)
async def test_finds(filled: Store, typed: str, turns: list[int] | None):
    if turns is None:
        with pytest.raises(Exception, match="takes a number"):
            parse(typed)
        return
    for order in ("newest", "best"):
        page = await filled.search(parse(typed), order=order)
        found = [hit.turn for hit in page.hits]
        assert (found if order == "newest" else sorted(found, key=lambda t: -t)) == turns
        assert page.next is None and not page.capped


@pytest.mark.parametrize("order", ["newest", "best"])
@pytest.mark.parametrize("typed", ["word", "字字字", "字", ""])
async def test_pages_join_without_gap_or_overlap(store: Store, order: str, typed: str):
    session = await store.start_session()
    for i in range(23):
        await ask(store, session, "word 字字字 " * (i % 5 + 1), "…", n=1)
    whole = [hit.message for hit in (await store.search(parse(typed), order=order, limit=100)).hits]
    seen, after = [], None
    while True:
        page = await store.search(parse(typed), order=order, limit=4, after=after)
        seen += [hit.message for hit in page.hits]
        if (after := page.next) is None:
            break
    assert seen == whole and len(set(whole)) == 23


async def test_a_filter_over_many_turns_meets_words(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("glasshead.store.filters.FEW", 3)
    session = await store.start_session(channel_id=10)
    for i in range(9):
        await ask(store, session, f"word {i}", "yes" if i % 2 else "no", n=1)
    assert [h.turn for h in (await store.search(parse("yes channel:10"))).hits] == [8, 6, 4, 2]
    assert [h.turn for h in (await store.search(parse("channel:10"), limit=2)).hits] == [9, 8]


async def test_a_snippet_shows_what_matched(filled: Store):
    (hit,) = (await filled.search(parse("nine"))).hits
    assert hit.snippet == ("Almost: yes, at ", "nine", ".")
    (hit,) = (await filled.search(parse("タワー"))).hits
    assert hit.snippet == ("東京", "タワー", "はどこですか")


@pytest.mark.parametrize(
    ("text", "typed", "dots"),
    [
        ("x " * 400 + "yes and " + "x " * 400 + "no", "yes no", (True, True)),
        ("x " * 700 + "yes", "yes x", (True, False)),
        ("yes " + "W" * 2000, "yes", (False, True)),
    ],
)
async def test_of_a_long_text_the_place_is_shown(store: Store, text: str, typed: str, dots: tuple[bool, bool]):
    await ask(store, await store.start_session(), text, "-")
    (hit,) = (await store.search(parse(typed))).hits
    shown = "".join(hit.snippet)
    assert "yes" in hit.snippet and len(shown) < 700
    assert (shown.startswith("…"), shown.endswith("…")) == dots


async def test_a_word_said_over_and_over_is_found_at_once(store: Store):
    """FTS5 would weigh each of the matches against every other: a minute for one such message."""
    await ask(store, await store.start_session(), "a " * 50_000, "-")
    (hit,) = (await store.search(parse("a"))).hits
    assert hit.snippet[:3] == ("", "a", " ") and hit.snippet[-1].endswith("…")


async def test_what_is_left_out_is_a_word_beside_script_without_spaces_too(store: Store):
    session = await store.start_session()
    said = ["東京大学 Nobel prize", "東京大学 no prize", "東京大学 Nó"]
    for text in said:
        await store.append_message(session, "user", text)
    for typed in ("東京大 -no", "東京 -no"):
        assert [hit.message for hit in (await store.search(parse(typed))).hits] == [1]
    assert [hit.message for hit in (await store.search(parse("東京大 -no*"), order="best")).hits] == []


async def test_where_a_word_was_almost_said_every_turn_found_is_looked_at(
    store: Store, monkeypatch: pytest.MonkeyPatch
):
    session = await store.start_session()
    asked, *_ = await ask(store, session, "a word", "one", n=1)
    for _ in range(3):
        await ask(store, session, "a word", "more", n=1)
    again = await store.open_turn(
        session=session, prompt_message=asked, prompt=prompt("a word", asked), model=MODEL, sampling=SAMPLING,
        seed=1, k=10,
    )  # fmt: skip
    await store.finish_turn(again, steps=steps(1), schedule=(), reply="other", finish="end", status="ok")
    monkeypatch.setattr(almost, "_BATCH", 1)
    found = await almost.look(store, "yes", "word", None)
    assert (found.looked_at, found.older) == (4, None)


async def test_a_page_of_where_a_word_was_almost_said_ends_once_it_is_full(
    filled: Store, monkeypatch: pytest.MonkeyPatch
):
    """However common the word: the next page goes on below the reply that filled it."""
    monkeypatch.setattr(almost, "MOST", 1)
    near = next(c for step in steps() for c in step.top if c.id != step.id and c.logprob > math.log(0.06))
    pages, before = [], None
    while not pages or before is not None:
        found = await almost.look(filled, f"w{near.id}", "", before)
        pages.append((found.looked_at, {place.turn for place in found.nears}))
        before = found.older
    assert pages == [(1, {4}), (1, {3}), (1, {2}), (1, {1})]


@pytest.mark.parametrize(("word", "begins"), [("w5", None), ("W5 w6", "w5"), ("w5x", "w5"), ("zzz", "")])
async def test_a_word_that_is_no_token_is_told_from_one_never_almost_said(
    filled: Store, word: str, begins: str | None
):
    assert (await almost.look(filled, word, "", None)).begins == begins


@pytest.mark.parametrize("typed", ["word", "東京", "京都府", "word 京都府"])
async def test_a_turn_is_on_one_page_of_where_a_word_was_almost_said(
    store: Store, monkeypatch: pytest.MonkeyPatch, typed: str
):
    """Its reply has the words, and so has what it answers."""
    session = await store.start_session()
    for _ in range(3):
        await ask(store, session, "a word 東京 京都府", "word 東京 京都府", n=4)
    likely = [(c.id, step.id) for step in (await store.turn(1)).trace.steps for c in step.top if c.logprob > -2]
    word = next(PIECES[token].decode() for token, said in likely if token != said)
    at_once = [(near.turn, near.step) for near in (await almost.look(store, word, typed, None)).nears]
    monkeypatch.setattr(almost, "_BATCH", 1)
    monkeypatch.setattr(almost, "PATIENCE", 0.0)
    before, listed = None, []
    while True:
        found = await almost.look(store, word, typed, before)
        listed += [(near.turn, near.step) for near in found.nears]
        if (before := found.older) is None:
            break
    assert listed == at_once and {turn for turn, _ in listed} == {1, 2, 3}


@pytest.fixture
async def overheard(filled: Store) -> Store:
    """Messages that no turn answers: one beside turn 1, one of a session without any."""
    here = (await filled.turns(1))[0]
    await filled.append_message(1, "user", "the quetzal", parent=here.reply_message, person=7, author="Ömer")
    session = await filled.start_session(kind="channel", guild_id=2, channel_id=30)
    await filled.append_message(session, "system", "you are a quetzal")
    await filled.append_message(session, "user", "a quetzal quetzal", person=6, author="Bo")
    return filled


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("quetzal user:ömer", ["the quetzal"]),
        ("quetzal user:ÖMER user:77", ["the quetzal"]),
        ("quetzal channel:10", ["the quetzal"]),
        ("quetzal server:2", ["a quetzal quetzal"]),
        ("quetzal session:1 session:3", ["a quetzal quetzal", "the quetzal"]),
        ("quetzal after:1d", ["a quetzal quetzal", "the quetzal"]),
        ("quetzal before:1h", []),
        ("quetzal after:1d user:bo", ["a quetzal quetzal"]),
        ("quetzal status:ok", []),
        ("quetzal perplexity:>0", []),
        ("quetzal channel:11", []),
    ],
)
@pytest.mark.parametrize("few", [0, 5000])
async def test_what_no_turn_answers_is_found_by_what_it_has(
    overheard: Store, monkeypatch: pytest.MonkeyPatch, typed: str, found: list[str], few: int
):
    monkeypatch.setattr("glasshead.store.between.FEW", few)
    for order in ("newest", "best"):
        pages: list[str] = []
        after = None
        while True:
            page = await overheard.search(parse(typed), order=order, limit=1, after=after)
            pages += ["".join(hit.snippet) for hit in page.hits]
            if (after := page.next) is None:
                break
        assert pages == found
    monkeypatch.setattr("glasshead.store.words.RANKED", 0)
    page = await overheard.search(parse(typed), order="best")
    assert sorted("".join(hit.snippet) for hit in page.hits) == sorted(found)


async def test_names_are_found_in_any_case_and_form(filled: Store):
    session = await filled.start_session()
    await ask(filled, session, "hello", "hello", person=8, author="Ömer Şahin")
    for typed in ('user:"ömer şahin"', 'user:"ÖMER ŞAHIN"', 'user:"O\u0308mer S\u0327ahin"'):
        assert [hit.turn for hit in (await filled.search(parse(typed))).hits] == [5]


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("कि", ["कि वह"]),
        ("नमस्ते", ["नमस्ते दुनिया"]),
        ("नमस*", ["नमस्ते दुनिया"]),
        ("שָׁלוֹם", ["שָׁלוֹם לך"]),
        ("தமிழ்", ["தமிழ் மொழி"]),
        ("viet", ["Vie\u0323\u0302t"]),
        ("wow", ["wow❤\ufe0f"]),
    ],
)
async def test_vowel_signs_are_parts_of_a_word(store: Store, typed: str, found: list[str]):
    session = await store.start_session(kind="terminal")
    said = ["कि वह", "का वह", "नमस्ते दुनिया", "שָׁלוֹם לך", "שֶׁל", "தமிழ் மொழி", "தமிழர", "Vie\u0323\u0302t", "wow❤\ufe0f"]
    for text in said:
        await store.append_message(session, "user", text)
    hits = [
        hit.message for order in ("newest", "best") for hit in (await store.search(parse(typed), order=order)).hits
    ]
    assert [said[id_ - 1] for id_ in hits] == found * 2


HEBREW, ARABIC = "שָׁלוֹם לך", "سَلَامٌ عليكم"


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("שלום", [1, 2, 3]),
        ("שָׁלוֹם", [1, 2, 3]),
        ("שלו*", [1, 2, 3]),
        ('"שלום לך"', [1, 2]),
        ("لك -שלום", []),
        ("سلام", [4, 5]),
        ("سَلَام*", [4, 5]),
        ("سلام -عليكم", [5]),
        ("أب", [6]),
        ("اب", [7]),
        ("कि", [8]),
        ("क", []),
    ],
)
async def test_words_are_found_with_points_and_without(store: Store, typed: str, found: list[int]):
    """Those of Hebrew and Arabic, which most leave out; what makes another letter counts, and so do Indic signs."""
    here, there = await store.start_session(kind="channel", channel_id=3), await store.start_session()
    said = [HEBREW, "שלום לך", "w " * 400 + "שָׁלוֹם", ARABIC, "سلام", "أب", "اب", "कि"]
    for text in said:
        await ask(store, here, text, "well", person=5)
        await store.append_message(there, "user", "filler " + "w " * 50)
    ids = [message.id for message in await store.messages(here) if message.role == "user"]
    for order in ("newest", "best"):
        for more in ("", " channel:3", " user:5 status:ok"):
            hits = (await store.search(parse(typed + more), order=order)).hits
            assert sorted(ids.index(hit.message) + 1 for hit in hits) == found
            shown = {ids.index(hit.message) + 1: hit.snippet for hit in hits}
            for number, snippet in shown.items():  # as it was written
                assert "".join(snippet).strip("…") in said[number - 1] and len(snippet) > 1
            if typed == "שלום":
                assert shown[1][1] == "שָׁלוֹם" and shown[2][1] == "שלום" and shown[3][1] == "שָׁלוֹם"


async def test_points_are_taken_out_alike_wherever_that_is(store: Store):
    """In the view that the index is made from, and in Python."""
    text = "".join(map(chr, range(1, 0x800))) + HEBREW * 30 + ARABIC + "नमस्ते"
    session = await store.start_session()
    for said in (text, HEBREW, "plain", ""):
        await store.append_message(session, "user", said)
    seen = await store.database.read(lambda c: c.exec_driver_sql("SELECT text FROM message_bare").scalars().all())
    assert seen == [bare(text), bare(HEBREW), "plain", ""]
    assert bare(text) != text and bare(HEBREW) == "שלום לך" and bare(ARABIC) == "سلام عليكم"


async def test_a_pointed_message_that_goes_leaves_the_index_whole(store: Store, path: Path):
    session = await store.start_session()
    first = await store.append_message(session, "user", HEBREW, person=5)
    await store.append_message(session, "user", ARABIC, person=6)
    await store.erase_person(5)
    for typed, found in (("שלום", 0), ("سلام", 1)):
        assert len((await store.search(parse(typed))).hits) == found
    assert await store.database.write(search_index_findings) == []
    await store.database.write(lambda c: c.execute(message_table.delete().where(message_table.c.id == first + 1)))
    assert await store.database.write(search_index_findings) == []
    await store.close()
    assert not [word for word in ("שלום", "שָׁלוֹם") if word.encode() in path.read_bytes()]


@pytest.mark.parametrize(
    ("part", "text", "shown"),
    [
        ("\x02שלום\x03 לך", HEBREW, "\x02שָׁלוֹם\x03 לך"),
        ("…\x02שלום\x03…", "א שָׁלוֹם לך", "…\x02שָׁלוֹם\x03…"),
        ("…\x02שלום\x03", "…שָׁלוֹם", "…\x02שָׁלוֹם\x03"),
        ("plain \x02text\x03", "plain text", "plain \x02text\x03"),
        ("elsewhere", HEBREW, "elsewhere"),
    ],
)
def test_a_part_is_shown_as_it_was_written(part: str, text: str, shown: str):
    assert pointed(part, text, "\x02\x03") == shown


async def test_halfwidth_script_is_searched_by_its_characters(filled: Store):
    await ask(filled, await filled.start_session(), "ｺﾝﾆﾁﾊｾｶｲ", "hello")
    assert [hit.turn for hit in (await filled.search(parse("ﾆﾁﾊ"))).hits] == [5]
