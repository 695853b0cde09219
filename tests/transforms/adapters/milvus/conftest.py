"""A Milvus Lite for the tests of a module, and an empty collection for each."""

from collections.abc import Iterator

import pytest

from tests.transforms.adapters.milvus.four import SPACE
from transforms.adapters.milvus import Collection, Target, release, served
from transforms.logic.identity import digest


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Milvus Lite that the tests of this module share, each with a collection of its own."""
    path = str(tmp_path_factory.mktemp("milvus") / "milvus.db")
    yield path
    release(path)


@pytest.fixture
def target(uri: str, request: pytest.FixtureRequest) -> Target:
    return served(Target(uri, f"c_{digest(request.node.name).hex()}"))


@pytest.fixture
def collection(target: Target) -> Iterator[Collection]:
    """An empty collection, created and loaded."""
    opened = Collection(target)
    opened.create(SPACE)
    yield opened
    opened.close()
