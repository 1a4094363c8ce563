"""What the whole suite shares: one real model file, and examples that are the same in every run."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("same", derandomize=True, deadline=None)
settings.load_profile("same")

ROOT = Path(__file__).parent.parent
DEFAULT_MODEL = "SmolLM2-135M-Instruct.Q4_1.gguf"


@pytest.fixture(scope="session")
def model_path() -> Path:
    """The default model's file; `make test` has fetched it."""
    path = Path(os.environ.get("GLASSHEAD_TEST_MODEL", ROOT / "models" / DEFAULT_MODEL))
    if not path.exists():
        pytest.fail(f"{path} is missing: run `make model` first")
    return path
