"""Which Milvus holds what, as its documentation and our own runs say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.adapters.milvus import check_held, held_by
from transforms.logic.errors import ConfigurationError

EVERY = {"float32", "float16", "bfloat16", "int8", "binary", "sparse", "multi"}


@pytest.mark.parametrize(
    ("version", "held"),
    [
        ("milvus_lite-3.2.2", {"float32", "sparse"}),
        ("v2.3.5", {"float32", "binary"}),
        ("2.3.5", {"float32", "binary"}),
        ("v2.4.0", EVERY - {"int8", "multi"}),
        ("v2.5.27-gpu", EVERY - {"int8", "multi"}),
        ("v2.6", EVERY - {"multi"}),
        ("v2.6.3", EVERY - {"multi"}),
        ("v2.6.4", EVERY),
        ("v3.0.1", EVERY),
        ("master-20261101-abcdef", EVERY),
        ("", EVERY),
    ],
)
def test_what_a_version_holds(version: str, held: set[str]) -> None:
    assert held_by(version) == held


@given(st.tuples(*[st.integers(0, 12)] * 3), st.tuples(*[st.integers(0, 12)] * 3))
def test_a_later_version_holds_no_less(one: tuple[int, ...], other: tuple[int, ...]) -> None:
    earlier, later = sorted([one, other])
    assert held_by("v{}.{}.{}".format(*earlier)) <= held_by("v{}.{}.{}".format(*later))


def test_what_is_held_is_not_refused() -> None:
    check_held("milvus_lite-3.2.2", {"dense": "float32", "sparse": "sparse"})
    check_held("v2.6.4", {"dense": "int8", "sparse": "sparse", "multi": "multi"})


def test_an_output_is_refused_with_the_version_that_has_it_and_the_way_out() -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_held("v2.6.3", {"dense": "float32", "sparse": "sparse", "multi": "multi"})
    message = str(caught.value)
    assert "Milvus v2.6.3 does not hold the output 'multi', Milvus servers do from version 2.6.4 on" in message
    assert "--milvus-outputs dense,sparse, which keeps 'multi' in the dataset alone" in message


def test_milvus_lite_goes_by_its_name() -> None:
    with pytest.raises(
        ConfigurationError, match=r"^Milvus Lite 3\.2\.2 does not hold vectors of type float16, Milvus servers do"
    ):
        check_held("milvus_lite-3.2.2", {"dense": "float16"})


def test_a_vector_type_is_refused_with_those_that_are_held() -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_held("v2.3.5", {"dense": "int8"})
    message = str(caught.value)
    assert "does not hold vectors of type int8" in message
    assert "from version 2.6.0 on; use a --vector-type that it holds (binary, float32), or such a server" in message
    assert "--milvus-outputs" not in message
