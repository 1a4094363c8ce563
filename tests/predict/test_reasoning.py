import itertools

import pytest
from glasshead.predict.reasoning import ReasoningSplitter, split
from glasshead.predict.tags import FAMILIES, THINK, Tags, tags_of, thought_field
from hypothesis import given
from hypothesis import strategies as st

from .samples import templates


def stream(parts: list[str], opened: bool, tags: Tags = THINK) -> tuple[str, str]:
    splitter = ReasoningSplitter(opened, tags)
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


HARMONY = FAMILIES[0]


@pytest.mark.parametrize("tags", FAMILIES, ids=lambda tags: tags.open)
def test_every_family_keeps_its_thoughts_apart(tags: Tags) -> None:
    written = tags.joined("Hm.", "Hello")
    for text, opened, expected in (
        (written, False, ("Hm.", "Hello")),
        (written.removeprefix(tags.open), True, ("Hm.", "Hello")),
        (f"{tags.open}Hm. {tags.close} Hello", False, ("Hm.", "Hello")),  # a header is not always written
        ("Hello", False, ("", "Hello")),
        (f"Hello {tags.open}no{tags.close}", False, ("", f"Hello {tags.open}no{tags.close}")),
        (f"{tags.open}Hm. {tags.close[:-1]}", False, (f"Hm. {tags.close[:-1]}", "")),
        *((f"{header} Hello", False, ("", "Hello")) for header in tags.headers),
    ):
        assert split(text, opened=opened, tags=tags) == expected
        assert stream(list(text), opened, tags) == expected
    parts = tags.apart(written)
    assert parts is not None and "".join(parts) == written
    assert (parts.reasoning.strip(), parts.answer.strip()) == ("Hm.", "Hello")
    assert tags.apart("Hello") is None


def test_a_harmony_reply_without_a_thought_has_only_its_header() -> None:
    assert HARMONY.apart("<|channel|>final<|message|>Hi") == ("", "", "<|channel|>final<|message|>", "Hi")


@pytest.mark.parametrize(
    ("template", "opening", "field"),
    [
        ("Qwen-Qwen3-0.6B", "<think>", "reasoning_content"),
        ("openai-gpt-oss-120b", "<|channel|>analysis<|message|>", "thinking"),
        ("llm-jp-llm-jp-4.1-8b-thinking", "<|channel|>analysis<|message|>", "thinking"),
        ("upstage-Solar-Open-100B", "<|think|>", "reasoning"),
        ("google-gemma-4-31B-it", "<|channel>thought", "reasoning_content"),
        ("ByteDance-Seed-OSS", "<seed:think>", "reasoning_content"),
        ("MiniMax-M3", "<mm:think>", "reasoning_content"),
        ("tencent-Hy3", "<think:opensource>", "reasoning_content"),
        ("mistralai-Ministral-3-14B-Reasoning-2512", "[THINK]", None),
        ("CohereForAI-c4ai-command-r7b-12-2024-tool_use", "<|START_THINKING|>", "reasoning_content"),
        ("Apertus-8B-Instruct", "<|inner_prefix|>", None),
        ("Apriel-1.6-15b-Thinker-fixed", "Here are my reasoning steps:", "reasoning_content"),
        ("unsloth-Apriel-1.5", "Here are my reasoning steps:", "thought"),
        ("LFM2.5-8B-A1B", "<think>", "thinking"),
        ("deepseek-ai-DeepSeek-V3.1", "<think>", None),
    ],
)
def test_tags_and_field_are_known_from_the_template(template: str, opening: str, field: str | None) -> None:
    source = templates()[template]
    assert (tags_of(source, ()).open, thought_field(source)) == (opening, field)


def test_without_a_word_in_the_template_the_vocabulary_tells() -> None:
    assert tags_of("{{ messages }}", ()) == THINK
    assert tags_of("{{ messages }}", ("<s>", "[THINK]", "[/THINK]")).open == "[THINK]"
    assert tags_of("{{ messages }}", ("<|think|>", "<|end|>")) == THINK  # an end token is no sign of a thought


fragments = st.lists(
    st.sampled_from(["<think>", "</think>", "<", "think", ">", " ", "\n", "a", "</"])
    | st.sampled_from([HARMONY.open, HARMONY.close, *HARMONY.headers, "<|start|>", "<|channel|>", "final"]),
    max_size=12,
)


@given(fragments, st.booleans(), st.lists(st.integers(0, 80), max_size=20), st.sampled_from([THINK, HARMONY]))
def test_any_cutting_gives_the_same_result(parts: list[str], opened: bool, cuts: list[int], tags: Tags) -> None:
    text = "".join(parts)
    bounds = [0, *sorted(cut % (len(text) + 1) for cut in cuts), len(text)]
    cut = [text[a:b] for a, b in itertools.pairwise(bounds)]
    assert stream(cut, opened, tags) == stream(list(text), opened, tags) == split(text, opened=opened, tags=tags)
