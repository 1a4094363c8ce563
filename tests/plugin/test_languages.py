"""The commands in other languages, by Discord's rules for names and descriptions."""

import re
import tomllib
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import glasshead.plugin
import pytest
from discord import app_commands
from glasshead.plugin.bounds import SETTINGS
from glasshead.plugin.translator import Languages
from simulated import Place

pytestmark = pytest.mark.simcord(check_errors=False, settle_timeout=30)

LANGUAGES = Path(glasshead.plugin.__file__).parent / "languages"
CODES = {"de": "de", "es": "es-ES"}
MENU = 3


async def payloads(place: Place) -> list[dict[str, Any]]:
    tree = place.bot.tree
    assert isinstance(tree.translator, Languages)
    return [await each.get_translated_payload(tree, tree.translator) for each in tree.get_commands()]


def parts(payload: dict[str, Any]) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Each command, group and option, with what stands beside it."""
    for each in payload.get("options", []):
        yield each, payload["options"]
        yield from parts(each)


def said(part: dict[str, Any], what: str, code: str) -> str:
    """A name or a description in a language; empty where it is not translated."""
    return str(part.get(f"{what}_localizations", {}).get(code, ""))


@pytest.mark.parametrize("language", [path.stem for path in LANGUAGES.glob("*.toml")])
async def test_everything_is_said_in_every_language_by_the_rules(place: Place, language: str) -> None:
    code, every = CODES[language], await payloads(place)
    assert len(every) > 10
    used: set[str] = set()
    for part, beside in [(p, every) for p in every] + [found for p in every for found in parts(p)]:
        used |= {part["name"], part.get("description", "")}
        name = said(part, "name", code)
        assert name or part["name"] in SETTINGS, part["name"]
        name = name or part["name"]
        if part.get("type") == MENU and "options" not in part:
            assert 1 <= len(name) <= 32
        else:
            assert re.fullmatch(r"[-_'\w]{1,32}", name) and name == name.lower(), name
            assert unicodedata.is_normalized("NFC", name)
        names = [said(each, "name", code) or each["name"] for each in beside]
        assert names.count(name) == 1, f"{name} stands there twice"
        if part.get("description"):
            assert 1 <= len(said(part, "description", code)) <= 100, part["description"]
        for choice in part.get("choices", []):
            used.add(choice["name"])
            assert choice["name"] in SETTINGS or 1 <= len(said(choice, "name", code)) <= 100
    table = tomllib.loads((LANGUAGES / f"{language}.toml").read_text())
    assert {key for section in table.values() for key in section} <= used, "nothing translates what is not there"


async def test_a_command_of_a_host_is_left_alone(place: Place) -> None:
    @app_commands.command(description="Show it.")
    async def explain(_: Any) -> None: ...

    payload = await explain.get_translated_payload(place.bot.tree, Languages())  # type: ignore[attr-defined]
    assert not said(payload, "name", "de") and not said(payload, "description", "de")
