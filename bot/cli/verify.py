"""`glasshead verify`: replay logged turns and compare every row of logits.

Exit code 0: proven. 1: not. 2: cannot be judged (`--all`: nothing could).
"""

import asyncio
import sys
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, closing
from pathlib import Path
from typing import Annotated

import typer

from ..config import Settings, load_settings
from ..errors import UserError
from ..explain.certificate import LEVELS, Certificate, Level
from ..explain.proof import CannotVerify, prove, require, threads_here
from ..explain.statement import cannot_json, certificate_json, certificate_lines
from ..explain.turn import Turn
from ..predict.adapter import adapt
from ..predict.engine import ModelIdentity
from ..predict.halt import Halt
from ..predict.model import Model, file_sha256
from ..store import Store
from ..store.export import turns_found
from ..store.search_syntax import Query
from ..store.turns import count_turns
from .options import Config
from .printing import print_json
from .terminal import columns, wrapped


def verify(
    turn: Annotated[int | None, typer.Argument(help="The turn; without: the newest.")] = None,
    *,
    level: Annotated[str, typer.Option(help="Which levels: any of the letters A, B, C.")] = "ABC",
    every: Annotated[bool, typer.Option("--every", help="Level B: every step of a long reply, too.")] = False,
    all_turns: Annotated[bool, typer.Option("--all", help="Every turn in the log.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a turn and line (docs/json.md).")
    ] = False,
    config: Config = None,
) -> None:
    """Replay a reply from its record alone: do the same bits come out?"""
    if turn is not None and all_turns:
        raise UserError("name a turn, or --all, not both")
    levels = _levels(level)
    settings = load_settings(config)
    code = asyncio.run(_verify(settings, turn, levels, every=every, all_turns=all_turns, as_json=as_json))
    raise typer.Exit(code)


async def verify_turn(turn: Turn, settings: Settings) -> None:
    """Replay one turn and print its certificate."""
    with closing(_Models(settings)) as models:
        certificate = await _prove(turn, models, LEVELS, _Bar(f"turn {turn.id}"), every=False)
    _print(certificate, None, as_json=False)


def _levels(letters: str) -> tuple[Level, ...]:
    asked = set(letters.upper().replace(",", ""))
    if not asked or asked - set(LEVELS):
        raise UserError(f"--level {letters}: expected some of the letters A, B, C")
    return tuple(level for level in LEVELS if level in asked)


async def _verify(
    settings: Settings, turn: int | None, levels: tuple[Level, ...], *, every: bool, all_turns: bool, as_json: bool
) -> int:
    store = await Store.open(settings.store.path, writable=False)
    verdicts: list[bool | None] = []
    with closing(_Models(settings)) as models:
        try:
            async with aclosing(_numbers(store, turn, all_turns)) as numbers:
                async for number, place in numbers:
                    try:
                        recorded = await store.turn(number)
                        certificate = await _prove(recorded, models, levels, _Bar(place, every), every=every)
                    except UserError as error:
                        if not as_json and not all_turns:
                            raise
                        verdicts.append(None)
                        _print_cannot(number, place, error, as_json)
                        continue
                    verdicts.append(certificate.proven)
                    _print(certificate, place if all_turns else None, as_json)
        finally:
            await store.close()
    if all_turns and not as_json:
        typer.echo(
            f"{verdicts.count(True)} proven, {verdicts.count(False)} not, {verdicts.count(None)} cannot be judged"
        )
    return 1 if False in verdicts else 0 if True in verdicts else 2


async def _numbers(store: Store, turn: int | None, all_turns: bool) -> AsyncGenerator[tuple[int, str]]:
    """The turns asked for (all: session by session), and what to call each."""
    if not all_turns:
        turn = turn if turn is not None else await store.latest_turn()
        if turn is None:
            raise UserError("the log holds no turn yet: say something first, with glasshead chat")
        yield turn, f"turn {turn}"
        return
    total, done = await store.database.read(count_turns), 0
    async for _, id_ in turns_found(store, Query()):
        done += 1
        yield id_, f"{done} of {max(done, total)}: turn {id_}"


