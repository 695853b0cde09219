"""What is encoded: each content once, and only what is not known."""

from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes import outputs_of
from tests.transforms.logic.chunks import Row, known_vectors, row_of, table_of
from transforms.logic.identity import content_key
from transforms.logic.outputs import Outputs
from transforms.logic.reuse import Known, blocks_of_contents, in_order, reuse_vectors
from transforms.logic.schemas import REUSED, Origin
from transforms.logic.vector_columns import VECTORS, from_columns, to_columns

VECTOR = np.array([0.6, 0.8], np.float16)


def known_of(texts: list[str]) -> pa.Table:
    vectors = np.tile(VECTOR.astype(np.float32), (len(texts), 1))
    return known_vectors([content_key("space", text) for text in texts], Outputs(vectors))


def chunks_of(texts: list[str]) -> list[Row]:
    return [row_of(text, position) for position, text in enumerate(texts)]


def test_a_stored_row_is_pointed_to_a_known_vector_taken_and_the_rest_encoded_once() -> None:
    rows = chunks_of(["stored", "known", "known", "new", "new", "new"])
    known = Known({rows[0]["row_key"]: ("shard", 7)}, known_of(["known", "of another bucket"]))

    found = reuse_vectors(table_of(rows), known)

    assert found.schema == REUSED
    by_id = {row["position"]: row for row in found.to_pylist()}
    assert {name: row["origin"] for name, row in by_id.items()} == {
        0: "stored",
        1: "reused",
        2: "reused",
        3: "encoded",
        4: "reused",
        5: "reused",
    }
    assert (by_id[0]["shard"], by_id[0]["row"], by_id[0]["vector"]) == ("shard", 7, None)
    assert by_id[1]["vector"] == by_id[2]["vector"] == VECTOR.tolist()
    assert by_id[4]["vector"] is by_id[5]["vector"] is None
    assert all(by_id[name]["shard"] is None for name in (1, 2, 3, 4, 5))


@settings(deadline=None, derandomize=True, max_examples=100)
@given(
    st.lists(st.sampled_from("abcd"), min_size=1, max_size=8),
    st.sets(st.integers(0, 7)),
    st.sets(st.sampled_from("abcd")),
    st.randoms(use_true_random=False),
)
def test_each_unknown_content_is_encoded_exactly_once_in_any_order(
    texts: list[str], stored: set[int], known_texts: set[str], random: Any
) -> None:
    rows = chunks_of(texts)
    known = Known(
        {row["row_key"]: ("shard", number) for number, row in enumerate(rows) if number in stored},
        known_of(sorted(known_texts)),
    )

    found = reuse_vectors(table_of(random.sample(rows, len(rows))), known)

    assert found == reuse_vectors(table_of(rows), known)
    encoded = [row["text"] for row in found.to_pylist() if row["origin"] == Origin.ENCODED]
    needed = {text for number, text in enumerate(texts) if number not in stored} - known_texts
    assert sorted(encoded) == sorted(needed)
    assert sorted(found.column("id").to_pylist()) == sorted(row["id"] for row in rows)
    seen: set[bytes] = set()
    for row in found.to_pylist():  # who shares a vector stands after who makes it
        if row["origin"] == Origin.REUSED and row["vector"] is None:
            assert row["content_key"] in seen
        elif row["origin"] == Origin.ENCODED:
            seen.add(row["content_key"])


def test_every_output_of_a_known_content_is_taken() -> None:
    texts = ["one", "two words", "three words here", "new"]
    outputs = outputs_of(texts[:3], 4)
    known = Known({}, known_vectors([content_key("space", text) for text in texts[:3]], outputs))

    found = pa.Table.from_batches([reuse_vectors(table_of(chunks_of([*texts, "two words"])), known)])

    taken = found.filter(pa.array([origin == Origin.REUSED for origin in found.column("origin").to_pylist()]))
    numbers = [texts.index(text) for text in taken.column("text").to_pylist()]
    assert sorted(numbers) == [0, 1, 1, 2]
    expected = to_columns(outputs.take(numbers))
    assert {name: taken.column(name).combine_chunks() for name in VECTORS.names} == expected
    assert len(from_columns(taken)) == 4


@settings(deadline=None, derandomize=True, max_examples=100)
@given(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=30), st.integers(1, 12))
def test_blocks_are_the_ordered_rows_and_divide_no_content(texts: list[str], least_rows: int) -> None:
    ordered = in_order(table_of(chunks_of(texts)))

    blocks = list(blocks_of_contents(ordered, least_rows))

    assert pa.concat_tables(blocks).equals(ordered)
    contents = [set(block.column("content_key").to_pylist()) for block in blocks]
    assert sum(map(len, contents)) == len(set(texts))
    assert all(block.num_rows >= least_rows for block in blocks[:-1])
    for block in blocks:  # no block could end a content earlier
        before_last = block.column("content_key").to_pylist().index(block.column("content_key")[-1].as_py())
        assert before_last < least_rows
