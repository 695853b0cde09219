"""Where import files lie and what Milvus calls the place; files by partition, of bounded size, named by their rows."""

import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.servers import Store
from tests.transforms.adapters.milvus.importing import SPACE, add
from tests.transforms.import_rows import rows_of, space_of
from transforms.adapters.milvus import import_storage as module
from transforms.adapters.milvus.import_storage import (
    ImportStorage,
    ImportWriter,
    check_storage,
    import_storage,
    max_text_bytes,
    parquet_settings,
)
from transforms.adapters.storage import read_bytes
from transforms.logic.checksum import checksum
from transforms.logic.errors import ConfigurationError, CorruptDataError
from transforms.logic.import_files import ImportFile, import_columns
from transforms.logic.outputs import OUTPUTS
from transforms.logic.representations import VECTOR_TYPES, VectorType

_FILE = ImportFile("lang_de/x.parquet", "lang_de", 1, 1, 0)


def _writer(storage: ImportStorage, **changes: Any) -> ImportWriter:
    settings = {"outputs": ("dense",), "max_bytes": max_text_bytes(SPACE), "file_bytes": 1 << 30, **changes}
    return ImportWriter(storage, **settings)


@pytest.fixture
def storage(tmp_path: Path) -> ImportStorage:
    return ImportStorage(str(tmp_path / "imports"), "imports")


# --- names ---


@pytest.mark.parametrize(
    ("uri", "path", "uri_of", "path_of"),
    [
        ("s3://bucket/a/b/", None, "s3://bucket/a/b/lang_de/x.parquet", "a/b/lang_de/x.parquet"),
        ("s3://bucket", None, "s3://bucket/lang_de/x.parquet", "lang_de/x.parquet"),
        ("gs://bucket/a", None, "gs://bucket/a/lang_de/x.parquet", "a/lang_de/x.parquet"),
        ("s3://bucket/a", "", "s3://bucket/a/lang_de/x.parquet", "lang_de/x.parquet"),
        ("s3://bucket/a", "elsewhere/", "s3://bucket/a/lang_de/x.parquet", "elsewhere/lang_de/x.parquet"),
    ],
)
def test_what_milvus_calls_a_file_in_a_bucket(uri: str, path: str | None, uri_of: str, path_of: str) -> None:
    storage = import_storage(uri, path)
    assert (storage.uri_of(_FILE), storage.path_of(_FILE)) == (uri_of, path_of)


def test_what_milvus_calls_a_file_in_a_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for uri in ("imports", "./imports/", f"file://{tmp_path}/imports"):
        storage = import_storage(uri)
        assert storage.path_of(_FILE) == storage.uri_of(_FILE) == f"{tmp_path}/imports/lang_de/x.parquet"
    mounted = import_storage("imports", "/var/lib/milvus/imports")
    assert mounted.path_of(_FILE) == "/var/lib/milvus/imports/lang_de/x.parquet"


def test_below() -> None:
    below = ImportStorage("s3://bucket/a", "a").below("c-1", "00000001")
    assert below == ImportStorage("s3://bucket/a/c-1/00000001", "a/c-1/00000001")
    assert ImportStorage("s3://bucket", "").below("c") == ImportStorage("s3://bucket/c", "c")


def test_a_storage_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConfigurationError, match=r"--import-storage .*file/below' cannot be written"):
        check_storage(import_storage(str(tmp_path / "file" / "below")))
    good = import_storage(str(tmp_path / "good"))
    check_storage(good)
    assert list(Path(good.uri).iterdir()) == []


# --- files ---


@pytest.mark.parametrize("vector_type", VECTOR_TYPES)
def test_a_file_holds_the_rows_as_they_were_given(storage: ImportStorage, vector_type: VectorType) -> None:
    batches = [rows_of(range(start, start + 20), vector_type) for start in (0, 20, 40)]
    writer = _writer(storage, max_bytes=max_text_bytes(space_of(vector_type)))
    assert [add(writer, "lang_de", batch) for batch in batches] == [[], [], []]
    (file,) = writer.close()
    assert pq.read_table(storage.uri_of(file)).equals(import_columns(pa.Table.from_batches(batches)))
    assert (file.partition, file.rows) == ("lang_de", 60)
    assert file.size_bytes == Path(storage.uri_of(file)).stat().st_size
    keys = [row for batch in batches for row in batch.select(["id", "row_key"]).to_pylist()]
    assert file.checksum == checksum(keys)


def test_every_output_goes_into_a_file(storage: ImportStorage) -> None:
    rows = rows_of(range(9), outputs=OUTPUTS)
    writer = _writer(storage, outputs=OUTPUTS, max_bytes=max_text_bytes(space_of(outputs=OUTPUTS)))
    add(writer, "lang_de", rows)
    (file,) = writer.close()
    read = pq.read_table(storage.uri_of(file))
    assert read.equals(import_columns(pa.Table.from_batches([rows]), OUTPUTS))


