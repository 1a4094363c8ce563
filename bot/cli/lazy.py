"""Groups of commands whose modules are imported when the command is asked for, and for nothing else."""

from importlib import import_module
from typing import Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command, get_group

from .damage import naming_damage

Places = dict[str, tuple[str, str]]
"""By name: ``module:function`` (or a typer app) in this package, and the whole of its help."""


class Lazy(TyperGroup):
    """Loads one module instead of all: a command begins in a fraction of the time."""

    places: ClassVar[Places]

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.places)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """What the list of commands shows of one."""
        about = self.places[cmd_name][1] if cmd_name in self.places else None
        return about and TyperCommand(cmd_name, short_help=about)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        return name, command and self.load(str(name)), rest

    @classmethod
    def load(cls, name: str) -> Any:
        """The command itself."""
        module, _, attribute = cls.places[name][0].partition(":")
        found = getattr(import_module(f".{module}", __package__), attribute)
        if isinstance(found, typer.Typer):
            command: Any = get_group(found)
        else:
            alone = typer.Typer(add_completion=False, rich_markup_mode=None)
            alone.command()(naming_damage(found))
            command = get_command(alone)
        command.name = name
        return command
