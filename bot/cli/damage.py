"""A command brought down by a value that is not what was written says so, and how to find what else is damaged."""

import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from functools import wraps
from pathlib import Path
from typing import Any

from ..errors import UserError


def naming_damage(command: Callable[..., Any]) -> Callable[..., Any]:
    """The same command. An error that no damage explains stays as it is."""

    @wraps(command)
    def run(**options: Any) -> Any:
        try:
            return command(**options)
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            damage = _damage(options.get("config"))
            if damage is None:
                raise
            raise UserError(damage) from error

    return run


def _damage(config: Path | None) -> str | None:
    from ..config import load_settings  # noqa: PLC0415 - only when something went wrong
    from ..store.misfits import misfits  # noqa: PLC0415
    from ..store.readonly import read_only  # noqa: PLC0415

    with suppress(sqlite3.Error, UserError):
        path = load_settings(config).store.path
        with closing(sqlite3.connect(read_only(path), uri=True)) as connection:
            for found in misfits(connection):
                return f"{path}: {found}: run `glasshead log check`"
    return None
