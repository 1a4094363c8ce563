import datetime
import time
from dataclasses import replace
from itertools import pairwise

import llama_cpp
import pytest
from glasshead.errors import UserError
from glasshead.predict.message import Conversation, Message
from glasshead.predict.model import Model
from glasshead.predict.prompt import Prompt
from glasshead.predict.render import Renderer
from glasshead.predict.template_process import environment
from glasshead.predict.vocabulary import SPECIAL, Vocabulary
from hypothesis import given, settings
from hypothesis import strategies as st

from .samples import VOCABULARIES, templates, vocabulary_model

DATE = datetime.date(2026, 11, 22)
ROOM = 1_000_000
TRIMMING = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content | trim }}<|im_end|>\n{% endfor %}<|im_start|>"
)
THINKING = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{{ m.content.split('</think>')[-1] if m.role == 'assistant' else m.content }}<|im_end|>\n{% endfor %}"
    "<|im_start|>assistant\n"
)


@pytest.fixture(scope="module")
def model(loaded: Model) -> Model:
    return loaded


@pytest.fixture(scope="module")
def vocabulary(model: Model) -> Vocabulary:
    return model.vocabulary


@pytest.fixture(scope="module")
def renderer(model: Model) -> Renderer:
    return Renderer(model.vocabulary, model.template, date=DATE)


def user(text: str, id: int = 0, author: str | None = None) -> Message:
    return Message("user", text, id=id, author=author)


def reply(vocabulary: Vocabulary, text: str, id: int = 0, *, ended: bool = True, reasoning: str = "") -> Message:
    """A reply as the model might have generated it."""
    said = f"<think>\n{reasoning}\n</think>\n\n{text}" if reasoning else text
    end = (vocabulary.eos,) if ended and vocabulary.eos is not None else ()
    ids = (*vocabulary.tokenise(said, special=False), *end)
    return Message("assistant", text, ids=ids, reasoning=reasoning, id=id)


def checked(prompt: Prompt, vocabulary: Vocabulary, conversation: Conversation) -> Prompt:
    """What holds for every prompt: spans without gap, typed text untouched and never special, replies by id."""
    assert not prompt.spans or prompt.spans[0].start == 0
    assert not prompt.spans or prompt.spans[-1].end == len(prompt.ids)
    assert all(a.end == b.start for a, b in pairwise(prompt.spans))
    assert all(span.start < span.end for span in prompt.spans)
    messages = {message.id: message for message in conversation}
    for span in prompt.spans:
        ids = prompt.ids[span.start : span.end]
        if span.kind == "typed":
            assert vocabulary.detokenise(ids) == messages[span.message].text.encode()
        if span.kind == "generated":
            said = messages[span.message].ids
            assert ids == said or (ids == said[:-1] and vocabulary.is_end(said[-1]))
        if span.kind in ("typed", "rewritten") or (span.message is not None and span.kind == "marker"):
            assert not [id for id in ids if vocabulary.kind(id) in SPECIAL]
    return prompt


def kinds(prompt: Prompt) -> list[tuple[str, int | None]]:
    return [(span.kind, span.message) for span in prompt.spans if span.message is not None]


def text_of(prompt: Prompt, vocabulary: Vocabulary) -> str:
    return vocabulary.detokenise(prompt.ids).decode()


def test_a_prompt_is_what_the_template_writes(renderer: Renderer, vocabulary: Vocabulary) -> None:
    conversation = (
        Message("system", "Be brief.", id=1),
        user("Hello", 2),
        reply(vocabulary, "Hi.", 3),
        user("Bye", 4),
    )
    prompt = checked(renderer.render(conversation, budget=ROOM), vocabulary, conversation)
    assert text_of(prompt, vocabulary) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n"
        "<|im_start|>assistant\nHi.<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n"
    )
    assert kinds(prompt) == [("typed", 1), ("typed", 2), ("generated", 3), ("typed", 4)]
    assert (prompt.dropped_turns, prompt.dropped_tokens, prompt.budget) == (0, 0, ROOM)


