"""What a report is made of, read from the workspace: a bounded part of it, however large it is."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from transforms.adapters.secrets import redact
from transforms.adapters.storage import join, list_names, read_bytes
from transforms.adapters.workspace import Shard, Workspace
from transforms.logic.errors import CorpusEmbedError, CorruptDataError
from transforms.logic.identity import key_prefixes
from transforms.logic.redaction import redacted
from transforms.logic.report.page import Material, collection_of
from transforms.logic.report.sample import ReportSample, SampledChunk, balanced
from transforms.logic.schemas import KEY
from transforms.logic.vector_columns import from_list_array
from transforms.logic.vectors import Float32, unit_rows

MOST_SAMPLED = 400
"""A map is computed in about a second; its cost grows with the square."""
_CANDIDATES = 4096
_MOST_SHARDS = 64
_MOST_EVALUATIONS = 8
_MOST_EVALUATION_BYTES = 32 << 20
"""Pairs of sixty languages take 4 MB."""
_PLACES = pa.schema([("content_key", KEY), ("language", pa.string()), ("shard", pa.string()), ("row", pa.int32())])


def read_material(
    uri: str, record: Mapping[str, Any], most_sampled: int = MOST_SAMPLED, *, with_texts: bool = True
) -> Material:
    """Everything that the report of a run shows, without secrets; what cannot be read is left out and said."""
    remarks: list[str] = []
    sample = None
    try:
        sample = read_report_sample(Workspace(uri.rstrip("/"), record["embedding_space"], ""), most_sampled)
    except CorpusEmbedError as error:
        remarks.append(redact(f"Map, neighbours and the recall of smaller vectors: {error}"))
    evaluations = []
    try:
        for name in _evaluation_names(uri, collection_of(record), remarks):
            try:
                evaluations.append(_evaluation(name))
            except (ValueError, CorruptDataError) as error:
                remarks.append(redact(f"Evaluation {name}: {error}"))
    except (OSError, CorpusEmbedError) as error:
        remarks.append(redact(f"Evaluations: {error}"))
    # Records quote what services said.
    return Material(redacted(record, redact), sample, redacted(evaluations, redact), with_texts, remarks)


def read_report_sample(workspace: Workspace, most: int) -> ReportSample:
    """At most so many distinct contents of the dataset, of every language equally many as far as there are.

    They are chosen of the contents with the smallest content keys, which are digests, so that those are a uniform sample; a shard is sorted
    by them, so that only the beginnings of few shards are read.

    Raises:
        CorruptDataError: a shard cannot be read.
    """
    shards = sorted(workspace.shards(), key=lambda one: (one.first, one.name))
    chosen = _PLACES.empty_table()
    for shard in shards[:_MOST_SHARDS]:
        if len(chosen) == _CANDIDATES and shard.first > key_prefixes(chosen.column("content_key"))[-1]:
            break
        chosen = _smallest(pa.concat_tables([chosen, _beginning(workspace, shard)]))
    taken = balanced(chosen.column("language").to_pylist(), most)
    is_whole = len(taken) == len(chosen) < _CANDIDATES and len(shards) <= _MOST_SHARDS
    return _read(workspace, chosen.take(pa.array(taken, pa.int64())), is_whole=is_whole)


def _beginning(workspace: Workspace, shard: Shard) -> pa.Table:
    """Places of the smallest content keys of a shard, as many as there may be candidates."""
    tables, rows = [], 0
    with workspace.open_shard(shard.name) as file:
        for group in range(file.num_row_groups):
            if rows >= _CANDIDATES:
                break
            tables.append(file.read_row_group(group, columns=["content_key", "language"], use_threads=False))
            rows += len(tables[-1])
    keys = pa.concat_tables(tables)
    columns = [*(keys.column(name) for name in ("content_key", "language")), pa.array([shard.name] * rows, pa.string())]
    return pa.table([*columns, pa.array(np.arange(rows, dtype=np.int32))], schema=_PLACES)


def _smallest(places: pa.Table) -> pa.Table:
    """The first place of each of the smallest content keys, in their order."""
    ordered = places.sort_by([(name, "ascending") for name in ("content_key", "shard", "row")])
    keys = ordered.column("content_key").to_pylist()
    first = [index for index, key in enumerate(keys) if not index or key != keys[index - 1]]
    return ordered.take(pa.array(first[:_CANDIDATES], pa.int64()))


def _read(workspace: Workspace, places: pa.Table, *, is_whole: bool) -> ReportSample:
    chunks: list[SampledChunk | None] = [None] * len(places)
    vectors: Float32 = np.empty((0, 0), np.float32)
    shards, numbers = places.column("shard").to_pylist(), places.column("row").to_numpy()
    names = ["document_id", "ordinal", "language", "text"]
    for shard in sorted(set(shards)):
        own = np.array([index for index, name in enumerate(shards) if name == shard])
        own = own[np.argsort(numbers[own])]
        # A column that a shard does not have is left out.
        rows = workspace.read_shard(shard, [*names, "vector"], numbers[own])
        for index, row in zip(own.tolist(), rows.select(names).to_pylist(), strict=True):
            chunks[index] = SampledChunk(**{**row, "text": redact(row["text"])})
        if "vector" in rows.column_names:
            column = rows.column("vector")
            if not vectors.size:
                vectors = np.zeros((len(places), column.type.list_size), np.float32)
            vectors[own] = from_list_array(column, column.type.list_size)
    found = [chunk for chunk in chunks if chunk is not None]
    return ReportSample(found, unit_rows(vectors) if vectors.size else vectors, is_whole)


def _evaluation_names(uri: str, collection: str, remarks: list[str]) -> list[str]:
    """URIs of the results of `evaluate` on a collection, by name; a remark if not all are taken."""
    directory = join(uri.rstrip("/"), "evaluations", collection)
    names = sorted(name for name in list_names(directory) if name.endswith(".json"))
    if len(names) > _MOST_EVALUATIONS:
        remarks.append(f"Evaluations: the first {_MOST_EVALUATIONS} of {len(names)} by name are shown")
    return [join(directory, name) for name in names[:_MOST_EVALUATIONS]]


def _evaluation(uri: str) -> dict[str, Any]:
    data = read_bytes(uri)
    if len(data) > _MOST_EVALUATION_BYTES:
        raise CorruptDataError(f"it has {len(data):,} bytes, and at most {_MOST_EVALUATION_BYTES:,} are read")
    values: Any = json.loads(data)
    if not isinstance(values, dict):
        raise CorruptDataError("it holds no result of an evaluation")
    return values
