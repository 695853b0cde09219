"""Everything the project keeps below one URI.

    dataset/<embedding space>/<first>-<last>-<digest>.parquet   chunk rows with full-precision vectors, sorted by content key
    calibration/<embedding space>/                               what representations need (`calibrations.py`)
    tokenizers/<fingerprint>.json                                proofs of the faster tokenizer (`tokenizer_proof.py`)
    ledger/<collection>/<number>.json                            a committed ledger: its parts, and rows per partition
    ledger/<collection>/lease/<epoch>.json                       the run that may write: see `lease`
    ledger/<collection>/parts/<first>-<last>-<digest>.parquet    held rows of a bucket of documents
    ledger/<collection>/intents/<number>/<digest>.parquet        rows about to be written or deleted towards that ledger
    ledger/<collection>/imports/<number>/*.json                  journal of the bulk import towards that ledger (`milvus/imports.py`)
    rejects/<run id>/<digest>.parquet                            what could not be processed
    runs/<run id>/run.json                                       the run record
    runs/<run id>/report.html                                    a page made of it, which may be made again at any time (`report/`)
    evaluations/<collection>/<name>.json                         what a collection found of what it should find

Files are named by their content and never changed: whoever reads one whole checks it against the digest in its name; of a shard that is
read in part, the checksums of its pages are checked. Readers trust a ledger that was committed by exclusive creation, and of the dataset
whatever a content key names; a file that nothing names does no harm.
"""

import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from transforms.adapters.crashpoints import Step, durable
from transforms.adapters.lease import Claim
from transforms.adapters.secrets import redact
from transforms.adapters.storage import current_etag, join, list_names, open_binary, read_bytes, write_bytes
from transforms.logic.errors import CorruptDataError, TransientError
from transforms.logic.identity import digest, key_prefixes, text_prefixes
from transforms.logic.schemas import LEDGER

FORMAT = 1
_FORMAT_KEY = b"corpus_embed.format"
_ROW_GROUP_ROWS = 4096


@dataclass(frozen=True)
class Shard:
    """A dataset file and the range of its content keys' 32-bit prefixes, both ends included."""

    name: str
    first: int
    last: int


@dataclass(frozen=True)
class Ledger:
    """A committed state of a collection; number 0 is the empty state before the first run.

    `partitions` counts the held rows of each partition that has any.
    """

    number: int
    parts: tuple[str, ...]
    partitions: dict[str, int]

    @property
    def rows(self) -> int:
        """All held rows."""
        return sum(self.partitions.values())


@dataclass(frozen=True)
class Held:
    """What a run starts from: the committed ledger, and what is not certain about it.

    `intents` are URIs left by runs that never committed. `trusted` says that Milvus held as many rows as the ledger when the run
    was planned; otherwise every held row is written again. `claim` is the run's lease; without one the ledger's commit alone decides
    between two runs.
    """

    ledger: Ledger
    intents: tuple[str, ...]
    trusted: bool
    claim: Claim | None = None

    def check_lease(self) -> None:
        """Raises `TransientError` if another run took the lease over."""
        if self.claim is not None:
            self.claim.check()

    @property
    def next_number(self) -> int:
        """The ledger that this run commits."""
        return self.ledger.number + 1