async def _prove(
    turn: Turn, models: "_Models", levels: tuple[Level, ...], bar: "_Bar", *, every: bool
) -> Certificate:
    """In a thread. Cancelled, it gives up, and only then lets go of the model."""
    require(turn)
    halt = Halt()

    def work() -> Certificate:
        model = models.load(turn.model)
        threads = threads_here(models.settings.engine.threads)
        return prove(turn, model, threads=threads, levels=levels, every=every, progress=bar.show, halt=halt)

    working = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(working)
    finally:
        halt.call()
        await asyncio.wait([working])
        if not working.cancelled():
            working.exception()  # one that was given up ends in an error nobody waits for
        bar.clear()


class _Models:
    """Loads the model a turn names, and keeps it for the next turn."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._model: Model | None = None

    def load(self, wanted: ModelIdentity) -> Model:
        if self._model is None or _weights(self._model.identity) != _weights(wanted):
            section = self.settings.model
            models = (section.name, *section.others)
            path = self._find(wanted.sha256, models, f"{wanted.name} ({wanted.quantization},")
            self.close()
            self._model = Model.load(path, name=wanted.name, n_gpu_layers=section.gpu_layers)
            if wanted.adapter_sha256:
                adapter = self._find(wanted.adapter_sha256, (section.adapter,), "the adapter (its")
                adapt(self._model, adapter, wanted.adapter_scale)
        return self._model

    def close(self) -> None:
        if self._model is not None:
            self._model.close()
            self._model = None

    def _find(self, sha256: str, configured: Sequence[str], what: str) -> Path:
        """The file with the recorded hash: one that is configured, or any in the models' folder."""
        folder = self.settings.model.folder
        named = [Path(name) for name in configured if Path(name).is_file()]
        for path in [*named, *sorted(folder.glob("*.gguf"))]:
            if file_sha256(path) == sha256:
                return path
        raise CannotVerify(
            f"it takes {what} sha256 {sha256}), which is not in {folder}: "
            "put it there, or get it with glasshead model pull"
        )


def _weights(model: ModelIdentity) -> tuple[str, str | None, float]:
    return model.sha256, model.adapter_sha256, model.adapter_scale


class _Bar:
    """A line on standard error, if that is a terminal: where it is, and how long it will take. How long ``every``
    step takes is said in any case."""

    def __init__(self, place: str, every: bool = False) -> None:
        self._place = place
        self._every = every
        self._watched = sys.stderr.isatty()
        self._began = 0.0

    def show(self, level: Level, done: int, total: int, share: float) -> None:
        """A `Progress`."""
        if not done:
            self._began = time.monotonic()
            return
        seconds = (time.monotonic() - self._began) * (1 - share) / share
        left = f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
        if self._every and level == "B" and done == 1:
            self.clear()
            typer.echo(f"{self._place}: level B gives all input again for {total} steps: about {left}", err=True)
        if self._watched:
            typer.echo(f"\r\x1b[K{self._place}  level {level}  {done}/{total}  {left} left", nl=False, err=True)

    def clear(self) -> None:
        """Leave the line empty."""
        if self._watched:
            typer.echo("\r\x1b[K", nl=False, err=True)


def _print(certificate: Certificate, place: str | None, as_json: bool) -> None:
    """In full, or with a ``place`` among others in a line."""
    if as_json:
        print_json(certificate_json(certificate))
    elif place is not None:
        found = ", ".join(f"{r.level} {r.verdict} {r.bitwise}/{r.checked}" for r in certificate.levels)
        typer.echo(f"{place}: {'proven' if certificate.proven else 'NOT PROVEN'} ({found})")
    else:
        lines = certificate_lines(certificate)
        typer.echo("\n".join(wrapped(lines, columns()) if sys.stdout.isatty() else lines))


def _print_cannot(turn: int, place: str, error: UserError, as_json: bool) -> None:
    if as_json:
        print_json(cannot_json(turn, str(error)))
    else:
        typer.echo(f"{place}: cannot: {error}")
