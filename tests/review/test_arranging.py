"""Arranging without a browser: lines through a tree, comparisons, markup, sums."""

import math
import re
from dataclasses import replace
from pathlib import Path

import glasshead.review
import pytest
from glasshead.explain.scale import luminance
from glasshead.explain.turn import Trace, Turn
from glasshead.predict.engine import ModelIdentity
from glasshead.predict.prompt import Prompt
from glasshead.predict.sampling import Sampling
from glasshead.predict.step import Candidate, Step
from glasshead.review import figures
from glasshead.review.almost import almost, link
from glasshead.review.comparison import divergence, side_by_side
from glasshead.review.facets import Facet, chosen, toggled
from glasshead.review.markup import parts
from glasshead.review.transcript import transcript, versions, window
from glasshead.store.sessions import Place
from glasshead.store.statistics import Sums
from hypothesis import given
from hypothesis import strategies as st


def message(id: int, parent: int | None, role: str = "user") -> Place:
    return id, parent, role == "user"


class TestTranscript:
    #        1
    #        2 ── 5 (another version of 2)
    #        3 ── 4 (another version of 3)
    tree = (message(1, None), message(2, 1), message(3, 2), message(4, 2), message(5, 1))

    @pytest.mark.parametrize(
        ("at", "line"), [(None, [1, 5]), (5, [1, 5]), (2, [1, 2, 4]), (3, [1, 2, 3]), (4, [1, 2, 4]), (77, [1, 5])]
    )
    def test_it_goes_through_the_message_asked_for_and_else_the_newest(
        self, at: int | None, line: list[int]
    ) -> None:
        assert transcript(self.tree, at) == line

    def test_a_retry_nobody_answered_does_not_hide_the_conversation(self) -> None:
        answered = (message(1, None), message(2, 1, "assistant"), message(3, 2), message(4, 3, "assistant"))
        retries = (message(5, 1, "assistant"), message(6, 3, "assistant"), message(7, 6, "assistant"))
        assert transcript([*answered, *retries]) == [1, 2, 3, 6, 7]
        assert transcript([*answered, *retries], 5) == [1, 5]

    def test_versions_answer_the_same_message(self) -> None:
        assert versions(self.tree, [1, 2, 3]) == {1: (1,), 2: (2, 5), 3: (3, 4)}

    def test_a_message_whose_parent_is_gone_starts_a_line(self) -> None:
        assert transcript([message(9, 4)]) == [9]


@pytest.mark.parametrize(
    ("at", "shown", "earlier", "later"),
    [
        (None, [7, 8, 9, 10], 6, None),
        (1, [1, 2, 3, 4], None, 5),
        (5, [5, 6, 7, 8], 4, 9),
        (8, [5, 6, 7, 8], 4, 9),
        (9, [7, 8, 9, 10], 6, None),
    ],
)
def test_a_long_transcript_comes_in_stretches(
    at: int | None, shown: list[int], earlier: int | None, later: int | None
) -> None:
    lines = transcript([message(id_, id_ - 1 or None) for id_ in range(1, 11)])
    found = window(lines, at, size=4)
    assert (found.shown, found.earlier, found.later) == (shown, earlier, later)
    assert (found.first, found.count, found.begin, found.end) == (
        shown[0],
        10,
        1 if earlier else None,
        10 if later else None,
    )
    assert window([], None).shown == []


def test_a_session_of_thousands_opens_with_more_than_its_last_words() -> None:
    for count in (200, 201, 299, 300, 301, 4002):
        lines = transcript([message(id_, id_ - 1 or None) for id_ in range(1, count + 1)])
        last = window(lines, None)
        assert last.shown[-1] == count and len(last.shown) > 100


def step(*probabilities: tuple[int, float]) -> Step:
    top = tuple(Candidate(token, math.log(p)) for token, p in probabilities)
    return Step(1, 0.0, 1, 0.0, 0.0, top, 0.5, (0.0, 1.0), 1.0, (), 0)