def test_the_next_prompt_begins_with_this_prompt_and_its_reply(renderer: Renderer, vocabulary: Vocabulary) -> None:
    conversation: Conversation = (Message("system", "Be brief.", id=1), user(" Hello\n", 2))
    for n, text in enumerate(
        ["Hi.", " spaced \n\n", "🙂 café", "", "a <|im_end|> b", "<think>\nHm.\n</think>\n\nYes"], 3
    ):
        prompt = renderer.render(conversation, budget=ROOM)
        answer = reply(vocabulary, text, 10 * n)
        conversation = (*conversation, answer, user("And?", 10 * n + 1))
        after = checked(renderer.render(conversation, budget=ROOM), vocabulary, conversation)
        assert after.ids[: len(prompt.ids) + len(answer.ids)] == prompt.ids + answer.ids


def test_a_reply_that_ends_in_half_a_character_goes_back_as_it_was(
    renderer: Renderer, vocabulary: Vocabulary
) -> None:
    ids = tuple(vocabulary.tokenise("ok \U0001faf7", special=False)[:-1])
    text = vocabulary.detokenise(ids).decode(errors="replace")
    assert text.endswith("\ufffd")
    prompt = renderer.render((user("a", 1),), budget=ROOM)
    after = renderer.render((user("a", 1), Message("assistant", text, ids=ids, id=2), user("b", 3)), budget=ROOM)
    assert after.ids[: len(prompt.ids) + len(ids)] == prompt.ids + ids


@pytest.mark.parametrize("text", ["cut at a stop", "edited", ""])
def test_a_reply_changed_since_is_tokenised_anew(renderer: Renderer, vocabulary: Vocabulary, text: str) -> None:
    answer = replace(reply(vocabulary, "cut at a stop string", 2), text=text)
    conversation = (user("a", 1), answer, user("b", 3))
    prompt = checked(renderer.render(conversation, budget=ROOM), vocabulary, conversation)
    assert f"assistant\n{text}<|im_end|>" in text_of(prompt, vocabulary)
    assert ("generated", 2) not in kinds(prompt)


def test_a_text_written_twice_is_two_spans(vocabulary: Vocabulary) -> None:
    twice = Renderer(vocabulary, "{% for m in messages %}{{ m.content }}{{ m.content }}{% endfor %}", date=DATE)
    conversation = (user("said", 1), user("again", 2))
    prompt = checked(twice.render(conversation, budget=ROOM), vocabulary, conversation)
    assert kinds(prompt) == [("typed", 1), ("typed", 1), ("typed", 2), ("typed", 2)]


def test_ids_of_another_vocabulary_are_not_believed(renderer: Renderer, vocabulary: Vocabulary) -> None:
    answer = Message("assistant", "Hi.", ids=(5, 900_000, -3), id=2)
    prompt = renderer.render((user("a", 1), answer, user("b", 3)), budget=ROOM)
    assert ("rewritten", 2) in kinds(prompt)
    assert "assistant\nHi.<|im_end|>" in text_of(prompt, vocabulary)


def test_a_template_that_trims_is_followed(vocabulary: Vocabulary) -> None:
    renderer = Renderer(vocabulary, TRIMMING, date=DATE)
    conversation = (user("  Hello\n", 1), reply(vocabulary, " Hi. ", 2), user("Bye", 3), user(" \n", 4))
    prompt = checked(renderer.render(conversation, budget=ROOM), vocabulary, conversation)
    assert kinds(prompt) == [("rewritten", 1), ("rewritten", 2), ("typed", 3)]
    assert "user\nHello<|im_end|>\n<|im_start|>assistant\nHi.<|im_end|>\n" in text_of(prompt, vocabulary)


def test_a_template_that_trims_newlines_only_is_followed(vocabulary: Vocabulary) -> None:
    renderer = Renderer(vocabulary, "{{ messages[0].content.strip('\\n') }}|", date=DATE)
    prompt = renderer.render((user("\n  a \n\n", 1),), budget=ROOM)
    assert text_of(prompt, vocabulary) == "  a |"
    assert kinds(prompt) == [("rewritten", 1)]


