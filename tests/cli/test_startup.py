"""What a command can do without, it does not load."""

import subprocess
import sys
from pathlib import Path

import pytest
from glasshead.cli import app, log
from glasshead.cli.lazy import Lazy

from .terminal import BRIEF, Home

SCRIPT = """
import sys
from glasshead.cli import main
try:
    main()
finally:
    print(*{name.partition(".")[0] for name in sys.modules}, file=sys.stderr)
"""
HEAVY = {
    "PIL", "alembic", "discord", "huggingface_hub", "jinja2", "llama_cpp", "numpy", "prompt_toolkit", "pydantic",
    "rich", "sqlalchemy", "starlette", "uvicorn",
}  # fmt: skip


def test_only_what_a_command_needs_is_loaded(tmp_path: Path, shallow_path: Path) -> None:
    home = Home(tmp_path, shallow_path)
    home.write_config(BRIEF)

    def loaded(*arguments: str) -> set[str]:
        ended = subprocess.run(
            [sys.executable, "-c", SCRIPT, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, ended.stderr
        return HEAVY & set(ended.stderr.splitlines()[-1].split())

    assert loaded("--help") == set()
    assert loaded("log", "--help") == {"pydantic"}, "typer knows types by it"
    needed = {"jinja2", "llama_cpp", "numpy", "pydantic", "sqlalchemy"}
    assert loaded("chat", "--once", "Hi") - {"alembic"} == needed, "alembic makes the log, once"
    assert loaded("log", "list") == {"numpy", "pydantic", "sqlalchemy"}


@pytest.mark.parametrize("group", [app.Commands, log.Commands])
def test_the_list_of_commands_says_what_they_say(group: type[Lazy]) -> None:
    assert {name: about for name, (_, about) in group.places.items()} == {
        name: group.load(name).help for name in group.places
    }
