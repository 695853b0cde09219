"""What a search asks of a server, as it goes over the wire, and what it finds against an exact search by hand."""

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pymilvus import DataType
from pymilvus.grpc_gen import common_pb2, schema_pb2

from tests.hostile import hostile_values, read_literal
from tests.milvus_server import MilvusServer, milvus_server
from tests.transforms.adapters.milvus.four import SPACE, row
from transforms.adapters.milvus import Collection, CollectionSpace, Index, Query, Target, held_by, served
from transforms.adapters.milvus.searching import first_of_documents
from transforms.logic.calibration import calibrate
from transforms.logic.filters import Condition, between_dates
from transforms.logic.identity import digest
from transforms.logic.representations import VECTOR_TYPES, Representation, VectorType, search_vector
from transforms.logic.vectors import Float32, unit_rows

DIMENSIONS = 16
TYPES: dict[VectorType, tuple[DataType, str]] = {
    "float32": (DataType.FLOAT_VECTOR, "COSINE"),
    "float16": (DataType.FLOAT16_VECTOR, "COSINE"),
    "bfloat16": (DataType.BFLOAT16_VECTOR, "COSINE"),
    "int8": (DataType.INT8_VECTOR, "COSINE"),
    "binary": (DataType.BINARY_VECTOR, "HAMMING"),
}
EVERY = replace(
    SPACE,
    dimensions=DIMENSIONS,
    outputs=("dense", "sparse", "multi"),
    milvus_outputs=("dense", "sparse", "multi"),
    multi_dimensions=DIMENSIONS,
    labels=("a", "b"),
)


# --- over the wire ---