def test_old_thoughts_are_left_out_where_the_template_does(vocabulary: Vocabulary) -> None:
    renderer = Renderer(vocabulary, THINKING, date=DATE)
    conversation = (user("</think> a", 1), reply(vocabulary, "Yes.", 2, reasoning="Hm."), user("b", 3))
    prompt = checked(renderer.render(conversation, budget=ROOM), vocabulary, conversation)
    assert "assistant\n\n\nYes.<|im_end|>" in text_of(prompt, vocabulary)
    assert "Hm." not in text_of(prompt, vocabulary)
    assert kinds(prompt) == [("typed", 1), ("rewritten", 2), ("typed", 3)]


def test_thoughts_stay_where_the_template_keeps_them(renderer: Renderer, vocabulary: Vocabulary) -> None:
    answer = reply(vocabulary, "Yes.", 2, reasoning="Hm.")
    conversation = (user("a", 1), answer, user("b", 3))
    prompt = checked(renderer.render(conversation, budget=ROOM), vocabulary, conversation)
    assert "assistant\n<think>\nHm.\n</think>\n\nYes.<|im_end|>" in text_of(prompt, vocabulary)
    assert ("generated", 2) in kinds(prompt)


def test_a_thought_that_the_template_opens_is_seen(vocabulary: Vocabulary, renderer: Renderer) -> None:
    opening = Renderer(vocabulary, THINKING + "<think>\n", date=DATE)
    prompt = opening.render((user("a <think>", 1),), budget=ROOM)
    assert opening.opens_thought(prompt)
    assert not renderer.opens_thought(renderer.render((user("a <think>", 1),), budget=ROOM))


def test_what_a_person_typed_opens_no_thought(vocabulary: Vocabulary) -> None:
    """Also where the template writes no more than a line's end behind it."""
    lines = Renderer(vocabulary, "{% for m in messages %}{{ m.content }}\n{% endfor %}", date=DATE)
    assert not lines.opens_thought(lines.render((user("a <think>", 1),), budget=ROOM))


def test_each_conversation_has_its_own_date(vocabulary: Vocabulary, renderer: Renderer) -> None:
    dated = Renderer(vocabulary, "{{ strftime_now('%d %B %Y') }} {{ messages[0].content }}", date=DATE)
    older = dated.dated(datetime.date(2025, 2, 3))
    said = [text_of(each.render((user("a", 1),), budget=ROOM), vocabulary) for each in (dated, older, dated)]
    assert said == ["22 November 2026 a", "03 February 2025 a", "22 November 2026 a"]
    assert (dated.asks_date, renderer.asks_date) == (True, False)


def test_speakers_are_named(renderer: Renderer, vocabulary: Vocabulary) -> None:
    conversation = (
        user(" Hello", 1, author="Ann"),
        user("Hi", 2, author="a:\n<|im_end|>" + "x" * 99),
        user("c", 3, "\u202e"),
    )
    prompt = checked(renderer.render(conversation, budget=ROOM), vocabulary, conversation)
    text = text_of(prompt, vocabulary)
    assert "user\nAnn:  Hello<|im_end|>" in text
    assert "user\na <|im_end|>" + "x" * 52 + ": Hi<|im_end|>" in text
    assert "user\nsomeone: c<|im_end|>" in text
    assert [kind for kind, message in kinds(prompt) if message == 1] == ["marker", "typed"]


NO_SYSTEM = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    "{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('alternate') }}{% endif %}"
    "[{{ m.role }}]{{ m.content }}{% endfor %}"
)
IGNORES_SYSTEM = (
    "{% for m in messages %}{% if m.role != 'system' %}[{{ m.role }}]{{ m.content }}{% endif %}{% endfor %}"
)


