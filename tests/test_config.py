"""Settings: the example is complete, and whatever is wrong is named."""

import logging
import math
import os
import tomllib
import traceback
from pathlib import Path

import pytest
from glasshead.config import SECTIONS, Settings, load_settings, token_under_another_name
from glasshead.errors import UserError
from glasshead.predict.sampling import Sampling
from pydantic import SecretStr

EXAMPLE = Path(__file__).parent.parent / "config.example.toml"
TOKEN = "MTIzNDU2Nzg5.GhIjKl.s3cr3t-t0ken_value"


@pytest.fixture(autouse=True)
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder and an environment without settings."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.upper().startswith("GLASSHEAD_") or name == "DISCORD_TOKEN":
            monkeypatch.delenv(name)
    return tmp_path


def write(text: str | bytes) -> Path:
    file = Path("config.toml")
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def complaint(path: Path | None = None) -> str:
    with pytest.raises(UserError) as caught:
        load_settings(path)
    shown = "".join(traceback.format_exception(caught.value))
    assert TOKEN not in shown
    return str(caught.value)


def test_the_example_names_every_key_with_its_default() -> None:
    example = tomllib.loads(EXAMPLE.read_text())
    assert list(example) == list(Settings.model_fields) == list(SECTIONS)
    for section, table in example.items():
        defaults = SECTIONS[section]()
        assert list(table) == list(type(defaults).model_fields), section
        for key, value in table.items():
            default = getattr(defaults, key)
            plain = default.get_secret_value() if isinstance(default, SecretStr) else default
            if isinstance(plain, Path):
                plain = str(plain)
            assert value == (list(plain) if isinstance(plain, tuple) else plain), (section, key)
            assert type(value) is type(list(plain) if isinstance(plain, tuple) else plain), (section, key)
    assert load_settings(EXAMPLE) == load_settings() == Settings()


def test_the_sampling_section_has_the_defaults_of_the_domain() -> None:
    assert load_settings().sampling.sampling() == Sampling()


def test_the_environment_goes_before_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    write('[sampling]\ntop_k = 5\ntemperature = 1\nstop = ["a"]\n[model]\nname = "x.gguf"')
    monkeypatch.setenv("GLASSHEAD_SAMPLING__TOP_K", "7")
    monkeypatch.setenv("GLASSHEAD_SAMPLING__LOGIT_BIAS", "[[198, -2]]")
    settings = load_settings()
    assert (settings.sampling.top_k, settings.sampling.temperature, settings.model.name) == (7, 1.0, "x.gguf")
    assert settings.sampling.sampling().stop == ("a",)
    assert settings.sampling.sampling().logit_bias == ((198, -2.0),)


def test_minus_infinity_bans_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    write("[sampling]\nlogit_bias = [[2, -inf], [3, 1]]")
    assert load_settings().sampling.sampling().logit_bias == ((2, -math.inf), (3, 1.0))
    monkeypatch.setenv("GLASSHEAD_SAMPLING__LOGIT_BIAS", "[[4, -Infinity]]")
    assert load_settings().sampling.sampling().logit_bias == ((4, -math.inf),)