@dataclass(frozen=True)
class Workspace:
    """Paths and files of one workspace for one embedding space and one collection."""

    uri: str
    space: str
    collection_key: str

    @property
    def lease(self) -> str:
        """Directory of the collection's lease."""
        return join(self._ledger, "lease")

    @property
    def imports(self) -> str:
        """Directory of the collection's journals of bulk imports."""
        return join(self._ledger, "imports")

    def shards(self) -> list[Shard]:
        """The dataset's shards of this embedding space, ordered by name."""
        found = []
        for name in list_names(self._dataset):
            if name.endswith(".parquet") and not name.startswith("."):
                first, last, _ = name.split("-", 2)
                found.append(Shard(name, int(first, 16), int(last, 16)))
        return found

    def write_shard(self, rows: pa.Table) -> str:
        """Stores rows, sorted by content key, and gives the shard's name."""
        prefixes = key_prefixes(rows.column("content_key"))
        data = as_parquet(rows)
        name = f"{int(prefixes[0]):08x}-{int(prefixes[-1]):08x}-{_digest(data)}.parquet"
        with durable("dataset shard"):
            write_bytes(join(self._dataset, name), data)
        return name

    def read_shard(
        self,
        name: str,
        columns: Sequence[str] | None = None,
        rows: np.ndarray | None = None,
        *,
        whole: bool = False,
    ) -> pa.Table:
        """Columns of a shard, all of them by default; `rows`, ascending row numbers, takes only these.

        Only row groups that hold a wanted row are decoded. With `whole` the file is read to its end and must be the one that its name
        says. An unreadable shard raises `CorruptDataError`.
        """
        with open_parquet(join(self._dataset, name), whole=whole) as file:
            if rows is None:
                return file.read(columns=columns, use_threads=False)
            tables = [file.read_row_groups([], columns=columns)]
            start = 0
            for group in range(file.num_row_groups):
                stop = start + file.metadata.row_group(group).num_rows
                wanted = rows[(rows >= start) & (rows < stop)] - start
                if len(wanted):
                    tables.append(file.read_row_group(group, columns=columns, use_threads=False).take(pa.array(wanted)))
                start = stop
            return pa.concat_tables(tables)

    def open_shard(self, name: str) -> AbstractContextManager[pq.ParquetFile]:
        """A shard to be read in part; an unreadable one raises `CorruptDataError`."""
        return open_parquet(join(self._dataset, name))

    def latest_ledger(self) -> Ledger:
        """The last committed ledger, or the empty one."""
        names = [name for name in list_names(self._ledger) if name.endswith(".json")]
        number = max((int(name.removesuffix(".json")) for name in names), default=0)
        # A listing may be old, a question after one name is answered by what is there.
        while current_etag(self._ledger_uri(number + 1)) is not None:
            number += 1
        if number == 0:
            return Ledger(0, (), {})
        return read_ledger(self._ledger_uri(number), number)[0]

    def run_of_ledger(self, number: int) -> str:
        """The id of the run that committed a ledger."""
        return read_ledger(self._ledger_uri(number), number)[1]

    def commit_ledger(self, ledger: Ledger, run_id: str) -> None:
        """Makes a ledger the current one; of two runs that try the same number one wins, the other gets `TransientError`.

        A second call for the same run and ledger changes nothing: a worker may die after the commit and be asked again.
        """
        uri = self._ledger_uri(ledger.number)
        values = {"format": FORMAT, "run_id": run_id, "parts": list(ledger.parts), "partitions": ledger.partitions}
        data = _json_bytes({**values, "digest": _digest(_json_bytes(values))})
        try:
            with durable("ledger"):
                write_bytes(uri, data, exclusive=True)
        except FileExistsError as error:
            if read_bytes(uri) == data:
                return
            message = f"another run committed {uri} meanwhile; run again to bring the collection to this run's state"
            raise TransientError(message) from error

    def write_ledger_part(self, rows: pa.Table) -> str:
        """Stores held rows, at least one, and gives the part's name; nothing names it before a commit.

        The name tells the range of the prefixes of its document ids, as that of a shard does of its content keys.
        """
        prefixes = text_prefixes(rows.column("document_id").unique().to_pylist())
        held_range = f"{int(prefixes.min()):08x}-{int(prefixes.max()):08x}-"
        return self._write_named("ledger part", join(self._ledger, "parts"), rows, held_range)

    def read_ledger_part(self, name: str, columns: Sequence[str] = LEDGER.names) -> pa.Table:
        """Held rows of one part, in the `LEDGER` schema or these `columns` of it; what an earlier version did not write is null."""
        schema = pa.schema([LEDGER.field(column) for column in columns])
        rows = _read_table(join(self._ledger, "parts", name), columns)
        for field in (field for field in schema if field.nullable and field.name not in rows.schema.names):
            rows = rows.append_column(field, pa.nulls(rows.num_rows, field.type))
        return rows.select(schema.names).cast(schema)

    def write_intents(self, number: int, rows: pa.Table) -> str:
        """Stores, before Milvus sees them, the rows that a run is about to write or delete towards ledger `number`."""
        return self._write_named("intents", self._intents(number), rows)

    def unsettled_intents(self, ledger: Ledger) -> list[str]:
        """URIs of intents left by runs that never committed a ledger after `ledger`."""
        directory = self._intents(ledger.number + 1)
        return [join(directory, name) for name in list_names(directory) if name.endswith(".parquet")]

    def write_rejects(self, run_id: str, rows: pa.Table) -> str:
        """Stores rejects of a run and gives the file's URI."""
        directory = join(self.uri, "rejects", run_id)
        return join(directory, self._write_named("rejects", directory, rows))

    def record_uri(self, run_id: str) -> str:
        """Where the run record lies."""
        return join(self.uri, "runs", run_id, "run.json")

    def write_record(self, run_id: str, record: dict[str, Any]) -> None:
        """Stores the run record in place of an earlier one of the same run, without secrets: it quotes what services said."""
        with durable("run record"):
            write_bytes(self.record_uri(run_id), redact(_json_bytes(record).decode()).encode())

    def read_record(self, run_id: str) -> dict[str, Any]:
        """The run record; a missing or foreign one raises `CorruptDataError`."""
        return _json(self.record_uri(run_id))

    def _ledger_uri(self, number: int) -> str:
        return join(self._ledger, f"{number:08d}.json")

    def _intents(self, number: int) -> str:
        return join(self._ledger, "intents", f"{number:08d}")

    @property
    def _dataset(self) -> str:
        return join(self.uri, "dataset", self.space)

    @property
    def _ledger(self) -> str:
        return join(self.uri, "ledger", self.collection_key)

    def _write_named(self, step: Step, directory: str, rows: pa.Table, prefix: str = "") -> str:
        data = as_parquet(rows)
        name = f"{prefix}{_digest(data)}.parquet"
        with durable(step):
            write_bytes(join(directory, name), data)
        return name


