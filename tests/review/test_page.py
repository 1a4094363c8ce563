"""The page as a reviewer uses it, in a real browser."""

import json
import re
import sqlite3
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import expect

from .conftest import Log, Site, Tab

FAINT = """() => {
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const over = ([r, g, b, a = 1], below) => [r, g, b].map((value, i) => value * a + below[i] * (1 - a));
  const light = (rgb) => rgb.map((v) => v / 255).map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const line = (node) => node ? [...line(node.parentElement), node] : [];
  const out = [];
  for (const node of document.querySelectorAll("main *")) {
    const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
    if (!own || !node.checkVisibility() || node.closest(".hidden, svg")) continue;
    const styles = line(node).map((each) => getComputedStyle(each));
    const ground = styles.reduce((below, style) => over(numbers(style.backgroundColor), below), [255, 255, 255]);
    const opacity = styles.reduce((all, style) => all * style.opacity, 1);
    const ink = over([...numbers(styles.at(-1).color).slice(0, 3), opacity], ground);
    const [low, high] = [light(ink), light(ground)].sort((a, b) => a - b);
    if ((high + 0.05) / (low + 0.05) < 4.5) out.push(node.outerHTML.slice(0, 100));
  }
  return out;
}"""


def test_find_a_session_and_read_it(tab: Tab, log: Log) -> None:
    page = tab.go("/statistics")  # from any page
    page.keyboard.press("/")
    page.keyboard.type("colour")
    page.keyboard.press("Enter")
    page.wait_for_url("**/?q=colour*")
    expect(page.locator("mark").first).to_have_text(re.compile("colour", re.IGNORECASE))
    page.keyboard.press("g")
    page.wait_for_url("**/")
    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(page.locator(".row.at")).to_contain_text("Name a colour.")
    page.keyboard.press("k")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/session/{log.first}")
    expect(page.locator(".message.user").first).to_contain_text("Name a colour.")
    assert tab.alarms == []


def test_versions_are_leafed_through(tab: Tab, log: Log) -> None:
    page = tab.go(f"/session/{log.first}")
    last = page.locator(".message").last
    expect(last.locator(".versions")).to_contain_text("3/3")
    newest = last.locator(".text").inner_text()
    last.get_by_label("Previous version").click()
    expect(page.locator(".message").last.locator(".versions")).to_contain_text("2/3")
    assert page.locator(".message").last.locator(".text").inner_text() != newest
    assert "#m" in page.url and "at=" in page.url
    assert tab.alarms == []


def test_tokens_are_walked_through_by_keys(tab: Tab, log: Log) -> None:
    page = tab.go(f"/turn/{log.turns[0]}")
    expect(page.locator("#step")).to_contain_text("Pick a token")
    page.keyboard.press("Home")
    expect(page.locator("#step .walk")).to_contain_text("0 /")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#step .walk")).to_contain_text("1 /")
    expect(page.locator(".t[aria-current]")).to_have_attribute("data-first", "1")
    expect(page).to_have_url(re.compile(r"step=1&layer=probability"))
    page.keyboard.press("l")
    expect(page.locator("#scope")).to_have_attribute("data-layer", "surprisal")
    page.keyboard.press("u")
    unsure = page.locator("#scope").get_attribute("data-unsure").split()
    following = unsure[(unsure.index("1") + 1) % len(unsure)] if "1" in unsure else unsure[0]
    expect(page.locator("#step .walk")).to_contain_text(f"{following} /")
    page.keyboard.press("?")
    expect(page.locator("#help")).to_be_visible()
    assert tab.alarms == []


