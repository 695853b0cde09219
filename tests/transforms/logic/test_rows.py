"""Chunk rows: their keys, what the dataset keeps, what Milvus gets."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.fakes import outputs_of
from tests.transforms.logic.chunks import with_vectors
from transforms.logic.chunking import Span
from transforms.logic.identity import chunk_id, content_key, digest
from transforms.logic.outputs import OUTPUTS, Output
from transforms.logic.rows import STORED_FIELDS, chunk_rows, milvus_rows, stored_rows, with_row_keys
from transforms.logic.schemas import CHUNKS, batch_of, row_schema
from transforms.logic.vector_columns import to_columns, to_list_array


def ids(*numbers: int) -> bytes:
    return np.array(numbers, np.int32).tobytes()


DOCUMENT: dict[str, Any] = {
    "document_id": "d",
    "text": "Grüße. 世界",
    "language": "de",
    "script": "Latn",
    "language_score": 0.9,
    "source": "s.jsonl",
    "date": "2024",
    "metadata": '{"title": "T", "n": [1, null]}',
    "partition": "lang_de",
    "position": 5,
    "document_key": digest("document"),
}
SPANS = [Span(0, 6, ids(4, 5)), Span(7, 9, ids(6))]
MILVUS_FIELDS = {
    *("id", "document_id", "ordinal", "start", "end", "text", "language", "script", "tokens", "source", "date"),
    *("language_score", "chunk_language", "chunk_language_score", "unknown_fraction", "metadata", "dense"),
}


def table() -> pa.Table:
    return pa.Table.from_batches([batch_of(with_row_keys(chunk_rows(DOCUMENT, SPANS, "space")), CHUNKS)])


def test_a_chunk_row_tells_where_its_text_stood() -> None:
    first, second = with_row_keys(chunk_rows(DOCUMENT, SPANS, "space"))

    assert (first["text"], second["text"]) == ("Grüße.", "世界")
    assert [(row["start"], row["end"], row["ordinal"], row["tokens"]) for row in (first, second)] == [
        (0, 6, 0, 2),
        (7, 9, 1, 1),
    ]
    assert [row["id"] for row in (first, second)] == [chunk_id("d", 0, "lang_de"), chunk_id("d", 1, "lang_de")]
    assert second["content_key"] == content_key("space", "世界")
    assert second["token_ids"].tolist() == [6]
    assert {*first} == {*CHUNKS.names}


@pytest.mark.parametrize(
    ("change", "moves_row", "moves_content"),
    [
        ({"text": "Gruße. 世界"}, True, True),
        ({"document_id": "e"}, True, False),
        ({"partition": "lang_und"}, True, False),
        ({"language": "sv"}, True, False),
        ({"script": "Grek"}, True, False),
        ({"source": "t.jsonl"}, True, False),
        ({"date": "2025"}, True, False),
        ({"metadata": "{}"}, True, False),
        ({"position": 6}, False, False),
        ({"document_key": None}, False, False),
        ({"language_score": 0.1}, True, False),
    ],
)
def test_a_row_key_moves_with_every_stored_field_and_with_nothing_else(
    change: dict[str, Any], moves_row: bool, moves_content: bool
) -> None:
    before = with_row_keys(chunk_rows(DOCUMENT, SPANS, "space"))[0]
    after = with_row_keys(chunk_rows({**DOCUMENT, **change}, SPANS, "space"))[0]

    assert (after["row_key"] != before["row_key"]) == moves_row
    assert (after["content_key"] != before["content_key"]) == moves_content


def test_another_embedding_space_moves_all_keys_but_no_id() -> None:
    before, after = (with_row_keys(chunk_rows(DOCUMENT, SPANS, space))[0] for space in ("space", "other"))

    assert before["id"] == after["id"]
    assert before["content_key"] != after["content_key"]
    assert before["row_key"] != after["row_key"]


@pytest.mark.parametrize("outputs", [("dense",), ("sparse",), ("multi",), OUTPUTS])
def test_the_dataset_keeps_rows_in_order_with_sixteen_bit_vectors(outputs: tuple[Output, ...]) -> None:
    made = outputs_of(["one", "two words"], 3, outputs)
    columns = to_columns(made)

    stored = stored_rows(with_vectors(table(), made), 3, outputs)

    assert stored.schema == row_schema(3, outputs)
    assert {name: stored.column(name).to_pylist() for name in columns} == {
        name: column.to_pylist() for name, column in columns.items()
    }
    names = [name for name in stored.schema.names if name not in columns]
    assert len(names) == len(CHUNKS.names) - 3
    assert stored.select(names).to_pylist() == table().select(names).to_pylist()


def test_rows_without_all_outputs_or_of_other_dimensions_are_not_stored() -> None:
    whole = with_vectors(table(), outputs_of(["one", "two words"], 3, ["dense"]))
    partly = whole.set_column(whole.num_columns - 1, "vector", pa.array([[1, 0, 0], None], pa.list_(pa.float16())))
    with pytest.raises(ValueError, match="no dense output"):
        stored_rows(partly, 3)
    with pytest.raises(ValueError, match="expected size"):
        stored_rows(whole, 4)


def test_milvus_gets_every_field_with_metadata_as_a_json_value() -> None:
    dense = to_list_array(np.array([[0.6, 0.8], [1, 0]], np.float32))
    batch = table().append_column("dense", dense).to_batches()[0]

    rows = milvus_rows(batch)

    assert all({*row} == MILVUS_FIELDS for row in rows)
    assert [row["metadata"] for row in rows] == [{"title": "T", "n": [1, None]}] * 2
    assert rows[1]["dense"] == [1, 0]
    assert [{name: row[name] for name in STORED_FIELDS} for row in rows] == table().select([*STORED_FIELDS]).to_pylist()
