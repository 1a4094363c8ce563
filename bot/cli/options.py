"""Options that every command has, or many."""

from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[Path | None, typer.Option("--config", help="Settings file instead of config.toml.")]