def read_ledger(uri: str, number: int) -> tuple[Ledger, str]:
    """A committed ledger, and the id of the run that committed it; one that is not as it was committed raises `CorruptDataError`."""
    values = _json(uri)
    if values.pop("digest", None) != _digest(_json_bytes(values)):
        message = f"{uri} is not a ledger as it was committed; restore it, or start anew with another workspace and collection"
        raise CorruptDataError(message)
    return Ledger(number, tuple(values["parts"]), dict(values["partitions"])), str(values["run_id"])


def read_intents(uri: str) -> pa.Table:
    """Rows of the `INTENTS` schema at a URI of `Workspace.unsettled_intents`."""
    return _read_table(uri)


def collection_key(milvus_uri: str, collection: str) -> str:
    """Directory name of a collection's ledger: its name and where it lives."""
    return f"{collection}-{digest('collection', milvus_uri, collection).hex()[:8]}"


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def as_parquet(rows: pa.Table) -> bytes:
    """Rows as a file of a workspace holds them."""
    stored = rows.replace_schema_metadata({_FORMAT_KEY: str(FORMAT).encode()})
    stream = io.BytesIO()
    pq.write_table(
        stored,
        stream,
        compression="zstd",
        row_group_size=_ROW_GROUP_ROWS,
        use_dictionary=_repeating(stored),
        write_page_checksum=True,
    )
    return stream.getvalue()


def _repeating(rows: pa.Table) -> list[str]:
    return [
        name
        for name in ("language", "script", "source", "date", "partition", "shard", "reason")
        if name in rows.column_names
    ]


@contextmanager
def open_parquet(uri: str, *, whole: bool = False) -> Iterator[pq.ParquetFile]:
    """A Parquet file of a workspace; with `whole` it must be the one that its name says.

    Raises:
        CorruptDataError: it is gone, damaged or of another format.
    """
    try:
        with open_binary(uri) as stream:
            source = _named_content(uri, stream.read()) if whole else stream
            file = pq.ParquetFile(source, page_checksum_verification=True)
            version = int((file.schema_arrow.metadata or {}).get(_FORMAT_KEY, b"0"))
            if version != FORMAT:
                message = f"{uri} has format {version}, this version reads {FORMAT}; use the corpus-embed that wrote it"
                raise CorruptDataError(message)
            yield file
    except (pa.ArrowException, OSError, ValueError) as error:
        message = f"{uri} is gone or damaged: {error}; restore it, or start anew with another workspace and collection"
        raise CorruptDataError(message) from error


def _named_content(uri: str, data: bytes) -> pa.BufferReader:
    """The content of a file, if it is the one that the digest in the file's name is of; else `ValueError`."""
    if _digest(data) != uri.removesuffix(".parquet").replace("-", "/").rsplit("/", 1)[-1]:
        raise ValueError("its content is not what its name says")
    return pa.BufferReader(data)


def _read_table(uri: str, columns: Sequence[str] | None = None) -> pa.Table:
    with open_parquet(uri, whole=True) as file:
        return file.read(columns, use_threads=False).replace_schema_metadata(None)


def _json_bytes(values: dict[str, Any]) -> bytes:
    return json.dumps(values, indent=2, ensure_ascii=False).encode() + b"\n"


def _json(uri: str) -> dict[str, Any]:
    try:
        values: Any = json.loads(read_bytes(uri))
    except (OSError, ValueError) as error:
        message = f"{uri} cannot be read: {error}"
        raise CorruptDataError(message) from error
    version = values.get("format") if isinstance(values, dict) else None
    if version != FORMAT:
        message = f"{uri} has format {version!r}, this version reads {FORMAT}; use the corpus-embed that wrote it"
        raise CorruptDataError(message)
    return cast("dict[str, Any]", values)
