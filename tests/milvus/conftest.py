"""Backends, each started once."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import fakes, servers
from tests.milvus.backends import NAMED, Backend
from tests.pipelines.jobs import Job, make_model
from transforms.adapters.milvus import Target, release, served


@pytest.fixture(scope="session")
def lite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """Milvus Lite, served from this process."""
    path = str(tmp_path_factory.mktemp("lite") / "milvus.db")
    yield Backend("lite", served(Target(path, "")).uri)
    release(path)


@pytest.fixture(scope="session")
def lite_server() -> Iterator[Backend]:
    """Milvus Lite as a process of its own."""
    with servers.lite_server() as uri:
        yield Backend("lite server", uri)


@pytest.fixture(scope="session")
def real(milvus_235: str) -> Backend:
    """The real Milvus 2.3.5."""
    return Backend("2.3.5", milvus_235)


@pytest.fixture(scope="session")
def named() -> Backend:
    """Whatever server somebody named."""
    if NAMED not in os.environ:
        pytest.skip(f"{NAMED} names no server")
    return Backend("named", os.environ[NAMED])


@pytest.fixture(
    params=[
        "lite",
        "lite_server",
        pytest.param("real", marks=pytest.mark.milvus),
        pytest.param("named", marks=pytest.mark.milvus),
    ]
)
def backend(request: pytest.FixtureRequest) -> Backend:
    """Each backend in turn."""
    found: Backend = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint directory without usable weights."""
    return make_model(tmp_path_factory.mktemp("models") / "small")


@pytest.fixture
def job(tmp_path: Path, small_model: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    """A job of its own, with the fake encoder."""
    monkeypatch.setattr("pipelines.preflight.run_plan.open_encoder", fakes.open_fake_encoder)
    fakes.ENCODED.clear()
    return Job(tmp_path, small_model)
