"""Which Milvus holds what, as its documentation and our own runs say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.adapters.milvus import capabilities_of, capability_table, check_held, held_by
from transforms.adapters.milvus.capabilities import ABILITIES, INDEXES, VECTORS
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
        ("Zilliz Cloud Vector Database(Compatible with Milvus 2.5)", EVERY - {"int8", "multi"}),
        ("Zilliz Cloud Vector Database(Compatible with Milvus 2.6)", EVERY - {"multi"}),
        ("Zilliz Cloud", EVERY),
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


@pytest.mark.parametrize(
    ("version", "bulk_import", "partitions", "templates", "grouping", "idempotency"),
    [
        ("milvus_lite-3.2.2", "none", None, False, False, False),
        ("v2.3.5", "gRPC", 4096, False, False, False),
        ("v2.4.17", "REST", 1024, False, True, False),
        ("v2.5.4", "REST", 1024, True, True, False),
        ("v2.6.23", "REST", 1024, True, True, False),
        ("v2.6.24", "REST", 1024, True, True, True),
        ("v3.0.1", "REST", 1024, True, True, False),
        ("v3.0.2", "REST", 1024, True, True, True),
        ("Zilliz Cloud Vector Database(Compatible with Milvus 2.6)", "REST", 1024, True, True, False),
    ],
)
def test_what_a_version_can_do(
    version: str, bulk_import: str, partitions: int | None, templates: bool, grouping: bool, idempotency: bool
) -> None:
    there = capabilities_of(version)
    assert (there.bulk_import, there.most_partitions) == (bulk_import, partitions)
    assert [there.can(one) for one in ("filter templates", "grouping", "idempotency key")] == [
        templates,
        grouping,
        idempotency,
    ]


def test_an_index_type_is_refused_with_the_version_that_builds_it_and_the_choice() -> None:
    with pytest.raises(ConfigurationError) as caught:
        capabilities_of("v2.5.4").check_index("IVF_RABITQ")
    message = str(caught.value)
    assert "--index IVF_RABITQ: Milvus v2.5.4 does not build it, Milvus servers do from version 2.6.0 on" in message
    assert "choose of AUTOINDEX, FLAT, IVF_FLAT" in message
    with pytest.raises(ConfigurationError, match=r"Milvus Lite 3\.2\.2 does not build it"):
        capabilities_of("milvus_lite-3.2.2").check_index("SCANN")
    with pytest.raises(ConfigurationError, match="Zilliz Cloud builds an index of its own; leave --index out"):
        capabilities_of("Zilliz Cloud (Compatible with Milvus 2.6)").check_index("HNSW")


def _table(version: str | None = None) -> dict[str, list[str]]:
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in capability_table(version).splitlines()]
    assert len({len(line) for line in lines}) == 1
    return {name: cells for name, *cells in lines}


def test_the_table_says_what_the_versions_can_do() -> None:
    table = _table()
    assert table["Milvus"] == ["Lite", "2.3", "2.4", "2.5", "2.6", "3.0", "Zilliz Cloud"]
    assert table["int8"] == ["-", "-", "-", "-", "yes", "yes", "yes"]
    assert table["multi"] == ["-", "-", "-", "-", "from 2.6.4", "yes", "yes"]
    assert table["idempotency key"] == ["-", "-", "-", "-", "from 2.6.24", "from 3.0.2", "-"]
    assert table["bulk import"] == ["none", "gRPC", "REST", "REST", "REST", "REST", "REST"]
    assert table.keys() == {"Milvus", "---", "bulk import", "partitions of a collection", "largest request"} | set(
        VECTORS
    ) | set(INDEXES) | set(ABILITIES)


@pytest.mark.parametrize(("column", "version"), [(0, "milvus_lite-3.2.2"), (1, "v2.3.0"), (3, "v2.5.0"), (6, "Zilliz")])
def test_the_table_of_one_milvus_is_its_column(column: int, version: str) -> None:
    every, alone = _table(), _table(version)
    assert every.keys() == alone.keys()
    assert all(alone[name] == [every[name][column]] for name in every if name != "Milvus")