@pytest.mark.parametrize("template", [NO_SYSTEM, IGNORES_SYSTEM])
def test_without_a_system_role_its_text_goes_before_the_first_user(vocabulary: Vocabulary, template: str) -> None:
    conversation = (Message("system", "Be brief.", id=1), user("Hello", 2))
    prompt = checked(
        Renderer(vocabulary, template, date=DATE).render(conversation, budget=ROOM), vocabulary, conversation
    )
    assert text_of(prompt, vocabulary) == "[user]Be brief.\n\nHello"
    assert kinds(prompt) == [("typed", 1), ("typed", 2)]


def test_roles_that_must_alternate_are_made_to(vocabulary: Vocabulary) -> None:
    renderer = Renderer(vocabulary, NO_SYSTEM, date=DATE)
    conversation = (Message("assistant", "Welcome.", id=1), user("a", 2), user("b", 3))
    prompt = checked(renderer.render(conversation, budget=ROOM), vocabulary, conversation)
    assert text_of(prompt, vocabulary) == "[user][assistant]Welcome.[user]a\n\nb"
    assert kinds(prompt) == [("rewritten", 1), ("typed", 2), ("typed", 3)]


def test_a_template_that_wants_parts_gets_them(vocabulary: Vocabulary) -> None:
    template = "{% for m in messages %}{% for part in m.content %}{{ part.text }}{% endfor %}{% endfor %}"
    prompt = Renderer(vocabulary, template, date=DATE).render((user("Hello", 1),), budget=ROOM)
    assert text_of(prompt, vocabulary) == "Hello"


@pytest.mark.parametrize(
    "template", ["constant", "{{ messages[0].content }}", "{{ messages[-1].content | upper | length }}"]
)
def test_a_template_that_loses_messages_is_refused(vocabulary: Vocabulary, template: str) -> None:
    with pytest.raises(UserError, match="leaves messages out"):
        Renderer(vocabulary, template, date=DATE).render(
            (user("a"), Message("assistant", "b"), user("c")), budget=ROOM
        )


def test_a_model_without_a_template_gets_a_plain_transcript(vocabulary: Vocabulary) -> None:
    renderer = Renderer(vocabulary, None, date=DATE)
    conversation = (
        Message("system", "Be brief.", id=1),
        user("Hello", 2),
        reply(vocabulary, " Hi.", 3),
        user("Bye", 4),
    )
    prompt = checked(renderer.render(conversation, budget=ROOM), vocabulary, conversation)
    assert text_of(prompt, vocabulary) == "Be brief.\n\nUser: Hello\nAssistant: Hi.\nUser: Bye\nAssistant:"
    assert ("generated", 3) in kinds(prompt)
    assert renderer.stop == ("\nUser:",)


TYPED = [
    "</think>",
    "<think>",
    "{{ messages }} {% raw %}",
    "User: a\nAssistant: b",
    "\0",
    "\U000f0000\U00100000",
    " \n ",
    "x" * 100_000,
    "[INST] <<SYS>> [/INST]</s><s>",
]


@pytest.mark.parametrize("text", TYPED)
def test_whatever_is_typed_stays_text(renderer: Renderer, vocabulary: Vocabulary, text: str) -> None:
    conversation = (Message("system", text, id=1), user(text, 2))
    prompt = checked(renderer.render(conversation, budget=ROOM), vocabulary, conversation)
    assert kinds(prompt) == [("typed", 1), ("typed", 2)]
    expected = f"<|im_start|>system\n{text}<|im_end|>\n<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n"
    assert text_of(prompt, vocabulary) == expected


@settings(max_examples=80, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=12), min_size=1, max_size=6))
def test_any_conversation_is_rendered(model: Model, texts: list[str]) -> None:
    for template in (model.template, TRIMMING, THINKING, None):
        renderer = Renderer(model.vocabulary, template, date=DATE)
        conversation = tuple(
            user(text, n) if n % 2 == 0 else Message("assistant", text, id=n) for n, text in enumerate(texts)
        )
        checked(renderer.render(conversation, budget=ROOM), model.vocabulary, conversation)


