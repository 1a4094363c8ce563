"""The page: one file, nothing remote, nothing in it acts, and a browser shows what was recorded."""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from browser import chromium
from glasshead.explain.explanation import explain
from glasshead.explain.json import explanation_json
from glasshead.explain.loss import arrange
from glasshead.explain.page import Extras, embedded, page
from glasshead.explain.turn import Trace, Turn
from glasshead.explain.visible import visible
from glasshead.predict.step import Score
from playwright.sync_api import Page

from .recording import Recorder, logged


@dataclass
class Sheet:
    """A browser's tab, what its page complained of or asked the network for, and that page's address."""

    page: Page
    noise: list[str]
    url: str = ""


@pytest.fixture(scope="module")
def sheet() -> Iterator[Sheet]:
    """One for all tests: a new one for each takes longer than most of them."""
    with chromium() as browser:
        sheet = Sheet(browser.new_page(), [])
        sheet.page.on("console", lambda message: sheet.noise.append(message.text))
        sheet.page.on("pageerror", lambda error: sheet.noise.append(str(error)))
        sheet.page.on("request", lambda asked: sheet.noise.append(asked.url) if asked.url != sheet.url else None)
        yield sheet


def opened(
    sheet: Sheet, html: str, path: Path, *, scheme: str = "light", width: int = 1280
) -> tuple[Page, list[str]]:
    """The page in a browser, and everything it complained of or asked the network for."""
    path.write_text(html, encoding="utf-8")
    shown = sheet.page
    shown.set_viewport_size({"width": width, "height": 740})
    shown.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    sheet.noise, sheet.url = [], path.as_uri()
    shown.goto(sheet.url)
    shown.wait_for_selector("html[data-ready][data-whole]")
    return shown, sheet.noise