def test_whitespace_is_shown_on_demand(tab: Tab, log: Log) -> None:
    page = tab.go(f"/turn/{log.turns[0]}?step=1")
    tokens = page.locator(".reply .tokens")
    before = tokens.text_content() or ""
    switch = page.get_by_title("Show whitespace (s)")
    switch.click()
    expect(switch).to_have_attribute("aria-pressed", "true")
    shown = tokens.text_content() or ""
    assert shown.count("·") == before.count("·") + before.count(" ") > 0 and " " not in shown
    page.keyboard.press("s")
    expect(switch).to_have_attribute("aria-pressed", "false")
    assert tokens.text_content() == before
    expect(page.locator("#step .walk")).to_contain_text("1 /")
    assert tab.alarms == []


def test_what_no_font_has_is_shown_as_bytes(tab: Tab, log: Log) -> None:
    page = tab.go(f"/turn/{log.turns[0]}?step=1")
    page.evaluate(r"""() => {
      document.querySelector("#step .token").textContent = "aé☃";
      document.querySelector("#t0").textContent = "\u{1F8FF}";
      mend(document.querySelector("#scope"));
    }""")
    expect(page.locator("#step .token").first).to_have_text("aé☃")
    expect(page.locator("#t0")).to_have_text(r"\xf0\x9f\xa3\xbf")
    assert tab.alarms == []


def test_a_step_shows_what_else_it_might_have_been(tab: Tab, log: Log) -> None:
    page = tab.go(f"/turn/{log.turns[0]}?step=2&layer=entropy")
    rows = page.locator("#step .candidates tbody tr")
    expect(rows).to_have_count(11)
    expect(page.locator("#step .candidates .chosen")).to_have_count(1)
    expect(page.locator("#step figcaption")).to_contain_text("The draw u =")
    expect(page.locator(".layers [aria-current]")).to_have_text("entropy")
    predicted = page.locator("#step .candidates tbody td:nth-child(3)").all_inner_texts()
    assert 0.97 < sum(float(text.strip("<%")) for text in predicted) / 100 < 1.03


def test_hovering_a_token_opens_it(tab: Tab, log: Log) -> None:
    page = tab.go(f"/turn/{log.turns[0]}")
    page.locator("#t3").hover()
    expect(page.locator("#step .walk")).to_contain_text("3 /")


def test_a_note_stays_on_the_token_that_was_chosen(tab: Tab, log: Log) -> None:
    page = tab.go(f"/turn/{log.turns[0]}?step=2")
    page.locator("#t5").hover()  # on the way to the note
    expect(page.locator("#step .walk")).to_contain_text("5 /")
    expect(page.locator("#note-first")).to_have_value("2")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#note-first")).to_have_value("4")


def test_what_is_under_the_pointer_stays_there(tab: Tab, log: Log) -> None:
    page = tab.go(f"/turn/{log.turns[0]}")
    place = page.locator("#t3").bounding_box()
    assert place is not None
    page.set_viewport_size({"width": 1280, "height": int(place["y"]) + 40})
    page.mouse.move(place["x"] + 2, place["y"] + 5)
    expect(page.locator("#step .walk")).to_contain_text("3 /")
    assert page.evaluate("scrollY") == 0


def test_what_the_model_saw_is_all_there(tab: Tab, log: Log) -> None:
    page = tab.go(f"/turn/{log.turns[1]}")
    page.locator("#saw summary").click()
    saw = page.locator("#saw .prompt")
    for words in ("<|im_start|>", "You are a helpful assistant.", "Name a colour.", "And a fruit?"):
        expect(saw).to_contain_text(words)
    expect(saw.locator(".typed").last).to_have_text("And a fruit?")
    assert saw.locator(".generated, .rewritten").count() >= 1


