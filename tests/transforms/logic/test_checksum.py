"""The checksum of a set of rows: blind to order and division, and to nothing else."""

from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.logic.checksum import as_text, checksum, checksum_counts, combined, counted_checksum
from transforms.logic.identity import digest

Row = dict[str, Any]
NUMBERS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 3)), max_size=30, unique_by=lambda row: row[0])


def _rows(numbers: list[tuple[int, int]]) -> list[Row]:
    return [{"id": digest("id", one).hex(), "row_key": digest("key", one, version)} for one, version in numbers]


@settings(deadline=None, derandomize=True, max_examples=100)
@given(NUMBERS, st.randoms(use_true_random=False), st.integers(1, 5))
def test_order_and_division_do_not_count(numbers: list[tuple[int, int]], random: Random, parts: int) -> None:
    rows = _rows(numbers)
    shuffled = random.sample(rows, len(rows))
    divided = [shuffled[start::parts] for start in range(parts)]
    assert checksum(shuffled) == checksum(rows)
    assert combined(checksum(part) for part in divided) == checksum(rows)
    # As a run does: tallies are 64-bit floats that are added name by name.
    total: dict[str, float] = {}
    for part in divided:
        for name, value in checksum_counts("sum", part).items():
            total[name] = total.get(name, 0.0) + float(value)
    assert counted_checksum("sum", total) == checksum(rows)


@settings(deadline=None, derandomize=True, max_examples=200)
@given(NUMBERS, NUMBERS)
def test_other_rows_have_another_checksum(one: list[tuple[int, int]], other: list[tuple[int, int]]) -> None:
    assert (checksum(_rows(one)) == checksum(_rows(other))) == (set(one) == set(other))


def test_each_single_fault_is_seen() -> None:
    rows = _rows([(number, 0) for number in range(6)])
    swapped = [{**rows[0], "row_key": rows[1]["row_key"]}, {**rows[1], "row_key": rows[0]["row_key"]}, *rows[2:]]
    faults = {
        "dropped": rows[1:],
        "doubled": [*rows, rows[0]],
        "doubled often": [*rows, *[rows[0]] * 8],
        "swapped": swapped,
        "changed": [{**rows[0], "row_key": digest("other")}, *rows[1:]],
        "renamed": [{**rows[0], "id": digest("other").hex()}, *rows[1:]],
        "none": [],
    }
    sums = {name: checksum(faulty) for name, faulty in faults.items()}
    assert len({checksum(rows), *sums.values()}) == 1 + len(faults)
    assert sums["none"] == 0


def test_text_is_32_hexadecimal_characters() -> None:
    assert as_text(0) == "0" * 32
    assert as_text(checksum(_rows([(1, 1)]))) == digest(digest("id", 1).hex(), digest("key", 1, 1)).hex()


def test_sums_of_as_many_tallies_as_a_run_may_have_are_exact() -> None:
    tallies = 1 << 36
    largest = {f"sum.{limb}": float(((1 << 16) - 1) * tallies) for limb in range(8)}
    assert counted_checksum("sum", largest) == ((1 << 128) - 1) * tallies % (1 << 128)
