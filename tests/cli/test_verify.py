"""`glasshead verify` over a log on disk."""

import asyncio
import json
import sqlite3
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from glasshead.cli import verify as command
from glasshead.config import Settings, load_settings
from glasshead.errors import UserError
from glasshead.explain.certificate import Certificate
from glasshead.explain.proof import prove
from glasshead.predict.local import EngineSettings, LocalEngine
from glasshead.predict.model import Model
from glasshead.predict.prompt import Prompt, Span
from glasshead.predict.sampling import Sampling
from glasshead.store import Store
from lent import lent
from typer import Typer
from typer.testing import CliRunner

QUESTION = "<|im_start|>user\nName three birds.<|im_end|>\n<|im_start|>assistant\n"
SAMPLING = Sampling(max_tokens=5)

app = Typer()
app.command()(command.verify)


@dataclass(frozen=True)
class Log:
    """A log with a finished turn and one left open, and the settings file that names it."""

    config: Path
    database: Path
    turn: int
    pending: int


async def write_log(loaded: Model, database: Path) -> tuple[int, int]:
    model = lent(loaded)
    engine = LocalEngine(model, EngineSettings(n_ctx=512, max_running=1, threads=1))
    store = await Store.open(database)
    await store.save_vocabulary(engine.model, model.vocabulary.pieces())
    session = await store.start_session()
    ids = tuple(model.vocabulary.tokenise(QUESTION, special=True))
    turns = []
    for _ in range(2):
        message = await store.append_message(session, "user", "Name three birds.")
        prompt = Prompt(ids, (Span(0, len(ids), "typed", "user", message),))
        turns.append(
            await store.open_turn(
                session=session,
                prompt_message=message,
                prompt=prompt,
                model=engine.model,
                sampling=SAMPLING,
                seed=1,
                k=10,
            )
        )
    generation = engine.generate(ids, SAMPLING, 1)
    steps = [step async for step in generation]
    await store.finish_turn(
        turns[0], steps=steps, schedule=generation.schedule, reply="birds", finish="length", status="ok"
    )
    await engine.aclose()
    await store.close()
    return turns[0], turns[1]


@pytest.fixture(scope="module")
def log(
    shallow_path: Path, shallow_model: Model, shared_model: None, tmp_path_factory: pytest.TempPathFactory
) -> Log:
    folder = tmp_path_factory.mktemp("verify")
    database = folder / "log.db"
    turn, pending = asyncio.run(write_log(shallow_model, database))
    config = folder / "config.toml"
    config.write_text(
        f"[model]\nname = {json.dumps(str(shallow_path))}\nfolder = {json.dumps(str(folder))}\n"
        f"[store]\npath = {json.dumps(str(database))}\n[engine]\nthreads = 1\n"
    )
    return Log(config, database, turn, pending)


def run(log: Log, *arguments: str, config: Path | None = None) -> tuple[int, str]:
    result = CliRunner().invoke(app, [*arguments, "--config", str(config or log.config)])
    if isinstance(result.exception, UserError):
        return 2, str(result.exception)  # as `glasshead.cli.main` ends it
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.stdout


def test_proves_a_logged_turn(log: Log) -> None:
    code, out = run(log, str(log.turn))
    assert code == 0
    assert "A  bitwise" in out
    assert "B  bitwise" in out
    assert out.rstrip().splitlines()[-1].startswith("Proven")


def test_speaks_json(log: Log) -> None:
    code, out = run(log, str(log.turn), "--json")
    stated = json.loads(out)
    assert (code, stated["turn"], stated["verdict"]) == (0, log.turn, "proven")
    a, b, c = stated["levels"]
    assert (a["level"], a["verdict"], b["level"], b["verdict"]) == ("A", "bitwise", "B", "bitwise")
    assert c["level"] == "C"
    assert c["verdict"] in ("near", "bitwise")  # in so short a reply the kernels may round alike
    assert stated["levels"][0]["checked"] == SAMPLING.max_tokens


