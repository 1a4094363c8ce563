"""What the whole suite shares: one real model, and examples that are the same in every run."""

import contextlib
import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from glasshead import wiring
from glasshead.predict import pool
from glasshead.predict.model import Model
from hypothesis import settings
from lent import lend, remembered
from shallow import shallow

settings.register_profile("same", derandomize=True, deadline=None)
settings.load_profile("same")

ROOT = Path(__file__).parent.parent
DEFAULT_MODEL = "SmolLM2-135M-Instruct.Q4_1.gguf"


def pytest_configure() -> None:
    """Started in the background, a run ignores Ctrl-C, and so would the programs it starts."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """What thousands of tests are made of is not looked through again for garbage."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def model_path() -> Path:
    """The default model's file; `make test` has fetched it."""
    path = Path(os.environ.get("GLASSHEAD_TEST_MODEL", ROOT / "models" / DEFAULT_MODEL))
    if not path.exists():
        pytest.fail(f"{path} is missing: run `make model` first")
    return path


@pytest.fixture(scope="session")
def shallow_path(model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default model's first layers, for tests in which its words are not the point."""
    return shallow(model_path, tmp_path_factory.mktemp("shallow") / "SmolLM2-shallow.gguf")


@pytest.fixture(scope="session")
def loaded(model_path: Path) -> Iterator[Model]:
    """The default model, loaded once. An engine closes its model: give it ``lent(loaded)``."""
    with Model.load(model_path) as model:
        remembered(model.vocabulary)
        yield model


@pytest.fixture(scope="session")
def shallow_model(shallow_path: Path) -> Iterator[Model]:
    """Its first layers, loaded once, to be lent likewise."""
    with Model.load(shallow_path) as model:
        remembered(model.vocabulary)
        yield model


@pytest.fixture(scope="session")
def shared_model(shallow_model: Model) -> Iterator[None]:
    """A chat that is opened meanwhile is lent the shallow model instead of loading it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool, "load_model", lend(shallow_model))
        # To collect the garbage of a whole test run takes longer than to start the chat.
        patch.setattr(wiring, "_started", contextlib.nullcontext)
        yield