def test_a_reply_is_rated_tagged_and_noted(tab: Tab, log: Log) -> None:
    page = tab.go(f"/turn/{log.turns[1]}?step=1")
    page.get_by_label("4 of 5", exact=True).click()
    expect(page.get_by_label("4 of 5", exact=True)).to_have_attribute("aria-pressed", "true")
    page.get_by_label("New tag").fill("fruity")
    page.get_by_role("button", name="Add tag").click()
    page.get_by_label("A note").fill("Why this\n<b>one</b>?")
    page.get_by_label("tokens").fill("1")
    page.get_by_role("button", name="Add note").click()
    assert page.locator(".remark .text").text_content() == "Why this\n<b>one</b>?"
    expect(page.locator("#step .walk")).to_contain_text("1 /")
    expect(page.locator(".remark")).to_contain_text("token 1")
    page.goto("/?q=tag:fruity+rating:%3E%3D4")
    expect(page.locator("#live a.main")).to_have_attribute("href", f"/turn/{log.turns[1]}")
    page.goto(f"/session/{log.first}?at=0")
    page.goto(f"/turn/{log.turns[1]}")
    page.get_by_label("Remove tag fruity").click()
    expect(page.locator("#marks .tag")).to_have_count(0)
    page.get_by_role("button", name="Delete").click()
    expect(page.locator(".remark")).to_have_count(0)
    page.get_by_label("You mark as").fill("Bo")
    page.get_by_role("button", name="Change name").click()
    expect(page.get_by_role("img", name="rated 4 of 5")).to_be_visible()
    page.get_by_label("2 of 5", exact=True).click()
    expect(page.get_by_label("2 of 5", exact=True)).to_have_attribute("aria-pressed", "true")
    page.get_by_label("You mark as").fill("")
    page.get_by_role("button", name="Change name").click()
    expect(page.get_by_role("img", name="rated 2 of 5 by Bo")).to_be_visible()
    page.get_by_role("button", name="take back").click()
    expect(page.get_by_label("4 of 5", exact=True)).not_to_have_attribute("aria-pressed", "true")
    assert tab.alarms == []


def test_two_versions_are_compared(tab: Tab, log: Log) -> None:
    page = tab.go(f"/turn/{log.turns[1]}")
    page.get_by_role("link", name="compare", exact=True).first.click()
    expect(page.locator(".lead")).to_contain_text(re.compile("agree on|part at|are the same"))
    expect(page.locator(".pair section")).to_have_count(2)
    expect(page.locator("main")).to_contain_text("the model predicted the same")
    page.goto(f"/compare?a={log.turns[0]}&b={log.turns[1]}")
    expect(page.locator(".lead")).to_contain_text("different prompts")
    assert tab.alarms == []


def test_a_reply_is_proven_from_the_page(tab: Tab, log: Log) -> None:
    page = tab.go(f"/turn/{log.turns[0]}")
    page.get_by_role("button", name="Prove it").click()
    expect(page.locator(".certificate")).to_contain_text("bitwise", timeout=120_000)
    expect(page.locator("h1")).to_have_text("Proven")


def test_a_proof_comes_without_script_too(plain_tab: Tab, log: Log) -> None:
    page = plain_tab.go(f"/turn/{log.turns[0]}")
    page.get_by_role("button", name="Prove it").click()
    expect(page.locator(".certificate")).to_contain_text("bitwise", timeout=120_000)


def test_the_page_of_what_is_being_computed_stays_as_it_is_until_then(tab: Tab, log: Log) -> None:
    """Somebody may be reading it out."""
    page = tab.go(f"/turn/{log.turns[0]}")
    page.get_by_role("button", name="Score it").click()
    page.wait_for_url("**/job/*")
    expect(page.locator("meta[http-equiv]")).to_have_count(0)
    expect(page.locator("h1")).to_have_text("In one pass", timeout=120_000)
    assert tab.alarms == []


def test_prompt_and_reply_are_scored_in_one_pass(tab: Tab, log: Log) -> None:
    page = tab.go(f"/turn/{log.turns[0]}")
    count = int(page.locator("#scope").get_attribute("data-count") or 0)
    page.get_by_role("button", name="Score it").click()
    expect(page.locator("h1")).to_have_text("In one pass", timeout=120_000)
    expect(page.locator("table.data tbody tr")).to_have_count(count)
    expect(page.locator(".tokens")).to_contain_text("Name a colour.")
    expect(page.locator("main")).to_contain_text("no gradient here and no update")
    assert tab.alarms == []


