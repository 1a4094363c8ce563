"""Settings: the only reader of config.toml and of the environment.

``GLASSHEAD_SECTION__KEY`` in the environment goes before the file, ``DISCORD_TOKEN`` before both. Relative paths
count from the folder the program runs in. Everything wrong is named at once, one line each, in one UserError.
"""

import difflib
import json
import math
import os
import re
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Le
from pydantic import AllowInfNan, BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from .errors import UserError
from .predict.sampling import COLDEST, DEFAULT_STAGES, Sampling, StageName

PREFIX = "GLASSHEAD_"
DEFAULT_FILE = Path("config.toml")
# Names with our prefix that are no settings: the place of the file itself, and what only the tests read.
OTHER_NAMES = (f"{PREFIX}CONFIG", f"{PREFIX}TEST_MODEL")

Positive = Annotated[int, Ge(1), Le(1_000_000)]
Count = Annotated[int, Ge(0), Le(1_000_000)]
Penalty = Annotated[float, Ge(-2), Le(2)]
Share = Annotated[float, Ge(0), Le(1)]
Temperature = Annotated[float, Ge(0), Le(0)] | Annotated[float, Ge(COLDEST), Le(10)]
Bias = Annotated[float, Ge(-100), Le(100)] | Annotated[float, AllowInfNan(True), Ge(-math.inf), Le(-math.inf)]
Snowflake = Annotated[int, Ge(1), Le(2**63 - 1)]
Scope = Literal["replies", "recent", "all"]
"""What a message in Discord continues."""


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, allow_inf_nan=False)

    @field_validator("*")
    @classmethod
    def _possible(cls, value: Any) -> Any:
        if isinstance(value, Path) and "\0" in str(value):
            raise ValueError("no path")
        return value


class ModelSection(Section):
    name: Annotated[str, Field(min_length=1)] = "smollm2-135m-instruct"
    folder: Path = Path("models")
    adapter: str = ""
    adapter_scale: Annotated[float, Ge(-10), Le(10)] = 1.0
    gpu_layers: Annotated[int, Ge(-1), Le(10_000)] = 0
    context: Annotated[int, Ge(256), Le(1_048_576)] = 4096
    others: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    memory_mb: Annotated[int, Ge(0), Le(100_000_000)] = 0


class EngineSection(Section):
    threads: Annotated[int, Ge(0), Le(512)] = 0
    streams: Annotated[int, Ge(1), Le(64)] = 8
    kv_folder: Path = Path("data/kv")
    kv_memory_mb: Count = 512
    kv_disk_mb: Count = 2048
    queue: Positive = 64
    queue_per_user: Positive = 2


class SamplingSection(Section):
    temperature: Temperature = 0.8
    top_k: Count = 40
    top_p: Share = 0.95
    min_p: Share = 0.05
    repetition_penalty: Annotated[float, Ge(0.1), Le(10)] = 1.0
    presence_penalty: Penalty = 0.0
    frequency_penalty: Penalty = 0.0
    penalty_window: Annotated[int, Ge(-1), Le(1_000_000)] = 64
    logit_bias: tuple[tuple[Count, Bias], ...] = ()
    stages: tuple[StageName, ...] = DEFAULT_STAGES
    max_tokens: Positive = 512
    stop: tuple[Annotated[str, Field(min_length=1)], ...] = ()

    @field_validator("stages")
    @classmethod
    def _each_once(cls, stages: tuple[StageName, ...]) -> tuple[StageName, ...]:
        if sorted(stages) != sorted(DEFAULT_STAGES):
            raise ValueError("each stage once")
        return stages

    def sampling(self) -> Sampling:
        """The domain's form of this section."""
        return Sampling(**dict(self))


class ExplainSection(Section):
    candidates: Annotated[int, Ge(1), Le(50)] = 10


class StoreSection(Section):
    path: Annotated[Path, Field(description="the path of a file in quotes")] = Path("data/glasshead.db")
    keep_days: Count = 0
    keep_mb: Count = 0
    keep_servers: tuple[tuple[Snowflake, Count, Count], ...] = ()

    @field_validator("path")
    @classmethod
    def _of_a_file(cls, path: Path) -> Path:
        if path.name in ("", ".."):
            raise ValueError("a folder")
        return path


class ChatSection(Section):
    system_prompt: str = "You are a helpful assistant."
    max_message_chars: Positive = 32_000


