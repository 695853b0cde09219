"""Fixtures that several test files share."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OFFLINE_MODEL = ROOT / ".cache" / "models" / "multilingual-e5-small"


@pytest.fixture(scope="session")
def offline_model() -> Path:
    """The real multilingual model that `make model` builds."""
    if not (OFFLINE_MODEL / "model.safetensors").is_file():
        pytest.fail(f"{OFFLINE_MODEL} is missing: run `make model` first, or the tests by `make test`")
    return OFFLINE_MODEL


@pytest.fixture(scope="session")
def sample_corpus() -> Path:
    """The folder of the sample corpus."""
    return ROOT / "deploy" / "local" / "corpus"
