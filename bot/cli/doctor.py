"""`glasshead doctor`: one line for each thing the bot needs, with a remedy where it is not well."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ..config import Settings, load_settings
from ..errors import UserError
from ..explain.visible import neutral
from . import checks
from .checks import Finding
from .options import Config
from .printing import print_json

_COLOURS = {"ok": typer.colors.GREEN, "warn": typer.colors.YELLOW, "fail": typer.colors.RED}


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list instead of lines.")] = False,
    config: Config = None,
) -> None:
    """Check everything the bot needs. Exit code 1 if something fails."""
    found = []
    for finding in examine(config):
        found.append(finding)
        if not as_json:
            typer.echo(f"{typer.style(f'{finding.status:<4}', fg=_COLOURS[finding.status])}  {line(finding)}")
    if as_json:
        print_json([asdict(finding) for finding in found])
    if any(finding.status == "fail" for finding in found):
        raise typer.Exit(1)


def examine(config: Path | None) -> Iterator[Finding]:
    """All checks, as they are done. Wrong settings are a finding; the rest is then checked with the defaults."""
    yield from (checks.python(), checks.compiler(), checks.llamacpp())
    try:
        settings = load_settings(config)
        yield Finding("ok", "settings", "read")
    except UserError as error:
        for problem in str(error).splitlines():
            yield Finding("fail", "settings", problem, "mend it; what follows was checked with the defaults")
        settings = Settings.model_construct()
    yield from checks.models(settings)
    yield checks.database(settings)
    yield checks.discord_access(settings)
    yield checks.review_port(settings)
    yield checks.disk(settings)
    yield checks.threads(settings)
    yield checks.fonts()


def line(finding: Finding) -> str:
    remedy = f" -> {finding.remedy}" if finding.remedy else ""
    return neutral(f"{finding.what:<11}  {finding.detail}{remedy}").replace("\n", " ")