@pytest.fixture(scope="module", params=["v2.6.4", "v2.3.5"])
def server(request: pytest.FixtureRequest) -> Iterator[MilvusServer]:
    """A server with filter templates, and one without."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MilvusServer, "Search", _with_documents(MilvusServer.Search))
        with milvus_server(request.param) as started:
            yield started


@pytest.fixture
def collection(
    server: MilvusServer, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Collection]:
    """A collection with two rows, each of a document of its own, which every search finds."""
    # The client sleeps before it asks whether an index is there.
    monkeypatch.setattr("pymilvus.client.grpc_handler.time.sleep", lambda _: None)
    server.schema = None
    server.partitions = {"_default": {f"{number:032x}": None for number in (1, 2)}}
    opened = Collection(Target(server.uri, f"c_{digest(request.node.name).hex()}"))
    opened.create(_space(request))
    server.requests.clear()
    yield opened
    opened.close()


def _space(request: pytest.FixtureRequest) -> CollectionSpace:
    """Of the vector type that a test is for."""
    vector_type = request.node.callspec.params.get("vector_type", "float32")
    return replace(EVERY, vector_type="binary" if "bits" in request.node.name else vector_type)


def _with_documents(search: Callable[..., Any]) -> Callable[..., Any]:
    """A search whose rows have a document id where it is asked for."""

    def found(server: MilvusServer, request: Any, context: Any) -> Any:
        answer = search(server, request, context)
        if "document_id" in request.output_fields:
            data = schema_pb2.FieldData(type=schema_pb2.DataType.VarChar, field_name="document_id")
            data.scalars.string_data.data.extend(answer.results.ids.str_id.data)
            answer.results.fields_data.append(data)
            answer.results.output_fields.append("document_id")
        return answer

    return found


def _dense(count: int = 40) -> Float32:
    return unit_rows(np.random.default_rng(7).standard_normal((count, DIMENSIONS)).astype(np.float32))


def _asked(vector_type: VectorType) -> Any:
    calibration = calibrate(_dense(), "space", "test") if vector_type == "binary" else None
    return search_vector(_dense()[0], Representation(vector_type, DIMENSIONS, calibration))


def _placeholder(request: Any) -> tuple[int, bytes]:
    (one,) = common_pb2.PlaceholderGroup.FromString(request.placeholder_group).placeholders
    (value,) = one.values
    return one.type, value


def _parameters(pairs: Any) -> dict[str, str]:
    return {pair.key: pair.value for pair in pairs}


def _values(request: Any) -> dict[str, Any]:
    """Filter values that travel beside an expression."""
    found: dict[str, Any] = {}
    for name, value in request.expr_template_values.items():
        kind = value.WhichOneof("val")
        one = getattr(value, kind)
        found[name] = list(one.string_data.data) if kind == "array_val" else one
    return found


@pytest.mark.parametrize("vector_type", VECTOR_TYPES)
@pytest.mark.parametrize("is_hybrid", [False, True], ids=["alone", "hybrid"])
def test_a_query_goes_as_rows_do(
    server: MilvusServer, collection: Collection, vector_type: VectorType, is_hybrid: bool
) -> None:
    vector = _asked(vector_type)
    query = Query(
        vector, {7: 0.5} if is_hybrid else None, languages=["de"], labels=["a", 'b"'], partitions=["_default"]
    )
    hits = collection.search(query, 5, ["text"])
    first, *others = server.of("Search")
    assert _placeholder(first) == (TYPES[vector_type][0].value, vector.tobytes())
    assert _parameters(first.search_params)["metric_type"] == TYPES[vector_type][1]
    for one in (first, *others):
        if server.version == "v2.6.4":
            assert one.dsl == "language in {v0} and label in {v1}"
            assert _values(one) == {"v0": ["de"], "v1": ["a", 'b"']}
        else:
            assert one.dsl == r'language in ["de"] and label in ["a", "b\""]'
            assert _values(one) == {}
        assert list(one.partition_names) == ["_default"]
    assert len(others) == is_hybrid
    if others:
        assert _placeholder(others[0])[0] == DataType.SPARSE_FLOAT_VECTOR.value
        assert [_parameters(one.search_params)["topk"] for one in server.of("Search")] == ["100", "100"]
        # Both searches give the two rows in the same order, which is that of distances for bits and of scores for weights.
        same = [2 / 61, 2 / 62]
        assert [hit["score"] for hit in hits] == ([1 / 61 + 1 / 62] * 2 if vector_type == "binary" else same)


def test_ten_thousand_hostile_values_are_told_to_a_server_as_values(
    server: MilvusServer, collection: Collection
) -> None:
    values, step = hostile_values(10_000, seed=5), 100
    for start in range(0, len(values), step):
        part = values[start : start + step]
        collection.search(Query(_dense()[0], where=[Condition("text", "in", tuple(part))]), 1, ["id"])
        request = server.requests.pop()
        if server.version == "v2.6.4":
            assert (request.dsl, _values(request)) == ("text in {v0}", {"v0": part})
        else:
            assert not request.expr_template_values
            literals = re.findall(r'"(?:[^"\\]|\\.)*"', request.dsl)
            assert request.dsl == f"text in [{', '.join(literals)}]"
            assert [read_literal(one) for one in literals] == part


@pytest.mark.parametrize(
    ("index", "settings"),
    [
        (None, {}),
        (Index("AUTOINDEX"), {}),
        (Index("HNSW", {"M": 16}), {"ef": 64}),
        (Index("IVF_FLAT"), {"nprobe": 32}),
        (Index("DISKANN"), {"search_list": 100}),
        (Index("SCANN"), {"nprobe": 32, "reorder_k": 256}),
        (Index("IVF_RABITQ"), {"nprobe": 32, "refine_k": 4}),
        (Index("LATER"), {}),
    ],
    ids=str,
)
def test_an_index_is_searched_with_its_parameters(
    server: MilvusServer, collection: Collection, index: Index | None, settings: Mapping[str, int]
) -> None:
    collection.search(Query(_dense()[0], index=index), 5, ["text"])
    asked = json.loads(_parameters(server.requests[-1].search_params)["params"])
    assert asked == {**settings, "metric_type": "COSINE"}


def test_bits_score_as_the_cosine_of_their_signs(collection: Collection) -> None:
    # The server gives Hamming distances of 2 and 1; the nearest comes first.
    assert [hit["score"] for hit in collection.search(Query(_asked("binary")), 2, ["id"])] == [1 - 2 / 16, 1 - 4 / 16]


def test_a_server_that_can_group_is_asked_to(server: MilvusServer, collection: Collection) -> None:
    collection.search(Query(_dense()[0], by_document=True, index=Index("HNSW")), 2, ["text"])
    asked = _parameters(server.requests[-1].search_params)
    if server.version == "v2.6.4":
        assert (asked["group_by_field"], asked["topk"]) == ("document_id", "2")
    else:
        assert "group_by_field" not in asked
        assert asked["topk"] == "8"
        assert "document_id" in server.requests[-1].output_fields


@pytest.mark.parametrize(
    "query",
    [
        Query(_asked("binary"), index=Index("BIN_FLAT")),
        Query(_dense()[0], index=Index("IVF_RABITQ")),
        Query(_dense()[0], {7: 0.5}, index=Index("HNSW")),
        Query(sparse={7: 0.5}),
        Query(multi=_dense()[:2]),
    ],
    ids=["bits", "index", "hybrid", "sparse", "multi"],
)
def test_what_a_server_cannot_group_is_grouped_here(server: MilvusServer, collection: Collection, query: Query) -> None:
    collection.search(replace(query, by_document=True), 2, ["text"])
    assert all("group_by_field" not in _parameters(one.search_params) for one in server.of("Search"))


def test_vectors_of_tokens_rank_again_what_the_others_find(server: MilvusServer, collection: Collection) -> None:
    tokens = _dense()[:2]
    hits = collection.search(Query(_dense()[0], {7: 0.5}, tokens, languages=["de"]), 1, ["text"])
    *found, again = server.of("Search")
    assert [_parameters(one.search_params)["topk"] for one in found] == ["100", "100"]
    if server.version == "v2.6.4":
        assert (again.dsl, _values(again)) == ("id in {v0}", {"v0": [hit["id"] for hit in hits]})
    else:
        assert again.dsl == f'id in ["{hits[0]["id"]}", "{hits[1]["id"]}"]'
    assert _placeholder(again)[1] == tokens.tobytes()
    parameters = _parameters(again.search_params)
    assert (parameters["anns_field"], parameters["metric_type"]) == ("multi[vector]", "MAX_SIM_COSINE")
    assert parameters["topk"] == "1"
    # The server's sums over two tokens are 2 and 1.
    assert [hit["score"] for hit in hits] == [1, 0.5]


def test_vectors_of_tokens_alone_find_rows(server: MilvusServer, collection: Collection) -> None:
    collection.search(Query(multi=_dense()[:1], languages=["en"]), 2, ["text"])
    (request,) = server.of("Search")
    assert request.dsl.startswith("language in ")
    assert _parameters(request.search_params)["anns_field"] == "multi[vector]"


def test_nothing_found_is_not_ranked_again(server: MilvusServer, collection: Collection) -> None:
    server.partitions = {"_default": {}}
    assert collection.search(Query(_dense()[0], None, _dense()[:1]), 2, ["text"]) == []
    assert len(server.of("Search")) == 1


def test_consistency_is_that_of_the_query(server: MilvusServer, collection: Collection) -> None:
    for level, number in (("Strong", 0), ("Bounded", 2), ("Eventually", 3)):
        collection.search(Query(_dense()[0], consistency=level), 2, ["text"])
        assert server.requests[-1].consistency_level == number


# --- one row of each document ---


def _numbered(documents: Sequence[int]) -> Callable[[int], list[dict[str, Any]]]:
    rows = [{"id": str(n), "score": -n, "document_id": str(name)} for n, name in enumerate(documents)]
    return lambda depth: rows[:depth]


@pytest.mark.parametrize(
    ("documents", "top", "found"),
    [
        ([], 2, []),
        ([1, 1, 1], 2, [0]),
        ([1, 2, 1, 3], 2, [0, 1]),
        ([1] * 40 + [2, 2, 3], 2, [0, 40]),
        ([1] * 40 + [2, 2, 3], 9, [0, 40, 42]),
        ([1] * 20_000 + [2], 2, [0]),
    ],
)
def test_more_is_asked_for_until_enough_documents_are_found(documents: list[int], top: int, found: list[int]) -> None:
    assert [int(row["id"]) for row in first_of_documents(_numbered(documents), top)] == found


# --- on Milvus Lite, and a server that is named, against an exact search by hand ---

ROWS, WIDTH, WORDS = 240, 8, 30
ORACLE = replace(
    SPACE, dimensions=WIDTH, outputs=("dense", "sparse"), milvus_outputs=("dense", "sparse"), labels=("a", "b")
)


def _made() -> tuple[list[dict[str, Any]], Float32, Float32]:
    """Rows, their dense vectors, and their sparse ones as a matrix."""
    chance = np.random.default_rng(3)
    dense = unit_rows(chance.standard_normal((ROWS, WIDTH)).astype(np.float32))
    sparse = (chance.random((ROWS, WORDS)) * (chance.random((ROWS, WORDS)) < 0.2)).astype(np.float32)
    # No two rows score the same, as a server orders these as it likes.
    sparse[:, 0] = np.linspace(0.01, 0.02, ROWS, dtype=np.float32)
    hostile = hostile_values(ROWS, seed=6)
    rows = []
    for number in range(ROWS):
        metadata: dict[str, Any] = {
            "year": 1990 + number % 40,
            "share": number / ROWS,
            "open": bool(number % 2),
            "tags": ["a", "b"],
            "nested": {"topic": ("rivers", "towns", "bread")[number % 3]},
            "hostile": hostile[number],
            "mixed": (number, str(number), None, [number])[number % 4],
        }
        if number % 5 == 0:
            del metadata["year"]
        language = ("de", "fr", "th")[number % 3]
        rows.append(
            row(number, language, document_id=f"d{number // 7}", text=hostile[number], metadata=metadata)
            | {"dense": dense[number].tolist(), "label": ("a", "b", "")[number % 3], "label_score": number / ROWS}
            | {"sparse": {int(n): float(sparse[number, n]) for n in np.flatnonzero(sparse[number])}}
            | {"date": ("", "2026-01-15", "2026-02-01T10:00:00Z", "2025", "soon")[number % 5], "tokens": number % 50}
        )
    return rows, dense, sparse


MADE, DENSE, SPARSE = _made()
IDS = [one["id"] for one in MADE]
ASKED = unit_rows(np.random.default_rng(11).standard_normal((1, WIDTH)).astype(np.float32))[0]
WORDS_ASKED = {0: 1.0, 3: 0.5, 8: 0.7, 17: 0.4}


NAMED = os.environ.get("CORPUS_EMBED_TEST_MILVUS")


@pytest.fixture(scope="module", params=["lite", *([NAMED] if NAMED else [])])
def filled(request: pytest.FixtureRequest, uri: str) -> Iterator[Collection]:
    """The rows in Milvus Lite, and in the server that the environment names, without sparse vectors where it holds none."""
    opened = Collection(served(Target(uri if request.param == "lite" else request.param, "corpus_embed_oracle")))
    outputs = tuple(one for one in ORACLE.milvus_outputs if one == "dense" or one in held_by(opened.version))
    if opened.exists():
        opened._client.drop_collection("corpus_embed_oracle")
    # Exact, whatever the server does with few rows.
    opened.create(replace(ORACLE, milvus_outputs=outputs, index="FLAT"))
    for language in ("de", "fr", "th"):
        rows = [one for one in MADE if one["language"] == language]
        opened.upsert(
            f"lang_{language}", [{k: v for k, v in one.items() if k != "sparse" or k in outputs} for one in rows]
        )
    yield opened
    opened._client.drop_collection("corpus_embed_oracle")
    opened.close()


def _skip_without_sparse(filled: Collection, mode: str) -> None:
    if mode != "dense" and "sparse" not in held_by(filled.version):
        pytest.skip("this server holds no sparse vectors")


def _cosines() -> dict[str, float]:
    return dict(zip(IDS, (DENSE.astype(np.float64) @ ASKED).tolist(), strict=True))


def _products() -> dict[str, float]:
    asked = np.zeros(WORDS)
    asked[list(WORDS_ASKED)] = list(WORDS_ASKED.values())
    return dict(zip(IDS, (SPARSE.astype(np.float64) @ asked).tolist(), strict=True))


def _best(scores: Mapping[str, float], among: Sequence[str], top: int) -> list[tuple[str, float]]:
    return sorted(((name, scores[name]) for name in among), key=lambda one: (-one[1], one[0]))[:top]


def _by_ranks(among: Sequence[str], depth: int) -> dict[str, float]:
    fused = dict.fromkeys(IDS, 0.0)
    for scores in (_cosines(), _products()):
        for rank, (name, _) in enumerate(_best(scores, among, depth)):
            fused[name] += 1 / (61 + rank)
    return {name: score for name, score in fused.items() if score}


def _by_scores(among: Sequence[str], depth: int, dense: float, sparse: float) -> dict[str, float]:
    fused: dict[str, float] = {}
    for scores, least, weight in ((_cosines(), -1, dense), (_products(), 0, sparse)):
        found = _best(scores, among, depth)
        for name, score in found:
            share = weight / (dense + sparse)
            fused[name] = fused.get(name, 0) + share * (score - least) / (found[0][1] - least)
    return fused


def _check(hits: Sequence[Mapping[str, Any]], expected: Sequence[tuple[str, float]]) -> None:
    assert [hit["id"] for hit in hits] == [name for name, _ in expected]
    assert [hit["score"] for hit in hits] == pytest.approx([score for _, score in expected], abs=1e-5)


MODES: dict[str, tuple[Query, Callable[[Sequence[str], int], dict[str, float]]]] = {
    "dense": (Query(ASKED), lambda among, _: {name: _cosines()[name] for name in among}),
    "sparse": (Query(sparse=WORDS_ASKED), lambda among, _: {name: _products()[name] for name in among}),
    "ranks": (Query(ASKED, WORDS_ASKED), _by_ranks),
    "scores": (Query(ASKED, WORDS_ASKED, weights=(3, 1)), lambda among, depth: _by_scores(among, depth, 3, 1)),
    "one weight": (Query(ASKED, WORDS_ASKED, weights=(1, 0)), lambda among, depth: _by_scores(among, depth, 1, 0)),
}
WHERE: dict[str, tuple[list[Condition], Callable[[dict[str, Any]], bool]]] = {
    "all": ([], lambda _: True),
    "label": ([Condition("label", "==", "b")], lambda one: one["label"] == "b"),
    "range": (
        [Condition("metadata.year", ">=", 2000), Condition("metadata.year", "<", 2010)],
        lambda one: 2000 <= one["metadata"].get("year", 0) < 2010,
    ),
    "nested": (
        [Condition("metadata.nested.topic", "in", ("rivers", "bread"))],
        lambda one: one["metadata"]["nested"]["topic"] != "towns",
    ),
    "truth": ([Condition("metadata.open", "==", value=True)], lambda one: one["metadata"]["open"]),
    "no such type": ([Condition("metadata.tags", "==", "a")], lambda _: False),
    "mixed types": ([Condition("metadata.mixed", "in", ("1", 4))], lambda one: one["metadata"]["mixed"] in ("1", 4)),
    "numbers": (
        [Condition("metadata.share", ">", 0.25), Condition("tokens", "<=", 20), Condition("label_score", "<", 0.75)],
        lambda one: one["metadata"]["share"] > 0.25 and one["tokens"] <= 20 and one["label_score"] < 0.75,
    ),
    "dates": (between_dates("2026-01", "2026-02-02"), lambda one: one["date"].startswith("2026")),
    "until": (between_dates(None, "2026"), lambda one: one["date"] == "2025"),
    "none": ([Condition("document_id", "==", "nobody")], lambda _: False),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("where", WHERE)
def test_what_an_exact_search_finds_is_found(filled: Collection, mode: str, where: str) -> None:
    _skip_without_sparse(filled, mode)
    query, scores_of = MODES[mode]
    conditions, fits = WHERE[where]
    among = [one["id"] for one in MADE if fits(one)]
    assert len(among) < ROWS or where == "all"
    scores = scores_of(among, 100)
    _check(filled.search(replace(query, where=conditions), 20, ["text"]), _best(scores, list(scores), 20))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("top", [3, 30, 100])
def test_the_best_chunk_of_each_document_is_found(filled: Collection, mode: str, top: int) -> None:
    _skip_without_sparse(filled, mode)
    query, scores_of = MODES[mode]
    owner = {one["id"]: one["document_id"] for one in MADE}
    depth = top
    expected: list[tuple[str, float]] = []
    while len(expected) < top and depth < ROWS:
        depth = 4 * depth
        scores = scores_of(IDS, max(depth, 100))
        best: dict[str, tuple[str, float]] = {}
        for name, score in _best(scores, list(scores), depth):
            best.setdefault(owner[name], (name, score))
        expected = list(best.values())[:top]
    hits = filled.search(replace(query, by_document=True), top, ["text"])
    _check(hits, expected)
    assert all(set(hit) == {"id", "score", "text"} for hit in hits)


def test_partitions_and_languages_narrow_alike(filled: Collection) -> None:
    among = [one["id"] for one in MADE if one["language"] == "th"]
    expected = _best(_cosines(), among, 10)
    _check(filled.search(Query(ASKED, languages=["th"]), 10, ["text"]), expected)
    _check(filled.search(Query(ASKED, partitions=["lang_th"]), 10, ["text"]), expected)


def test_hostile_values_find_their_own_rows(filled: Collection) -> None:
    texts = {one["id"]: one["text"] for one in MADE}
    for field, value_of in (("text", texts.__getitem__), ("metadata.hostile", texts.__getitem__)):
        for start in range(0, ROWS, 12):
            part = [value_of(name) for name in IDS[start : start + 12]]
            expected = {name for name, text in texts.items() if text in part}
            hits = filled.search(Query(ASKED, where=[Condition(field, "in", tuple(part))]), ROWS, ["text"])
            assert {hit["id"] for hit in hits} == expected
    for value in hostile_values(150, seed=8):
        hits = filled.search(Query(ASKED, where=[Condition("text", "==", value)]), ROWS, ["text"])
        assert {hit["id"] for hit in hits} == {name for name, text in texts.items() if text == value}


def test_lite_alone_takes_truth_for_a_number(filled: Collection) -> None:
    hits = filled.search(Query(ASKED, where=[Condition("metadata.open", "==", 1)]), ROWS, ["id"])
    assert len(hits) == (ROWS // 2 if filled.version.startswith("milvus_lite") else 0)
