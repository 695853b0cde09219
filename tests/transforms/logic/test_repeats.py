"""Repeats: which rows go another way, and what they get there."""

from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes import outputs_of
from tests.transforms.logic.chunks import Row, known_vectors, place_of, row_of, table_of
from transforms.logic.identity import content_key
from transforms.logic.repeats import RepeatFinder, share_vectors
from transforms.logic.reuse import Known
from transforms.logic.schemas import REUSED, Origin
from transforms.logic.vector_columns import VECTORS, to_columns

ROWS = st.lists(
    st.builds(row_of, st.sampled_from("abc"), st.integers(0, 5), st.sampled_from("st"), st.integers(0, 3)),
    min_size=1,
    max_size=25,
    unique_by=place_of,
)


@settings(deadline=None, derandomize=True, max_examples=150)
@given(buffers=st.lists(ROWS, min_size=1, max_size=5), allowance=st.integers(0, 12), tracked=st.integers(1, 4))
def test_whatever_came_before_the_first_row_of_each_content_is_no_repeat(
    buffers: list[list[Row]], allowance: int, tracked: int
) -> None:
    finder = RepeatFinder(allowance, tracked)
    for rows in buffers:
        repeats = finder.find(table_of(rows))
        assert repeats.shape == (len(rows),)
        for text in {row["text"] for row in rows}:
            pairs = zip(rows, repeats.tolist(), strict=True)
            same = [(place_of(row), is_repeat) for row, is_repeat in pairs if row["text"] == text]
            # All rows of a content but the first are repeats, or none is.
            assert min(same) == (min(place for place, _ in same), False)
            assert len({is_repeat for _, is_repeat in sorted(same)[1:]}) <= 1


@settings(deadline=None, derandomize=True, max_examples=100)
@given(buffers=st.lists(ROWS, min_size=1, max_size=6), allowance=st.integers(0, 12))
def test_a_content_is_hot_from_the_buffer_on_in_which_its_surplus_exceeds_the_allowance(
    buffers: list[list[Row]], allowance: int
) -> None:
    finder = RepeatFinder(allowance)
    surplus: Counter[str] = Counter()
    for rows in buffers:
        counts = Counter(row["text"] for row in rows)
        surplus.update({text: count - 1 for text, count in counts.items()})
        expected = {text: count - 1 if surplus[text] > allowance else 0 for text, count in counts.items()}
        repeats = finder.find(table_of(rows))
        found = Counter(row["text"] for row, is_repeat in zip(rows, repeats.tolist(), strict=True) if is_repeat)
        assert found == Counter(expected)


def test_a_footer_spread_thinly_over_many_buffers_becomes_hot() -> None:
    finder = RepeatFinder()
    found = [
        int(finder.find(table_of([row_of("footer", 3 * buffer + number) for number in range(3)])).sum())
        for buffer in range(50)
    ]
    assert found == [0] * 32 + [2] * 18  # 2 of each buffer are beyond the first, and 64 are allowed


def test_a_corpus_without_repeats_has_none_and_remembers_nothing() -> None:
    finder = RepeatFinder(0)
    for buffer in range(5):
        table = table_of([row_of(f"text {number}", number, f"s{buffer}") for number in range(100)])
        assert not finder.find(table).any()
    assert finder._surplus == {}


def test_what_is_remembered_stays_bounded_and_keeps_the_hottest() -> None:
    finder = RepeatFinder(allowance=64, max_tracked=50)
    for buffer in range(20):
        rows = [row_of("footer", number, f"f{buffer}") for number in range(40)]
        rows += [row_of(f"pair {buffer} {number // 2}", number, f"p{buffer}") for number in range(80)]
        repeats = finder.find(table_of(rows))
        assert len(finder._surplus) <= 50
        assert int(repeats[:40].sum()) == (39 if buffer > 2 else repeats[:40].sum())
        assert not repeats[40:].any()
    assert content_key("space", "footer") in finder._surplus


def test_rows_of_one_buffer_in_any_order_leave_the_same_first_row() -> None:
    rows = [row_of("footer", number % 7, f"s{number % 3}", number) for number in range(90)]
    for shift in (0, 17, 60):
        turned = rows[shift:] + rows[:shift]
        repeats = RepeatFinder().find(table_of(turned))
        kept = [row for row, is_repeat in zip(turned, repeats.tolist(), strict=True) if not is_repeat]
        assert kept == [min(rows, key=place_of)]


def test_repeats_get_what_the_dataset_or_the_run_knows() -> None:
    rows = [
        row_of(text, number) for number, text in enumerate(["made", "bad", "known", "made", "known", "bad", "known"])
    ]
    columns = to_columns(outputs_of(["made", "known words"], 4))
    made, stored = pa.RecordBatch.from_pydict(columns, VECTORS).to_pylist()
    key = content_key("space", "known")
    known = Known({rows[4]["row_key"]: ("shard", 7)}, known_vectors([key], outputs_of(["known words"], 4)))
    asked: list[bytes] = []

    def encoded(content: bytes) -> pa.RecordBatch | None:
        asked.append(content)
        one = pa.RecordBatch.from_pydict(columns, VECTORS).slice(0, 1)
        return {content_key("space", "made"): one, content_key("space", "bad"): None}[content]

    found = share_vectors(table_of(rows), known, encoded)

    assert found.schema == REUSED
    assert sorted(asked) == sorted({content_key("space", "made"), content_key("space", "bad")})
    nothing = dict.fromkeys(VECTORS.names)
    by_id = {
        row["position"]: (row["origin"], {name: row[name] for name in VECTORS.names}, row["shard"], row["row"])
        for row in found.to_pylist()
    }
    reused = dict.fromkeys((0, 3), (Origin.REUSED, made, None, None))
    reused |= dict.fromkeys((2, 6), (Origin.REUSED, stored, None, None))
    rejected = dict.fromkeys((1, 5), (Origin.REJECTED, nothing, None, None))
    assert by_id == {**reused, **rejected, 4: (Origin.STORED, nothing, "shard", 7)}
    keys = [(row["content_key"], *place_of(row)) for row in found.to_pylist()]
    assert keys == sorted(keys)


def test_a_repeat_whose_content_nobody_encoded_is_an_error() -> None:
    def encoded(content: bytes) -> pa.RecordBatch | None:
        raise KeyError(content)

    row = row_of("lost", 0)
    with pytest.raises(KeyError):
        share_vectors(table_of([row]), Known(), encoded)
    # A stored row needs no vectors.
    stored = share_vectors(table_of([row]), Known({row["row_key"]: ("shard", 1)}), encoded)
    assert stored.column("origin").to_pylist() == [Origin.STORED]
