"""Full-precision vectors by text, against the rows that were stored."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.transforms.adapters.rows import key, shard_rows, vectors
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


# --- what is read ---


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, str]]:
    """Every row group that is decoded: the first id that it has, its number in the file, and the column."""
    found: list[tuple[str, int, str]] = []
    works = pq.ParquetFile.read_row_group

    def watched(self: pq.ParquetFile, group: int, columns: list[str], **settings: object) -> pa.Table:
        first = works(self, 0, ["id"]).column("id")[0].as_py()
        found.extend((first, group, column) for column in columns)
        return works(self, group, columns, **settings)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", watched)
    return found


@pytest.fixture
def cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Workspace, list[list[int]]]:
    """A shard of four row groups, and the texts in each."""
    monkeypatch.setattr("transforms.adapters.workspace._ROW_GROUP_ROWS", 10)
    made = Workspace(str(tmp_path), "space", "")
    made.write_shard(shard_rows(range(40)))
    ordered = sorted(range(40), key=key)
    return made, [ordered[start : start + 10] for start in range(0, 40, 10)]


def test_a_row_group_is_decoded_once_however_many_candidates_are_in_it(
    cut: tuple[Workspace, list[list[int]]], decoded: list[tuple[str, int, str]]
) -> None:
    workspace, groups = cut
    wanted = [*groups[1], *groups[3][:3], *groups[1]]
    found = FullVectors(workspace.uri, "space").of(_texts(wanted))
    np.testing.assert_array_equal(found, vectors(wanted).astype(np.float32))
    assert [(group, column) for _, group, column in decoded] == [
        (1, "content_key"),
        (1, "vector"),
        (3, "content_key"),
        (3, "vector"),
    ]


def test_what_was_asked_for_lately_is_not_read_again(
    cut: tuple[Workspace, list[list[int]]], decoded: list[tuple[str, int, str]]
) -> None:
    workspace, groups = cut
    # Ten vectors of four numbers of 16 bits.
    full = FullVectors(workspace.uri, "space", kept_bytes=10 * (4 * 2 + 200))
    asked = _texts(groups[0][:6])
    full.of(asked)
    del decoded[:]
    np.testing.assert_array_equal(full.of(asked), vectors(groups[0][:6]).astype(np.float32))
    assert decoded == []
    # Six more than four that are kept: those that were asked for the longest ago go.
    full.of(_texts(groups[2][:6]))
    del decoded[:]
    full.of(_texts([*groups[0][2:6], *groups[2][:6]]))
    assert decoded == []
    full.of(_texts(groups[0][:1]))
    assert [(group, column) for _, group, column in decoded] == [(0, "content_key"), (0, "vector")]


def test_vectors_are_decoded_only_where_the_key_is(tmp_path: Path, decoded: list[tuple[str, int, str]]) -> None:
    """Of shards that overlap, as those of several runs do."""
    workspace = Workspace(str(tmp_path), "space", "")
    for start in range(5):
        workspace.write_shard(shard_rows(range(start, 50, 5), start))
    wanted = list(range(0, 50, 5))
    FullVectors(workspace.uri, "space").of(_texts(wanted))
    assert [column for _, _, column in decoded].count("vector") == 1


def test_only_shards_that_may_hold_a_text_are_opened(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    works = Workspace.open_shard

    def watched(self: Workspace, name: str) -> object:
        opened.append(name)
        return works(self, name)

    monkeypatch.setattr(Workspace, "open_shard", watched)
    full = FullVectors(workspace.uri, "space")
    shard = full._shards[0]
    full.of([workspace.read_shard(shard.name, ["text"]).column("text")[0].as_py()])
    assert opened.count(shard.name) == 1
    assert set(opened) <= {one.name for one in full._shards if one.first <= shard.first <= one.last}


# --- a dataset that changes while a service asks ---


def test_what_a_later_run_stored_is_found(workspace: Workspace) -> None:
    full = FullVectors(workspace.uri, "space")
    workspace.write_shard(shard_rows(range(20, 30)))
    np.testing.assert_array_equal(full.of(_texts([1, 25, 12])), vectors([1, 25, 12]).astype(np.float32))


def test_a_shard_that_was_collected_is_no_error_where_another_holds_its_rows(
    workspace: Workspace, tmp_path: Path
) -> None:
    full = FullVectors(workspace.uri, "space")
    workspace.write_shard(shard_rows(range(20)))
    for shard in full._shards:
        next(tmp_path.rglob(shard.name)).unlink()
    np.testing.assert_array_equal(full.of(_texts([1, 12])), vectors([1, 12]).astype(np.float32))


def test_a_shard_that_is_gone_or_damaged_is_no_silent_answer(workspace: Workspace, tmp_path: Path) -> None:
    full = FullVectors(workspace.uri, "space")
    paths = sorted(tmp_path.rglob("*.parquet"))
    for path in paths:
        path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(CorruptDataError, match="is gone or damaged"):
        full.of(_texts([1]))
    for path in paths:
        path.unlink()
    with pytest.raises(ConfigurationError, match="lacks the vectors of 1 of 1 chunks"):
        full.of(_texts([1]))
