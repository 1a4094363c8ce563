import itertools
import re

from glasshead.predict.text import TextStream
from hypothesis import given
from hypothesis import strategies as st


def stream(pieces: list[bytes], stop: tuple[str, ...] = ()) -> tuple[str, str | None]:
    stream = TextStream(stop)
    text = "".join(stream.feed(piece) for piece in pieces) + stream.finish()
    return text, stream.stopped


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    bounds = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(bounds)]


# Few letters, so that stop strings occur, overlap and nearly occur; and characters of 2, 3 and 4 bytes.
letters = st.text(alphabet="abc\né€🙂", max_size=30)
stops = st.lists(st.text(alphabet="abcé🙂", min_size=1, max_size=4), max_size=3).map(tuple)
cuts = st.lists(st.integers(0, 200), max_size=40)


@given(letters, stops, cuts)
def test_any_cutting_gives_the_same_text(text: str, stop: tuple[str, ...], at: list[int]) -> None:
    data = text.encode()
    by_byte = stream([bytes([byte]) for byte in data], stop)
    assert stream(cut(data, at), stop) == by_byte == stream([data], stop)


@given(st.binary(max_size=40), cuts)
def test_invalid_bytes_become_replacement_characters_once_certain(data: bytes, at: list[int]) -> None:
    assert stream(cut(data, at)) == (data.decode(errors="replace"), None)


@given(letters, stops, cuts)
def test_a_stop_string_never_comes_out(text: str, stop: tuple[str, ...], at: list[int]) -> None:
    shown, stopped = stream(cut(text.encode(), at), stop)
    assert text.startswith(shown)
    assert not any(s in shown for s in stop)
    if stopped is None:
        assert shown == text
    else:
        assert text[len(shown) :].startswith(stopped)


@given(letters, stops)
def test_text_is_held_back_no_longer_than_needed(text: str, stop: tuple[str, ...]) -> None:
    stream = TextStream(stop)
    fed = shown = ""
    for character in text:
        fed += character
        shown += stream.feed(character.encode())
        if stream.stopped:
            break
        held = fed[len(shown) :]
        assert not held or any(s.startswith(held) for s in stop)


def test_half_a_character_is_held_back() -> None:
    stream = TextStream()
    assert [stream.feed(bytes([b])) for b in "🙂".encode()] == ["", "", "", "🙂"]


def test_half_a_character_at_the_end_is_shown_as_such() -> None:
    stream = TextStream()
    assert stream.feed("né".encode()[:2]) == "n"
    assert stream.finish() == "\ufffd"


def test_the_stop_string_that_is_complete_first_ends_the_text() -> None:
    assert stream([b"abcd"], ("bcd", "c")) == ("ab", "c")


def test_nothing_comes_out_after_a_stop_string() -> None:
    stream = TextStream(("END",))
    assert stream.feed(b"one END two") == "one "
    assert (stream.feed(b" three"), stream.finish(), stream.stopped) == ("", "", "END")


def test_a_stop_string_may_cross_many_tokens() -> None:
    pieces = re.findall(rb".", b"hi\nUser: me", re.DOTALL)
    assert stream(pieces, ("\nUser:",)) == ("hi", "\nUser:")
