"""`glasshead explain` on a real log: what it prints, what it writes, how it refuses."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from glasshead.cli import main
from glasshead.explain.turn import Turn
from glasshead.store import Store

from .recording import Recorder


@pytest.fixture
async def log(turn: Turn, recorder: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A log that holds one real turn, and the settings that point there."""
    path = tmp_path / "log.db"
    store = await Store.open(path)
    await store.save_vocabulary(turn.model, [recorder.piece(token) for token in range(turn.model.n_vocab)])
    session = await store.start_session()
    question = await store.append_message(session, "user", "Name a colour and a fruit. Be brief.")
    number = await store.open_turn(
        session=session,
        prompt_message=question,
        prompt=turn.prompt,
        model=turn.model,
        sampling=turn.sampling,
        seed=turn.seed,
        k=turn.trace.k,
    )
    await store.finish_turn(
        number,
        steps=turn.trace.steps,
        schedule=turn.schedule,
        reply=turn.reply,
        reasoning="",
        finish="length",
        status="ok",
        n_cached=0,
        timings=turn.timings,
    )
    await store.close()
    assert number == 1
    monkeypatch.setenv("GLASSHEAD_STORE__PATH", str(path))
    monkeypatch.chdir(tmp_path)
    return path


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    sys.argv = ["glasshead", "explain", *arguments]
    with pytest.raises(SystemExit) as ended:
        main()
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


def run_in_thread(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """The command starts an event loop of its own, which needs a thread without one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(run, capsys, *arguments).result()


async def test_json_is_what_was_recorded(log: Path, turn: Turn, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run_in_thread(capsys, "1", "--json")
    assert code == 0
    shown = json.loads(out)
    assert shown["turn"] == 1 and shown["prompt_ids"] == list(turn.prompt.ids)
    for step, recorded in zip(shown["steps"], turn.trace.steps, strict=True):
        assert step["id"] == recorded.id
        assert step["logprob"] == pytest.approx(recorded.logprob, abs=1e-3)
        assert [c["id"] for c in step["top"]] == [c.id for c in recorded.top]
        assert all(
            c["logprob"] == pytest.approx(r.logprob, abs=1e-3)
            for c, r in zip(step["top"], recorded.top, strict=True)
        )


async def test_a_pipe_gets_plain_text(log: Path, turn: Turn, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run_in_thread(capsys, "1")
    assert code == 0 and "\x1b" not in out
    assert "Least certain" in out and "What the model saw" in out
    assert out.count("\n") > len(turn.trace.steps)


async def test_one_step(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run_in_thread(capsys, "1", "--step", "3")
    assert code == 0 and out.startswith("Step 3")


async def test_without_a_number_it_is_the_newest(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, named, _ = run_in_thread(capsys, "1")
    _, newest, _ = run_in_thread(capsys)
    assert newest == named


async def test_an_empty_log_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    await (await Store.open(tmp_path / "empty.db")).close()
    monkeypatch.setenv("GLASSHEAD_STORE__PATH", str(tmp_path / "empty.db"))
    code, _, err = run_in_thread(capsys)
    assert code == 2 and "no turn yet" in err


async def test_files(log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    html, png = tmp_path / "turn.html", tmp_path / "turn.png"
    code, _, _ = run_in_thread(capsys, "1", "--html", str(html), "--png", str(png), "--step", "2")
    assert code == 0
    assert html.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert png.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("99",), "99"),
        (("1", "--step", "4000"), "steps 0 to"),
        (("1", "--html", "/nowhere/at/all.html"), "cannot be written"),
        (("1", "--compare", "77"), "77"),
        (("1", "--compare", "2", "--html", "x"), "--compare cannot be had together with --html"),
        (("1", "--compare", "2", "--tree"), "--compare cannot be had together with --tree"),
        (("1", "--tree", "--png", "x"), "--tree cannot be had together with --png"),
        (("1", "--json", "--html", "x"), "--json cannot be had together with --html"),
        (("1", "--json", "--step", "1"), "--json cannot be had together with --step"),
        (("1", "--loss", "--png", "x"), "--loss cannot be had together with --png"),
    ],
)
async def test_bad_input_is_one_line_and_code_2(
    log: Path, arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run_in_thread(capsys, *arguments)
    assert code == 2
    assert len(err.strip().splitlines()) == 1 and said in err
