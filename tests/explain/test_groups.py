"""Tokens are grouped so that no visible character is torn apart, whatever the script."""

from itertools import pairwise

import pytest
from glasshead.explain.explanation import explain
from glasshead.explain.tokens import groups
from glasshead.explain.visible import decode, encode, graphemes, neutral, text, visible
from hypothesis import given
from hypothesis import strategies as st

from .recording import Recorder

CORPUS = {
    "family emoji": "👨‍👩‍👧‍👦",
    "flag": "🇩🇪",
    "skin tone": "👍🏽",
    "Arabic": "مرحبا بالعالم",
    "Devanagari": "नमस्ते क्षत्रिय",
    "CJK": "你好世界 こんにちは 한국어",
    "newlines": "a\n\n\nb",
    "code": "```python\ndef f(x):\n\treturn x ** 2\n```",
    "combining": "e\u0301 n\u0303",
}


@pytest.mark.parametrize("sample", CORPUS.values(), ids=CORPUS)
def test_a_real_reply_in_any_script_keeps_its_bytes_and_its_characters(recorder: Recorder, sample: str) -> None:
    explanation = explain(recorder.read("Say it.", f"So {sample} it is"))
    shown = explanation.groups
    assert b"".join(group.bytes for group in shown).decode() == f"So {sample} it is"
    assert [i for group in shown for i in range(group.first, group.last + 1)] == list(
        range(len(explanation.tokens))
    )
    rebuilt = [cluster for group in shown for cluster in graphemes(group.bytes.decode())]
    assert rebuilt == graphemes(f"So {sample} it is")


def test_the_parts_of_one_emoji_are_one_group() -> None:
    family = "👨‍👩‍👧".encode()
    pieces = [b"Hi ", family[:3], family[3:9], family[9:], b"!"]
    assert [(group.first, group.last) for group in groups(pieces)] == [(0, 0), (1, 3), (4, 4)]


def test_half_a_character_at_the_end_is_a_group_of_its_own() -> None:
    shown = groups([b"ab", b"\xf0\x9f", b"\x98"])
    assert b"".join(group.bytes for group in shown) == b"ab\xf0\x9f\x98"
    assert [visible(group.bytes) for group in shown] == ["ab", r"\xf0\x9f", r"\x98"]


def test_an_empty_token_belongs_to_its_place() -> None:
    assert [(group.first, group.last) for group in groups([b"a", b"", b"b"])] == [(0, 0), (1, 1), (2, 2)]


@given(st.binary(max_size=60), st.lists(st.integers(0, 60), max_size=12))
def test_any_bytes_cut_anywhere_are_covered_once(data: bytes, cuts: list[int]) -> None:
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    pieces = [data[a:b] for a, b in pairwise(edges)]
    shown = groups(pieces)
    assert b"".join(group.bytes for group in shown) == data
    assert [i for group in shown for i in range(group.first, group.last + 1)] == list(range(len(pieces)))


KNITTING = [
    "a",
    "b",
    "\n",
    "\r",
    "é",
    "e\u0301",
    "\u0301",
    "\u0600",
    "👩",
    "\u200d",
    "🇩",
    "न",
    "\u094d",
    "한",
    "ᄒ",
    "ᅡ",
]


@given(st.lists(st.sampled_from(KNITTING) | st.characters(exclude_categories=["Cs"]), max_size=30))
def test_borders_are_those_of_the_whole_text(parts: list[str]) -> None:
    whole = "".join(parts)
    each = [bytes([byte]) for byte in encode(whole)]
    assert [decode(group.bytes) for group in groups(each)] == graphemes(whole)


@given(st.text())
def test_neutral_text_holds_nothing_that_acts(chars: str) -> None:
    shown = neutral(chars)
    forbidden = {*map(chr, range(0x20)), "\x7f", *map(chr, range(0x80, 0xA0))} - {"\n", "\t"}
    forbidden |= set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c")
    assert not forbidden & set(shown)
    shown.encode()  # no lone surrogate is left


@pytest.mark.parametrize(
    ("piece", "shown"),
    [
        (b" Hello", "·Hello"),
        (b"\n\n\n", "⏎⏎⏎"),
        (b"\t", "⇥"),
        (b"\x1b[31m", "␛[31m"),
        (b"\x00", "␀"),
        (b"", "∅"),
        (b"\xe2\x80", r"\xe2\x80"),
        ("\u202e".encode(), "⟨U+202E⟩"),
        ("\u200d".encode(), "⟨U+200D⟩"),
        ("\u0301".encode(), "◌\u0301"),
        ("\u00a0".encode(), "⟨U+00A0⟩"),
        ("\u3164\u115f\u1160\uffa0".encode(), "⟨U+3164⟩⟨U+115F⟩⟨U+1160⟩⟨U+FFA0⟩"),
        ("👨‍👩".encode(), "👨‍👩"),
    ],
)
def test_everything_in_a_token_is_visible(piece: bytes, shown: str) -> None:
    assert visible(piece) == shown


def test_text_escapes_only_what_is_no_character() -> None:
    assert text(b"a\xf0\x9fb") == r"a\xf0\x9fb"
    assert text("ñ\n".encode()) == "ñ\n"


def test_unseen_text_in_tag_characters_is_named_but_a_flag_stays_a_flag() -> None:
    letters = "".join(chr(0xE0000 + ord(char)) for char in "gbeng") + "\U000e007f"
    flag = "\U0001f3f4" + letters
    assert neutral(flag) == flag and visible(flag.encode()) == flag
    hidden = "ok" + letters
    assert neutral(hidden).startswith("ok⟨U+E0067⟩") and visible(hidden.encode()).startswith("ok⟨U+E0067⟩")
