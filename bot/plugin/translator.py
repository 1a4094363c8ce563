"""The commands in other languages: a file each in ``languages/``, named after Discord's locale or its language."""

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import discord
from discord import app_commands
from discord.app_commands import TranslationContextLocation

_FOLDER = Path(__file__).parent / "languages"
_OURS = __name__.rpartition(".")[0]

_SECTIONS = {
    TranslationContextLocation.command_name: "names",
    TranslationContextLocation.group_name: "names",
    TranslationContextLocation.parameter_name: "names",
    TranslationContextLocation.command_description: "descriptions",
    TranslationContextLocation.group_description: "descriptions",
    TranslationContextLocation.parameter_description: "descriptions",
    TranslationContextLocation.choice_name: "choices",
}


class Languages(app_commands.Translator):
    """Translates what is ours, and leaves the commands of a host alone."""

    async def translate(self, string: app_commands.locale_str, locale: discord.Locale, context: Any) -> str | None:
        """In the language of ``locale``; None: as it stands."""
        of = getattr(context.data, "command", context.data)
        if not getattr(of, "module", _OURS).startswith(_OURS):
            return None
        return _table(locale.value).get(_SECTIONS.get(context.location, ""), {}).get(string.message)


@cache
def _table(locale: str) -> dict[str, dict[str, str]]:
    for name in (locale, locale.partition("-")[0]):
        path = _FOLDER / f"{name}.toml"
        if path.is_file():
            return tomllib.loads(path.read_text(encoding="utf-8"))
    return {}
