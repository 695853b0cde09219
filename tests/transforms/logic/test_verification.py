"""What of a collection is told without holding its rows."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.logic.calibration import Calibration
from transforms.logic.identity import digest
from transforms.logic.representations import VECTOR_TYPES, Representation, VectorType, represent
from transforms.logic.rows import on_the_wire
from transforms.logic.vectors import unit_rows
from transforms.logic.verification import (
    NAMED,
    Finding,
    IdRanges,
    Kind,
    Verification,
    differing_fields,
    is_id,
    rows_differ,
    sample_order,
    stored_token_vectors,
    stored_vector,
    stored_weights,
    vector_agrees,
)

IDS = st.lists(st.integers(0, 2**128 - 1).map(lambda number: f"{number:032x}"), unique=True, max_size=60)


def within(identity: str, bounds: tuple[str | None, str | None]) -> bool:
    """As Milvus compares texts."""
    lower, upper = bounds
    return (lower is None or identity >= lower) and (upper is None or identity < upper)


@settings(deadline=None, derandomize=True)
@given(IDS, st.integers(1, 7))
def test_each_id_lies_in_one_range_and_each_range_knows_its_own(ids: list[str], per_range: int) -> None:
    ranges = IdRanges({"p": len(ids)}, per_range)
    ranges.add("p", ids[::2])
    ranges.add("p", ids[1::2])
    assert ranges.count("p") == len(ids)
    seen = []
    for number in range(ranges.range_count("p")):
        mine = [identity for identity in ids if within(identity, ranges.bounds("p", number))]
        assert ranges.count("p", number) == len(mine)
        assert sorted(ranges.members("p", number, ids) if ids else []) == sorted(mine)
        assert ranges.is_same("p", number, mine[::-1])
        seen += mine
    assert sorted(seen) == sorted(ids)


@settings(deadline=None, derandomize=True)
@given(IDS.filter(len), st.data())
def test_a_row_more_or_less_or_another_one_is_seen(ids: list[str], data: st.DataObject) -> None:
    ranges = IdRanges({"p": len(ids)}, 100)
    ranges.add("p", ids)
    number = data.draw(st.integers(0, len(ids) - 1))
    other = f"{data.draw(st.integers(0, 2**128 - 1)):032x}"
    changed: list[Sequence[str]] = [[*ids[:number], *ids[number + 1 :]], [*ids, ids[number]]]
    if other not in ids:
        changed += [[*ids, other], [*ids[:number], other, *ids[number + 1 :]]]
    for some in changed:
        assert not ranges.is_same("p", 0, some)


def test_the_ranges_leave_out_no_text() -> None:
    ranges = IdRanges({"p": 30}, 10)
    bounds = [ranges.bounds("p", number) for number in range(3)]
    assert bounds == [(None, "55555556"), ("55555556", "aaaaaaab"), ("aaaaaaab", None)]
    for text in ("", " ", "zz", "ÄÖ", "0" * 32, "f" * 32, "55555556"):
        assert sum(within(text, one) for one in bounds) == 1


@pytest.mark.parametrize("text", ["", "0" * 31, "0" * 33, "G" * 32, "A" * 32, "0 " * 16, "0" * 31 + "\n"])
def test_what_is_no_id_is_never_the_same(text: str) -> None:
    ranges = IdRanges({"p": 1})
    ranges.add("p", ["0" * 32])
    assert not is_id(text)
    assert not ranges.is_same("p", 0, [text])


def test_a_ledger_holds_nothing_but_ids() -> None:
    for text in ("0" * 31, "G" * 32):
        with pytest.raises(ValueError, match=r"ids|hex"):
            IdRanges({"p": 1}).add("p", [text])


def test_a_sample_is_another_one_for_another_salt() -> None:
    ids = [digest(number).hex() for number in range(4000)]
    chosen = []
    for salt in (0, 1 << 31, 12345):
        order = np.argsort(sample_order(ids, salt))[:400]
        # Uniform: a tenth of the rows, a tenth of each half.
        assert 140 < np.count_nonzero(order < 2000) < 260
        chosen.append(set(order.tolist()))
    assert len(chosen[0] & chosen[1]) < 100 > len(chosen[0] & chosen[2])
    np.testing.assert_array_equal(sample_order(ids, 7), sample_order(ids, 7))


def test_fields_differ_by_name() -> None:
    expected = {
        "id": "a",
        "text": "b",
        "language_score": 0.1,
        "ordinal": 0,
        "metadata": {"n": None},
        "sparse": {3: 0.5},
    }
    assert differing_fields(expected, {**expected, "language_score": float(np.float32(0.1)), "dense": []}) == []
    assert differing_fields(expected, {**expected, "language_score": 0.1001}) == ["language_score"]
    assert differing_fields(expected, {**expected, "metadata": {}, "sparse": {3: 0.25}}) == ["metadata", "sparse"]
    assert differing_fields(expected, {"id": "a"}) == ["text", "language_score", "ordinal", "metadata", "sparse"]


def representation(vector_type: VectorType) -> Representation:
    calibration = Calibration("space", np.zeros(64, np.float32), 100, "test") if vector_type == "binary" else None
    return Representation(vector_type, 64, calibration)


@pytest.mark.parametrize("vector_type", VECTOR_TYPES)
def test_a_vector_agrees_up_to_a_step_of_its_type(vector_type: VectorType) -> None:
    chance = np.random.default_rng(5)
    vectors = unit_rows(chance.standard_normal((40, 64)).astype(np.float32))
    stored = represent(vectors, representation(vector_type))
    elsewhere = represent(vectors * np.float32(1 + 1e-7), representation(vector_type))
    for row, found, other in zip(stored, on_the_wire(stored), elsewhere, strict=True):
        for given_back in (found, [found] if isinstance(found, bytes) else found):
            assert vector_agrees(row, stored_vector(given_back, vector_type), vector_type) == (True, True)
        assert vector_agrees(row, other, vector_type)[0]
    for first, second in pairwise(stored):
        assert vector_agrees(first, second, vector_type) == (False, False)
    assert vector_agrees(stored[0], stored[0][:-1], vector_type) == (False, False)


@pytest.mark.parametrize(
    ("kinds", "step"),
    [
        ({Kind.UNFINISHED, Kind.COUNT}, "run again what filled it"),
        ({Kind.ALIAS}, "corpus-embed rollback"),
        ({Kind.COUNT, Kind.MISSING, Kind.NOT_FOUND}, "as the counts differ every row is written again"),
        ({Kind.COUNT, Kind.DOUBLED}, "as the counts differ every row is written again"),
        # A run deletes no row that it does not know, and takes rows for right whose counts are.
        ({Kind.COUNT, Kind.UNKNOWN}, "fill a fresh collection"),
        ({Kind.MISSING, Kind.UNKNOWN}, "fill a fresh collection"),
        ({Kind.VECTOR}, "fill a fresh collection"),
        ({Kind.INDEX, Kind.LOAD}, "fill a fresh collection"),
        ({Kind.RECALL}, "fill a fresh collection"),
        ({Kind.LOAD}, "load it in Milvus"),
    ],
)
def test_what_is_to_be_done_depends_on_what_was_found(kinds: set[Kind], step: str) -> None:
    found = Verification("full", 1, 1, findings=[Finding(kind, "") for kind in kinds])
    assert step in found.next_step
    assert Verification("full", 1, 1).next_step == ""


def test_a_finding_names_the_first_rows() -> None:
    finding = rows_differ(Kind.MISSING, "lang_de", [f"{number:032x}" for number in range(9, -1, -1)], "are not there")
    assert (finding.count, len(finding.ids)) == (10, NAMED)
    assert str(finding).startswith(f"partition lang_de: missing rows: 10 are not there: {0:032x}, {1:032x}, ")
    assert str(finding).endswith(", …")
    assert str(Finding(Kind.LOAD, "the load state is NotLoad")) == "not loaded: the load state is NotLoad"
    described = Verification("full", 3, 10, recall={"b": 0.123456, "a": 1.0}, findings=[finding]).describe()
    assert described["recall"] == {"a": 1.0, "b": 0.1235}
    assert described["findings"][0]["kind"] == "missing rows"


def test_weights_and_vectors_of_tokens_read_back_as_they_were_written() -> None:
    weights = np.array([0.1, 2.5, 2.0**-24], np.float16).astype(np.float32)
    written = dict(zip([7, 3, 2**31], weights.tolist(), strict=True))
    # A client gives float64 of float32, or float32 itself.
    for given_back in (written, {index: np.float32(weight) for index, weight in written.items()}):
        assert stored_weights(given_back) == written
    vectors = np.array([[0.1, -0.3], [1, 0]], np.float16).astype(np.float32)
    assert np.array_equal(stored_token_vectors([{"vector": one.tolist()} for one in vectors]), vectors)
    assert stored_token_vectors(None).size == stored_token_vectors([]).size == 0
