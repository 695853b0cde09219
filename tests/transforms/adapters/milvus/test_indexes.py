"""Which index a collection gets, and what is refused before anything is encoded."""

import re

import pytest

from transforms.adapters.milvus import Index, capabilities_of, choose_index, read_index
from transforms.adapters.milvus.capabilities import INDEXES, VECTORS
from transforms.adapters.milvus.indexes import GROUPING, INDEX_TYPES
from transforms.logic.errors import ConfigurationError

LITE, OLD, NEW = (capabilities_of(version) for version in ("milvus_lite-3.2.2", "v2.3.5", "v2.6.4"))
CLOUD = capabilities_of("Zilliz Cloud Vector Database(Compatible with Milvus 2.6)")
GRAPH = "HNSW M=16 efConstruction=200"


@pytest.mark.parametrize(
    ("there", "kind", "rows", "index"),
    [
        (LITE, "float32", None, "AUTOINDEX"),
        (LITE, "float32", 10**9, "AUTOINDEX"),
        (CLOUD, "binary", None, "AUTOINDEX"),
        (CLOUD, "int8", 10**9, "AUTOINDEX"),
        (OLD, "float32", None, "AUTOINDEX"),
        (OLD, "float32", 10**9, "AUTOINDEX"),
        (OLD, "binary", 9_999_999, "BIN_FLAT"),
        (OLD, "binary", 10_000_000, "BIN_IVF_FLAT nlist=1024"),
        (NEW, "int8", 10**9, GRAPH),
        (NEW, "bfloat16", 49_999_999, "AUTOINDEX"),
        (NEW, "bfloat16", 50_000_000, "IVF_RABITQ nlist=1024 refine=true refine_type=SQ8"),
    ],
    ids=str,
)
def test_the_index_that_is_taken(there: object, kind: str, rows: int | None, index: str) -> None:
    assert isinstance(there, type(LITE))
    assert str(choose_index("auto", (), kind, there, rows)) == index


def test_an_index_is_chosen_by_name_with_its_parameters() -> None:
    assert str(choose_index("hnsw", (), "float32", NEW)) == GRAPH
    chosen = choose_index("HNSW", ["M=32", " efConstruction = 400"], "float32", NEW)
    assert chosen == Index("HNSW", {"M": 32, "efConstruction": 400})
    assert chosen.settings == {"index_type": "HNSW", "params": {"M": 32, "efConstruction": 400}}
    unrefined = choose_index("IVF_RABITQ", ["refine=false"], "float32", NEW)
    assert unrefined.settings["params"] == {"nlist": 1024, "refine": "false", "refine_type": "SQ8"}
    assert choose_index("FLAT", (), "float32", NEW).settings == {"index_type": "FLAT"}
    assert choose_index("AUTOINDEX", (), "binary", CLOUD) == Index("AUTOINDEX")


@pytest.mark.parametrize(
    ("asked", "parameters", "kind", "there", "said"),
    [
        ("HSNW", (), "float32", NEW, "--index HSNW is unknown; choose auto, or one of AUTOINDEX, FLAT"),
        ("BIN_FLAT", (), "float32", NEW, "--index BIN_FLAT is not for vectors of type float32"),
        ("HNSW", (), "binary", NEW, "--index HNSW is not for vectors of type binary; choose auto, or one of BIN_FLAT"),
        ("AUTOINDEX", (), "binary", NEW, "--index AUTOINDEX is not for vectors of type binary"),
        ("SPARSE_INVERTED_INDEX", (), "float32", NEW, "is unknown"),
        ("IVF_RABITQ", (), "float32", LITE, "Milvus Lite 3.2.2 does not build it"),
        ("HNSW", (), "float32", CLOUD, "builds an index of its own"),
        ("HNSW", ["m=32"], "float32", NEW, "--index-parameters m=32: HNSW has no such parameter; it has M, efConstr"),
        ("FLAT", ["nlist=1"], "float32", NEW, "--index-parameters nlist=1: FLAT has no such parameter; it has none"),
        ("HNSW", ["M=1"], "float32", NEW, "--index-parameters M=1: choose 2 to 2048"),
        ("HNSW", ["M=-4"], "float32", NEW, "choose 2 to 2048"),
        ("HNSW", ["M=²"], "float32", NEW, "choose 2 to 2048"),
        ("HNSW", ["M"], "float32", NEW, "choose 2 to 2048"),
        ("IVF_RABITQ", ["refine=maybe"], "float32", NEW, "choose true, false"),
    ],
    ids=str,
)
def test_what_is_no_index_is_refused(asked: str, parameters: list[str], kind: str, there: object, said: str) -> None:
    assert isinstance(there, type(LITE))
    with pytest.raises(ConfigurationError, match=re.escape(said)):
        choose_index(asked, parameters, kind, there)


@pytest.mark.parametrize("name", INDEX_TYPES)
def test_every_index_reads_back_as_recorded_and_keeps_its_own_bounds(name: str) -> None:
    one = INDEX_TYPES[name]
    index = Index(name, one.defaults)
    assert read_index(str(index)) == index
    assert all(value in one.parameters[key] for key, value in one.defaults.items())
    assert one.kinds <= VECTORS.keys()


def test_types_are_those_of_the_capabilities() -> None:
    assert INDEX_TYPES.keys() | {"SPARSE_INVERTED_INDEX"} == INDEXES.keys()
    assert INDEX_TYPES.keys() >= GROUPING


@pytest.mark.parametrize(("top", "ef"), [(1, 64), (32, 64), (33, 66), (16_384, 32_768)])
def test_a_graph_is_searched_wider_than_the_rows_asked_for(top: int, ef: int) -> None:
    assert read_index(GRAPH).search_settings(top) == {"ef": ef}


@pytest.mark.parametrize("top", [1, 100, 16_384])
def test_settings_of_a_search_give_enough_rows(top: int) -> None:
    for name in INDEX_TYPES:
        settings = Index(name).search_settings(top)
        assert all(settings[key] >= top for key in ("ef", "search_list", "reorder_k") if key in settings)
        assert 1 <= settings.get("nprobe", 1) <= 65_536
