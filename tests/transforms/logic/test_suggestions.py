"""The nearest name that exists, or what there is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.logic.suggestions import did_you_mean, nearest, what_there_is

NAMES = st.text("abcdefgh_", min_size=1, max_size=8)


@pytest.mark.parametrize(
    ("name", "known", "meant"),
    [
        ("flaot16", ("float32", "float16", "bfloat16"), "float16"),
        ("FLOAT16", ("float32", "float16"), "float16"),
        ("hsnw", ("HNSW", "FLAT"), "HNSW"),
        ("serach", ("run", "search"), "search"),
        ("xyz", ("run", "search"), None),
        ("run", (), None),
    ],
)
def test_the_nearest_is_found_whatever_its_case(name: str, known: tuple[str, ...], meant: str | None) -> None:
    assert nearest(name, known) == meant
    assert did_you_mean(name, known) == ("" if meant is None else f"; did you mean {meant}?")


@given(st.lists(NAMES, min_size=1, unique=True), st.data())
def test_a_known_name_is_nearest_to_itself_in_any_order(known: list[str], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(known))
    assert nearest(name, known) == name
    assert nearest(name, data.draw(st.permutations(known))) == name


@given(NAMES, st.lists(NAMES, unique=True))
def test_the_order_of_what_is_known_changes_nothing(name: str, known: list[str]) -> None:
    assert nearest(name, known) == nearest(name, sorted(known))
    assert what_there_is(name, known, "things") == what_there_is(name, sorted(known), "things")


def test_little_is_listed_and_much_is_narrowed() -> None:
    assert what_there_is("a", [], "runs") == "; there are no runs"
    assert what_there_is("b", ["a"], "runs") == "; there is a"
    assert what_there_is("mnuals", ["docs", "manuals"], "runs") == "; there are docs, manuals; did you mean manuals?"
    many = [f"docs_{number:04d}" for number in range(50)]
    said = what_there_is("docs_0007x", many, "runs")
    assert said.startswith("; of 50 runs, the most alike are docs_0007, ")
    assert said.count(",") == 8
    assert what_there_is("zzz", many, "runs").count("docs_") == 8
