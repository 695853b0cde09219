"""Calibrations, projections and samples in a workspace."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from tests.transforms.verbs import SPACE, chunks, record
from transforms.adapters.calibrations import (
    keep_projection,
    latest_calibration,
    read_calibration,
    read_projection,
    read_sample,
    reopen,
    write_calibration,
)
from transforms.adapters.workspace import Workspace
from transforms.logic.calibration import Calibration, Projection, calibrate
from transforms.logic.errors import ConfigurationError, CorruptDataError, TransientError
from transforms.logic.recall import Sample
from transforms.logic.representations import Recorded, Representation
from transforms.logic.schemas import row_schema
from transforms.logic.vector_columns import to_list_array
from transforms.logic.vectors import Float32, unit_rows

FULL = 8
LANGUAGES = ("en", "de", "fr")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(str(tmp_path / "workspace"), SPACE, "c")


def _calibration(seed: int, space: str = SPACE) -> Calibration:
    return calibrate(_vectors(5, seed), space, "test")


def _vectors(count: int, seed: int) -> Float32:
    return unit_rows(np.random.default_rng(seed).standard_normal((count, FULL)).astype(np.float32))


def _rows(count: int) -> pa.Table:
    """Dataset rows whose vectors, as float16, are told by their text."""
    batch = chunks(*(record(f"d{n}", f"text {n}", declared_language=LANGUAGES[n % 3]) for n in range(count)))
    table = pa.Table.from_batches([batch])
    numbers = [int(text.split()[1]) for text in table.column("text").to_pylist()]
    return _stored(table, _vectors(count, 1)[numbers]).sort_by([("content_key", "ascending"), ("row_key", "ascending")])


def _stored(table: pa.Table, vectors: Float32) -> pa.Table:
    schema = row_schema(FULL)
    column = to_list_array(vectors.astype(np.float16))
    return pa.table([column if name == "vector" else table.column(name) for name in schema.names], schema=schema)


def _store(workspace: Workspace, rows: pa.Table, groups: list[list[int]]) -> None:
    for group in groups:
        if group:
            workspace.write_shard(rows.take(pa.array(sorted(group))))


def _expected(rows: pa.Table, most: int) -> tuple[np.ndarray, list[str]]:
    first: dict[bytes, tuple[bytes, int]] = {}
    keys = zip(rows.column("content_key").to_pylist(), rows.column("row_key").to_pylist(), strict=True)
    for number, (content, row) in enumerate(keys):
        first[content] = min(first.get(content, (row, number)), (row, number))
    chosen = [first[key][1] for key in sorted(first)][:most]
    vectors = np.array([rows.column("vector")[number].as_py() for number in chosen], np.float32)
    return vectors, [rows.column("language")[number].as_py() for number in chosen]


def _same(sample: Sample, expected: tuple[np.ndarray, list[str]]) -> None:
    vectors, languages = expected
    assert list(sample.languages) == languages
    np.testing.assert_array_equal(sample.vectors, unit_rows(vectors))
    assert sample.vectors.dtype == np.float32


@settings(deadline=None, derandomize=True, max_examples=15)
@given(shards=st.lists(st.integers(0, 3), min_size=24, max_size=24), most=st.integers(1, 30))
def test_the_sample_is_of_the_smallest_keys_however_rows_lie_in_shards(
    tmp_path_factory: pytest.TempPathFactory, shards: list[int], most: int
) -> None:
    home = tmp_path_factory.mktemp("sample")
    try:
        rows, workspace = _rows(24), Workspace(str(home), SPACE, "c")
        _store(workspace, rows, [[n for n in range(24) if shards[n] == shard] for shard in range(4)])
        _same(read_sample(workspace, most), _expected(rows, most))
    finally:
        shutil.rmtree(home)


def test_a_content_that_is_stored_twice_counts_once(workspace: Workspace) -> None:
    rows = _rows(12)
    _store(workspace, rows, [list(range(12)), list(range(4, 9)), [0, 11]])
    _same(read_sample(workspace, 100), _expected(rows, 100))


def test_a_text_of_two_documents_counts_once(workspace: Workspace) -> None:
    batch = chunks(*(record(f"d{n}", "the same", declared_language=LANGUAGES[n]) for n in range(3)))
    rows = _stored(pa.Table.from_batches([batch]), np.tile(_vectors(1, 1), (3, 1)))
    _store(workspace, rows, [[0], [1, 2]])
    assert len(read_sample(workspace, 10)) == 1
    _same(read_sample(workspace, 10), _expected(rows, 10))


def test_shards_beyond_the_sample_are_not_opened(workspace: Workspace) -> None:
    rows = _rows(24)
    _store(workspace, rows, [list(range(12)), list(range(12, 24))])
    last = max((Path(workspace.uri) / "dataset" / SPACE).iterdir())
    last.write_bytes(b"not to be read")
    _same(read_sample(workspace, 10), _expected(rows, 10))
    with pytest.raises(CorruptDataError, match=last.name):
        read_sample(workspace, 13)


def test_an_empty_dataset_gives_an_empty_sample(workspace: Workspace) -> None:
    assert len(read_sample(workspace, 10)) == 0


def test_a_dataset_without_dense_vectors_is_refused(workspace: Workspace) -> None:
    _store(workspace, _rows(3).drop_columns("vector"), [[0, 1, 2]])
    with pytest.raises(ConfigurationError, match=r"no dense vectors.*--outputs dense"):
        read_sample(workspace, 10)


def test_calibrations_are_numbered_and_the_latest_counts(workspace: Workspace) -> None:
    assert latest_calibration(workspace) is None
    first = write_calibration(workspace, _calibration(1))
    assert write_calibration(workspace, _calibration(1)) == first == latest_calibration(workspace)
    second = write_calibration(workspace, _calibration(2))
    assert second == latest_calibration(workspace) != first
    assert [read_calibration(uri) for uri in (first, second)] == [_calibration(1), _calibration(2)]
    assert Path(second).is_absolute()


def test_of_two_that_calibrate_at_once_one_wins(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = write_calibration(workspace, _calibration(1))
    monkeypatch.setattr("transforms.adapters.calibrations.latest_calibration", lambda _: None)
    assert write_calibration(workspace, _calibration(1)) == uri
    with pytest.raises(TransientError, match="another run stored the calibration"):
        write_calibration(workspace, _calibration(2))
    assert read_calibration(uri) == _calibration(1)


def test_calibrations_of_spaces_do_not_mix(workspace: Workspace) -> None:
    write_calibration(workspace, _calibration(1))
    assert latest_calibration(Workspace(workspace.uri, "other", "c")) is None


def test_a_calibration_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"the calibration .*none\.json' cannot be read"):
        read_calibration(str(tmp_path / "none.json"))


def test_a_projection_is_read_from_either_file(tmp_path: Path) -> None:
    matrix, mean = _vectors(FULL, 3)[:, :4].copy(), _vectors(1, 4)[0]
    np.save(tmp_path / "p.npy", matrix)
    save_file({"matrix": matrix, "mean": mean}, tmp_path / "p.safetensors")
    assert read_projection(str(tmp_path / "p.npy"), FULL) == Projection(matrix, np.zeros(FULL, np.float32))
    assert read_projection(str(tmp_path / "p.safetensors"), FULL) == Projection(matrix, mean)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("p.npy", None, "--projection .* cannot be read"),
        ("p.npy", b"", "--projection .* cannot be read"),
        ("p.npy", b"\x93NUMPY\x01\x00v\x00", "--projection .* cannot be read"),
        ("p.safetensors", b"\x00", "--projection .* cannot be read"),
        ("p.pickle", b"x", r"ends neither in \.npy nor in \.safetensors"),
    ],
)
def test_a_file_that_is_no_projection_is_refused(tmp_path: Path, name: str, data: bytes | None, message: str) -> None:
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(ConfigurationError, match=message):
        read_projection(str(tmp_path / name), FULL)


def test_a_pickle_in_an_npy_file_is_never_loaded(tmp_path: Path) -> None:
    np.save(tmp_path / "p.npy", np.array([{"not": "numbers"}], object), allow_pickle=True)
    with pytest.raises(ConfigurationError, match="allow_pickle"):
        read_projection(str(tmp_path / "p.npy"), FULL)


def test_what_a_collection_records_gives_its_representation_again(workspace: Workspace) -> None:
    calibration = _calibration(1)
    projection = Projection(_vectors(FULL, 3), _vectors(1, 4)[0])
    uri, projection_uri = write_calibration(workspace, calibration), keep_projection(workspace, projection)
    assert keep_projection(workspace, projection) == projection_uri
    write_calibration(workspace, _calibration(2))
    recorded = Recorded("binary", FULL, calibration.sha256, uri, projection.sha256, projection_uri)
    assert reopen(recorded, SPACE, FULL) == Representation("binary", FULL, calibration, projection)
    assert reopen(Recorded("int8", 4), SPACE, FULL) == Representation("int8", 4)
    with pytest.raises(ConfigurationError, match="was made for embedding space"):
        reopen(recorded, "other", FULL)


def test_what_was_put_in_place_of_a_calibration_or_projection_is_refused(workspace: Workspace) -> None:
    uri = write_calibration(workspace, _calibration(1))
    with pytest.raises(CorruptDataError, match="is not what the collection was made with"):
        reopen(Recorded("binary", FULL, _calibration(2).sha256, uri), SPACE, FULL)
    projection = keep_projection(workspace, Projection(_vectors(FULL, 3), _vectors(1, 4)[0]))
    with pytest.raises(CorruptDataError, match="is not what the collection was made with"):
        reopen(Recorded("int8", FULL, None, None, "0" * 64, projection), SPACE, FULL)
