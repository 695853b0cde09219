"""The rows of a collection, from the dataset to files of other stores; memory is that of a shard and a file, however many rows there are.

Where its rows lie is told by the collection's ledger. These places are spilled to local files by shard first, so that each shard is read
once, however the ledger is cut.
"""

import io
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from transforms.adapters.inventory import list_workspace
from transforms.adapters.storage import filesystem_of, join, write_bytes
from transforms.adapters.workspace import Ledger, Workspace, collection_key, read_ledger
from transforms.logic.errors import ConfigurationError, CorruptDataError
from transforms.logic.exports import check_finite, pinecone_rows, plain_rows, weaviate_lines
from transforms.logic.identity import key_prefixes
from transforms.logic.inventory import Kind, Listing
from transforms.logic.schemas import slices
from transforms.logic.suggestions import did_you_mean

Format = Literal["parquet", "pinecone", "jsonl"]
FORMATS: tuple[Format, ...] = ("parquet", "pinecone", "jsonl")
# Of Arrow; a number of 16 bits takes some fifteen characters of JSON.
_FILE_BYTES: Mapping[Format, int] = {"parquet": 64 << 20, "pinecone": 64 << 20, "jsonl": 8 << 20}
_SPILL_FILES = 64
_PLACE = np.dtype([("shard", "<i4"), ("row", "<i4"), ("row_key", "<u4")])


@dataclass(frozen=True)
class Exported:
    """What was written: rows of each partition, and files."""

    collection_key: str
    ledger: int
    partitions: Mapping[str, int]
    files: int

    @property
    def rows(self) -> int:
        """All rows."""
        return sum(self.partitions.values())


def export_collection(uri: str, collection: str, milvus: str | None, directory: str, form: Format) -> Exported:
    """Writes every row of a collection's current ledger to files below a directory, which must be empty.

    Rows stand shard by shard, files are numbered; `pinecone` has a folder for each partition. The same ledger gives the same files.

    Args:
        uri: of the workspace.
        collection: its name.
        milvus: where it lives, as the runs named it; only needed where several collections have the name.
        directory: URI of what is written.
        form: plain Parquet, Pinecone's import, or JSON lines for Weaviate.

    Raises:
        ConfigurationError: there is no such collection, the directory holds files, or the rows lack what the format needs.
        CorruptDataError: the dataset does not hold what the ledger names, or a vector is not finite.
    """
    listing = list_workspace(uri)
    key = find_collection(listing, collection, milvus)
    latest = listing.latest_ledger(key)
    if latest is None:
        raise ConfigurationError(f"--collection {collection}: no run on it was ever committed; run it first")
    filesystem, path = filesystem_of(directory)
    if filesystem.exists(path) and filesystem.find(path):
        raise ConfigurationError(f"--to {directory!r} holds files already; name an empty directory")
    ledger, _ = read_ledger(join(uri, latest.path), latest.number)
    files = _Files(directory, form)
    with tempfile.TemporaryDirectory() as spill:
        shards = _spill_places(Workspace(uri, "", key), ledger, Path(spill))
        workspace = Workspace(uri, _find_space(listing, shards), key)
        for rows in _rows(workspace, shards, Path(spill)):
            check_finite(rows)
            files.add(rows)
    files.close()
    found = Exported(key, ledger.number, dict(sorted(files.partitions.items())), files.written)
    if found.partitions != {name: rows for name, rows in sorted(ledger.partitions.items()) if rows}:
        raise CorruptDataError(
            f"{found.rows:,} rows were exported as {dict(found.partitions)}, ledger {ledger.number} of {key} counts "
            f"{ledger.rows:,} as {ledger.partitions}; do not use {directory}"
        )
    return found


def find_collection(listing: Listing, collection: str, milvus: str | None, flag: str = "--collection") -> str:
    """Key of the only collection of a name, and of a Milvus if that is given; else `ConfigurationError` about `flag`."""
    keys = listing.owners(Kind.LEDGER, Kind.PART, Kind.INTENTS)
    if milvus is not None:
        found = [key for key in keys if key == collection_key(milvus, collection)]
    else:
        found = [key for key in keys if key.rpartition("-")[0] == collection]
    if len(found) == 1:
        return found[0]
    where = "--milvus" if flag == "--collection" else f"{flag}-milvus"
    if found:
        raise ConfigurationError(
            f"{flag} {collection}: {len(found)} collections have this name; say which by {where}, as runs named it"
        )
    names = ", ".join(key.rpartition("-")[0] for key in keys) or "none"
    meant = did_you_mean(collection, {key.rpartition("-")[0] for key in keys})
    there = f" at {where} {milvus}" if milvus is not None else ""
    raise ConfigurationError(f"{flag} {collection}{there}: the workspace has no ledger of it; there is {names}{meant}")