def test_each_partition_has_a_folder_and_no_file_grows_much_beyond_the_limit(
    storage: ImportStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ROW_GROUP_BYTES", 40_000)
    writer = _writer(storage, file_bytes=100_000)
    files = []
    for start in range(0, 1500, 50):
        for partition in ("lang_de", "lang_th"):
            files += add(writer, partition, rows_of(range(start, start + 50), partition=partition))
    files += writer.close()
    assert {file.name.split("/")[0] for file in files} == {"lang_de", "lang_th"} == {file.partition for file in files}
    assert len(files) == 4
    assert all(file.size_bytes < 170_000 for file in files)
    for partition in ("lang_de", "lang_th"):
        mine = [pq.read_table(storage.uri_of(file)) for file in files if file.partition == partition]
        ids = [identity for table in mine for identity in table.column("id").to_pylist()]
        assert sorted(ids) == sorted(rows_of(range(1500), partition=partition).column("id").to_pylist())


def test_memory_and_disk_of_open_files_are_bounded(storage: ImportStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_WAITING_BYTES", 30_000)
    writer = _writer(storage, file_bytes=3_000)
    files = []
    for number in range(400):
        partition = f"lang_{number % 50}"
        files += add(writer, partition, rows_of([number], partition=partition))
        waiting = sum(one.waiting_bytes for one in writer._open.values())
        assert waiting < 31_000
    assert files
    files += writer.close()
    assert sum(file.rows for file in files) == 400


def test_the_same_rows_give_the_same_file_and_others_another(tmp_path: Path) -> None:
    made = []
    for number, rows in enumerate((range(5), range(5), range(1, 6), [4, 3, 2, 1, 0])):
        storage = ImportStorage(str(tmp_path / str(number)), "")
        writer = _writer(storage)
        add(writer, "lang_de", rows_of(rows))
        (file,) = writer.close()
        made.append((file, Path(storage.uri_of(file)).read_bytes()))
    assert made[0] == made[1]
    assert len({file.name for file, _ in made}) == 3


def test_nothing_without_a_name_stays(storage: ImportStorage) -> None:
    writer = _writer(storage)
    add(writer, "lang_de", rows_of(range(5)))
    writer.abandon()
    assert writer.close() == []
    assert [path for path in Path(storage.uri).rglob("*") if path.is_file()] == []


def test_a_row_that_does_not_fit_is_refused_before_it_is_written(storage: ImportStorage) -> None:
    writer = _writer(storage)
    rows = rows_of(range(3))
    place = rows.schema.get_field_index("date")
    long = rows.set_column(place, rows.schema.field(place), pa.array(["x", "ภ" * 86, "x"]))
    add(writer, "lang_de", long)
    said = f"chunk {rows.column('id')[1]}: 'date' has 258 bytes, the collection holds 256"
    with pytest.raises(CorruptDataError, match=said):
        writer.close()
    writer.abandon()
    assert [path for path in Path(storage.uri).rglob("*") if path.is_file()] == []


def test_files_go_to_object_stores(store: Store) -> None:
    storage = import_storage(f"{store.root}/imports")
    check_storage(storage)
    writer = _writer(storage)
    add(writer, "lang_de", rows_of(range(5)))
    (file,) = writer.close()
    assert storage.path_of(file) == f"{store.prefix}/imports/{file.name}"
    data = read_bytes(storage.uri_of(file))
    assert len(data) == file.size_bytes
    assert pq.read_table(pa.BufferReader(data)).num_rows == 5


def test_text_limits_are_those_of_the_schema() -> None:
    limits = max_text_bytes(SPACE)
    assert {"id": 32, "text": 65_535, "date": 256}.items() <= limits.items()
    assert "metadata" not in limits


def test_vectors_are_not_compressed_and_only_what_repeats_has_a_dictionary(storage: ImportStorage) -> None:
    writer = _writer(storage)
    add(writer, "lang_de", rows_of(range(50)))
    (file,) = writer.close()
    group = pq.ParquetFile(storage.uri_of(file)).metadata.row_group(0)
    columns = {group.column(place).path_in_schema: group.column(place) for place in range(group.num_columns)}
    assert columns["dense.list.element"].compression == "UNCOMPRESSED"
    assert columns["text"].compression == "ZSTD"
    assert "RLE_DICTIONARY" in columns["language"].encodings
    assert "RLE_DICTIONARY" not in columns["text"].encodings
    assert set(parquet_settings(pa.schema([("id", pa.string())]))["use_dictionary"]) == set()


# --- the disk ---


def test_a_file_has_its_name_when_all_of_it_is_on_the_disk(
    storage: ImportStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not before: a machine that goes down leaves no file under a name that a journal may have."""
    monkeypatch.setattr(module, "ROW_GROUP_BYTES", 1)
    events: list[tuple[str, int]] = []
    synchronised, renamed = os.fsync, Path.replace

    def fsync(descriptor: int) -> None:
        synchronised(descriptor)
        events.append(("on the disk", os.fstat(descriptor).st_size))

    def replace(self: Path, target: Any) -> Path:
        events.append(("named", self.stat().st_size))
        return renamed(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    writer = _writer(storage)
    for start in (0, 5, 10):
        add(writer, "lang_de", rows_of(range(start, start + 5)))
    (file,) = writer.close()
    assert [kind for kind, _ in events] == ["on the disk"] * 4 + ["named"]
    assert events[-1] == ("named", file.size_bytes)
    assert events[-2] == ("on the disk", file.size_bytes)


def test_a_disk_that_fails_is_no_file(storage: ImportStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says so once: what comes after a failure may seem to be well."""
    monkeypatch.setattr(module, "ROW_GROUP_BYTES", 1)
    failures = iter([OSError(5, "Input/output error")])

    def fsync(descriptor: int) -> None:
        for error in failures:
            raise error

    monkeypatch.setattr(os, "fsync", fsync)
    writer = _writer(storage)
    for start in (0, 5):
        add(writer, "lang_de", rows_of(range(start, start + 5)))
    with pytest.raises(OSError, match="Input/output error"):
        writer.close()
    writer.abandon()
    assert not [path for path in Path(storage.uri).rglob("*") if path.is_file()]
