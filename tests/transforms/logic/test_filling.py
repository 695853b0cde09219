"""Vectors come to the rows they were made for, in any cut of a bucket into batches."""

from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes import outputs_of
from tests.transforms.logic.chunks import known_vectors, row_of, table_of
from tests.transforms.logic.test_outputs import NAMES
from transforms.logic.filling import Latest, Made, fill_vectors, latest_of, rows_to_encode
from transforms.logic.identity import content_key
from transforms.logic.outputs import Output
from transforms.logic.reuse import Known, reuse_vectors
from transforms.logic.schemas import REUSED, Origin
from transforms.logic.vector_columns import VECTORS, to_columns

Row = dict[str, Any]
TEXTS = "abcdef"


def columns_of(text: str, names: tuple[Output, ...]) -> Row:
    made = to_columns(outputs_of([text], 3, names))
    return {name: made[name][0].as_py() if name in made else None for name in VECTORS.names}


def made_of(batch: pa.RecordBatch, names: tuple[Output, ...], bad: set[str]) -> Made:
    texts = batch.column("text").take(pa.array(rows_to_encode(batch))).to_pylist()
    if not texts:
        return Made()
    outputs = outputs_of(texts, 3, names)
    faults = {index: f"{text} is bad" for index, text in enumerate(texts) if text in bad}
    if outputs.dense is not None:
        outputs.dense[list(faults)] = np.nan
    return Made(to_columns(outputs), faults)


@settings(deadline=None, derandomize=True, max_examples=200)
@given(
    texts=st.lists(st.sampled_from(TEXTS), min_size=1, max_size=14),
    stored=st.sets(st.integers(0, 13)),
    known_texts=st.sets(st.sampled_from(TEXTS)),
    bad=st.sets(st.sampled_from(TEXTS)),
    cuts=st.sets(st.integers(1, 13)),
    names=NAMES,
)
def test_every_row_gets_the_vectors_of_its_text_or_the_reason_why_not(
    texts: list[str],
    stored: set[int],
    known_texts: set[str],
    bad: set[str],
    cuts: set[int],
    names: tuple[Output, ...],
) -> None:
    rows = [row_of(text, number) for number, text in enumerate(texts)]
    bad -= known_texts
    keys = [content_key("space", text) for text in sorted(known_texts)]
    known = Known(
        {row["row_key"]: ("shard", number) for number, row in enumerate(rows) if number in stored},
        known_vectors(keys, outputs_of(sorted(known_texts), 3, names)),
    )
    bucket = reuse_vectors(table_of(rows), known)
    borders = [0, *sorted(cut for cut in cuts if cut < len(rows)), len(rows)]
    latest: Latest | None = None
    found: dict[int, Row] = {}
    reasons: dict[int, str] = {}
    asked: list[str] = []
    for start, stop in pairwise(borders):
        batch = bucket.slice(start, stop - start)
        made = made_of(batch, names, bad)
        asked += batch.column("text").take(pa.array(rows_to_encode(batch))).to_pylist()
        filled, missing = fill_vectors(batch, made, latest)
        latest = latest_of(batch, made, latest)
        assert filled.schema == REUSED
        pairs = list(enumerate(filled.to_pylist()))
        found |= {row["position"]: row for _, row in pairs}
        reasons |= {row["position"]: missing[index] for index, row in pairs if index in missing}
    assert len(asked) == len(set(asked))
    for number, text in enumerate(texts):
        row = found[number]
        vectors = {name: row[name] for name in VECTORS.names}
        expected: tuple[Origin, Row, str | None]
        if number in stored:
            expected = (Origin.STORED, dict.fromkeys(VECTORS.names), None)
        elif text in bad:
            expected = (Origin.REJECTED, dict.fromkeys(VECTORS.names), f"{text} is bad")
        else:
            expected = (Origin.REUSED, columns_of(text, names), None)
        origin = Origin.REUSED if row["origin"] == Origin.ENCODED else row["origin"]
        assert (origin, vectors, reasons.get(number)) == expected
    encoded = {row["text"] for row in found.values() if row["origin"] == Origin.ENCODED}
    assert encoded == set(asked) - bad


def test_a_copy_whose_content_nobody_encoded_is_rejected_and_takes_no_other_vector() -> None:
    bucket = reuse_vectors(table_of([row_of(text, number) for number, text in enumerate("aab")]), Known())
    (copy,) = [index for index, origin in enumerate(bucket.column("origin").to_pylist()) if origin == Origin.REUSED]
    alone = bucket.slice(copy, 1)
    other = Latest(content_key("space", "b"), Made(to_columns(outputs_of(["b"], 3))))
    for latest in (None, other):
        filled, missing = fill_vectors(alone, Made(), latest)
        assert filled.column("origin").to_pylist() == [Origin.REJECTED]
        assert all(filled.column(name).null_count == 1 for name in VECTORS.names)
        assert missing == {0: "no vector was made for its content before it"}
