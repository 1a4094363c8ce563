"""A loaded model: one llama.cpp model, what it is, and its vocabulary."""

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import llama_cpp

from ..errors import UserError
from . import gguf, library
from .batch import tells_routes, tells_rows
from .engine import ModelIdentity
from .vocabulary import Vocabulary

_RACY_NS = 2_000_000_000
_NEAR = "glasshead verify says how near a replay comes"


class Model:
    """Owns one ``llama_model*``. ``pointer`` and ``vocabulary`` are void after ``close()``."""

    def __init__(self, pointer: Any, path: Path, header: gguf.Header, identity: ModelIdentity) -> None:
        self.pointer = pointer
        self.path = path
        self.header = header
        self.identity = identity
        self.vocabulary = Vocabulary(llama_cpp.llama_model_get_vocab(pointer))
        self.adapter: Any = None
        """The ``llama_adapter_lora*`` that contexts add, at the scale the identity says."""
        self.template: str | None = header.text("tokenizer.chat_template") or None
        self.limits: tuple[str, ...] = ()
        """What it cannot do, a line each, for whoever starts it."""
        self.is_recurrent: bool = bool(
            llama_cpp.llama_model_is_recurrent(pointer) or llama_cpp.llama_model_is_hybrid(pointer)
        )

    @classmethod
    def load(cls, path: Path, *, name: str = "", vocab_only: bool = False, n_gpu_layers: int = 0) -> "Model":
        """Load a GGUF file. ``n_gpu_layers`` -1 means all.

        ``vocab_only`` leaves the weights on disk: enough to render and tokenise. Raises UserError, before
        llama.cpp sees the file where that is possible.
        """
        header = gguf.read(path)
        if not header.tensors and not vocab_only:
            raise UserError(f"{path}: holds a vocabulary only, no weights: it cannot answer")
        if header.text("tokenizer.ggml.model") in (None, "none", "no_vocab"):
            raise UserError(f"{path}: holds no vocabulary")
        if header.metadata.get(f"{header.architecture}.attention.causal") is False:
            raise UserError(f"{path}: is an embedding model, it sees what comes after a token: it cannot chat")
        sha256 = file_sha256(path)
        library.start()
        params = llama_cpp.llama_model_default_params()
        params.vocab_only = vocab_only
        params.n_gpu_layers = n_gpu_layers
        with library.told_by_us() as errors:
            pointer = llama_cpp.llama_model_load_from_file(os.fsencode(path), params)
        if not pointer:
            raise UserError(f"{path}: llama.cpp cannot load it: {errors[0] if errors else 'it gave no reason'}")
        template = header.text("tokenizer.chat_template") or ""
        identity = ModelIdentity(
            name=name or path.stem,
            sha256=sha256,
            quantization=header.quantization or "unknown",
            n_vocab=llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(pointer)),
            n_ctx_train=header.n_ctx_train or 0,
            template_sha256=hashlib.sha256(template.encode()).hexdigest(),
            llamacpp_build=library.build(),
            cpu=library.cpu_name(),
            gpu_layers=n_gpu_layers if llama_cpp.llama_supports_gpu_offload() else 0,
        )
        model = cls(pointer, path, header, identity)
        if not vocab_only and (unfit := model.unfit):
            model.close()
            raise UserError(f"{path}: {unfit}")
        if not model.vocabulary.is_sound:
            model.close()
            raise UserError(f"{path}: is corrupt: its vocabulary lacks byte tokens")
        model.limits = tuple(_limits(model, n_gpu_layers))
        return model

    @property
    def tells_rows(self) -> bool:
        """Whether some weight's kernel tells how many rows it multiplies: then a schedule has to."""
        return self.adapter is not None or tells_rows(self.header)

    @property
    def unfit(self) -> str:
        """Why it cannot chat, with all its weights; "" where it can."""
        if llama_cpp.llama_model_has_encoder(self.pointer) or not llama_cpp.llama_model_has_decoder(self.pointer):
            return f"{self.header.architecture} is not a decoder-only model: it cannot chat"
        if llama_cpp.llama_model_is_diffusion(self.pointer):
            return "is a diffusion model, it does not write token after token: it cannot chat"
        return ""

    def close(self) -> None:
        """Free the model. Safe to call again."""
        if self.pointer is not None:
            llama_cpp.llama_model_free(self.pointer)
            self.pointer = None

    def __enter__(self) -> "Model":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _limits(model: Model, n_gpu_layers: int) -> Iterator[str]:
    if model.is_recurrent:
        yield "its state cannot be taken back: after a retry or an edit the whole conversation is computed again"
    if tells_routes(model.header):
        yield f"with experts in {model.identity.quantization} equal bits are not promised: {_NEAR}"
    if model.template is None:
        yield "it brings no chat template: it is given a plain transcript, and may write on as the other side"
    if n_gpu_layers and not llama_cpp.llama_supports_gpu_offload():
        yield "gpu_layers is set, but this llama.cpp was built without a GPU: all of it runs on the processor"
    elif n_gpu_layers:
        yield f"on a GPU equal bits are not promised: {_NEAR}"


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hex; kept beside it in ``<file>.sha256`` so that a start need not read gigabytes.

    What is kept counts only while size, modification, change time and inode are those it was computed for. A folder
    that cannot be written to costs the time again, nothing else.
    """
    before = path.stat()
    kept_in = path.with_name(path.name + ".sha256")
    stamp = [before.st_size, before.st_mtime_ns, before.st_ctime_ns, before.st_ino]
    try:
        kept = json.loads(kept_in.read_bytes())
        if kept["stamp"] == stamp and len(kept["sha256"]) == 64:
            return str(kept["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    after = path.stat()
    if [after.st_size, after.st_mtime_ns, after.st_ctime_ns, after.st_ino] != stamp:
        raise UserError(f"{path}: the file changed while it was read")
    # A file written to within a clock tick of now may change again without its times changing.
    if time.time_ns() - max(after.st_mtime_ns, after.st_ctime_ns) > _RACY_NS:
        _keep(kept_in, {"sha256": digest, "stamp": stamp})
    return digest


def _keep(path: Path, record: dict[str, Any]) -> None:
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        part.write_text(json.dumps(record))
        part.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            part.unlink()
