"""Pictures: every character drawn or named, every token boxed, drawn beside a loop that never waits."""

import asyncio
import io
from dataclasses import replace
from pathlib import Path

import pytest
from glasshead.errors import UserError
from glasshead.explain.explanation import explain
from glasshead.explain.flow import Flow
from glasshead.explain.fontbook import FontBook
from glasshead.explain.picture import WIDTH, Painter
from glasshead.explain.picture_process import PictureProcess
from glasshead.explain.shaping import shape
from glasshead.explain.sheet import sheet
from glasshead.explain.turn import Turn
from PIL import Image

from .recording import Recorder
from .test_groups import CORPUS


@pytest.fixture(scope="module")
def book() -> FontBook:
    return FontBook()


@pytest.fixture(scope="module")
def own_fonts_only() -> FontBook:
    return FontBook([])


@pytest.mark.parametrize("sample", CORPUS.values(), ids=CORPUS)
@pytest.mark.parametrize("fonts", ["book", "own_fonts_only"])
def test_no_tofu_in_any_script_with_and_without_the_machine_s_fonts(
    sample: str, fonts: str, request: pytest.FixtureRequest
) -> None:
    """Glyph 0 is the box a font draws for what it does not have."""
    chosen: FontBook = request.getfixturevalue(fonts)
    for line in sample.splitlines():
        shaped = shape(line.replace("\t", "    "), chosen)
        assert all(glyph.id != 0 for glyph in shaped.glyphs)
        assert shaped.width > 0 or not line


def test_what_no_font_has_is_written_as_its_bytes(own_fonts_only: FontBook) -> None:
    shaped = shape("न", own_fonts_only)
    assert len(shaped.glyphs) == len(r"\xe0\xa4\xa8")


def test_joined_letters_are_joined_across_tokens(own_fonts_only: FontBook) -> None:
    """Arabic letters take other shapes beside others; the word is shaped whole, whatever its tokens."""
    whole = shape("مرحبا", own_fonts_only)
    alone = [shape(letter, own_fonts_only).glyphs[0].id for letter in "مرحبا"]
    assert {glyph.id for glyph in whole.glyphs} != set(alone)
    assert whole.direction == "rtl"


def test_every_token_has_a_place_on_some_row(recorder: Recorder, book: FontBook, own_fonts_only: FontBook) -> None:
    for sample in CORPUS.values():
        drawn = sheet(explain(recorder.read("Say it.", f"So {sample} it is")))
        for fonts in (book, own_fonts_only):
            rows = Flow(fonts, 30, 700).rows([tile.text for tile in drawn.tiles])
            boxed = {box.group for row in rows for box in row.boxes}
            assert boxed == {i for i, tile in enumerate(drawn.tiles) if tile.text.strip("\n")}
            assert all(box.left >= -1e-6 and box.right <= 700 + 1e-6 for row in rows for box in row.boxes)


def test_right_to_left_words_stand_right_to_left(own_fonts_only: FontBook) -> None:
    row = Flow(own_fonts_only, 30, 700).rows(["Greeting:", " مرحبا", " بالعالم", " there"])[0]
    left = {box.group: box.left for box in row.boxes}
    assert left[0] < left[2] < left[1] < left[3]


def test_a_word_wider_than_a_row_is_cut_between_characters(own_fonts_only: FontBook) -> None:
    rows = Flow(own_fonts_only, 30, 200).rows(["x" * 100, "é" * 40])
    assert len(rows) > 3
    assert all(box.right <= 200 + 1e-6 for row in rows for box in row.boxes)


def test_the_space_before_a_word_wider_than_a_row_has_no_box(own_fonts_only: FontBook) -> None:
    flow = Flow(own_fonts_only, 30, 300)
    first = flow.rows(["So", " 👨‍👩‍👧‍👦", " and"])[0]
    assert [box.group for box in first.boxes] == [0, 1]
    assert [box.group for box in flow.rows(["So", " ", "👨‍👩‍👧‍👦"])[0].boxes] == [0, 1, 2]


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("step", [None, 0, 3])
def test_a_picture_is_as_wide_as_promised_and_not_one_colour(turn: Turn, theme: str, step: int | None) -> None:
    png = Painter().paint(sheet(explain(turn), step, theme=theme))  # type: ignore[arg-type]
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    assert picture.width == WIDTH and 200 < picture.height < 1500
    colours = picture.getcolors(1 << 24)
    assert colours is not None and len(colours) > 50


