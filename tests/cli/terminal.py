"""`glasshead` as a person at a terminal has it: a folder of their own, a command line, what it prints."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from glasshead.cli import main

BRIEF = "[sampling]\nmax_tokens = 6\n"


@dataclass(frozen=True)
class Said:
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def line(self) -> str:
        """The one line of an error."""
        assert self.code == 2, self
        assert self.out == "", self
        assert self.err.startswith("glasshead: ") and self.err.count("\n") == 1, self
        return self.err.removeprefix("glasshead: ").rstrip()


@dataclass
class Home:
    """A folder with a config.toml. ``run`` stays in this process, ``start`` begins one."""

    folder: Path
    model: Path
    capsys: pytest.CaptureFixture[str] | None = None
    patch: pytest.MonkeyPatch | None = None
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def database(self) -> Path:
        return self.folder / "data" / "glasshead.db"

    def write_config(self, text: str = "", *, model: Path | None = None) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "config.toml").write_text(
            f"[model]\nname = {json.dumps(str(model or self.model))}\ncontext = 512\n[engine]\nthreads = 1\n{text}"
        )

    def run(self, *arguments: str) -> Said:
        """In this process, from ``main`` on."""
        assert self.capsys is not None and self.patch is not None
        self.capsys.readouterr()
        self.patch.chdir(self.folder)
        self.patch.setattr(sys, "argv", ["glasshead", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = self.capsys.readouterr()
        return Said(int(ended.value.code or 0), out, err)

    def start(self, *arguments: str, **options: Any) -> "subprocess.Popen[bytes]":
        """As a process, with pipes."""
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(
            [sys.executable, "-m", "glasshead", *arguments],
            cwd=self.folder,
            env=os.environ | self.extra,
            **(pipes | options),
        )

    def talk(self, typed: str | bytes, *arguments: str, **options: Any) -> Said:
        """A process that reads ``typed`` from a pipe until it ends."""
        process = self.start("run", *arguments, **options)
        data = typed if isinstance(typed, bytes) else typed.encode()
        out, err = process.communicate(data, timeout=120)
        return Said(process.returncode, out.decode(), err.decode())