def inside(html: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The data of a page, and its steps."""
    found = re.search(
        r'<script type="application/json" id="data">(.*?)</script>\s*<script[^>]* id="steps">(.*?)</script>',
        html,
        re.S,
    )
    assert found is not None
    return json.loads(found[1]), list(map(json.loads, found[2].split("\n")))


def test_the_data_inside_is_the_record(turn: Turn) -> None:
    data, steps = inside(page(explain(turn)))
    assert data["prompt_ids"] == list(turn.prompt.ids) and data["seed"] == turn.seed
    assert [step["id"] for step in steps] == [step.id for step in turn.trace.steps]
    for shown, step in zip(steps, turn.trace.steps, strict=True):
        assert shown["logprob"] == pytest.approx(step.logprob, abs=1e-6)
        assert shown["row_hash"] == f"{step.row_hash:016x}"
        assert [c[0] for c in shown["top"]] == [c.id for c in step.top]


def test_every_step_agrees_with_itself(turn: Turn, long_turn: Turn) -> None:
    for made in (logged(turn), logged(long_turn)):
        for step in inside(page(explain(made)))[1]:
            listed = {id_: math.exp(logprob) for id_, logprob, *_ in step["top"]}
            own = math.exp(step["logprob"])
            assert listed.setdefault(step["id"], own) == own
            assert sum(listed.values()) + step["remainder"] == pytest.approx(1, abs=1e-5)
            final = {id_: p for id_, _, p, *_ in step["top"]}
            assert final.setdefault(step["id"], step["p_final"]) == step["p_final"]
            assert sum(final.values()) + step["final_remainder"] == pytest.approx(1, abs=1e-5)


def test_a_probability_below_a_millionth_is_not_none_at_all(turn: Turn) -> None:
    steps = (replace(turn.trace.steps[0], p_final=4.7e-7, stages=()), *turn.trace.steps[1:])
    made = replace(turn, trace=replace(turn.trace, steps=steps))
    assert inside(page(explain(made)))[1][0]["p_final"] == 5e-7


def test_a_name_read_from_the_right_draws_no_number_in(recorder: Recorder, sheet: Sheet, tmp_path: Path) -> None:
    turn = recorder.read("Say it.", "So مرحبا")
    shown, _ = opened(sheet, page(explain(turn)), tmp_path / "turn.html")
    for button in shown.locator("#least button").all():
        name, note = button.locator("b"), button.locator("span")
        if "\u2068" in (name.text_content() or ""):
            left, right = name.bounding_box(), note.bounding_box()
            assert left is not None and right is not None and left["x"] + left["width"] <= right["x"]
            break
    else:
        pytest.fail("no Arabic letter is among the least certain")


def test_five_hundred_tokens_are_under_500_kilobytes(long_turn: Turn) -> None:
    assert len(long_turn.trace.steps) == 500 and long_turn.trace.k == 10
    assert len(page(explain(long_turn)).encode()) <= 500_000


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_stepping_by_keys_and_by_hand(turn: Turn, sheet: Sheet, tmp_path: Path, scheme: str) -> None:
    shown, noise = opened(sheet, page(explain(turn), step=0), tmp_path / "page.html", scheme=scheme)
    shown.keyboard.press("ArrowRight")
    assert "step 1 of" in shown.inner_text("#step")
    shown.keyboard.press("G")
    assert f"step {len(turn.trace.steps) - 1} of" in shown.inner_text("#step")
    shown.keyboard.press("n")
    worst = explain(turn).whole.least_certain[0]
    assert f"step {worst} of" in shown.inner_text("#step")
    shown.click("#reply span >> nth=0")
    assert "step 0 of" in shown.inner_text("#step")
    before = shown.get_attribute("#reply span >> nth=3", "class")
    shown.click("#layers button >> nth=2")
    assert shown.get_attribute("#reply span >> nth=3", "class") != before
    assert noise == []


def test_hovering_opens_a_step(turn: Turn, sheet: Sheet, tmp_path: Path) -> None:
    shown, _ = opened(sheet, page(explain(turn)), tmp_path / "page.html")
    shown.hover("#reply span >> nth=4")
    shown.wait_for_function("document.getElementById('step').innerText.includes('step 4 of')")


def test_what_is_printed_of_every_step_agrees(turn: Turn, sheet: Sheet, tmp_path: Path) -> None:
    made = logged(turn)
    shown, _ = opened(sheet, page(explain(made), step=0), tmp_path / "page.html")
    for _ in made.trace.steps:
        own = shown.inner_text("#step .numbers > div >> nth=0").split("\n")[1]
        assert shown.inner_text("#step tr.chosen td:nth-child(3)") == own
        cells = shown.eval_on_selector_all("#step tbody td:nth-child(3)", "all => all.map(cell => cell.innerText)")
        assert sum(float(cell.split()[0].lstrip("<>")) for cell in cells) == pytest.approx(100, abs=0.5)
        shown.keyboard.press("ArrowRight")


@pytest.mark.parametrize("with_scores", [False, True])
def test_what_the_model_saw_has_whole_characters(recorder: Recorder, with_scores: bool) -> None:
    question = "नमस्ते 🌨 日本"
    turn = recorder.read(question, "Yes.")
    scores = [Score(0, -1.0, 1, 1.0, (), 0)] * (len(turn.prompt.ids) + len(turn.trace.steps) - 1)
    data, _ = inside(page(explain(turn), extras=Extras(arrange(turn, scores) if with_scores else None)))
    tiles = next(tiles for _, kind, tiles in data["view"]["prompt"] if kind == "typed")
    assert "".join(text for text, _, _ in tiles) == question
    cloud = next(title for text, title, _ in tiles if "🌨" in text)
    assert cloud.count("token ") == cloud.count("\n") + 1 > 1 and "\\xf0" in cloud
    assert cloud.count("bits") == (cloud.count("token ") if with_scores else 0)
    typed = next(span for span in turn.prompt.spans if span.kind == "typed")
    ids = [int(number) for _, title, _ in tiles for number in re.findall(r"token (\d+)", title)]
    assert ids == list(turn.prompt.ids[typed.start : typed.end])


def test_what_the_model_did_not_see_is_said(turn: Turn, sheet: Sheet, tmp_path: Path) -> None:
    for turns, words in ((0, ""), (1, "1 turn, 31 tokens"), (2, "2 turns, 31 tokens")):
        less = replace(turn, prompt=replace(turn.prompt, dropped_turns=turns, dropped_tokens=31 * bool(turns)))
        shown, noise = opened(sheet, page(explain(less)), tmp_path / "page.html")
        said = shown.text_content("#prompt") or ""
        assert words in said and ("dropped" in said) is bool(turns)
        assert noise == []


def test_a_hostile_reply_is_shown_as_text(recorder: Recorder, sheet: Sheet, tmp_path: Path) -> None:
    attack = "</script><script>document.title='owned'</script><img src=x onerror=alert(1)><!-- &amp; \u202e"
    turn = replace(recorder.read(attack, attack), error="<b>bold</b>")
    shown, noise = opened(sheet, page(explain(turn)), tmp_path / "page.html")
    assert shown.title() == f"Turn {turn.id}, explained"
    assert shown.locator("img").count() == 0
    assert "</script><script>" in shown.inner_text("#reply")
    assert noise == []


def test_on_a_phone_nothing_is_wider_than_the_screen(turn: Turn, sheet: Sheet, tmp_path: Path) -> None:
    named = replace(turn, model=replace(turn.model, name="m" * 200))
    shown, _ = opened(sheet, page(explain(named)), tmp_path / "p.html", width=360)
    assert shown.evaluate("document.documentElement.scrollWidth") <= 360


def test_without_script_nothing_stands_there_empty(turn: Turn, sheet: Sheet, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(page(explain(turn)), encoding="utf-8")
    browser = sheet.page.context.browser
    assert browser is not None
    with browser.new_context(java_script_enabled=False) as plain:
        shown = plain.new_page()
        shown.goto(path.as_uri())
        assert not shown.locator("button, summary, aside").filter(visible=True).count()
        assert shown.locator("noscript pre").is_visible() and shown.locator("#reply span").first.is_visible()


def test_a_long_reply_can_be_used(long_turn: Turn, sheet: Sheet, tmp_path: Path) -> None:
    shown, noise = opened(sheet, page(explain(long_turn)), tmp_path / "page.html")
    shown.hover("#reply span >> nth=400")
    shown.wait_for_function("document.getElementById('step').innerText.includes('step 400 of')")
    assert noise == []


def test_a_turn_without_steps_opens_too(turn: Turn, sheet: Sheet, tmp_path: Path) -> None:
    empty = replace(turn, trace=Trace((), (), 10), status="pending", finish=None, timings=None, reply="")
    shown, noise = opened(sheet, page(explain(empty)), tmp_path / "page.html")
    assert "still running" in shown.inner_text("header")
    assert noise == []


def test_what_one_pass_tells_is_shown_when_it_was_asked_for(turn: Turn, sheet: Sheet, tmp_path: Path) -> None:
    scores = [Score(0, -1.0, 1, 1.0, (), 0)] * (len(turn.prompt.ids) - 1)
    scores += [Score(0, step.logprob, 1, 1.0, (), 0) for step in turn.trace.steps]
    explanation = explain(turn)
    shown, noise = opened(
        sheet, page(explanation, extras=Extras(arrange(turn, scores), ["Proven: it is."])), tmp_path / "with.html"
    )
    shown.click("#loss summary")
    assert "sum of −log p" in shown.inner_text("#loss")
    assert shown.get_attribute("#prompt span >> nth=1", "class").startswith("t")  # type: ignore[union-attr]
    assert noise == []
    shown.click("#proof summary")
    assert "Proven: it is." in shown.inner_text("#proof")
    shown, _ = opened(sheet, page(explanation), tmp_path / "without.html")
    shown.click("#loss summary")
    assert "while this reply was written" in shown.inner_text("#loss")
    assert f"glasshead verify {turn.id}" in shown.text_content("#proof")  # type: ignore[operator]


def test_embedded_json_can_end_no_script() -> None:
    data = {"a": "</script><!--", "b": "]]>&"}
    text = embedded(data)
    assert not set("<>&") & set(text)
    assert json.loads(text) == data


def test_what_is_saved_is_the_record_again(turn: Turn, sheet: Sheet, tmp_path: Path) -> None:
    shown, noise = opened(sheet, page(explain(turn)), tmp_path / "page.html")
    shown.click("details:has(#save) summary")
    with shown.expect_download() as download:
        shown.click("#save")
    saved = json.loads(download.value.path().read_text())
    record = explanation_json(explain(turn))
    assert saved.keys() == record.keys() - {"prompt_bytes", "groups"}
    for got, step in zip(saved["steps"], record["steps"], strict=True):
        assert got.keys() == step.keys() - {"text"}
        assert {name: got[name] for name in ("index", "id", "bytes", "rank", "greedy", "row_hash")} == {
            name: step[name] for name in ("index", "id", "bytes", "rank", "greedy", "row_hash")
        }
        assert [(s["name"], s["survivors"]) for s in got["stages"]] == [
            (s["name"], s["survivors"]) for s in step["stages"]
        ]
        assert [(c["id"], c["removed_by"]) for c in got["top"]] == [(c["id"], c["removed_by"]) for c in step["top"]]
        assert [c["p_final"] for c in got["top"]] == pytest.approx([c["p_final"] for c in step["top"]], abs=1e-5)
    assert noise == []


def test_the_least_certain_is_open_and_where_sampling_overruled_is_listed(
    turn: Turn, sheet: Sheet, tmp_path: Path
) -> None:
    explanation = explain(turn)
    shown, _ = opened(sheet, page(explanation), tmp_path / "page.html")
    worst = explanation.step(explanation.whole.least_certain[0])
    assert f"step {worst.index} of {len(turn.trace.steps) - 1} · the least certain" in shown.inner_text("#step")
    other = next(candidate for candidate in worst.candidates if not candidate.chosen)
    assert f"or “{visible(other.bytes)}”" in shown.inner_text("#least button >> nth=0")
    shown.click("#overruled summary")
    shown.wait_for_selector("#overruled button")
    assert shown.locator("#overruled button").count() == len(explanation.whole.overruled)
    shown.click("#overruled button >> nth=0")
    assert f"step {explanation.whole.overruled[0]} of" in shown.inner_text("#step")


def test_what_no_font_of_the_browser_has_is_written_as_its_bytes(
    recorder: Recorder, sheet: Sheet, tmp_path: Path
) -> None:
    turn = recorder.read("Say it.", "none \U0001faff some é")
    shown, noise = opened(sheet, page(explain(turn)), tmp_path / "page.html")
    assert shown.inner_text("#reply") == r"none \xf0\x9f\xab\xbf some é"
    assert noise == []