def test_what_if_a_token_had_been_another(tab: Tab, log: Log) -> None:
    page = tab.go(f"/turn/{log.turns[3]}?step=1")
    page.locator(".whatif summary").click()
    offered = set(page.locator(".whatif button[value]").evaluate_all("all => all.map(one => one.value)"))
    assert not offered & {"0", "2", "4"}  # what ends a reply
    page.locator(".whatif button[value]").first.click()
    page.wait_for_url("**/compare?*", timeout=120_000)
    expect(page.locator(".lead")).to_contain_text("They agree on 1 token, then part")
    expect(page.locator(".pair section").last).to_contain_text(f"branch of {log.turns[3]}")
    page.goto(f"/turn/{log.turns[3]}")
    below = page.locator("#branches .tree .tree li")
    expect(below).to_contain_text("the same draws")
    expect(below.locator(f"a[href='/turn/{log.turns[3]}?step=1']")).to_contain_text("step 1:")
    below.get_by_role("link", name="compare").click()
    expect(page.locator(".lead")).to_contain_text("They agree on 1 token, then part")


def test_what_was_almost_said_is_found(tab: Tab, log: Log) -> None:
    settled = tab.go(f"/turn/{log.turns[1]}")
    tries = settled.evaluate("document.querySelector('#scope').dataset.unsure").split()[0]
    page = tab.go(f"/turn/{log.turns[1]}?step={tries}")
    other = page.locator("#step .candidates tbody tr:not(.chosen):not(.rest)").first
    word = other.locator("th").inner_text().strip("·⏎ ")
    page.goto(f"/?q={word}")
    if word.isalpha():
        expect(page.get_by_role("link", name=f"almost “{word}”")).to_have_attribute("href", f"/almost?word={word}")
    page.goto("/almost")
    page.get_by_label("the word").fill(word)
    page.get_by_label("among").fill(f"session:{log.first}")
    page.get_by_role("button", name="Look").click()
    expect(page.locator("main")).to_contain_text("all of them")
    page.locator(f"a.main[href='/turn/{log.turns[1]}?step={tries}']").click()
    expect(page.locator("#step .candidates")).to_contain_text(word)
    assert tab.alarms == []


def test_what_was_almost_said_is_found_from_the_first_page_by_keyboard(tab: Tab, log: Log) -> None:
    page = tab.go("/?q=after:7d+colour+-nothing")
    expect(page.locator("h1")).to_have_text("What was found")
    page.get_by_label("almost said").focus()
    page.keyboard.type("No")
    page.keyboard.press("Enter")
    page.wait_for_url("**/almost?word=No&q=after%3A7d")
    page.goto("/?q=where+it+almost+said+yes")
    page.get_by_role("link", name="almost “yes”").click()
    page.wait_for_url("**/almost?word=yes")
    assert tab.alarms == []


def test_a_word_of_several_tokens_leads_to_its_first(tab: Tab, log: Log) -> None:
    page = tab.go("/almost?word=Yes+and+no")
    expect(page.locator("main")).to_contain_text("“Yes and no” is no single token")
    page.get_by_role("link", name="“yes”").click()
    page.wait_for_url("**/almost?word=yes&q=")
    expect(page.locator("main")).not_to_contain_text("single token")


def test_marks_come_back_to_the_token_and_layer_that_are_open(site: Site, plain_tab: Tab, log: Log) -> None:
    turn = log.turns[2]
    for form, place in (
        ({"at": "2", "layer": "rank"}, "?step=2&layer=rank"),
        ({"layer": "entropy"}, "?layer=entropy"),
        ({"at": "<", "layer": "<"}, ""),
    ):
        answer = site.ask(f"/turn/{turn}/rate", {"csrf": site.csrf, "stars": "3"} | form)
        assert answer.headers["location"] == f"/turn/{turn}{place}#marks"
    page = plain_tab.go(f"/turn/{turn}?step=1&layer=rank")
    page.get_by_label("2 of 5", exact=True).click()
    page.wait_for_url("**?step=1&layer=rank#marks")


