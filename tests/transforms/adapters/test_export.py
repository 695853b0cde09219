"""A collection's rows in files of other stores: all that its ledger names, once, and nothing else."""

import io
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.servers import Store
from tests.transforms.adapters.kept import commit, stored
from transforms.adapters import export as export_module
from transforms.adapters.export import FORMATS, Format, export_collection
from transforms.adapters.storage import read_bytes
from transforms.adapters.workspace import Ledger, Workspace, collection_key
from transforms.logic.errors import ConfigurationError, CorruptDataError
from transforms.logic.exports import as_uuid
from transforms.logic.outputs import OUTPUTS

MILVUS = "milvus.db"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(str(tmp_path / "workspace"), "space", collection_key(MILVUS, "corpus"))


def read(directory: Path) -> list[dict[str, Any]]:
    """Every exported row."""
    rows: list[dict[str, Any]] = []
    for path in sorted(directory.rglob("*.*")):
        if path.suffix == ".jsonl":
            rows += [json.loads(line) for line in path.read_text().splitlines()]
        else:
            rows += pq.read_table(path).to_pylist()
    return rows


PARTITIONS = {number: ("lang_de", "lang_th")[number % 2] for number in range(30)}


@settings(deadline=None, derandomize=True, max_examples=30)
@given(
    held=st.lists(st.sets(st.integers(0, 59), max_size=20), max_size=4),
    parts=st.integers(1, 5),
    form=st.sampled_from(FORMATS),
    file_bytes=st.sampled_from([1, 2000, 1 << 20]),
    spill_files=st.sampled_from([1, 2, 64]),
)
def test_exactly_the_held_rows_are_exported(
    tmp_path_factory: pytest.TempPathFactory,
    held: list[set[int]],
    parts: int,
    form: Format,
    file_bytes: int,
    spill_files: int,
) -> None:
    home = tmp_path_factory.mktemp("export")
    workspace = Workspace(str(home / "workspace"), "space", collection_key(MILVUS, "corpus"))
    rows: list[dict[str, Any]] = []
    for version, numbers in enumerate(held):
        of_shard = stored(workspace, range(60), version, PARTITIONS)
        rows += [row for row in of_shard if int(str(row["document_id"]).split()[-1]) in numbers]
    Workspace(workspace.uri, "other", "").write_shard(
        workspace.read_shard(workspace.shards()[0].name)
    ) if held else None
    ledger = commit(workspace, rows, parts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export_module, "_FILE_BYTES", dict.fromkeys(FORMATS, file_bytes))
        patch.setattr(export_module, "_SPILL_FILES", spill_files)
        found = export_collection(workspace.uri, "corpus", None, str(home / "out"), form)
        again = export_collection(workspace.uri, "corpus", MILVUS, str(home / "again"), form)
    exported = read(home / "out")
    assert (found.rows, found.partitions, found.ledger) == (len(rows), ledger.partitions, 1)
    wanted = sorted(as_uuid(str(row["id"])) if form == "jsonl" else str(row["id"]) for row in rows)
    assert sorted(row["id"] for row in exported) == wanted
    if form == "pinecone":
        folders = {path.name: pq.read_table(path).num_rows for path in (home / "out").glob("*")}
        assert folders == ledger.partitions
    files = {path.relative_to(home / "out"): path.read_bytes() for path in (home / "out").rglob("*.*")}
    assert found.files == again.files == len(files)
    assert files == {path.relative_to(home / "again"): path.read_bytes() for path in (home / "again").rglob("*.*")}


def test_plain_rows_are_those_of_the_dataset(workspace: Workspace, tmp_path: Path) -> None:
    rows = stored(workspace, range(9), outputs=OUTPUTS)
    commit(workspace, rows, 3)
    export_collection(workspace.uri, "corpus", None, str(tmp_path / "out"), "parquet")
    assert read(tmp_path / "out") == workspace.read_shard(str(rows[0]["shard"])).to_pylist()