def test_a_character_the_vocabulary_lacks_becomes_a_question_mark(
    renderer: Renderer, vocabulary: Vocabulary
) -> None:
    prompt = renderer.render((user("a\U00040000b", 1),), budget=ROOM)
    assert "user\na?b<|im_end|>" in text_of(prompt, vocabulary)
    assert kinds(prompt) == [("rewritten", 1)]


def test_lone_surrogates_are_refused(renderer: Renderer) -> None:
    with pytest.raises(UserError, match="not valid Unicode"):
        renderer.render((user("a\ud800b"),), budget=ROOM)


def test_there_must_be_a_message(renderer: Renderer) -> None:
    with pytest.raises(UserError, match="no message"):
        renderer.render((), budget=ROOM)


def long_conversation(vocabulary: Vocabulary, turns: int) -> Conversation:
    messages = [Message("system", "Be brief.", id=1)]
    for n in range(turns):
        messages += [
            user(f"Question {n}: " + "why? " * (n % 7), 10 * n + 2),
            reply(vocabulary, f"Because {n}.", 10 * n + 3),
        ]
    return (*messages, user("And now?", 5))


def test_a_conversation_too_long_loses_its_oldest_turns(renderer: Renderer, vocabulary: Vocabulary) -> None:
    conversation = long_conversation(vocabulary, 60)
    whole = renderer.render(conversation, budget=ROOM)
    prompt = checked(renderer.render(conversation, budget=400), vocabulary, conversation)
    assert len(prompt.ids) <= 400
    assert prompt.dropped_turns > 0
    assert prompt.dropped_tokens == len(whole.ids) - len(prompt.ids)
    left = {message for _, message in kinds(prompt)}
    kept = conversation[1 + 2 * prompt.dropped_turns :]
    assert left == {1, *(message.id for message in kept)}
    assert renderer.render(conversation, budget=400) == prompt


def test_turns_after_a_loss_find_their_prefix_again(renderer: Renderer, vocabulary: Vocabulary) -> None:
    budget, hits, losses = 600, 0, 0
    before: Prompt | None = None
    for turns in range(40, 100):
        prompt = renderer.render(long_conversation(vocabulary, turns), budget=budget)
        assert len(prompt.ids) <= budget
        if before is not None and prompt.dropped_turns == before.dropped_turns:
            shared = len(before.ids) - 20  # all but the newest question, which another has replaced
            hits += prompt.ids[:shared] == before.ids[:shared]
        else:
            losses += 1
        before = prompt
    assert hits + losses == 60
    assert losses <= 16


def test_the_newest_message_and_the_system_prompt_stay(renderer: Renderer, vocabulary: Vocabulary) -> None:
    conversation = (*long_conversation(vocabulary, 5)[:-1], user("word " * 300, 99))
    prompt = renderer.render(conversation, budget=340)
    assert kinds(prompt) == [("typed", 1), ("typed", 99)]
    assert prompt.dropped_turns == 5


def test_a_message_that_cannot_fit_is_refused_with_the_sizes(renderer: Renderer, vocabulary: Vocabulary) -> None:
    size = len(vocabulary.tokenise("word " * 300, special=False))
    with pytest.raises(UserError, match=rf"takes {size} tokens beside a system prompt of 3, .* room for 200"):
        renderer.render((Message("system", "Be brief."), user("a"), user("word " * 300)), budget=200)


def test_a_hundred_turns_take_milliseconds(renderer: Renderer, vocabulary: Vocabulary) -> None:
    conversation = long_conversation(vocabulary, 100)
    renderer.render(conversation, budget=ROOM)
    times = []
    for _ in range(9):
        started = time.perf_counter()
        renderer.render(conversation, budget=ROOM)
        times.append(time.perf_counter() - started)
    assert min(times) < 0.05


# Benign texts, so that a template rendered directly, texts and all, is what the prompt must say.
PLAIN_CONVERSATION = (
    Message("system", "Be kind.", id=1),
    user("Hello there", 2),
    Message("assistant", "Hi!", id=3),
    user("How are you?", 4),
)