class DiscordSection(Section):
    token: SecretStr = SecretStr("")
    token_file: str = ""
    guilds: tuple[Snowflake, ...] = ()
    always_answer: tuple[Snowflake, ...] = ()
    edit_interval: Annotated[float, Ge(1), Le(30)] = 1.1
    file_above_chars: Annotated[int, Ge(2000), Le(1_000_000)] = 8000
    reasoning: Literal["hide", "spoiler"] = "hide"
    in_channels: Scope = "replies"
    in_threads: Scope = "all"
    in_direct: Scope = "recent"
    recent_hours: Annotated[float, Ge(0.01), Le(10_000)] = 12.0
    per_minute: Annotated[float, Ge(0), Le(10_000)] = 6.0
    at_once: Positive = 5
    server_per_minute: Annotated[float, Ge(0), Le(10_000)] = 60.0
    server_at_once: Positive = 30


class ReviewSection(Section):
    port: Annotated[int, Ge(0), Le(65535)] = 8765


class LogSection(Section):
    level: Literal["debug", "info", "warning", "error"] = "info"


class Settings(BaseSettings):
    """Everything that can be set; each section of config.toml is a field."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    model: ModelSection = ModelSection()
    engine: EngineSection = EngineSection()
    sampling: SamplingSection = SamplingSection()
    explain: ExplainSection = ExplainSection()
    store: StoreSection = StoreSection()
    chat: ChatSection = ChatSection()
    discord: DiscordSection = DiscordSection()
    review: ReviewSection = ReviewSection()
    log: LogSection = LogSection()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """DISCORD_TOKEN, then GLASSHEAD_*, then what the file said (given as keyword arguments)."""
        token = os.environ.get("DISCORD_TOKEN", "")
        first = InitSettingsSource(settings_cls, {"discord": {"token": token}} if token else {})
        return (first, env_settings, init_settings)


SECTIONS: dict[str, type[Section]] = {
    name: field.annotation
    for name, field in Settings.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, Section)
}
ENV_NAMES = {
    f"{PREFIX}{section}__{key}".upper(): (section, key)
    for section, model in SECTIONS.items()
    for key in model.model_fields
}


def load_settings(path: Path | None = None) -> Settings:
    """Read the settings once: ``path``, or the file GLASSHEAD_CONFIG names, or config.toml here if there is one.

    Raises UserError with one line per problem: place, key, what was expected, nearest known key.
    """
    named = path or (Path(os.environ[OTHER_NAMES[0]]) if os.environ.get(OTHER_NAMES[0]) else None)
    file = named or DEFAULT_FILE
    content = _read(file) if named or file.exists() else {}
    problems = _file_problems(file, content) + _environment_problems(os.environ)
    if problems:
        raise UserError("\n".join(problems))
    try:
        settings = Settings(**content)
    except ValidationError as error:
        raise UserError("\n".join(f"{file}: {_place(e['loc'])}: {e['msg']}" for e in error.errors())) from None
    return _with_token(settings)


def _read(file: Path) -> dict[str, Any]:
    text = ""
    try:
        text = file.read_text(encoding="utf-8-sig")
        return tomllib.loads(text)
    except OSError as error:
        raise UserError(f"{file}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{file}: not UTF-8 text (byte {error.start})") from None
    except RecursionError:
        raise UserError(f"{file}: not valid TOML: brackets nested too deeply") from None
    except tomllib.TOMLDecodeError as error:
        end = f"line {len(text.splitlines())}, the end"
        raise UserError(f"{file}: not valid TOML: {str(error).replace('end of document', end)}") from None
    except ValueError:  # Python reads no number of more digits than this
        most = sys.get_int_max_str_digits()
        line = re.split(rf"[\d_]{{{most},}}", text, maxsplit=1)[0].count("\n") + 1
        raise UserError(f"{file}: not valid TOML: a number of more than {most} digits (line {line})") from None


def _file_problems(file: Path, content: Mapping[str, Any]) -> list[str]:
    """Check a TOML document strictly: TOML has types, so a number in quotes is no number."""
    problems = []
    for section, table in content.items():
        if section not in SECTIONS and not isinstance(table, dict) and (places := _places(section)):
            problems.append(f"{file}: {section}: stands in no section; nearest known: {places[0]}")
        elif section not in SECTIONS:
            problems.append(f"{file}: [{section}]: no such section{_nearest(section, SECTIONS)}")
        elif not isinstance(table, dict):
            problems.append(f"{file}: {section}: expected a section [{section}], not a value")
        else:
            for key, value in table.items():
                problem = _problem(section, key, value, strict=True)
                if problem:
                    problems.append(f"{file}: [{section}] {key}: {problem}")
    return problems


def _environment_problems(environ: Mapping[str, str]) -> list[str]:
    problems = []
    for name in sorted(environ):
        if name.upper() in OTHER_NAMES or not (name.upper().startswith(PREFIX) or _is_meant_for_us(name.upper())):
            continue
        if name.upper() not in ENV_NAMES:
            known = [*ENV_NAMES, OTHER_NAMES[0]]
            problems.append(f"environment: {name}: no such setting{_nearest(name.upper(), known)}")
            continue
        section, key = ENV_NAMES[name.upper()]
        value: object = environ[name]
        if get_origin(SECTIONS[section].model_fields[key].annotation) is tuple:
            try:
                value = json.loads(environ[name])
            except (ValueError, RecursionError):
                value = None
        problem = _problem(section, key, value, strict=False)
        if problem:
            problems.append(f"environment: {name}: {problem}")
    return problems


def _is_meant_for_us(name: str) -> bool:
    """Whether a name is one of ours but for a slip in the prefix."""
    return "__" in name and bool(difflib.get_close_matches(name, ENV_NAMES, n=1, cutoff=0.9))


def token_under_another_name(environ: Mapping[str, str]) -> str | None:
    """The name of a variable that has a value and looks as if DISCORD_TOKEN were meant."""
    names = [name for name, value in environ.items() if value]
    return next(iter(difflib.get_close_matches("DISCORD_TOKEN", names, n=1, cutoff=0.85)), None)


def _problem(section: str, key: str, value: object, *, strict: bool) -> str | None:
    """What is wrong with one value, None if nothing. Never shows a value that might be the token."""
    model = SECTIONS[section]
    if key not in model.model_fields:
        return f"no such key{_nearest(key, model.model_fields)}"
    try:
        if strict:
            # As JSON, because strict validation there still takes a list for a tuple and text for a path.
            model.model_validate_json(json.dumps({key: value}, default=lambda other: {"": str(other)}), strict=True)
        else:
            model.model_validate({key: value})
    except (ValueError, RecursionError):  # ValidationError, or what JSON cannot hold
        shown = "" if section == "discord" and key.startswith("token") else _shown(value)
        return f"expected {_expected(model.model_fields[key])}{shown}"
    return None


def _shown(value: object) -> str:
    if not isinstance(value, bool | int | float | str):
        return ""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except ValueError:  # a number of thousands of digits
        return ""
    return f", not {text if len(text) <= 40 else text[:39] + '…'}"


def _expected(field: FieldInfo) -> str:
    return field.description or _described(field.annotation, field.metadata)


def _described(kind: Any, limits: list[Any]) -> str:  # noqa: PLR0911 - one line per kind of value
    if get_origin(kind) is Annotated:
        kind, *limits = get_args(kind)
    low: Any = next((limit.ge for limit in limits if isinstance(limit, Ge)), None)
    high = next((limit.le for limit in limits if isinstance(limit, Le)), None)
    if get_origin(kind) is Union:
        return " or ".join(_described(part, []) for part in get_args(kind))
    if low is not None and low == high:
        return f"{low}"
    span = "" if low is None else f" from {low} to {high}"
    if kind is int:
        return f"a whole number{span}"
    if kind is float:
        return f"a number{span}"
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(f'"{choice}"' for choice in get_args(kind))
    if get_origin(kind) is tuple:
        item, *others = get_args(kind)
        if others != [...]:
            return f"[{', '.join(_described(part, []) for part in get_args(kind))}]"
        if get_origin(item) is Literal:
            return "a list of " + ", ".join(f'"{choice}"' for choice in get_args(item)) + " in any order, each once"
        return f"a list of items like: {_described(item, [])}"
    return "a path in quotes" if kind is Path else "text in quotes"


def _places(key: str) -> list[str]:
    """Where this key, or the one most like it, is known."""
    keys = {known for model in SECTIONS.values() for known in model.model_fields}
    near = difflib.get_close_matches(key, sorted(keys), n=1)
    return [
        f"[{name}] {found}" for name, model in SECTIONS.items() for found in near if found in model.model_fields
    ]


def _nearest(name: str, known: Any) -> str:
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; nearest known: {found[0]}" if found else f"; known: {', '.join(known)}" if len(known) < 20 else ""


def _place(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location)


def _with_token(settings: Settings) -> Settings:
    """Take the token from its file where nothing else gave it. Its text, and the file's name (people paste the
    token there), never reach a message."""
    token = settings.discord.token.get_secret_value().strip()
    if not token and settings.discord.token_file:
        place = "[discord] token_file"
        try:
            token = Path(settings.discord.token_file).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise UserError(f"{place}: cannot be read: {error.strerror}") from None
        except ValueError:
            raise UserError(f"{place}: holds no text") from None
        if not token:
            raise UserError(f"{place}: is empty")
    if not token.isascii() or not token.isprintable() or " " in token:
        raise UserError("the Discord token holds a space or another character no token has: copy it again")
    section = settings.discord.model_copy(update={"token": SecretStr(token)})
    return settings.model_copy(update={"discord": section})
