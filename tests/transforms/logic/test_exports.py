"""Rows as other stores take them."""

import json
import re

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.transforms.adapters.rows import DIMENSIONS, shard_rows, vectors
from transforms.logic.errors import ConfigurationError, CorruptDataError
from transforms.logic.exports import (
    MAX_PINECONE_METADATA_BYTES,
    as_uuid,
    check_finite,
    pinecone_rows,
    plain_rows,
    weaviate_lines,
)
from transforms.logic.outputs import OUTPUTS, Output


def rows(numbers: range, outputs: tuple[Output, ...] = OUTPUTS[:1], metadata: str = "{}") -> pa.Table:
    table = shard_rows(numbers, outputs=outputs)
    place = table.schema.get_field_index("metadata")
    return table.set_column(place, table.schema.field(place), pa.array([metadata] * table.num_rows))


def test_plain_rows_differ_in_the_width_of_their_numbers_alone() -> None:
    given_rows = rows(range(7), OUTPUTS)
    found = plain_rows(given_rows)
    assert found.to_pylist() == given_rows.to_pylist()
    assert found.column_names == given_rows.column_names
    assert found.schema.field("vector").type == pa.list_(pa.float32())
    assert found.schema.field("multi").type == pa.list_(pa.list_(pa.float32()))
    assert found.schema.field("sparse").type.field("values").type == pa.list_(pa.float32())


def test_pinecone_gets_its_columns() -> None:
    given_rows = rows(range(5), OUTPUTS)
    found = pinecone_rows(given_rows)
    kinds = {field.name: field.type for field in found.schema}
    assert kinds == {
        "id": pa.string(),
        "values": pa.list_(pa.float32()),
        "sparse_values": pa.struct(
            [pa.field("indices", pa.list_(pa.int32())), pa.field("values", pa.list_(pa.float32()))]
        ),
        "metadata": pa.string(),
    }
    assert found.column("id").equals(given_rows.column("id"))
    assert found.column("values").to_pylist() == given_rows.column("vector").to_pylist()
    assert found.column("sparse_values").to_pylist() == given_rows.column("sparse").to_pylist()
    text = json.loads(found.column("metadata")[2].as_py())
    assert text["text"] == given_rows.column("text")[2].as_py()
    assert {"document_id", "ordinal", "start", "end", "language", "source", "date"} <= text.keys()
    assert "id" not in text


def test_a_row_without_weights_has_no_sparse_values() -> None:
    given_rows = rows(range(2), ("dense", "sparse"))
    empty = pa.array([{"indices": [], "values": []}] * 2, given_rows.schema.field("sparse").type)
    given_rows = given_rows.set_column(given_rows.schema.get_field_index("sparse"), "sparse", empty)
    assert pinecone_rows(given_rows).column("sparse_values").to_pylist() == [None, None]


def test_metadata_is_flat_and_loses_nothing() -> None:
    metadata = {
        "author": "Ada",
        "year": 1843,
        "open": True,
        "tags": ["a", "b"],
        "text": "taken",
        "$where": "an operator",
        "two words": 1,
        "mixed": ["a", 1],
        "nested": {"deep": [1]},
        "nothing": None,
    }
    found = json.loads(pinecone_rows(rows(range(1), metadata=json.dumps(metadata))).column("metadata")[0].as_py())
    assert {name: found[name] for name in ("author", "year", "open", "tags")} == {
        "author": "Ada",
        "year": 1843,
        "open": True,
        "tags": ["a", "b"],
    }
    assert found["text"] == "text 0"
    assert json.loads(found["metadata"]) == {
        name: metadata[name] for name in ("text", "$where", "two words", "mixed", "nested")
    }
    assert all(
        isinstance(value, str | int | float) or all(isinstance(item, str) for item in value) for value in found.values()
    )


def test_metadata_that_pinecone_would_refuse_is_named() -> None:
    large = json.dumps({"note": "x" * MAX_PINECONE_METADATA_BYTES})
    with pytest.raises(ConfigurationError, match=r"metadata of chunk [0-9a-f]{32} has"):
        pinecone_rows(rows(range(1), metadata=large))


def test_a_dataset_without_what_the_store_needs_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="neither"):
        pinecone_rows(rows(range(1), ("multi",)))
    with pytest.raises(ConfigurationError, match="dense"):
        weaviate_lines(rows(range(1), ("sparse",)))
    assert pinecone_rows(rows(range(1), ("sparse",))).column_names == ["id", "sparse_values", "metadata"]


def test_weaviate_gets_an_object_a_line() -> None:
    given_rows = rows(range(4), metadata='{"author": "Ада"}')
    lines = weaviate_lines(given_rows).decode().splitlines()
    assert len(lines) == 4
    for line, row in zip(lines, given_rows.to_pylist(), strict=True):
        found = json.loads(line)
        assert found.keys() == {"id", "vector", "properties"}
        assert found["id"] == as_uuid(row["id"])
        assert found["vector"] == row["vector"]
        assert (found["properties"]["chunk_id"], found["properties"]["author"]) == (row["id"], "Ада")
        assert "id" not in found["properties"]


@settings(derandomize=True)
@given(st.binary(min_size=16, max_size=16))
def test_a_uuid_is_of_version_8_and_keeps_the_other_bits(raw: bytes) -> None:
    found = as_uuid(raw.hex())
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", found)
    mask = ~((0xF << 76) | (0b11 << 62))
    assert int(found.replace("-", ""), 16) & mask == int.from_bytes(raw, "big") & mask


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_not_finite_is_named(output: Output, bad: float) -> None:
    given_rows = rows(range(6), OUTPUTS)
    check_finite(given_rows)
    check_finite(given_rows.slice(0, 0))
    name = {"dense": "vector", "sparse": "sparse", "multi": "multi"}[output]
    values = given_rows.column(name).to_pylist()
    target = values[4]["values"] if output == "sparse" else values[4][0] if output == "multi" else values[4]
    target[-1] = bad
    place = given_rows.schema.get_field_index(name)
    spoilt = given_rows.set_column(place, name, pa.array(values, given_rows.schema.field(name).type))
    identity = given_rows.column("id")[4].as_py()
    with pytest.raises(CorruptDataError, match=f"chunk {identity} has a number in '{name}'"):
        check_finite(spoilt)
    check_finite(spoilt.slice(0, 4))
    check_finite(spoilt.slice(5))


def test_vectors_of_16_bits_are_exact() -> None:
    found = pinecone_rows(rows(range(3)))
    ordered = sorted(range(3), key=lambda number: shard_rows([number]).column("content_key")[0].as_py())
    assert np.array(found.column("values").to_pylist()).shape == (3, DIMENSIONS)
    assert np.array_equal(np.array(found.column("values").to_pylist()), vectors(ordered).astype(np.float64))
