"""LoRA adapters: small weights added to a model's own. One for a whole model, so never two in one batch."""

import dataclasses
import os
from pathlib import Path

from ..errors import UserError
from . import gguf, library
from .model import Model, file_sha256

import llama_cpp.llama_cpp as llama  # isort: skip  (after library)


def check(path: Path, architecture: str) -> None:
    """Raise UserError where the file's header says that it is no adapter for models of this architecture."""
    header = gguf.read(path)
    if header.text("general.type") != "adapter" or header.text("adapter.type") != "lora":
        raise UserError(f"{path}: is not a LoRA adapter")
    if header.architecture != architecture:
        raise UserError(f"{path}: is for {header.architecture} models, not for {architecture}")


def adapt(model: Model, path: Path, scale: float = 1.0) -> None:
    """Have all contexts made from now on add the adapter, ``scale`` times. The model's identity says so.

    Raises UserError, before llama.cpp sees the file where that is possible.
    """
    check(path, model.header.architecture)
    sha256 = file_sha256(path)
    with library.told_by_us() as errors:
        pointer = llama.llama_adapter_lora_init(model.pointer, os.fsencode(path))
    if not pointer:
        raise UserError(f"{path}: does not fit {model.path.name}: {errors[0] if errors else 'no reason given'}")
    model.adapter = pointer  # freed with the model
    model.identity = dataclasses.replace(model.identity, adapter_sha256=sha256, adapter_scale=scale)