def test_marks_come_back_to_what_was_walked_to(tab: Tab, log: Log) -> None:
    page = tab.go(f"/turn/{log.turns[2]}")
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("l")
    walked = page.locator("#step .walk")
    expect(walked).to_contain_text("6 /")
    page.get_by_label("2 of 5", exact=True).click()
    page.wait_for_url("**?step=6&layer=surprisal#marks")
    expect(walked).to_contain_text("6 /")


def test_the_record_can_be_kept(site: Site, log: Log) -> None:
    kept = site.ask(f"/turn/{log.turns[0]}/record.json")
    assert kept.headers["content-disposition"] == f'attachment; filename="turn-{log.turns[0]}.json"'
    assert json.loads(kept.text)["turn"] == log.turns[0]
    whole = site.ask(f"/turn/{log.turns[-1]}/record.html")
    assert whole.headers["content-disposition"].startswith("attachment")
    assert "<html" in whole.text and "<script>alert" not in whole.text
    assert site.ask(f"/turn/{log.turns[0]}/record.exe").status == 404


def test_a_list_grows_while_it_is_open(tab: Tab, log: Log, site: Site) -> None:
    page = tab.go("/")
    page.evaluate("document.querySelector('#live').dataset.latest = '0'")
    page.evaluate("document.querySelector('#live ol').replaceChildren()")
    expect(page.locator("#live .row")).to_have_count(2, timeout=15_000)
    expect(page.locator("#status")).to_have_text("Updated.")


def test_a_list_that_grows_keeps_what_the_reader_is_at(tab: Tab, log: Log) -> None:
    page = tab.go("/")
    page.keyboard.press("j")
    page.keyboard.press("j")
    row = page.locator(".row.at a.main").get_attribute("href")
    page.evaluate("document.querySelector('#live').dataset.latest = '0'")
    expect(page.locator("#status")).to_have_text("Updated.", timeout=15_000)
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{row}")
    tab.go(f"/session/{log.first}")
    page.locator("details.more").last.locator("summary").click()
    page.evaluate("document.querySelector('#live').dataset.latest = '0'")
    expect(page.locator("#status")).to_have_text("Updated.", timeout=15_000)
    expect(page.locator("details.more").last).to_have_attribute("open", "")
    assert page.evaluate("document.activeElement.tagName") == "SUMMARY"
    assert tab.alarms == []


def test_enter_opens_no_reply_but_the_one_in_the_highlighted_row(tab: Tab, log: Log) -> None:
    page = tab.go(f"/session/{log.first}")
    for _ in range(page.locator(".row").count()):
        page.keyboard.press("j")
        inside = "document.activeElement.closest('.row') === document.querySelector('.row.at')"
        assert page.evaluate(inside)


def test_a_message_of_empty_lines_hides_no_others(log: Log, site: Site, tab: Tab) -> None:
    with sqlite3.connect(log.settings.store.path) as database:
        (kept,) = database.execute("SELECT text FROM message WHERE id = 2").fetchone()
        database.execute("UPDATE message SET text = ? WHERE id = 2", ("above" + "\n" * 1900 + "below",))
        database.commit()
        try:
            page = tab.go(f"/session/{log.first}")
            message = page.locator("#m2")
            assert message.bounding_box()["height"] < 6000  # type: ignore[index]
            expect(message.locator(".text").first).to_contain_text("above")
            message.get_by_text("1,705 more characters").click()
            expect(message.locator(".text").last).to_contain_text("below")
        finally:
            database.execute("UPDATE message SET text = ? WHERE id = 2", (kept,))


