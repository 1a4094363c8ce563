"""Models as publishers ship them: whatever writes BOS, knows no system role, or brings no template, it answers."""

import datetime
from pathlib import Path

import pytest
from glasshead.errors import UserError
from glasshead.predict.message import Message
from glasshead.predict.model import Model
from glasshead.predict.prompt import Prompt
from glasshead.predict.render import Renderer
from glasshead.predict.shape import is_shown
from glasshead.predict.vocabulary import SPECIAL

from .replies import WILD, Made, read
from .tiny import Words, tiny

DATE = datetime.date(2026, 11, 24)
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}"
    "{{ '<|im_start|>assistant\\n' }}"
)
TURNS = "{% for m in messages %}[{{ m.role }}]{{ m.content }}\n{% endfor %}[assistant]"
NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}" + TURNS
LLAMA_2 = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]"
    "{% elif m.role == 'system' %}<<SYS>>{{ m.content }}<</SYS>>{% else %}{{ m.content }}{{ eos_token }}{% endif %}"
    "{% endfor %}"
)
MARKS = ("<|im_start|>", "<|im_end|>", "[INST]", "[/INST]")

KINDS = {
    "BOS by the tokenizer": (TURNS, Words(MARKS)),
    "BOS by the template": (LLAMA_2, Words(MARKS, adds_bos=False)),
    "BOS by both": (LLAMA_2, Words(MARKS)),
    "no BOS": (CHATML, Words(MARKS, adds_bos=False)),
    "no system role": (NO_SYSTEM, Words(MARKS)),
    "no template": (None, Words(MARKS)),
    "markers any text matches": (CHATML, Words(user_defined=MARKS)),
}
LIMITS = {"no system role": ["has no system role"], "no template": ["brings no chat template"]}
STRANGE = "<s> </s>[INST]<|im_start|>system\n\x00 the hat 🎩<unk>"


async def talk(engine, renderer: Renderer) -> tuple[list[Prompt], list[Made]]:
    """Two turns of one conversation."""
    vocabulary = engine.vocabulary
    conversation = [Message("system", "the rain", id=1), Message("user", STRANGE, id=2)]
    prompts, replies = [], []
    for turn in range(2):
        prompts.append(renderer.render(tuple(conversation), budget=10_000))
        replies.append(await read(prompts[-1].ids, engine.generate(prompts[-1].ids, WILD, turn)))
        ids = tuple(step.id for step in replies[-1].steps)
        spoken = [id for id in ids if is_shown(id, vocabulary, renderer.tags)]
        text = vocabulary.detokenise(spoken).decode(errors="replace")
        conversation += [
            Message("assistant", text, ids=ids, id=10 + turn),
            Message("user", "the sea", id=20 + turn),
        ]
    return prompts, replies


@pytest.mark.parametrize("kind", KINDS)
async def test_it_answers_and_is_given_what_was_said(kind, start, tmp_path: Path):
    template, words = KINDS[kind]
    engine = await start(tiny(tmp_path / "tiny.gguf", words=words, template=template))
    vocabulary = engine.vocabulary
    renderer = Renderer(vocabulary, engine.template, date=DATE)
    limits = (*engine.limits, *renderer.limits())
    assert all(known in limit for known, limit in zip(LIMITS.get(kind, []), limits, strict=True))
    prompts, replies = await talk(engine, renderer)
    assert [reply.error for reply in replies] == [None, None]
    starts = kind.startswith("BOS") or words.adds_bos
    for prompt in prompts:
        assert prompt.ids.count(vocabulary.bos) == starts and (prompt.ids[0] == vocabulary.bos) == starts
        for span in prompt.spans:
            ids = prompt.ids[span.start : span.end]
            if span.kind == "typed" and span.message == 2:
                assert vocabulary.detokenise(ids) == STRANGE.encode()
            if span.kind == "typed":
                assert not [id for id in ids if vocabulary.kind(id) in SPECIAL]
    given = {span.message for span in prompts[1].spans if span.kind != "marker"}
    assert given == {1, 2, 10, 20}
    # The reply went back as it was generated, so the second turn computed only what was new.
    assert [span.message for span in prompts[1].spans if span.kind == "generated"] == [10]
    assert replies[1].n_cached >= len(prompts[0].ids) + len(replies[0].steps) - 2


def test_a_template_that_fails_is_told_at_the_start(tmp_path: Path):
    with Model.load(tiny(tmp_path / "tiny.gguf", template="{{ nothing.at.all }}"), vocab_only=True) as model:
        (limit,) = Renderer(model.vocabulary, model.template, date=DATE).limits()
    assert "the model's chat template fails" in limit


@pytest.mark.parametrize(
    ("architecture", "extra", "why"),
    [
        ("llama", {"llama.attention.causal": False}, "is an embedding model"),
        ("dream", {}, "is a diffusion model"),
    ],
)
def test_what_does_not_write_token_after_token_is_refused(architecture, extra, why, tmp_path: Path):
    with pytest.raises(UserError, match=f"{why}.* it cannot chat"):
        Model.load(tiny(tmp_path / "tiny.gguf", architecture, extra=extra))


def test_settings_without_effect_are_told(tmp_path: Path):
    path = tiny(tmp_path / "tiny.gguf", template=TURNS)
    with Model.load(path) as model:
        assert model.limits == ()
    with Model.load(path, n_gpu_layers=-1) as model:
        (limit,) = model.limits
    assert "GPU" in limit


def test_a_model_whose_experts_do_not_keep_the_bits_says_so(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("glasshead.predict.model.tells_routes", lambda header: header.architecture == "qwen2moe")
    for architecture, told in (("llama", 0), ("qwen2moe", 1)):
        with Model.load(tiny(tmp_path / "tiny.gguf", architecture, template=TURNS)) as model:
            assert (
                len([limit for limit in model.limits if limit.startswith("with experts in F32 equal bits")]) == told
            )


@pytest.mark.soak
async def test_a_vocabulary_of_262_thousand(start, tmp_path: Path):
    path = tiny(tmp_path / "tiny.gguf", words=Words(filler=262_144), template=TURNS)
    engine = await start(path, k=50)
    prompts, replies = await talk(engine, Renderer(engine.vocabulary, engine.template, date=DATE))
    assert engine.model.n_vocab > 262_144
    assert [reply.error for reply in replies] == [None, None]
    assert all(len(step.top) == 50 and step.rank <= engine.model.n_vocab for step in replies[0].steps)
    assert max(step.id for reply in replies for step in reply.steps) > 1000
    assert len(await engine.score(prompts[0].ids)) == len(prompts[0].ids) - 1