def test_the_file_is_found_by_argument_by_environment_and_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, port in (("config.toml", 1001), ("b.toml", 1002), ("c.toml", 1003)):
        (tmp_path / name).write_text(f"[review]\nport = {port}")
    assert load_settings().review.port == 1001
    monkeypatch.setenv("GLASSHEAD_CONFIG", "b.toml")
    assert load_settings().review.port == 1002
    assert load_settings(Path("c.toml")).review.port == 1003


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[sampling]\ntop_pp = 1", ["config.toml: [sampling] top_pp: no such key; nearest known: top_p"]),
        ("[samplin]\ntop_p = 1", ["config.toml: [samplin]: no such section; nearest known: sampling"]),
        ("top_p = 1", ["config.toml: top_p: stands in no section; nearest known: [sampling] top_p"]),
        ("tokn = 1", ["config.toml: tokn: stands in no section; nearest known: [discord] token"]),
        ("[log]\nqqq = 1", ["config.toml: [log] qqq: no such key; known: level"]),
        ('[sampling]\ntop_k = "40"', ['[sampling] top_k: expected a whole number from 0 to 1000000, not "40"']),
        ("[sampling]\ntop_k = 2.5", ["expected a whole number from 0 to 1000000, not 2.5"]),
        ("[sampling]\ntop_k = true", ["expected a whole number from 0 to 1000000, not true"]),
        ("[sampling]\ntop_p = 1.5", ["[sampling] top_p: expected a number from 0 to 1, not 1.5"]),
        ("[sampling]\ntop_p = nan", ["[sampling] top_p: expected a number from 0 to 1"]),
        ("[explain]\ncandidates = 51", ["expected a whole number from 1 to 50, not 51"]),
        ("[explain]\ncandidates = 0", ["expected a whole number from 1 to 50, not 0"]),
        ('[log]\nlevel = "loud"', ['expected one of "debug", "info", "warning", "error", not "loud"']),
        ('[sampling]\nstages = ["top_k"]', ["expected a list of", "each once"]),
        ('[sampling]\nstop = "x"', ["[sampling] stop: expected a list of items like: text in quotes"]),
        ("[sampling]\nlogit_bias = [[1]]", ["expected a list of items like: [a whole number from 0 to 1000000, "]),
        (
            "[sampling]\nlogit_bias = [[1, inf]]",
            ["[a whole number from 0 to 1000000, a number from -100 to 100 or -inf]"],
        ),
        ("[sampling]\nlogit_bias = [[1, -101]]", ["a number from -100 to 100 or -inf]"]),
        (
            "[sampling]\ntemperature = 0.0001",
            ["[sampling] temperature: expected 0 or a number from 0.001 to 10, not"],
        ),
        ('[store]\npath = ""', ['config.toml: [store] path: expected the path of a file in quotes, not ""']),
        ('[store]\npath = "."', ["[store] path: expected the path of a file in quotes"]),
        ('[store]\npath = "/"', ["[store] path: expected the path of a file in quotes"]),
        ('[store]\npath = "a\\u0000b"', ["[store] path: expected the path of a file in quotes"]),
        ('[model]\nfolder = "a\\u0000b"', ["[model] folder: expected a path in quotes"]),
        (
            "[log]\n[sampling]\ntop_k = " + "9" * 5000,
            ["not valid TOML: a number of more than 4300 digits (line 3)"],
        ),
        ("[sampling]\ntop_k = 0x" + "f" * 4000, ["[sampling] top_k: expected a whole number from 0 to 1000000"]),
        (
            "[sampling]\nstop = " + "[" * 3000 + "]" * 3000,
            ["config.toml: not valid TOML: brackets nested too deeply"],
        ),
        (
            "[sampling]\nstop" + ".a" * 3000 + " = 1",
            ["[sampling] stop: expected a list of items like: text in quotes"],
        ),
        ("[store]\npath = 3", ["[store] path: expected the path of a file in quotes, not 3"]),
        ("[store]\npath = 2020-01-01", ["[store] path: expected the path of a file in quotes"]),
        ("sampling = 3", ["config.toml: sampling: expected a section [sampling], not a value"]),
        ("[log]\nlevel =", ["config.toml: not valid TOML: ", "line 2"]),
        (b"[log]\nlevel = '\xff'", ["config.toml: not UTF-8 text (byte 15)"]),
    ],
)
def test_a_wrong_file_is_explained(text: str | bytes, said: list[str]) -> None:
    write(text)
    message = complaint()
    assert "\n" not in message
    assert all(part in message for part in said), message


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("GLASSHEAD_SAMPLNG__TOP_P", "1", "no such setting; nearest known: GLASSHEAD_SAMPLING__TOP_P"),
        ("GLASSHEAD_SAMPLING_TOP_P", "1", "no such setting; nearest known: GLASSHEAD_SAMPLING__TOP_P"),
        ("GLASSHEAD_SAMPLING__TOP_P__X", "1", "no such setting; nearest known: GLASSHEAD_SAMPLING__TOP_P"),
        ("GLASHEAD_SAMPLING__TOP_P", "1", "no such setting; nearest known: GLASSHEAD_SAMPLING__TOP_P"),
        ("GLASSHEAD_CONFG", "x", "no such setting; nearest known: GLASSHEAD_CONFIG"),
        ("glasshead_sampling__top_q", "1", "no such setting; nearest known: GLASSHEAD_SAMPLING__TOP_"),
        ("GLASSHEAD_SAMPLING__TOP_P", "high", 'expected a number from 0 to 1, not "high"'),
        ("GLASSHEAD_SAMPLING__TOP_P", "", 'expected a number from 0 to 1, not ""'),
        ("GLASSHEAD_STORE__PATH", "", 'expected the path of a file in quotes, not ""'),
        ("GLASSHEAD_SAMPLING__TEMPERATURE", "0.0001", "expected 0 or a number from 0.001 to 10, not"),
        (
            "GLASSHEAD_SAMPLING__LOGIT_BIAS",
            f"[[1, {'9' * 5000}]]",
            "expected a list of items like: [a whole number",
        ),
        ("GLASSHEAD_SAMPLING__STOP", "[" * 3000, "expected a list of items like: text in quotes"),
        ("GLASSHEAD_SAMPLING__STOP", "not json", "expected a list of items like: text in quotes"),
    ],
)
def test_a_wrong_environment_is_explained(
    name: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    message = complaint()
    assert message.startswith(f"environment: {name}: ")
    assert said in message


def test_all_problems_are_named_one_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    write("[sampling]\ntop_p = 2\ntop_qk = 1\n[nope]\n[review]\nport = 70000")
    monkeypatch.setenv("GLASSHEAD_ENGINE__THREAD", "2")
    lines = complaint().splitlines()
    assert len(lines) == 5
    for part, line in zip(["top_p", "top_qk", "[nope]", "port", "GLASSHEAD_ENGINE__THREAD"], lines, strict=True):
        assert part in line


def test_a_named_file_must_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert complaint(Path("gone.toml")) == "gone.toml: cannot be read: No such file or directory"
    assert complaint(tmp_path) == f"{tmp_path}: cannot be read: Is a directory"
    monkeypatch.setenv("GLASSHEAD_CONFIG", "away.toml")
    assert "away.toml: cannot be read" in complaint()


class TestToken:
    def test_comes_from_the_environment_first_then_the_file_then_its_own_file(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        Path("secret").write_text("from-token-file\n")
        write('[discord]\ntoken_file = "secret"')
        assert load_settings().discord.token.get_secret_value() == "from-token-file"
        write('[discord]\ntoken = "from-config"\ntoken_file = "secret"')
        assert load_settings().discord.token.get_secret_value() == "from-config"
        monkeypatch.setenv("GLASSHEAD_DISCORD__TOKEN", "from-section")
        assert load_settings().discord.token.get_secret_value() == "from-section"
        monkeypatch.setenv("DISCORD_TOKEN", " from-environment\n")
        assert load_settings().discord.token.get_secret_value() == "from-environment"

    def test_is_never_shown(self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
        monkeypatch.setenv("DISCORD_TOKEN", TOKEN)
        settings = load_settings()
        logging.getLogger("test").warning("%s %r %s", settings, settings.discord, settings.discord.token)
        shown = f"{settings} {settings!r} {settings.model_dump()} {settings.model_dump_json()} {caplog.text}"
        assert "discord" in caplog.text
        assert TOKEN not in shown

    @pytest.mark.parametrize(
        "text",
        [
            f'[discord]\ntoken = ["{TOKEN}"]',
            f'[discord]\ntoken = {{ x = "{TOKEN}" }}',
            f'[discord]\ntoken = "{TOKEN} {TOKEN}"',
            f'[discord]\ntoken = "{TOKEN}é"',
            f'[discord]\ntokn = "{TOKEN}"',
            f'[discord]\ntoken_file = "{TOKEN}"',
            f'[discord]\ntoken_file = ["{TOKEN}"]',
            f'[discord]\ntoken = "{TOKEN}"\nedit_interval = "often"',
            f"[discord]\ntoken = {TOKEN}",
            f'discord = "{TOKEN}"',
            f'[discrd]\ntoken = "{TOKEN}"',
        ],
    )
    def test_stays_out_of_every_error(self, text: str) -> None:
        write(text)
        assert "token" in (message := complaint()).lower() or "discord" in message or "TOML" in message

    def test_stays_out_of_errors_about_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GLASSHEAD_DISCORD__TOKN", TOKEN)
        assert "GLASSHEAD_DISCORD__TOKEN" in complaint()

    def test_file_must_hold_one(self) -> None:
        write('[discord]\ntoken_file = "secret"')
        assert complaint() == "[discord] token_file: cannot be read: No such file or directory"
        Path("secret").write_bytes(b"")
        assert complaint() == "[discord] token_file: is empty"
        Path("secret").write_bytes(b"\xff\xfe")
        assert complaint() == "[discord] token_file: holds no text"


def test_a_token_under_another_name_is_noticed() -> None:
    assert token_under_another_name({"DISCORD_BOT_TOKEN": "x", "PATH": "/bin"}) == "DISCORD_BOT_TOKEN"
    assert token_under_another_name({"DISCORD_TOKN": "x"}) == "DISCORD_TOKN"
    assert token_under_another_name({"DISCORD_URL": "x", "TOKEN": "y", "GITHUB_TOKEN": "z"}) is None
    assert token_under_another_name({"DISCORD_TOKEN": "", "DISCORD_BOT_TOKEN": ""}) is None
