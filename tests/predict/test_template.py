import datetime

import pytest
from glasshead.errors import UserError
from glasshead.predict.template import PLAIN, ChatTemplate, TemplateRefused

DATE = datetime.date(2026, 11, 22)
HELLO = [{"role": "user", "content": "Hello"}]


def render(source: str, messages: list[dict[str, str]] = HELLO) -> str:
    return ChatTemplate(source, date=DATE, bos="<s>", eos="</s>").render(messages)[0]


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{ bos_token }}[{{ messages[0]['content'] }}]{{ eos_token }}", "<s>[Hello]</s>"),
        ("{% for m in messages %}\n  {{ m.role }}\n{% endfor %}", "  user\n"),  # trim_blocks
        ("{% if add_generation_prompt %}go{% endif %}{{ tools is none }}", "goTrue"),
        ("{{ strftime_now('%d %B %Y') }}", "22 November 2026"),
        ("{{ {'b': 'é<', 'a': [1]} | tojson }}", '{"b": "é<", "a": [1]}'),
        ("{% for i in range(9) %}{% if i == 2 %}{% break %}{% endif %}{{ i }}{% endfor %}", "01"),
        ("a{% generation %}b{{ messages[0].content }}{% endgeneration %}c", "abHelloc"),
        ("{% set ns = namespace(n=0) %}{% set ns.n = 3 %}{{ ns.n }}", "3"),
        ("{% for tool in tools %}{{ tool }}{% endfor %}none", "none"),  # insists on a list
        ("{% if tools is none %}{{ raise_exception('no tools') }}{% endif %}ok", "ok"),
    ],
)
def test_templates_find_what_they_are_written_for(source: str, text: str) -> None:
    assert render(source) == text


def test_several_conversations_at_once() -> None:
    template = ChatTemplate("{{ messages | length }}", date=DATE)
    assert template.render(HELLO, HELLO * 3) == ["1", "3"]


def test_without_a_template_there_is_a_plain_transcript() -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": " Hi."},
        {"role": "user", "content": "Bye"},
    ]
    assert render(PLAIN, messages) == "Be brief.\n\nUser: Hello\nAssistant: Hi.\nUser: Bye\nAssistant:"


def test_a_refusal_is_told() -> None:
    with pytest.raises(TemplateRefused, match="No system role!"):
        render("{{ raise_exception('No system role!') }}")
    with pytest.raises(TemplateRefused, match="none"):
        render("{{ raise_exception('none' if tools is none else 'a list') }}")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("{% if", "line 1"),
        ("{{ nothing.at.all }}", "UndefinedError"),
        ("{{ ''.__class__.__mro__ }}", "SecurityError"),
        ("{{ cycler.__init__.__globals__.os.system('true') }}", "SecurityError"),
        ("{{ messages.append(1) }}", "SecurityError"),
        ("{% include '/etc/passwd' %}", "no loader"),
        ("{{ range(1000000000) | list }}", "OverflowError"),
        ("{{ 'x' * 10000000000 }}", "too much memory"),
        ("{% for i in range(99999) %}{% for j in range(999) %}x{% endfor %}{% endfor %}", "too much memory"),
        (
            "{% set s = namespace(x='xx') %}{% for i in range(60) %}{% set s.x = s.x ~ s.x %}{% endfor %}",
            "too much memory",
        ),
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "recurses"),
        ("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", "too long"),
    ],
)
def test_whatever_a_template_tries_ends_in_one_line(source: str, said: str) -> None:
    with pytest.raises(UserError, match="chat template fails") as raised:
        render(source)
    assert said in str(raised.value) and "\n" not in str(raised.value)
    assert render("{{ messages[0].content }}") == "Hello"  # and the next template runs