def test_a_step_that_is_not_there_is_an_index_error(turn: Turn) -> None:
    with pytest.raises(IndexError):
        sheet(explain(turn), len(turn.trace.steps))


def test_four_thousand_tokens_are_paged_not_squeezed(turn: Turn, book: FontBook) -> None:
    times = 4000 // len(turn.trace.steps) + 1
    trace = replace(turn.trace, steps=turn.trace.steps * times, pieces=turn.trace.pieces * times)
    long = replace(turn, trace=trace)
    png = Painter(book).paint(sheet(explain(long), 3000))
    assert Image.open(io.BytesIO(png)).height < 1500


async def test_pictures_come_from_another_process_and_the_loop_goes_on(turn: Turn) -> None:
    process = PictureProcess()
    explanation = explain(turn)
    try:
        await process.warm_up()
        turns = 0
        stop = asyncio.Event()

        async def watch() -> None:
            nonlocal turns
            while not stop.is_set():
                turns += 1
                await asyncio.sleep(0)

        watching = asyncio.create_task(watch())
        pictures = await asyncio.gather(*(process.draw(sheet(explanation, step)) for step in range(4)))
        stop.set()
        await watching
        assert all(png.startswith(b"\x89PNG") for png in pictures)
        assert len(set(pictures)) == 4
        assert turns > 500  # were they drawn on the loop, it would turn a few dozen times
    finally:
        await process.aclose()


async def test_a_killed_process_is_one_failed_picture_and_the_next_one_works(turn: Turn) -> None:
    process = PictureProcess()
    wanted = sheet(explain(turn), 1)
    try:
        await process.draw(wanted)
        assert process._process is not None
        process._process.kill()
        await process._process.wait()
        assert (await process.draw(wanted)).startswith(b"\x89PNG")
    finally:
        await process.aclose()


async def test_a_sheet_that_cannot_be_drawn_ends_only_itself(turn: Turn) -> None:
    process = PictureProcess()
    try:
        with pytest.raises(UserError, match="could not be drawn"):
            await process.draw("not a sheet")  # type: ignore[arg-type]
        assert (await process.draw(sheet(explain(turn)))).startswith(b"\x89PNG")
    finally:
        await process.aclose()


async def test_a_cancelled_picture_s_answer_is_not_the_next_one_s(turn: Turn) -> None:
    process = PictureProcess()
    explanation = explain(turn)
    try:
        await process.warm_up()
        first = asyncio.create_task(process.draw(sheet(explanation, 0)))
        while process._turn.locked() is False:
            await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        expected = Painter().paint(sheet(explanation, 2))
        assert await process.draw(sheet(explanation, 2)) == expected
    finally:
        await process.aclose()


def test_the_fonts_travel_with_their_licences() -> None:
    import glasshead.explain.fonts as fonts

    folder = Path(fonts.__file__).parent
    licences = (folder / "LICENSES.txt").read_text(encoding="utf-8")
    assert all(font.name in licences for font in folder.glob("*.ttf"))


def test_a_quotation_that_is_cut_keeps_its_closing_mark(own_fonts_only: FontBook) -> None:
    painter = Painter(own_fonts_only)
    for name in ("\U000104b0" * 3, "a very long token indeed"):
        cut = painter._fit(f"part 3 of 4 of “{name}”", 22, 280).text
        assert cut.startswith("part 3 of 4 of “") and cut.endswith("…”") and len(cut) > 19
    assert painter._fit("drawn", 22, 280).text == "drawn"


def test_a_reply_without_steps_says_why(turn: Turn) -> None:
    empty = sheet(explain(replace(turn, trace=replace(turn.trace, steps=(), pieces=()), status="pending")))
    assert (empty.detail, empty.tiles) == ("No token was recorded yet.", ())
    one = sheet(explain(replace(turn, trace=replace(turn.trace, steps=turn.trace.steps[:1], pieces=(b"x",)))))
    assert one.detail.startswith("1 token ·")