def _spill_places(workspace: Workspace, ledger: Ledger, directory: Path) -> list[str]:
    """Writes the place of each held row to one of a few files, by shard; gives the names of the shards by number."""
    numbers: dict[str, int] = {}
    for name in ledger.parts:
        held = workspace.read_ledger_part(name)
        dictionary = held.column("shard").combine_chunks().dictionary_encode()
        known = [numbers.setdefault(shard, len(numbers)) for shard in dictionary.dictionary.to_pylist()]
        places = np.empty(held.num_rows, _PLACE)
        places["shard"] = np.array(known, np.int32)[dictionary.indices.to_numpy()]
        places["row"] = held.column("row").to_numpy()
        places["row_key"] = key_prefixes(held.column("row_key"))
        for number in np.unique(places["shard"] % _SPILL_FILES):
            with (directory / f"{number}").open("ab") as stream:
                stream.write(places[places["shard"] % _SPILL_FILES == number].tobytes())
    return list(numbers)


def _find_space(listing: Listing, shards: Sequence[str]) -> str:
    """The embedding space whose dataset has all of the shards; their names are digests, so no two spaces have the same ones."""
    wanted = set(shards)
    missing = wanted
    for space in listing.owners(Kind.SHARD):
        lacking = wanted - {file.name for file in listing.of(Kind.SHARD, space)}
        if not lacking:
            return space
        missing = min(missing, lacking, key=len)
    if not wanted:
        return ""
    raise CorruptDataError(
        f"the dataset lacks {len(missing)} shards that the ledger names, first {min(missing)}; restore them"
    )


def _rows(workspace: Workspace, shards: Sequence[str], directory: Path) -> Iterator[pa.Table]:
    """Held rows, a shard at a time, each the one that the ledger means."""
    for number in range(min(_SPILL_FILES, len(shards))):
        places = np.fromfile(directory / f"{number}", _PLACE)
        places.sort(order=["shard", "row"])
        for shard in np.unique(places["shard"]):
            wanted = places[places["shard"] == shard]
            rows = workspace.read_shard(shards[shard], None, wanted["row"]).replace_schema_metadata(None)
            if not np.array_equal(key_prefixes(rows.column("row_key")), wanted["row_key"]):
                raise CorruptDataError(
                    f"shard {shards[shard]} does not hold the rows that the ledger names; restore it"
                )
            yield rows


@dataclass
class _Files:
    """Files of some size, numbered; of Pinecone's form within a folder for each partition."""

    directory: str
    form: Format
    partitions: dict[str, int] = field(default_factory=dict)
    written: int = 0
    _waiting: dict[str, list[pa.Table]] = field(default_factory=dict)
    _numbers: dict[str, int] = field(default_factory=dict)

    def add(self, rows: pa.Table) -> None:
        """Takes rows; writes the fullest file once all that waits is more than a file."""
        codes = rows.column("partition").combine_chunks().dictionary_encode()
        indices = codes.indices.to_numpy()
        for code, partition in enumerate(codes.dictionary.to_pylist()):
            mine = rows.take(pa.array(np.flatnonzero(indices == code)))
            self.partitions[partition] = self.partitions.get(partition, 0) + mine.num_rows
            folder = partition if self.form == "pinecone" else ""
            self._waiting.setdefault(folder, []).append(mine)
        while sum(_bytes(tables) for tables in self._waiting.values()) >= _FILE_BYTES[self.form]:
            self._write(max(sorted(self._waiting), key=lambda folder: _bytes(self._waiting[folder])))

    def close(self) -> None:
        """Writes what waits."""
        for folder in sorted(self._waiting):
            self._write(folder)

    def _write(self, folder: str) -> None:
        rows = pa.concat_tables(self._waiting.pop(folder))
        number = self._numbers.get(folder, 0)
        self._numbers[folder] = number + 1
        suffix = "jsonl" if self.form == "jsonl" else "parquet"
        names = [*([folder] if folder else []), f"{number:05d}.{suffix}"]
        write_bytes(join(self.directory, *names), _ENCODERS[self.form](rows))
        self.written += 1


def _bytes(tables: Sequence[pa.Table]) -> int:
    return sum(table.nbytes for table in tables)


def _parquet(rows: pa.Table) -> bytes:
    stream = io.BytesIO()
    pq.write_table(rows, stream, compression="zstd")
    return stream.getvalue()


def _lines(rows: pa.Table) -> bytes:
    return b"".join(weaviate_lines(pa.Table.from_batches([batch])) for batch in slices(rows))


_ENCODERS: Mapping[Format, Callable[[pa.Table], bytes]] = {
    "parquet": lambda rows: _parquet(plain_rows(rows)),
    "pinecone": lambda rows: _parquet(pinecone_rows(rows)),
    "jsonl": _lines,
}
