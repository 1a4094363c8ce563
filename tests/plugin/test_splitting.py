"""Long replies: where they are cut, and that nothing is lost or broken."""

import pytest
from glasshead.plugin.display import unforged
from glasshead.plugin.splitting import Part, split
from hypothesis import example, given
from hypothesis import strategies as st


def texts(text: str, limit: int) -> list[str]:
    return [part.text for part in split(text, limit)]


@pytest.mark.parametrize(
    ("name", "text", "limit", "parts"),
    [
        ("short", "hello", 20, ["hello"]),
        ("empty", "", 20, [""]),
        ("paragraph", "one two\n\nthree four", 14, ["one two", "three four"]),
        ("paragraph before line", "first\n\ntwo\nthree", 13, ["first", "two\nthree"]),
        ("line", "one two\nthree four", 14, ["one two", "three four"]),
        ("sentence", "One two. Three four five", 16, ["One two.", "Three four five"]),
        ("sentence in quotes", 'He said "no." Then he left', 18, ['He said "no."', "Then he left"]),
        ("cjk sentence", "我是学生。你好吗", 6, ["我是学生。", "你好吗"]),
        ("word", "one two three four", 14, ["one two three", "four"]),
        ("nothing to cut at", "abcdefghij", 4, ["abcd", "efgh", "ij"]),
        ("list items stay whole", "- a b\n- c d\n- e f", 12, ["- a b\n- c d", "- e f"]),
        ("nested items stay with theirs", "- aa\n- bb\n  - c\n- dd", 16, ["- aa\n- bb\n  - c", "- dd"]),
        ("code", "```py\na = 1\nb = 2\nc = 3\n```", 22, ["```py\na = 1\nb = 2\n```", "```py\nc = 3\n```"]),
        ("code without language", "```\naaaa\nbbbb\n```", 14, ["```\naaaa\n```", "```\nbbbb\n```"]),
        ("unfinished code is closed", "look:\n```py\nx = 1", 40, ["look:\n```py\nx = 1\n```"]),
        ("spoiler", "||aaaa bbbb cccc||", 12, ["||aaaa||", "||bbbb||", "||cccc||"]),
        ("bold", "**aaaa bbbb**", 10, ["**aaaa**", "**bbbb**"]),
        ("bold in a spoiler", "||**aaaa bbbb**||", 14, ["||**aaaa**||", "||**bbbb**||"]),
        ("inline code", "see `aaaa bbbb` there", 13, ["see `aaaa`", "`bbbb` there"]),
        ("a lone marker is text", "2 ** 3 is 8, is it not", 16, ["2 ** 3 is 8, is", "it not"]),
        ("markers in code are text", "`||` and some words", 12, ["`||` and", "some words"]),
        ("quoted line", "> aaaa bbbb cccc", 12, ["> aaaa bbbb", "> cccc"]),
        (
            "code in a quote",
            "> ```py\n> aaaa\n> bbbb\n> ```",
            22,
            ["> ```py\n> aaaa\n> ```", "> ```py\n> bbbb\n> ```"],
        ),
        (
            "a long line of code in a quote",
            "> ```py\n> aaaa bbbb\n> ```",
            22,
            ["> ```py\n> aaaa\n> ```", "> ```py\n> bbbb\n> ```"],
        ),
        ("quote to the end", ">>> aaaa\nbbbb\ncccc", 14, [">>> aaaa\nbbbb", ">>> cccc"]),
        ("a link is not cut", "go [to this place](https://a.example/b c) x", 40, None),
        ("an address is not cut", "see https://example.com/abc now", 28, ["see https://example.com/abc", "now"]),
        (
            "an address goes to the next part",
            "aaa bbb https://example.com/ab",
            26,
            ["aaa bbb", "https://example.com/ab"],
        ),
        ("a family stays together", "aaaaaa👨‍👩‍👧", 8, ["aaaaaa", "👨‍👩‍👧"]),
        ("an accent stays on its letter", "aaae\u0301bbb", 4, ["aaa", "e\u0301bb", "b"]),
    ],
)
def test_where_it_is_cut(name: str, text: str, limit: int, parts: list[str] | None) -> None:
    cut = split(text, limit)
    assert "".join(part.body for part in cut) == text
    if parts is not None:
        assert [part.text for part in cut] == parts


