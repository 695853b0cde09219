"""Jobs for the tests of the pipelines."""

from pathlib import Path

import pytest

from tests import fakes
from tests.pipelines.jobs import Job, add_heads, make_model


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint directory without usable weights."""
    return make_model(tmp_path_factory.mktemp("models") / "small")


@pytest.fixture(scope="session")
def heads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Such a checkpoint that has sparse and multi-vector output too."""
    return add_heads(make_model(tmp_path_factory.mktemp("models") / "heads"))


@pytest.fixture
def fake_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """The job opens the fake encoder; what it encodes and how often it is opened is counted from zero."""
    monkeypatch.setattr("pipelines.preflight.run_plan.open_encoder", fakes.open_fake_encoder)
    fakes.ENCODED.clear()
    fakes.OPENED.clear()


@pytest.fixture
def job(tmp_path: Path, small_model: Path, fake_encoder: None) -> Job:
    """A job of its own, with the fake encoder."""
    return Job(tmp_path, small_model)
