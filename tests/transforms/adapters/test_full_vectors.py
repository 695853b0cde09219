"""Full-precision vectors by text, against the rows that were stored."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.transforms.adapters.rows import shard_rows, vectors
from transforms.adapters.full_vectors import FullVectors
from transforms.adapters.workspace import Workspace
from transforms.logic.errors import ConfigurationError, CorruptDataError

NUMBERS = st.integers(0, 60)


def _texts(numbers: Sequence[int]) -> list[str]:
    return [f"text {number}" for number in numbers]


@settings(deadline=None, derandomize=True, max_examples=25)
@given(
    stored=st.lists(st.sets(NUMBERS, min_size=1, max_size=25), min_size=1, max_size=4),
    asked=st.lists(st.integers(0, 200), min_size=1, max_size=40),
)
def test_vectors_come_in_the_order_asked(
    tmp_path_factory: pytest.TempPathFactory, stored: list[set[int]], asked: list[int]
) -> None:
    workspace = Workspace(str(tmp_path_factory.mktemp("workspace")), "space", "")
    for version, numbers in enumerate(stored):
        workspace.write_shard(shard_rows(numbers, version))
    known = sorted(set().union(*stored))
    # Texts repeat, as chunks of several documents do.
    wanted = [known[one % len(known)] for one in asked]
    found = FullVectors(workspace.uri, "space").of(_texts(wanted))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, vectors(wanted).astype(np.float32))


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Two shards of texts 0 to 9 and 10 to 19."""
    made = Workspace(str(tmp_path), "space", "")
    made.write_shard(shard_rows(range(10)))
    made.write_shard(shard_rows(range(10, 20)))
    return made


def test_a_text_without_a_vector_is_named_by_number(workspace: Workspace) -> None:
    with pytest.raises(ConfigurationError, match="lacks the vectors of 2 of 4 chunks that were found"):
        FullVectors(workspace.uri, "space").of(_texts([1, 99, 12, 100]))


def test_a_workspace_of_another_space_is_refused(workspace: Workspace) -> None:
    with pytest.raises(ConfigurationError, match="holds no vectors of the collection's embedding space"):
        FullVectors(f"{workspace.uri}/", "another space")


def test_only_shards_that_may_hold_a_text_are_read(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    full = FullVectors(workspace.uri, "space")
    read: list[str] = []
    works = Workspace.read_shard

    def watched(self: Workspace, name: str, *args: object, **settings: object) -> object:
        read.append(name)
        return works(self, name, *args, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr(Workspace, "read_shard", watched)
    shard = full._shards[0]
    first = workspace.read_shard(shard.name, ["text"]).column("text")[0].as_py()
    del read[:]
    full.of([first])
    others = [one for one in full._shards if not one.first <= shard.first <= one.last]
    assert not set(read) & {one.name for one in others}
    assert read.count(shard.name) == 2


def test_a_shard_that_is_gone_is_named(workspace: Workspace, tmp_path: Path) -> None:
    full = FullVectors(workspace.uri, "space")
    for path in tmp_path.rglob("*.parquet"):
        path.unlink()
    with pytest.raises(CorruptDataError, match="is gone or damaged"):
        full.of(_texts([1]))