class TestDivergence:
    def test_equal_predictions_do_not_diverge(self) -> None:
        assert divergence(step((1, 0.5), (2, 0.3)), step((2, 0.3), (1, 0.5))) == 0

    def test_it_is_kl_in_bits_where_everything_is_listed(self) -> None:
        exact = 0.75 * math.log2(0.75 / 0.5) + 0.25 * math.log2(0.25 / 0.5)
        assert divergence(step((1, 0.75), (2, 0.25)), step((1, 0.5), (2, 0.5))) == pytest.approx(exact)

    @given(
        st.lists(st.floats(0.01, 1), min_size=6, max_size=6), st.lists(st.floats(0.01, 1), min_size=6, max_size=6)
    )
    def test_it_is_never_above_the_true_divergence(self, left: list[float], right: list[float]) -> None:
        p, q = [x / sum(left) for x in left], [x / sum(right) for x in right]
        exact = sum(a * math.log2(a / b) for a, b in zip(p, q, strict=True))
        listed = divergence(step(*enumerate(p[:3])), step(*enumerate(q[:4])))
        assert -1e-9 <= listed <= exact + 1e-9


WHEN = Facet("When", (("today", "after:24h"), ("this week", "after:7d")), one=True)
OUTCOME = Facet("Outcome", (("ok", "status:ok"), ("stopped", "status:stopped")))
UNSURE = Facet("Unsure", (("over 5", "perplexity:>5"), ("over 20", "perplexity:>20")), one=True)


@pytest.mark.parametrize(
    ("query", "filter_", "facet", "then"),
    [
        ("", "status:ok", OUTCOME, "status:ok"),
        ("hello  there status:ok", "status:ok", OUTCOME, "hello there"),
        ("status:ok", "status:stopped", OUTCOME, "status:ok status:stopped"),
        ("perplexity:>50", "perplexity:>5", UNSURE, "perplexity:>50 perplexity:>5"),
        ("perplexity:>20 hi", "perplexity:>5", UNSURE, "hi perplexity:>5"),
        ("after:24h", "after:7d", WHEN, "after:7d"),
        ('"status:ok is said" status:ok', "status:ok", OUTCOME, '"status:ok is said"'),
        ('user:"Ann Lee" tag:"x y"', 'tag:"x y"', Facet("Tag", (("x y", 'tag:"x y"'),)), 'user:"Ann Lee"'),
    ],
)
def test_a_facet_adds_and_takes_away_whole_filters(query: str, filter_: str, facet: Facet, then: str) -> None:
    assert toggled(query, filter_, facet) == then
    assert chosen(then, filter_) != chosen(query, filter_)


class TestMarkup:
    def test_code_and_bold_are_told_from_text(self) -> None:
        found = [(part.kind, part.text) for part in parts("a `b` **c**\n```py\nd = 1\n```e")]
        assert found[:4] == [("text", "a "), ("code", "b"), ("text", " "), ("bold", "c")]
        assert found[4:] == [("text", "\n"), ("block", "d = 1"), ("text", "e")]

    @given(st.text(alphabet="a`*\n <", max_size=60))
    def test_no_letter_is_lost_or_made(self, text: str) -> None:
        def letters(words: str) -> list[str]:
            return [char for char in words if char in "a<"]

        assert letters("".join(part.text for part in parts(text))) == letters(text)


def sums(day: int, turns: int, tokens: int, speed: float, perplexity: float) -> Sums:
    return Sums(figures.date(day), turns, tokens, 0, 0, 0, 1, 0, 100.0, speed, perplexity, None, 2, 0)


class TestFigures:
    def test_means_weigh_days_by_their_tokens(self) -> None:
        whole = figures.whole([sums(20_000, 1, 100, 50.0, 2.0), sums(20_002, 3, 300, 150.0, 4.0)])
        assert (whole.turns, whole.tokens, whole.failed, whole.thumbs_up) == (4, 400, 2, 4)
        assert whole.tokens_per_second == pytest.approx(400 / (100 / 50 + 300 / 150))
        assert whole.perplexity == pytest.approx((2.0 * 4.0**3) ** 0.25)

    def test_bars_stand_on_their_days(self) -> None:
        turns = figures.plots(
            [sums(20_000, 1, 100, 50.0, 2.0), sums(20_002, 4, 300, 150.0, 4.0)], range(20_000, 20_004)
        )[0]
        assert (turns.width, turns.top) == (150, 4)
        assert [(x, y) for x, y, _ in turns.points] == [(0, 150 - 145 / 4), (300, 5)]
        assert turns.points[1][2].startswith("2024-10-06: 4")

    def test_nothing_logged_is_nothing_drawn(self) -> None:
        whole = figures.whole([])
        assert (whole.turns, whole.perplexity, whole.tokens_per_second) == (0, None, None)
        assert all(plot.points == () for plot in figures.plots([], range(5000)))


