"""What is encoded: each content once, and only what is not known."""

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.transforms.logic.chunks import Row, row_of, table_of
from transforms.logic.identity import content_key
from transforms.logic.reuse import Known, reuse_vectors
from transforms.logic.schemas import REUSED, Origin

VECTOR = np.array([0.6, 0.8], np.float16)


def chunks_of(texts: list[str]) -> list[Row]:
    return [row_of(text, position) for position, text in enumerate(texts)]


def test_a_stored_row_is_pointed_to_a_known_vector_taken_and_the_rest_encoded_once() -> None:
    rows = chunks_of(["stored", "known", "known", "new", "new", "new"])
    known = Known({rows[0]["row_key"]: ("shard", 7)}, {content_key("space", "known"): VECTOR})

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
        {content_key("space", text): VECTOR for text in known_texts},
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
