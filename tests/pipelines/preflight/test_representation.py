"""The representation that a run takes: asked for, standing, or chosen by recall."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from pipelines.configuration.sections import Representation as Options
from pipelines.preflight.representation import Choice, choose_representation
from tests.transforms.verbs import SPACE, chunks, record
from transforms.adapters.calibrations import read_calibration, read_sample, reopen, write_calibration
from transforms.adapters.workspace import Workspace
from transforms.logic.calibration import Projection, calibrate
from transforms.logic.errors import ConfigurationError
from transforms.logic.recall import choose, measure
from transforms.logic.representations import VECTOR_TYPES, Recorded, Representation
from transforms.logic.schemas import row_schema
from transforms.logic.vector_columns import to_list_array
from transforms.logic.vectors import Float32, unit_rows

FULL = 64
COUNT = 160


def _vectors(count: int = COUNT, seed: int = 0) -> Float32:
    """Vectors that share a direction, and whose last half says little."""
    generator = np.random.default_rng(seed)
    spread = np.where(np.arange(FULL) < FULL // 2, 1, 0.05)
    return unit_rows((generator.standard_normal((count, FULL)) * spread + 1).astype(np.float32))


@pytest.fixture
def empty(tmp_path: Path) -> Workspace:
    return Workspace(str(tmp_path), SPACE, "c")


@pytest.fixture
def workspace(empty: Workspace) -> Workspace:
    """A workspace whose dataset has enough vectors."""
    rows = chunks(*(record(f"d{n}", f"text {n}") for n in range(COUNT)))
    column = to_list_array(_vectors().astype(np.float16))
    names = row_schema(FULL).names
    columns = [column if name == "vector" else rows.column(name) for name in names]
    empty.write_shard(pa.table(columns, schema=row_schema(FULL)).sort_by("content_key"))
    return empty


def _choose(
    workspace: Workspace, recorded: Recorded | None = None, allowed: Any = VECTOR_TYPES, **wanted: Any
) -> Choice:
    return choose_representation(Options(**wanted), FULL, workspace, allowed, recorded)


@pytest.mark.parametrize("vector_type", ["float32", "float16", "bfloat16", "int8"])
def test_what_needs_no_calibration_needs_no_dataset(empty: Workspace, vector_type: Any) -> None:
    choice = _choose(empty, vector_type=vector_type)
    assert choice == Choice(Representation(vector_type, FULL), Recorded(vector_type, FULL))
    assert _choose(empty, vector_type=vector_type, dimensions=10).representation.dimensions == 10
    assert list(Path(empty.uri).iterdir()) == []


def test_binary_is_calibrated_once_on_the_dataset(workspace: Workspace) -> None:
    choice = _choose(workspace, vector_type="binary")
    sample = read_sample(workspace, 10_000)
    calibration = choice.representation.calibration
    assert calibration is not None
    assert calibration.mean.tolist() == sample.vectors.mean(axis=0, dtype=np.float64).astype(np.float32).tolist()
    assert calibration.sample_size == COUNT
    assert choice.recorded.calibration == calibration.sha256
    assert read_calibration(str(choice.recorded.calibration_uri)) == calibration
    assert choice.describe() == {**choice.representation.describe(), "measured": []}
    assert _choose(workspace, vector_type="binary") == choice
    # The dataset may change: what is frozen stands.
    (Path(workspace.uri) / "dataset").rename(Path(workspace.uri) / "gone")
    assert _choose(workspace, vector_type="binary", dimensions=8).representation.calibration == calibration


@pytest.mark.parametrize("vector_type", ["binary", "auto"])
def test_too_small_a_dataset_is_refused_with_the_way_out(empty: Workspace, vector_type: str) -> None:
    with pytest.raises(ConfigurationError, match=r"needs 100 distinct chunks.*holds 0; corpus-embed calibrate"):
        _choose(empty, vector_type=vector_type)


def test_of_calibrations_the_named_counts_then_the_collection_s_then_the_latest(workspace: Workspace) -> None:
    made = [calibrate(_vectors(5, seed), SPACE, "test") for seed in range(3)]
    uris = [write_calibration(workspace, one) for one in made]
    recorded = Recorded("binary", FULL, made[1].sha256, uris[1])
    assert _choose(workspace, vector_type="binary").representation.calibration == made[2]
    assert _choose(workspace, recorded, vector_type="binary").representation.calibration == made[1]
    named = _choose(workspace, recorded, vector_type="binary", calibration=uris[0])
    assert named.representation.calibration == made[0]
    assert named.recorded.calibration_uri == uris[0]


def test_a_calibration_of_another_space_is_refused(workspace: Workspace) -> None:
    uri = write_calibration(Workspace(workspace.uri, "other", "c"), calibrate(_vectors(5), "other", "test"))
    with pytest.raises(ConfigurationError, match="was made for embedding space 'other'"):
        _choose(workspace, vector_type="binary", calibration=uri)


def test_auto_takes_the_smallest_that_keeps_the_floor(workspace: Workspace) -> None:
    choice = _choose(workspace, vector_type="auto", recall_floor=0.9)
    shapes = {(one.representation.vector_type, one.representation.dimensions) for one in choice.measured}
    assert shapes == {(vector_type, dimensions) for vector_type in VECTOR_TYPES for dimensions in (64, 32)}
    good = [one for one in choice.measured if min(one.recall, one.worst_recall) >= 0.9]
    sizes = [one.representation.bytes_per_vector for one in good]
    assert choice.representation.bytes_per_vector == min(sizes) < FULL * 4
    assert choice.representation in [one.representation for one in good]
    again = measure(read_sample(workspace, 10_000), [choice.representation])
    assert again == [one for one in choice.measured if one.representation == choice.representation]
    assert f"> {choice.representation.vector_type}" in choice.text
    assert f"on {COUNT} chunks" in choice.text
    assert len(choice.describe()["measured"]) == len(choice.measured)
    assert _choose(workspace, vector_type="auto", recall_floor=0.9) == choice


def test_auto_takes_only_what_this_milvus_holds(workspace: Workspace) -> None:
    choice = _choose(workspace, vector_type="auto", recall_floor=0.01, allowed=["float32"])
    assert choice.representation == Representation("float32", 32)
    assert choice.recorded.calibration is None
    assert not (Path(workspace.uri) / "calibration").exists()


def test_auto_keeps_the_dimensions_that_are_named(workspace: Workspace) -> None:
    choice = _choose(workspace, vector_type="auto", recall_floor=0.01, dimensions=60)
    assert {one.representation.dimensions for one in choice.measured} == {60}
    assert choice.representation.vector_type == "int8"


def test_where_nothing_keeps_the_floor_the_best_is_taken_and_said(workspace: Workspace) -> None:
    choice = _choose(workspace, vector_type="auto", recall_floor=1, dimensions=8, allowed=["binary", "int8"])
    assert choice.representation == choose(choice.measured, 1)[0].representation
    assert choice.text.endswith("none keeps 1 overall and in every language: int8 with 8 dimensions keeps most\n")


def test_on_a_collection_auto_means_what_it_has(workspace: Workspace) -> None:
    first = _choose(workspace, vector_type="binary", dimensions=32)
    write_calibration(workspace, calibrate(_vectors(5), SPACE, "test"))
    again = _choose(workspace, first.recorded, vector_type="auto")
    assert (again.representation, again.recorded, again.measured) == (first.representation, first.recorded, ())
    with pytest.raises(ConfigurationError, match="--dimensions asks for 64, the collection was made with 32"):
        _choose(workspace, first.recorded, vector_type="auto", dimensions=64)
    with pytest.raises(ConfigurationError, match="--calibration asks for"):
        _choose(
            workspace,
            first.recorded,
            vector_type="auto",
            calibration=str(first.recorded.calibration_uri).replace("1.json", "2.json"),
        )


def test_a_projection_is_kept_in_the_workspace(workspace: Workspace, tmp_path: Path) -> None:
    matrix = np.linalg.qr(np.random.default_rng(3).standard_normal((FULL, FULL)))[0][:, :48].astype(np.float32)
    path = tmp_path / "projection.npy"
    np.save(path, matrix)
    choice = _choose(workspace, vector_type="binary", projection=str(path))
    path.unlink()
    assert choice.representation.dimensions == 48
    assert choice.representation.projection == Projection(matrix, np.zeros(FULL, np.float32))
    assert reopen(choice.recorded, SPACE, FULL) == choice.representation
    chosen = _choose(workspace, choice.recorded, vector_type="auto")
    assert chosen.representation == choice.representation


def test_dimensions_beyond_the_projection_or_model_are_refused(empty: Workspace, tmp_path: Path) -> None:
    np.save(tmp_path / "projection.npy", np.eye(FULL, 48, dtype=np.float32))
    with pytest.raises(ConfigurationError, match="--dimensions 49 is more than the projection has; choose at most 48"):
        _choose(empty, dimensions=49, projection=str(tmp_path / "projection.npy"))
    with pytest.raises(ConfigurationError, match="--dimensions 65 is more than the model has; choose at most 64"):
        _choose(empty, dimensions=65)


def test_bits_that_do_not_fill_bytes_are_refused_before_a_calibration_is_made(workspace: Workspace) -> None:
    with pytest.raises(ConfigurationError, match="choose --dimensions 8 or 16"):
        _choose(workspace, vector_type="binary", dimensions=12)
    assert not (Path(workspace.uri) / "calibration").exists()


@pytest.mark.parametrize("vector_type", ["float32", "int8"])
def test_a_calibration_that_nothing_uses_is_refused(vector_type: Any) -> None:
    with pytest.raises(ValidationError, match=f"--calibration is for --vector-type binary or auto, {vector_type}"):
        Options(vector_type=vector_type, calibration="c.json")
