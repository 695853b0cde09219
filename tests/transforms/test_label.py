"""LabelChunks: the labels are those of the pure twin, the model is opened once, and only for rows."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.fakes import FakeEncoder, outputs_of
from tests.transforms.verbs import chunks, record, run_verb
from transforms.label import LabelChunks, Labelling, embed_labels
from transforms.logic.errors import ConfigurationError
from transforms.logic.rows import stored_rows
from transforms.logic.vector_columns import from_columns, to_columns
from transforms.logic.vectors import unit_rows

DIMENSIONS = 8
TEXTS = {"animals": ("a cat", "a dog"), "tools": ("a hammer",)}
OPENED: list[int] = []


def _open() -> FakeEncoder:
    OPENED.append(1)
    return FakeEncoder(DIMENSIONS, poison="poison")


def _labelling(texts: dict[str, tuple[str, ...]] = TEXTS, floor: float = -1) -> Labelling:
    ids = {name: tuple(np.arange(len(text.split()), dtype=np.int32) for text in of) for name, of in texts.items()}
    return Labelling(_open, texts, ids, floor)


def _batch(count: int) -> pa.RecordBatch:
    table = pa.Table.from_batches([chunks(*(record(f"d{n}", f"text {n}") for n in range(count)))])
    made = to_columns(outputs_of(table.column("text").to_pylist(), DIMENSIONS, ("dense",)))
    return stored_rows(table.append_column("vector", made["vector"]), DIMENSIONS).to_batches()[0]


@pytest.fixture(autouse=True)
def _not_opened() -> None:
    OPENED.clear()


def _by_hand(batch: pa.RecordBatch) -> list[tuple[str, float]]:
    cat, dog, hammer = (outputs_of([text], DIMENSIONS).dense for text in ("a cat", "a dog", "a hammer"))
    assert cat is not None
    assert dog is not None
    assert hammer is not None
    labels: dict[str, Any] = {"animals": (cat + dog)[0], "tools": hammer[0]}
    dense = from_columns(batch).dense
    assert dense is not None
    found = []
    for vector in dense.astype(float):
        cosines = {
            name: float(vector @ one / np.linalg.norm(vector) / np.linalg.norm(one)) for name, one in labels.items()
        }
        best = max(sorted(cosines), key=lambda name: cosines[name])
        found.append((best, cosines[best]))
    return found


def test_labels_of_the_verb_are_those_by_hand() -> None:
    batch = _batch(20)
    outcome = run_verb(lambda kept: LabelChunks(_labelling(), kept), [batch.slice(0, 7), batch.slice(7)])
    assert outcome.counts == {"chunks.labelled": 20}
    assert OPENED == [1]
    assert len(outcome.rows) == 20
    by_id = {row["id"]: row for row in outcome.rows}
    for row, (label, score) in zip(batch.to_pylist(), _by_hand(batch), strict=True):
        labelled = by_id[row["id"]]
        assert (labelled["label"], labelled["label_score"]) == (label, pytest.approx(score, abs=1e-5))
        assert {name: labelled[name] for name in row} == row
    assert {label for label, _ in _by_hand(batch)} == {"animals", "tools"}


def test_below_the_floor_there_is_a_score_and_no_label() -> None:
    outcome = run_verb(lambda kept: LabelChunks(_labelling(floor=1), kept), [_batch(3)])
    assert [row["label"] for row in outcome.rows] == ["", "", ""]
    assert all(-1 <= row["label_score"] < 1 for row in outcome.rows)


def test_without_rows_no_model_is_opened() -> None:
    outcome = run_verb(lambda kept: LabelChunks(_labelling(), kept), [])
    assert (outcome.rows, OPENED) == ([], [])


def test_vectors_of_labels_have_unit_length() -> None:
    vectors = embed_labels(_labelling())
    np.testing.assert_allclose(vectors, unit_rows(vectors), atol=1e-6)
    assert vectors.shape == (2, DIMENSIONS)


def test_a_text_without_a_sound_vector_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"no sound vector of 'the poison': fake fault at poison"):
        embed_labels(_labelling({"a": ("fine", "the poison")}))
