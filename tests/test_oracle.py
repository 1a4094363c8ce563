"""What `glasshead explain --json` says against a program that shares nothing with Glasshead: tests/oracle.py."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from glasshead.chat import Chat, Done, ReplyRequest
from glasshead.cli.app import app
from glasshead.config import Settings, load_settings
from glasshead.predict.sampling import Sampling
from glasshead.wiring import open_chat
from predict.architectures import ARCHITECTURES
from predict.tiny import quantize, tiny
from shallow import shallow
from typer.testing import CliRunner

ORACLE = Path(__file__).with_name("oracle.py")
TOKENS = 6
DEFAULT = Sampling(max_tokens=TOKENS)
WAYS = {
    "default": DEFAULT,
    "greedy": replace(DEFAULT, temperature=0),
    "everything": replace(DEFAULT, temperature=1, top_k=0, top_p=1, min_p=0),
    "penalties and biases": replace(
        DEFAULT,
        temperature=1.3,
        repetition_penalty=1.3,
        presence_penalty=0.4,
        frequency_penalty=0.2,
        penalty_window=-1,
        logit_bias=((28, -100.0), (260, 2.5)),
    ),
    "cold": replace(DEFAULT, temperature=0.1),
    "colder": replace(DEFAULT, temperature=0.05, top_k=0, top_p=1, min_p=0),
    "hot first": replace(
        DEFAULT,
        temperature=1.7,
        top_k=0,
        min_p=0.02,
        stages=("temperature", "min_p", "top_p", "penalties", "logit_bias", "top_k"),
        repetition_penalty=1.1,
    ),
}


def prepared(model: Path, name: str, folder: Path) -> Path:
    """The default model, its first layers, a quantization of it, or a tiny one of an architecture."""
    path = folder / f"{name}.gguf"
    if name == "default":
        return model
    if name == "shallow":
        return shallow(model, path)
    return tiny(path, name) if name in ARCHITECTURES else quantize(model, path, name)


async def say(chat: Chat, session: int, text: str, parent: int | None, sampling: Sampling, seed: int) -> Done:
    message = await chat.store.append_message(session, "user", text, parent=parent)
    async for event in chat.reply(ReplyRequest(session, message, sampling=sampling, seed=seed)):
        if isinstance(event, Done):
            return event
    raise AssertionError("no end")


async def converse(settings: Settings) -> dict[str, int]:
    """The turn of each way of sampling, all made at once, and of a second turn on a reused prefix."""
    async with open_chat(settings) as chat:

        async def one(seed: int, sampling: Sampling) -> tuple[int, Done]:
            session = await chat.store.start_session()
            return session, await say(chat, session, f"Tell me {seed} things about rain.", None, sampling, seed)

        made = await asyncio.gather(*(one(seed, way) for seed, way in enumerate(WAYS.values(), 7)))
        session, first = made[0]
        second = await say(chat, session, "And about snow? 🌨", first.message, DEFAULT, 2**53 - 1)
        turns = {name: done.turn for name, (_, done) in zip(WAYS, made, strict=True)}
        return turns | {"second turn": second.turn}


def explained(turn: int, config: Path) -> dict[str, Any]:
    result = CliRunner().invoke(app, ["explain", str(turn), "--json", "--config", str(config)])
    assert result.exit_code == 0, result.output
    stated: dict[str, Any] = json.loads(result.stdout)
    return stated


@dataclass(frozen=True)
class Talk:
    """A model, and what `explain` says of each turn it made."""

    model: Path
    turns: dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def talk(model_path: Path, shared_model: None, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Talk]:
    @cache
    def with_model(name: str) -> Talk:
        folder = tmp_path_factory.mktemp(name)
        path = prepared(model_path, name, folder)
        config = folder / "config.toml"
        config.write_text(
            f"[model]\nname = {json.dumps(str(path))}\ncontext = 512\n[engine]\nthreads = 1\n"
            f"[store]\npath = {json.dumps(str(folder / 'log.db'))}\n[explain]\ncandidates = 12\n"
        )
        turns = asyncio.run(converse(load_settings(config)))
        return Talk(path, {name: explained(turn, config) for name, turn in turns.items()})

    return with_model


ALWAYS = ("default", "gemma3", "granitehybrid", "qwen2moe")
SOAK = [
    pytest.param(name, marks=pytest.mark.soak) for name in ("Q8_0", "Q4_K_M", *ARCHITECTURES) if name not in ALWAYS
]


@pytest.mark.parametrize("model", [*ALWAYS, *SOAK])
def test_every_token_agrees_with_an_independent_program(
    model: str, talk: Callable[[str], Talk], tmp_path: Path
) -> None:
    made = talk(model)
    assert made.turns["second turn"]["n_cached"] > 0

    reports = judged(made.model, list(made.turns.values()), tmp_path)

    assert [(name, report["wrong"]) for name, report in zip(made.turns, reports, strict=True)] == [
        (name, []) for name in made.turns
    ]
    assert all(report["bitwise"] == report["steps"] for report in reports)  # 1e-3 is what is promised


def test_the_oracle_can_say_no(talk: Callable[[str], Talk], tmp_path: Path) -> None:
    made = talk("shallow")
    honest = made.turns["default"] | {"steps": made.turns["default"]["steps"][:4]}
    lies: list[dict[str, Any]] = []
    for change in (
        lambda t: t.update(seed=t["seed"] + 1),
        lambda t: t["prompt_ids"].__setitem__(3, 500),
        lambda t: t["steps"][2].update(logprob=t["steps"][2]["logprob"] + 0.002),
        lambda t: t["steps"][1].update(rank=t["steps"][1]["rank"] + 1),
        lambda t: t["steps"][1]["top"].pop(0),
        lambda t: t["steps"][3]["top"][-1].update(removed_by="temperature"),
        lambda t: t["sampling"].update(temperature=0.9),
        lambda t: t["steps"][0].update(id=t["steps"][0]["top"][5]["id"]),
    ):
        lie = json.loads(json.dumps(honest))
        change(lie)
        lies.append(lie)
    reports = judged(made.model, [honest, *lies], tmp_path)
    assert [bool(report["wrong"]) for report in reports] == [False] + [True] * len(lies)


def judged(model: Path, turns: list[dict[str, Any]], folder: Path) -> list[dict[str, Any]]:
    """What the oracle says, in a process of its own."""
    files = [folder / f"{number}.json" for number in range(len(turns))]
    for file, turn in zip(files, turns, strict=True):
        file.write_text(json.dumps(turn), encoding="utf-8")
    done = subprocess.run([sys.executable, ORACLE, model, *files], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]