def rendered_directly(source: str, vocabulary: Vocabulary) -> str | None:
    names = [vocabulary.piece(id).decode() if id is not None else "" for id in (vocabulary.bos, vocabulary.eos)]
    messages = [{"role": message.role, "content": message.text} for message in PLAIN_CONVERSATION]
    try:
        return (
            environment(DATE)
            .from_string(source)
            .render(
                messages=messages,
                bos_token=names[0],
                eos_token=names[1],
                add_generation_prompt=True,
                tools=None,
                documents=None,
            )
        )
    except Exception:  # refused, or written for tools only: then there is no text to compare with
        return None


OTHERS = ("llama-spm", "gemma-4", "phi-3", "deepseek-llm")


@pytest.mark.parametrize("name", ["qwen2", *OTHERS])
def test_every_template_is_rendered_as_it_writes(name: str) -> None:
    """With the first vocabulary, and with one of the others."""
    sources = list(templates().values())
    mine = sources if name == "qwen2" else sources[OTHERS.index(name) :: len(OTHERS)]
    model = vocabulary_model(name)
    compared = 0
    for source in mine:
        renderer = Renderer(model.vocabulary, source, date=DATE)
        prompt = renderer.render(PLAIN_CONVERSATION, budget=ROOM)
        checked(prompt, model.vocabulary, PLAIN_CONVERSATION)
        assert {message for _, message in kinds(prompt)} == {1, 2, 3, 4}
        expected = rendered_directly(source, model.vocabulary)
        if expected is not None:
            bos = model.vocabulary.piece(model.vocabulary.bos).decode() if model.vocabulary.adds_bos else ""
            text = text_of(prompt, model.vocabulary)
            assert text == expected or (not expected.startswith(bos) and text == bos + expected)
            compared += 1
    assert compared >= 0.8 * len(mine)


@pytest.mark.parametrize("name", ["default", "qwen2", "llama-bpe", "gemma-4"])
def test_ids_are_those_llama_cpp_finds_in_the_whole_text(name: str, loaded: Model) -> None:
    model = loaded if name == "default" else vocabulary_model(name)
    source = templates()["Qwen-Qwen2.5-7B-Instruct" if name == "qwen2" else "meta-llama-Llama-3.1-8B-Instruct"]
    renderer = Renderer(model.vocabulary, model.template or source, date=DATE)
    prompt = renderer.render(PLAIN_CONVERSATION, budget=ROOM)
    text = model.vocabulary.detokenise(prompt.ids)
    tokens = (llama_cpp.llama_token * 1000)()
    pointer = llama_cpp.llama_model_get_vocab(model.pointer)
    count = llama_cpp.llama_tokenize(pointer, text, len(text), tokens, 1000, False, True)
    assert prompt.ids == tuple(tokens[:count])


@pytest.mark.parametrize("name", VOCABULARIES)
def test_special_tokens_of_every_vocabulary_stay_text_in_a_prompt(name: str) -> None:
    model = vocabulary_model(name)
    source = model.template or templates()["Qwen-Qwen2.5-7B-Instruct"]
    renderer = Renderer(model.vocabulary, source, date=DATE)
    specials = [text for text in model.vocabulary.special.values() if text.strip()]
    typed = (user(" ".join(specials), 1), Message("assistant", "ok", id=2), user("".join(specials) + "\n", 3))
    prompt = checked(renderer.render(typed, budget=10 * ROOM), model.vocabulary, typed)
    assert {1, 3} <= {message for _, message in kinds(prompt)}


@pytest.mark.parametrize("name", ["llama-spm", "gemma-4", "phi-3", "command-r", "llama-bpe"])
def test_bos_stands_at_the_beginning_once(name: str) -> None:
    model = vocabulary_model(name)
    bos = model.vocabulary.bos
    for template in ("{{ bos_token }}{{ messages[0].content }}", "{{ messages[0].content }}"):
        prompt = Renderer(model.vocabulary, template, date=DATE).render((user("a", 1),), budget=ROOM)
        assert list(prompt.ids).count(bos) == (1 if "bos" in template or model.vocabulary.adds_bos else 0)
        assert kinds(prompt) == [("typed", 1)]
