"""Documents that stay as they are, told of in few bytes: by their place among those that the ledger knows.

One notice tells of many documents of a source in a bucket. Each is named by its rank (`recognition.KnownKeys`), which the bucket turns
back into its id and key, for it holds the same rows of the ledger. Of the keys only the sum of their tails goes along, which tells if
any document is not the one that it was taken for.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transforms.logic.errors import CorruptDataError
from transforms.logic.recognition import KEY_COLUMNS, Recognition, heads_and_tails, runs, starts_of_runs
from transforms.logic.schemas import KEPT, NOTICES, batch_of, slices

_DOCUMENT = np.dtype(
    [("bucket", "<i4"), ("source", "<i4"), ("position", "<i8"), ("rank", "<u4"), ("known", "<u4"), ("tail", "<u8")]
)


class NoticeGatherer:
    """Documents that stay, until there are enough of them for a notice in every bucket; 32 bytes for each."""

    def __init__(self) -> None:
        """Begins empty."""
        self._sources: dict[str, int] = {}
        self._documents: list[npt.NDArray[np.void]] = []
        self._count = 0

    def __len__(self) -> int:
        """How many documents were added since the last drain."""
        return self._count

    def add(self, batch: pa.RecordBatch, buckets: npt.NDArray[np.int64], recognition: Recognition) -> None:
        """Takes the known ones of a batch of `RECOGNISED`, the bucket of each of its documents, and what is known of them."""
        known = np.flatnonzero(recognition.ranks >= 0)
        if not len(known):
            return
        sources = batch.column("source").dictionary_encode()
        numbers = [self._sources.setdefault(source, len(self._sources)) for source in sources.dictionary.to_pylist()]
        documents = np.empty(len(known), _DOCUMENT)
        documents["bucket"] = buckets[known]
        documents["source"] = np.array(numbers, np.int32)[sources.indices.to_numpy()[known]]
        documents["position"] = batch.column("position").to_numpy()[known]
        documents["rank"] = recognition.ranks[known]
        documents["known"] = recognition.known[known]
        documents["tail"] = heads_and_tails(batch.column("document_key"))[1][known]
        self._documents.append(documents)
        self._count += len(documents)

    def drain(self) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Gives buckets and batches of `NOTICES`, and begins anew."""
        names, documents = list(self._sources), np.concatenate([np.empty(0, _DOCUMENT), *self._documents])
        self._sources, self._documents, self._count = {}, [], 0
        documents = documents[np.lexsort([documents[name] for name in ("rank", "position", "source", "bucket")])]
        of_bucket: list[dict[str, Any]] = []
        for start, end in runs(documents["bucket"], documents["source"]):
            of_bucket.append(_notice(names[documents["source"][start]], documents[start:end]))
            if end == len(documents) or documents["bucket"][end] != documents["bucket"][start]:
                for batch in slices(pa.Table.from_batches([batch_of(of_bucket, NOTICES)])):
                    yield int(documents["bucket"][start]), batch
                of_bucket = []


def kept_documents(notices: pa.Table, held: pa.Table) -> pa.Table:
    """Rows of `KEPT` that `NOTICES` of a bucket tell of.

    Args:
        notices: what was gathered for the bucket.
        held: the `LEDGER` rows of the bucket, those that the documents were compared with.

    Raises:
        CorruptDataError: if a notice does not speak of these rows.
    """
    if not notices.num_rows:
        return KEPT.empty_table()
    known = _known(held)
    rows, positions, sources = [known.rows[:0]], [np.empty(0, np.int64)], []
    for notice in (row for batch in slices(notices) for row in batch.to_pylist()):
        start, end = known.borders.get(notice["source"], (0, 0))
        ranks = _unpacked(notice["ranks"], np.min_scalar_type(max(0, notice["known"] - 1)))
        if end - start != notice["known"] or not len(ranks) or ranks.max() >= notice["known"]:
            raise _not_of_these_rows(notice["source"])
        found = start + ranks.astype(np.int64)
        if int(known.tails[found].sum()) != notice["check"]:
            raise _not_of_these_rows(notice["source"])
        gaps = _unpacked(notice["gaps"], np.dtype(f"u{len(notice['gaps']) // len(ranks)}"))
        rows.append(known.rows[found])
        positions.append(notice["position"] + np.cumsum(gaps.astype(np.int64)))
        sources.append(pa.repeat(notice["source"], len(found)))
    documents = known.documents.take(pa.array(np.concatenate(rows)))
    return pa.table(
        [
            documents.column("document_id"),
            documents.column("document_key"),
            pa.chunked_array(sources, pa.string()),
            pa.array(np.concatenate(positions)),
        ],
        schema=KEPT,
    )


class _Known(NamedTuple):
    """What is known in a bucket: of each different head of a source a row of `documents` and the tail of its key, by source and rank."""

    documents: pa.Table
    borders: dict[str, tuple[int, int]]
    rows: npt.NDArray[np.int64]
    tails: npt.NDArray[np.uint64]


def _known(held: pa.Table) -> _Known:
    telling = pc.and_(held.column("document_key").is_valid(), held.column("source").is_valid())
    documents = held.select(KEY_COLUMNS).filter(telling).combine_chunks()
    if not documents.num_rows:
        return _Known(documents, {}, np.empty(0, np.int64), np.empty(0, np.uint64))
    sources = documents.column("source").chunk(0).dictionary_encode()
    heads, tails = heads_and_tails(documents.column("document_key").chunk(0))
    numbers = sources.indices.to_numpy()
    order = np.lexsort((heads, numbers))
    rows = order[starts_of_runs(numbers[order], heads[order])]
    borders = np.searchsorted(numbers[rows], np.arange(len(sources.dictionary) + 1)).tolist()
    of_source = dict(zip(sources.dictionary.to_pylist(), pairwise(borders), strict=True))
    return _Known(documents, of_source, rows, tails[rows])


def _notice(source: str, documents: npt.NDArray[np.void]) -> dict[str, Any]:
    known, positions = int(documents["known"][0]), documents["position"]
    gaps = np.diff(positions, prepend=positions[0])
    return {
        "source": source,
        "known": known,
        "check": int(documents["tail"].sum()),
        "position": int(positions[0]),
        "gaps": _packed(gaps, np.min_scalar_type(int(gaps.max()))),
        "ranks": _packed(documents["rank"], np.min_scalar_type(known - 1)),
    }


def _packed(numbers: npt.NDArray[Any], width: np.dtype[Any]) -> bytes:
    return numbers.astype(width.newbyteorder("<")).tobytes()


def _unpacked(packed: bytes, width: np.dtype[Any]) -> npt.NDArray[Any]:
    return np.frombuffer(packed, width.newbyteorder("<"))


def _not_of_these_rows(source: str) -> CorruptDataError:
    return CorruptDataError(
        f"documents of {source} were compared with other rows than the ledger's parts hold; run again, and if it stays so with --recheck"
    )
