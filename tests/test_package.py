"""What is installed is all of it, under its own name, beside a host that has a bot of its own."""

import ast
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import glasshead

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SETUPTOOLS = PROJECT["tool"]["setuptools"]
FOLDERS = {"glasshead": "bot", "glasshead.migrations": "migrations", "glasshead.models": "models"}


NOT_SHIPPED = (".pyc", ".gguf", ".sha256", ".part")
NAMES = {"bot", "glasshead", "migrations", "models"}


def sources() -> list[Path]:
    """Every file in the folders that are installed, but for what was fetched or compiled."""
    files = (file for name in FOLDERS.values() for file in (ROOT / name).rglob("*"))
    return [file for file in files if file.is_file() and file.suffix not in NOT_SHIPPED]


def package_of(file: Path) -> str:
    folder, *inner = file.parent.relative_to(ROOT).parts
    return ".".join([next(name for name, place in FOLDERS.items() if place == folder), *inner])


def test_every_package_is_installed() -> None:
    assert SETUPTOOLS["package-dir"] == FOLDERS
    # Also a folder of data alone: setuptools warns at length of one that is not named.
    assert set(SETUPTOOLS["packages"]) == {package_of(file) for file in sources()}
    code = {package_of(file) for file in sources() if file.suffix == ".py"}
    assert code == {package_of(file) for file in sources() if file.name == "__init__.py"}


def test_every_file_that_is_no_program_is_installed() -> None:
    """A data file belongs to the nearest package above it, and one of that package's patterns names it."""
    missing = []
    for file in sources():
        if file.suffix == ".py":
            continue
        home = next(folder for folder in file.parents if (folder / "__init__.py").exists())
        data = SETUPTOOLS["package-data"]
        patterns = [*data.get("*", []), *data.get(package_of(home / "__init__.py"), [])]
        if not any(fnmatch(str(file.relative_to(home)), pattern) for pattern in patterns):
            missing.append(str(file.relative_to(ROOT)))
    assert missing == []


def test_imports_inside_are_relative() -> None:
    absolute = [
        f"{file.relative_to(ROOT)}:{node.lineno}"
        for file in sources()
        if file.suffix == ".py"
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if (isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").split(".")[0] in NAMES)
        or (isinstance(node, ast.Import) and any(name.name.split(".")[0] in NAMES for name in node.names))
    ]
    assert absolute == []


def test_beside_a_host_with_a_bot_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "bot.py").write_text("raise SystemExit('the wrong bot')\n")
    for name in ("migrations", "models"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('the wrong folder')\n")
    script = (
        "import asyncio, glasshead.plugin, glasshead.cli.app\n"
        "from pathlib import Path\n"
        "from glasshead.catalog import Catalog\n"
        "from glasshead.store import Store\n"
        "async def main():\n"
        "    await (await Store.open(Path('log.db'))).close()\n"
        "asyncio.run(main())\n"
        "print(len(Catalog.load(Path('empty')).entries))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) > 0


def test_the_version_is_one() -> None:
    assert glasshead.__version__ == PROJECT["project"]["version"]