@pytest.mark.slow
def test_a_workspace_in_a_bucket_is_exported_into_a_bucket(store: Store) -> None:
    workspace = Workspace(f"{store.root}/work", "space", collection_key(MILVUS, "corpus"))
    rows = stored(workspace, range(9), partitions=PARTITIONS)
    ledger = commit(workspace, rows)
    found = export_collection(workspace.uri, "corpus", MILVUS, f"{store.root}/out", "pinecone")
    assert found.partitions == ledger.partitions
    exported = []
    for partition in ("lang_de", "lang_th"):
        exported += pq.read_table(io.BytesIO(read_bytes(f"{store.root}/out/{partition}/00000.parquet"))).to_pylist()
    assert sorted(row["id"] for row in exported) == sorted(row["id"] for row in rows)
    with pytest.raises(ConfigurationError, match="holds files already"):
        export_collection(workspace.uri, "corpus", MILVUS, f"{store.root}/out", "pinecone")


def test_only_the_current_ledger_counts(workspace: Workspace, tmp_path: Path) -> None:
    rows = stored(workspace, range(9))
    commit(workspace, rows)
    commit(workspace, rows[3:])
    found = export_collection(workspace.uri, "corpus", None, str(tmp_path / "out"), "parquet")
    assert (found.rows, found.ledger) == (6, 2)
    assert {row["id"] for row in read(tmp_path / "out")} == {row["id"] for row in rows[3:]}


def test_what_cannot_be_exported_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    with pytest.raises(ConfigurationError, match="there is no workspace"):
        export_collection(workspace.uri, "corpus", None, out, "parquet")
    rows = stored(workspace, range(4))
    commit(workspace, rows)
    with pytest.raises(ConfigurationError, match="no ledger of it; there is corpus"):
        export_collection(workspace.uri, "other", None, out, "parquet")
    with pytest.raises(ConfigurationError, match="no ledger of it"):
        export_collection(workspace.uri, "corpus", "http://elsewhere", out, "parquet")
    commit(Workspace(workspace.uri, "space", collection_key("http://elsewhere", "corpus")), rows[:1])
    with pytest.raises(ConfigurationError, match="2 collections have this name"):
        export_collection(workspace.uri, "corpus", None, out, "parquet")
    assert export_collection(workspace.uri, "corpus", "http://elsewhere", out, "parquet").rows == 1
    with pytest.raises(ConfigurationError, match="holds files already"):
        export_collection(workspace.uri, "corpus", MILVUS, out, "parquet")


def test_a_dataset_that_does_not_hold_the_ledger_is_named(workspace: Workspace, tmp_path: Path) -> None:
    rows = stored(workspace, range(8))
    other = stored(workspace, range(8), version=1)
    commit(workspace, [{**rows[2], "row_key": other[2]["row_key"]}, rows[3]])
    with pytest.raises(CorruptDataError, match="does not hold the rows"):
        export_collection(workspace.uri, "corpus", None, str(tmp_path / "moved"), "parquet")
    (Path(workspace.uri) / "dataset" / "space" / str(rows[0]["shard"])).unlink()
    with pytest.raises(CorruptDataError, match=f"lacks 1 shards that the ledger names, first {rows[0]['shard']}"):
        export_collection(workspace.uri, "corpus", None, str(tmp_path / "gone"), "parquet")


def test_rows_that_the_ledger_counts_otherwise_are_an_error(workspace: Workspace, tmp_path: Path) -> None:
    rows = stored(workspace, range(8))
    ledger = commit(workspace, rows)
    workspace.commit_ledger(Ledger(ledger.number + 1, ledger.parts, {"lang_en": 9}), "run-2")
    with pytest.raises(CorruptDataError, match="8 rows were exported"):
        export_collection(workspace.uri, "corpus", None, str(tmp_path / "out"), "parquet")