MARKS = [
    "```",
    "```py\n",
    "`",
    "||",
    "**",
    "__",
    "~~",
    "> ",
    ">>> ",
    "\n",
    "\n\n",
    " ",
    ". ",
    "- ",
    "1. ",
    "|",
    "\\",
]
PIECES = st.one_of(
    st.sampled_from(MARKS),
    st.text(max_size=30),
    st.from_regex(r"[a-z]{1,40}", fullmatch=True),
    st.sampled_from(["[text](https://example.com/x)", "https://example.com/a/b?c", "👨‍👩‍👧", "<@123>", "e\u0301"]),
)
REPLIES = st.lists(PIECES, max_size=60).map("".join)


@given(REPLIES, st.integers(60, 200))
@example("```" + "x" * 300, 60)
@example("`" * 200, 60)
@example("||" * 100 + "**" * 100, 60)
@example(" " * 300 + "a", 60)
@example("a" + "\n" * 300 + "b", 60)
def test_joining_the_parts_gives_the_reply(text: str, limit: int) -> None:
    parts = split(text, limit)
    assert "".join(part.body for part in parts) == text
    assert all(len(part.text) <= limit for part in parts)
    if text.strip():
        assert all(part.text for part in parts), "Discord refuses an empty message"


@pytest.mark.parametrize("piece", ["`", "[", "*", "|", "> a\n", "**a** `b` ||c|| ", "[a](https://", "](", "[a](b "])
def test_a_long_text_of_nothing_but_markers_is_cut_like_any_other(piece: str) -> None:
    """In a moment: what looks at each marker for every other one would take minutes."""
    text = unforged(piece * (20_000 // len(piece)))
    parts = split(text)
    assert "".join(part.body for part in parts) == text and all(len(part.text) <= 2000 for part in parts)


WORDS = st.lists(st.from_regex(r"[a-z]{1,9}", fullmatch=True), min_size=1, max_size=60)
BLOCKS = st.one_of(
    WORDS.map(" ".join),
    WORDS.map(lambda w: "```py\n" + "\n".join(w) + "\n```"),
    WORDS.map(lambda w: "||" + " ".join(w) + "||"),
    WORDS.map(lambda w: "\n".join(f"- {x}" for x in w)),
    WORDS.map(lambda w: "> " + " ".join(w)),
)


@given(st.lists(BLOCKS, min_size=1, max_size=6).map("\n\n".join), st.integers(80, 160))
def test_every_part_stands_alone(text: str, limit: int) -> None:
    for part in split(text, limit):
        assert part.text.count("```") % 2 == 0
        assert part.text.count("||") % 2 == 0
    assert not any(word.startswith("```p") and word != "```py" for word in text.split())


LINES = st.lists(st.text("ab `x.", min_size=1, max_size=200).filter(lambda s: "```" not in s), max_size=5)


@given(st.text("ab c", max_size=300), LINES, st.integers(40, 90))
@example("a" * 300, [], 60)
@example("", ["b" * 300], 60)
def test_what_is_cut_in_a_quoted_code_block_stays_in_the_quote(opening: str, lines: list[str], limit: int) -> None:
    text = "\n".join(["> ```" + opening, *("> " + line for line in lines), "> ```"])
    parts = split(text, limit)
    assert "".join(part.body for part in parts) == text
    for part in parts:
        assert len(part.text) <= limit
        assert all(line.startswith(">") for line in part.text.split("\n")), part.text


@given(WORDS.map(" ".join), st.integers(20, 60))
def test_plain_words_are_never_broken(text: str, limit: int) -> None:
    assert " ".join(texts(text, limit)).split() == text.split()


def test_a_part_without_additions_is_what_was_said() -> None:
    assert Part("  hello\n").text == "hello"
