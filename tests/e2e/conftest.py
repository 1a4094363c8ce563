"""Bots as separate processes, pointed at a loopback Discord in this one."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import discord_double
import pytest
from discord_double import Double

LAUNCH = Path(discord_double.__file__).parent / "launch.py"


class Process:
    """A bot that was started; its output is kept for when something fails."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process = process
        self._log = log

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def output(self) -> str:
        return self._log.read_text()

    async def kill(self) -> None:
        """kill -9: no chance to say goodbye."""
        self._process.kill()
        await self._process.wait()

    async def terminate(self, timeout: float = 30) -> int:
        """SIGTERM, and the exit code."""
        self._process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self._process.wait(), timeout)

    async def ended(self, timeout: float = 60) -> int:
        return await asyncio.wait_for(self._process.wait(), timeout)

    @property
    def running(self) -> bool:
        return self._process.returncode is None


Launch = Callable[..., object]


@pytest.fixture
async def double() -> AsyncIterator[Double]:
    async with Double() as server:
        yield server


@pytest.fixture
def environment(tmp_path: Path, model_path: Path) -> dict[str, str]:
    """Settings as a person would give them: a config.toml in the working folder, the token in the environment."""
    (tmp_path / "config.toml").write_text(
        f"""
[model]
name = "{model_path}"
context = 2048
[engine]
threads = 1
streams = 2
[sampling]
temperature = 0.0
max_tokens = 40
"""
    )
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return kept | {"DISCORD_TOKEN": "test-token", "PYTHONUNBUFFERED": "1"}


@pytest.fixture
async def launch(double: Double, tmp_path: Path, environment: dict[str, str]) -> AsyncIterator[Launch]:
    """``await launch("glasshead", "run")`` starts a module (or a script) against the double, in ``tmp_path``."""
    started: list[Process] = []

    async def run(*command: str, connected: bool = True, **more: str) -> Process:
        log = tmp_path / f"output-{len(started)}.txt"
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                str(LAUNCH),
                double.url,
                *command,
                cwd=tmp_path,
                env=environment | more,
                stdout=output,
                stderr=output,
            )
        started.append(Process(process, log))
        if connected:
            before = double.gateway.identified
            up = asyncio.create_task(double.until(lambda: double.gateway.identified > before, timeout=60))
            ended = asyncio.create_task(process.wait())
            await asyncio.wait({up, ended}, return_when=asyncio.FIRST_COMPLETED)
            assert up.done(), f"the bot ended: {started[-1].output}"
            ended.cancel()
        return started[-1]

    yield run
    for process in started:
        if process.running:
            await process.kill()
        print(process.output)
