"""ImportToMilvus on the importing server: rows in files by partition, imported once, tallied once they can be counted."""

import pickle
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest

from tests.milvus_import_server import ImportServer, import_server
from tests.transforms.import_rows import rows_of, space_of
from tests.transforms.verbs import run_verb
from transforms.adapters.milvus import Collection, CollectionSpace, Target
from transforms.adapters.milvus.import_storage import import_storage
from transforms.adapters.milvus.imports import Journal
from transforms.adapters.workspace import Held, Ledger, Workspace
from transforms.bulk_import import Importing, ImportToMilvus, _WriteFilesFn
from transforms.logic.checksum import WRITTEN, checksum
from transforms.logic.errors import ConfigurationError
from transforms.logic.import_files import ImportFile
from transforms.logic.outputs import OUTPUTS, Output
from transforms.logic.representations import VECTOR_TYPES, VectorType

HELD = Held(Ledger(0, (), {}), (), trusted=True)
SPACE = space_of()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ImportServer]:
    with import_server("2.6.24", tmp_path / "bucket") as started:
        _create(started, SPACE)
        yield started


def _create(server: ImportServer, space: CollectionSpace) -> None:
    collection = Collection(Target(server.uri, "c"))
    collection.create(space)
    collection.close()


def _verb(server: ImportServer, home: Path, space: CollectionSpace = SPACE) -> partial[ImportToMilvus]:
    storage = import_storage(str(server.root / "imports"), "imports")
    importing = Importing(storage, server.endpoint, 1 << 20, 60)
    return partial(
        ImportToMilvus, Target(server.uri, "c"), space, importing, Workspace(str(home / "workspace"), "s", "c-1"), HELD
    )


def _batches() -> list[pa.RecordBatch]:
    mixed = pa.concat_batches([rows_of(range(10)), rows_of(range(10), partition="lang_th")])
    return [mixed, rows_of(range(10, 25))]


def _ids(batches: list[pa.RecordBatch]) -> list[str]:
    return sorted(identity for batch in batches for identity in batch.column("id").to_pylist())


def test_rows_are_imported_into_their_partitions_and_tallied(server: ImportServer, tmp_path: Path) -> None:
    batches = _batches()
    outcome = run_verb(_verb(server, tmp_path), batches)
    assert outcome.counts == {"rows.written": 35}
    keys = [row for batch in batches for row in batch.select(["id", "row_key"]).to_pylist()]
    assert outcome.checksum(WRITTEN) == checksum(keys)
    assert {name: len(ids) for name, ids in server.imported.items()} == {"lang_de": 25, "lang_th": 10}
    assert sorted(server.rows) == _ids(batches)
    # What was imported is removed, the journal stays for the commit.
    assert [path for path in server.root.rglob("*") if path.is_file()] == []
    assert Journal(str(tmp_path / "workspace" / "ledger" / "c-1" / "imports"), 1).exists


@pytest.mark.parametrize(
    ("vector_type", "outputs"),
    [*((one, OUTPUTS[:1]) for one in VECTOR_TYPES), ("int8", OUTPUTS), ("float32", OUTPUTS[1:2])],
)
def test_rows_of_every_kind_fit_the_schema(
    server: ImportServer, tmp_path: Path, vector_type: VectorType, outputs: tuple[Output, ...]
) -> None:
    space = space_of(vector_type, outputs)
    _create(server, space)
    rows = rows_of(range(20), vector_type, outputs)
    assert run_verb(_verb(server, tmp_path, space), [rows]).counts == {"rows.written": 20}
    assert sorted(server.rows) == _ids([rows])


def test_again_it_imports_nothing_and_tallies_the_same(server: ImportServer, tmp_path: Path) -> None:
    first, second = (run_verb(_verb(server, tmp_path), _batches()) for _ in range(2))
    assert first.counts == second.counts
    assert first.checksum(WRITTEN) == second.checksum(WRITTEN)
    assert sorted(server.rows) == _ids(_batches())


def test_without_rows_nothing_is_asked_for(server: ImportServer, tmp_path: Path) -> None:
    outcome = run_verb(_verb(server, tmp_path), [])
    assert outcome.counts == {}
    assert server.bodies == []
    assert not (tmp_path / "workspace").exists()


def test_other_rows_than_an_import_began_with_are_refused(server: ImportServer, tmp_path: Path) -> None:
    run_verb(_verb(server, tmp_path), _batches())
    with pytest.raises(ConfigurationError, match="an import of 35 rows was begun and this run wants 34"):
        run_verb(_verb(server, tmp_path), [*_batches()[:1], rows_of(range(10, 24))])


def test_a_bundle_that_failed_leaves_no_file_without_a_name(tmp_path: Path) -> None:
    function = _WriteFilesFn(import_storage(str(tmp_path)), SPACE, 1 << 20)
    function = pickle.loads(pickle.dumps(function))
    function.start_bundle()
    list(function.process(rows_of(range(5))))
    function.start_bundle()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    list(function.process(rows_of(range(5))))
    (file, _) = [one.value for one in function.finish_bundle()]
    assert ImportFile.from_json(file).rows == 5
    function.teardown()
    assert len(list(tmp_path.rglob("*.parquet"))) == 1
