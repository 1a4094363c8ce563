"""`glasshead model`, as a person types it."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def glasshead_model(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GLASSHEAD_")}
    return subprocess.run(
        [sys.executable, "-m", "glasshead", "model", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path, model_path: Path) -> Path:
    """A folder whose models folder has the default model."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / model_path.name).symlink_to(model_path)
    return tmp_path


def test_list_says_what_is_here_and_under_what_licence(folder: Path) -> None:
    rows = {row["name"]: row for row in json.loads(glasshead_model("list", "--json", folder=folder).stdout)}
    default = rows["smollm2-135m-instruct"]
    assert (default["installed"], default["configured"], default["size"]) == (True, True, 98_362_432)
    assert default["licence"] == "Apache-2.0"
    assert not rows["qwen3-0.6b"]["installed"]
    lines = glasshead_model("list", folder=folder).stdout.splitlines()
    assert lines[0].split()[:6] == ["*", "smollm2-135m-instruct", "installed", "98", "MB", "Apache-2.0"]
    assert len(lines) == len(rows)


def test_list_ends_with_what_is_configured_by_its_path(folder: Path, model_path: Path) -> None:
    for name, is_here in ((str(model_path), True), ("gone.gguf", False)):
        (folder / "config.toml").write_text(f"[model]\nname = {json.dumps(name)}\n")
        row = json.loads(glasshead_model("list", "--json", folder=folder).stdout)[-1]
        assert (row["name"], row["configured"], row["installed"]) == (name, True, is_here)
        last = glasshead_model("list", folder=folder).stdout.splitlines()[-1]
        assert last.split()[:2] == ["*", name]


def test_info_of_the_real_model(folder: Path, model_path: Path) -> None:
    facts = json.loads(glasshead_model("info", "--json", folder=folder).stdout)
    assert facts["sha256"] == SHA256
    assert (facts["architecture"], facts["quantization"]) == ("llama", "Q4_1")
    assert (facts["vocabulary"], facts["context_length"]) == (49_152, 8192)
    assert facts["parameters"] == 134_515_008
    assert facts["template"] is True and len(facts["template_sha256"]) == 64
    shown = glasshead_model("info", str(model_path), folder=folder).stdout
    for fact in (SHA256, "llama", "Q4_1", "49152", "8192", facts["template_sha256"], "98,362,432 bytes"):
        assert fact in shown


def test_info_of_a_file_without_a_template(folder: Path, model_path: Path) -> None:
    header = bytearray(model_path.read_bytes())
    at = header.index(b"tokenizer.chat_template")
    header[at : at + 23] = b"tokenizer.chat_templatX"
    at = header.index(b"general.file_type")
    header[at : at + 17] = b"general.file_typX"
    (folder / "bare.gguf").write_bytes(header)
    facts = json.loads(glasshead_model("info", "bare.gguf", "--json", folder=folder).stdout)
    assert (facts["template"], facts["template_sha256"], facts["quantization"]) == (False, None, None)
    assert facts["sha256"] == hashlib.sha256(header).hexdigest()
    assert "none: a plain one is used" in glasshead_model("info", "bare.gguf", folder=folder).stdout


def test_pull_of_what_is_here_does_nothing_but_say_where(folder: Path, model_path: Path) -> None:
    done = glasshead_model("pull", folder=folder)
    assert done.stdout.strip() == f"models/{model_path.name}"
    assert done.stderr == ""
    assert (folder / "models" / model_path.name).is_symlink()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["info", "smollm"], "smollm: no such model; did you mean smollm2-"),
        (["pull", "nope"], "nope: no such model; known: "),
        (["info", "qwen3-0.6b"], "qwen3-0.6b: not here yet; get it with: glasshead model pull qwen3-0.6b"),
        (["info", "text.gguf"], "text.gguf: is not a GGUF file"),
        (["pull", "text.gguf"], "text.gguf: is not a GGUF file"),
        (["info", "--config", "no.toml"], "no.toml: cannot be read"),
    ],
)
def test_trouble_is_one_line_and_exit_code_2(arguments: list[str], said: str, folder: Path) -> None:
    (folder / "text.gguf").write_text("just text, nothing else, but long enough to be looked at")
    done = glasshead_model(*arguments, folder=folder)
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"glasshead: {said}")
