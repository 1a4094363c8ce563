import itertools

import pytest
from glasshead.predict.reasoning import ReasoningSplitter, split
from hypothesis import given
from hypothesis import strategies as st


def stream(parts: list[str], opened: bool) -> tuple[str, str]:
    splitter = ReasoningSplitter(opened)
    deltas = [splitter.feed(part) for part in parts] + [splitter.finish()]
    return "".join(reasoning for reasoning, _ in deltas), "".join(answer for _, answer in deltas)


@pytest.mark.parametrize(
    ("text", "opened", "reasoning", "answer"),
    [
        ("Hello", False, "", "Hello"),
        ("", False, "", ""),
        ("  Hello \n", False, "", "  Hello \n"),
        ("<think>\nHm.\n</think>\n\nHello", False, "Hm.", "Hello"),
        ("\n<think>Hm.</think>Hello", False, "Hm.", "Hello"),
        ("<think>\n\n</think>\n\nHello", False, "", "Hello"),
        ("Hm.\n</think>\n\nHello", True, "Hm.", "Hello"),
        ("Hello <think>no</think>", False, "", "Hello <think>no</think>"),
        ("<think>a</think>b</think>c", False, "a", "b</think>c"),
        ("<think>never closed ", False, "never closed", ""),
        ("never closed", True, "never closed", ""),
        ("<thi", False, "", "<thi"),
        ("<thinker>", False, "", "<thinker>"),
        ("a < b </thin", True, "a < b </thin", ""),
    ],
)
def test_reasoning_and_answer_are_kept_apart(text: str, opened: bool, reasoning: str, answer: str) -> None:
    assert split(text, opened=opened) == (reasoning, answer)
    assert stream(list(text), opened) == (reasoning, answer)


fragments = st.lists(st.sampled_from(["<think>", "</think>", "<", "think", ">", " ", "\n", "a", "</"]), max_size=12)


@given(fragments, st.booleans(), st.lists(st.integers(0, 80), max_size=20))
def test_any_cutting_gives_the_same_result(parts: list[str], opened: bool, cuts: list[int]) -> None:
    text = "".join(parts)
    bounds = [0, *sorted(cut % (len(text) + 1) for cut in cuts), len(text)]
    cut = [text[a:b] for a, b in itertools.pairwise(bounds)]
    assert stream(cut, opened) == stream(list(text), opened) == split(text, opened=opened)