@pytest.mark.parametrize("theme", [0, 1])
def test_words_stand_out_from_what_is_behind_them(theme: int) -> None:
    """WCAG 2 AA: 4.5 to 1, in both themes."""
    style = (Path(glasshead.review.__file__).parent / "static" / "style.css").read_text()
    blocks = re.findall(r"--paper:[^}]*", style)
    colours = dict(re.findall(r"--(\w+): #(\w{6})", blocks[theme]))
    light = {name: luminance(tuple(bytes.fromhex(value))) for name, value in colours.items()}  # type: ignore[arg-type]
    for word in ("ink", "soft", "faint", "accent", "bad"):
        for ground in ("paper", "raised", "wash"):
            high, low = sorted((light[word], light[ground]), reverse=True)
            assert (high + 0.05) / (low + 0.05) >= 4.5, (word, ground)


class TestAlmost:
    pieces = (b" yes", b"Yes", b" no", b" yes!")

    def turn(self, drawn: int, *likely: tuple[int, float]) -> Turn:
        one = replace(step(*likely), id=drawn)
        trace = Trace((one,), (self.pieces[drawn],), len(likely), dict(enumerate(self.pieces)))
        model = ModelIdentity("m", "0", "Q4_1", 4, 64, "0", "test")
        done = ("ok", "stop", None, "", "", 0, None, 0, "1")
        return Turn(7, 3, model, Prompt((), ()), (), Sampling(), 1, 0, trace, (), *done)

    def test_a_likely_word_that_was_not_drawn_is_found(self) -> None:
        (near,) = almost(self.turn(2, (2, 0.6), (0, 0.3)), "yes")
        assert (near.turn, near.step, near.word, near.said) == (7, 0, b" yes", b" no")
        assert (near.p, near.p_said) == (pytest.approx(0.3), 1.0)

    def test_the_same_model_with_another_adapter_is_told(self) -> None:
        turn = self.turn(2, (2, 0.6), (0, 0.3))
        adapted = replace(turn, model=replace(turn.model, adapter_sha256="a" * 64, adapter_scale=1.0))
        for other, same in ((turn, True), (adapted, False)):
            sides = side_by_side(turn, other)
            assert (sides.same_model, sides.same_adapter) == (True, same)

    @pytest.mark.parametrize(
        ("drawn", "likely", "word"),
        [(1, ((1, 0.6), (0, 0.3)), "yes"), (2, ((2, 0.9), (0, 0.04)), "yes"), (2, ((2, 0.6), (3, 0.3)), "yes")],
    )
    def test_what_was_said_or_unlikely_or_another_word_is_not(
        self, drawn: int, likely: tuple[tuple[int, float], ...], word: str
    ) -> None:
        assert almost(self.turn(drawn, *likely), word) == []


@pytest.mark.parametrize(
    ("query", "href"),
    [
        ("yes", "/almost?word=yes"),
        ("almost yes", "/almost?word=yes"),
        ("Almost yes user:ann -no ?", "/almost?word=yes&q=user%3Aann"),
        ("almost", "/almost?word=almost"),
        ("almost said yes", "/almost?word=yes"),
        ('the reply where it almost said "yes" user:"Ann Lee"', "/almost?word=yes&q=user%3A%22Ann+Lee%22"),
        ("yes no", None),
        ('"almost yes"', None),
        ("status:error", None),
        ("yes2", None),
    ],
)
def test_a_search_for_a_word_leads_to_where_it_was_almost_said(query: str, href: str | None) -> None:
    found = link(query)
    assert (found and found[1]) == href