def test_any_two_replies_are_compared_from_one(tab: Tab, log: Log) -> None:
    page = tab.go(f"/turn/{log.turns[0]}")
    page.get_by_role("link", name="compare with another reply").click()
    expect(page.get_by_label("with turn")).to_be_focused()
    page.keyboard.type(str(log.turns[4]))
    page.keyboard.press("Enter")
    expect(page.locator(".pair section")).to_have_count(2)


def test_words_marked_to_be_copied_stay_marked_while_a_session_grows(tab: Tab, log: Log) -> None:
    page = tab.go(f"/session/{log.first}")
    page.locator(".message .text").first.select_text()
    page.evaluate("document.querySelector('#live').dataset.latest = '0'")
    page.evaluate("look()")
    assert page.evaluate("getSelection().toString()") != ""
    page.evaluate("getSelection().empty()")
    page.evaluate("look()")
    expect(page.locator("#status")).to_have_text("Updated.")


def test_a_page_says_that_it_is_no_longer_live(tab: Tab, log: Log) -> None:
    page = tab.go("/")
    page.route("**/pulse", lambda route: route.abort())
    expect(page.get_by_text("No longer live")).to_be_visible(timeout=15_000)
    page.unroute("**/pulse")
    expect(page.get_by_text("No longer live")).to_be_hidden(timeout=15_000)


def test_the_number_of_turns_grows_with_the_session(tab: Tab, log: Log) -> None:
    page = tab.go(f"/session/{log.first}")
    page.evaluate("document.querySelector('.meta').replaceChildren()")
    page.evaluate("document.querySelector('#live').dataset.latest = '0'")
    expect(page.locator(".meta").first).to_contain_text(re.compile(r"\d turns"), timeout=15_000)


def test_a_session_is_read_again_for_its_own_replies_only(site: Site, log: Log) -> None:
    states = [json.loads(site.ask(f"/pulse?session={session}").text)["latest"] for session in (1, 2)]
    assert len(set(states)) == 2 and states[log.hostile - 1].startswith(f"{log.turns[4]} ok ")
    for session, state in enumerate(states, 1):
        assert f'data-latest="{state}"' in site.ask(f"/session/{session}").text


def test_a_link_on_another_site_leads_in_by_one_more_click(tab: Tab, log: Log, site: Site) -> None:
    page = tab.page
    page.goto(f"http://localhost:{site.port}/turn/{log.turns[0]}")
    expect(page.locator("h1")).to_have_text("Closed")
    page.evaluate("path => location.assign(path)", f"{site.url}/turn/{log.turns[0]}?step=1")
    page.wait_for_url(f"{site.url}/**")
    expect(page.locator("h1")).to_have_text("Closed")
    page.get_by_role("link", name="go on").click()
    expect(page.locator("#step .walk")).to_contain_text("1 /")


def test_statistics_and_health(tab: Tab, log: Log) -> None:
    page = tab.go("/statistics")
    expect(page.locator(".plot")).to_have_count(7)
    page.get_by_text("These numbers by day").click()
    expect(page.locator("table.data").first).to_contain_text("thumbs up / down")
    expect(page.locator("table.data").first.locator("tbody tr")).to_have_count(1)
    page.goto("/health")
    expect(page.locator("main")).to_contain_text(str(log.settings.store.path))
    expect(page.locator("main")).to_contain_text("No backup is known")
    for name in ("log.db.before-restore", "log.backup.db", "log.backup.db.part"):
        log.settings.store.path.with_name(name).write_bytes(b"")
    page.reload()
    expect(page.locator("main")).not_to_contain_text("No backup")
    made = {"path": "/mnt/elsewhere.db", "size": 1, "made_us": 2 * 10**15}
    with sqlite3.connect(log.settings.store.path) as other:
        other.execute("INSERT INTO setting VALUES ('log', 0, 'backup', ?)", (json.dumps(made),))
    page.reload()
    expect(page.locator(".figures").get_by_title("/mnt/elsewhere.db")).to_contain_text("2033-05-18")
    expect(page.locator("table.data").last.locator("tbody tr")).to_have_count(2)
    assert tab.alarms == []