def test_replays_only_the_levels_asked_for(log: Log) -> None:
    code, out = run(log, str(log.turn), "--json", "--level", "ca")
    assert code == 0
    assert [level["level"] for level in json.loads(out)["levels"]] == ["A", "C"]


def test_goes_through_the_whole_log(log: Log) -> None:
    code, out = run(log, "--all", "--level", "A", "--json")
    assert code == 0
    found = {line["turn"]: line["verdict"] for line in map(json.loads, out.splitlines())}
    assert found == {log.turn: "proven", log.pending: "cannot"}
    code, out = run(log, "--all", "--level", "A")
    assert "1 proven, 0 not, 1 cannot be judged" in out
    assert [line.partition(":")[0] for line in out.splitlines()[:2]] == ["1 of 2", "2 of 2"]


def test_says_how_long_every_step_will_take(log: Log) -> None:
    arguments = [str(log.turn), "--every", "--level", "AB", "--json", "--config", str(log.config)]
    (line,) = CliRunner().invoke(app, arguments).stderr.splitlines()
    assert line.startswith(f"turn {log.turn}: level B gives all input again for 5 steps: about ")


def test_finds_every_configured_model(log: Log, tmp_path: Path, shallow_path: Path) -> None:
    config = tmp_path / "config.toml"
    another = log.config.read_text().replace(json.dumps(str(shallow_path)), json.dumps("smollm2-360m-instruct"))
    config.write_text(another.replace("[store]", f"others = [{json.dumps(str(shallow_path))}]\n[store]"))
    code, out = run(log, str(log.turn), "--level", "A", config=config)
    assert (code, out.rstrip().splitlines()[-1][:6]) == (0, "Proven")


def test_a_turn_that_never_ended_cannot_be_judged(log: Log) -> None:
    code, message = run(log, str(log.pending))
    assert code == 2
    assert "still being written" in message
    code, out = run(log, str(log.pending), "--json")
    assert (code, json.loads(out)["verdict"]) == (2, "cannot")


def test_names_the_model_it_takes(log: Log, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text(log.config.read_text().replace("SmolLM2-shallow.gguf", "gone.gguf"), encoding="utf-8")
    code, message = run(log, str(log.turn), config=config)
    assert code == 2
    assert "sha256" in message
    assert "Q4_1" in message


def test_a_changed_record_is_not_proven(log: Log, tmp_path: Path) -> None:
    """Somebody gave the turn another seed in the database."""
    copy = tmp_path / "log.db"
    with sqlite3.connect(log.database) as source, sqlite3.connect(copy) as target:
        source.backup(target)
        target.execute("UPDATE turn SET seed = 2 WHERE id = ?", (log.turn,))
    config = tmp_path / "config.toml"
    config.write_text(log.config.read_text().replace(str(log.database), str(copy)))
    code, out = run(log, str(log.turn), "--level", "A", config=config)
    assert code == 1
    assert out.rstrip().splitlines()[-1].startswith("Not proven")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(("99",), "no turn 99"), (("1", "--all"), "not both"), (("1", "--level", "D"), "A, B, C")],
)
def test_refuses_in_words(arguments: tuple[str, ...], words: str, log: Log) -> None:
    code, message = run(log, *arguments)
    assert code == 2
    assert words in message


async def test_verifies_in_a_sitting(log: Log, capsys: pytest.CaptureFixture[str]) -> None:
    settings: Settings = load_settings(log.config)
    store = await Store.open(log.database, writable=False)
    turn = await store.turn(log.turn)
    await store.close()
    await command.verify_turn(turn, settings)
    assert "Proven" in capsys.readouterr().out


async def test_given_up_it_lets_go_of_the_model_only_when_nothing_computes(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, ended = threading.Event(), threading.Event()

    def watched(*arguments: Any, **options: Any) -> Certificate:
        begun.set()
        try:
            return prove(*arguments, **options)
        finally:
            ended.set()

    monkeypatch.setattr(command, "prove", watched)
    store = await Store.open(log.database, writable=False)
    turn = await store.turn(log.turn)
    await store.close()
    task = asyncio.create_task(command.verify_turn(turn, load_settings(log.config)))
    await asyncio.to_thread(begun.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()