@pytest.mark.parametrize(
    "path", ["/session/999", "/turn/999", "/turn/1/step/9999", "/nowhere", "/turn/99999999999999999999"]
)
def test_what_is_not_there_is_said_kindly(path: str, site: Site) -> None:
    answer = site.ask(path)
    assert answer.status == 404
    assert "There is no " in answer.text


@pytest.mark.parametrize(
    "query", ["status:bad", "usr:ann", "perplexity:x", "-only", 'after:"', "%00", "'; DROP TABLE turn"]
)
def test_a_strange_search_is_answered(query: str, site: Site) -> None:
    assert site.ask(f"/?q={query.replace(' ', '+')}").status == 200


class TestForEverybody:
    @pytest.mark.parametrize(
        "path",
        ["/", "/?q=yes", "/session/1", "/turn/2?step=3", "/almost?word=a", "/compare?a=2&b=3", "/statistics",
         "/health"],
    )  # fmt: skip
    def test_a_phone_needs_no_sideways_scrolling(self, path: str, tab: Tab) -> None:
        tab.page.set_viewport_size({"width": 320, "height": 740})
        page = tab.go(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 320
        assert page.locator("nav a").last.bounding_box()["x"] < 300  # type: ignore[index]

    def test_long_names_of_marks_stay_in_their_column(self, site: Site, tab: Tab, log: Log) -> None:
        turn = log.turns[2]
        assert site.ask(f"/turn/{turn}/reviewer", {"csrf": site.csrf, "author": "w" * 80}).status == 303
        for what, form in {"rate": {"stars": "3"}, "tag": {"name": "t" * 64}, "note": {"text": "n" * 300}}.items():
            assert site.ask(f"/turn/{turn}/{what}", {"csrf": site.csrf} | form).status == 303
        assert site.ask(f"/turn/{turn}/reviewer", {"csrf": site.csrf, "author": ""}).status == 303
        tab.page.set_viewport_size({"width": 360, "height": 740})
        assert tab.go(f"/turn/{turn}").evaluate("document.documentElement.scrollWidth") <= 360

    @pytest.mark.parametrize("script", [True, False])
    def test_on_a_phone_the_open_token_leaves_the_reply_in_sight(
        self, script: bool, tab: Tab, plain_tab: Tab, log: Log
    ) -> None:
        shown = tab if script else plain_tab
        shown.page.set_viewport_size({"width": 360, "height": 740})
        page = shown.go(f"/turn/{log.turns[0]}?step=1")
        panel, token = page.locator(".step"), page.locator(".t[aria-current]")
        folded, place = panel.bounding_box(), token.bounding_box()
        assert folded is not None and place is not None
        assert folded["height"] < 130 and place["y"] + place["height"] < folded["y"]
        expect(page.locator("#step .said")).to_contain_text("choice")
        expect(page.locator("#step .candidates")).to_be_hidden()
        page.get_by_label("all about this token").check()
        expect(page.locator("#step .candidates")).to_be_visible()
        if script:
            page.get_by_label("Next token").click()
            expect(page.locator("#step .walk")).to_contain_text("2 /")
            expect(page.locator("#step .candidates")).to_be_visible()
        shown.page.set_viewport_size({"width": 1280, "height": 720})
        expect(page.locator("#step .candidates")).to_be_visible()
        expect(page.get_by_label("all about this token")).to_be_hidden()

    def test_tab_passes_a_reply_in_one_step_and_the_arrows_keep_the_focus(self, tab: Tab, log: Log) -> None:
        page = tab.go(f"/turn/{log.turns[0]}?step=1")
        focus = "document.activeElement.id || document.activeElement.ariaLabel"
        expect(page.locator(".t[tabindex='0']")).to_have_id("t1")
        page.locator("#t1").focus()
        page.keyboard.press("ArrowRight")
        expect(page.locator("#step .walk")).to_contain_text("2 /")
        assert page.evaluate(focus) == "t2"
        expect(page.locator("#status")).to_contain_text("Token 2 of ")
        page.get_by_label("Next token").focus()
        page.keyboard.press("Enter")
        expect(page.locator("#step .walk")).to_contain_text("3 /")
        assert page.evaluate(focus) == "Next token"

    @pytest.mark.parametrize("theme", ["light", "dark"])
    def test_all_that_is_written_can_be_read(self, theme: Literal["light", "dark"], tab: Tab, log: Log) -> None:
        """WCAG 2 AA as it comes out on the page: 4.5 to 1, whatever lies over what."""
        tab.page.emulate_media(color_scheme=theme)
        for path in ("/?q=colour", "/session/1", "/turn/2?step=3&layer=entropy", "/compare?a=2&b=3", "/statistics"):
            assert tab.go(path).evaluate(FAINT) == [], path

    @pytest.mark.parametrize("path", ["/", "/session/1", "/turn/2?step=3", "/compare", "/statistics"])
    def test_everything_has_a_name_to_read_out(self, path: str, tab: Tab) -> None:
        page = tab.go(path)
        nameless = page.evaluate(
            """() => [...document.querySelectorAll('a[href], button, input:not([type=hidden]), select, textarea')]
              .filter(e => !(e.textContent.trim() || e.ariaLabel || e.labels?.length || e.title))
              .map(e => e.outerHTML.slice(0, 120))"""
        )
        assert nameless == []
        assert page.locator("html[lang]").count() == page.locator("main").count() == 1
        assert page.locator("h1, .search").count() >= 1

    def test_the_keyboard_alone_comes_everywhere(self, tab: Tab) -> None:
        page = tab.go("/")
        page.keyboard.press("Tab")
        expect(page.locator(":focus")).to_have_text("Skip to the content")
        seen = []
        for _ in range(60):
            page.keyboard.press("Tab")
            seen.append(page.evaluate("document.activeElement.getAttribute('href') ?? document.activeElement.id"))
        assert {"/", "/almost", "/compare", "/statistics", "/health", "theme", "q", "/session/1"} <= set(seen)
        assert seen.index("/compare") < seen.index("q") < seen.index("/session/1")

    def test_the_theme_follows_the_system_until_it_is_chosen(self, tab: Tab) -> None:
        colour = "getComputedStyle(document.body).backgroundColor"
        tab.page.emulate_media(color_scheme="dark")
        page = tab.go("/")
        dark = page.evaluate(colour)
        page.emulate_media(color_scheme="light")
        assert page.evaluate(colour) != dark
        page.get_by_label("Switch between light and dark").click()
        assert page.evaluate(colour) == dark
        page.reload()
        assert page.evaluate(colour) == dark

    def test_reading_works_with_script_off(self, plain_tab: Tab, log: Log) -> None:
        page = plain_tab.go("/")
        page.get_by_label("Search the log").fill("fruit")
        page.get_by_role("button", name="Search").click()
        page.locator("#live a.main").first.click()
        page.goto(f"/turn/{log.turns[0]}")
        page.locator("#t1").click()
        expect(page.locator("#step .walk")).to_contain_text("1 /")
        page.get_by_role("link", name="rank").click()
        expect(page.locator("#scope")).to_have_attribute("data-layer", "rank")
        expect(page.locator("#step .walk")).to_contain_text("1 /")
        assert plain_tab.alarms == []


def test_the_stylesheet_has_no_remote_part() -> None:
    import glasshead.review

    folder = Path(glasshead.review.__file__).parent
    for file in [*folder.glob("static/*"), *folder.glob("templates/*")]:
        text = file.read_text().replace("http://www.w3.org/2000/svg", "")
        assert "http:" not in text and "https:" not in text and "//" not in text.replace("// ", ""), file
        assert " style=" not in text and " onclick=" not in text, file
