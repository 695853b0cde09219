"""What a collection finds across languages, through Milvus, where every ranking is known."""

import json
import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines import cli
from pipelines.evaluate import Request, evaluate_collection
from tests import fakes
from tests.pipelines.jobs import COLLECTION, DIMENSIONS, Job, document, make_model
from transforms.adapters.encoders import Computation, Encoded, TokenIds
from transforms.adapters.milvus import Target
from transforms.adapters.models import ModelDescription
from transforms.logic.errors import ConfigurationError
from transforms.logic.evaluation import FULL_PRECISION
from transforms.logic.identity import chunk_id
from transforms.logic.outputs import Outputs
from transforms.logic.questions import Key
from transforms.logic.vectors import unit_rows

LANGUAGES = ("de", "en", "fr")
TOPICS = range(4)
ALONE = 7
"""The topic of documents without a translation."""
CUT = 8
"""Dimensions that hold the language alone."""
K = 3
KEY = Key("metadata.topic")


class TellingEncoder:
    """A text says its topic, its language and how much the latter weighs; the vector holds that and nothing else."""

    def call_tokens(self) -> int:
        return 1

    def encode(self, texts: Sequence[str], token_ids: Sequence[TokenIds]) -> Encoded:
        vectors = np.zeros((len(texts), DIMENSIONS), np.float32)
        for row, text in enumerate(texts):
            topic, language, weight = (int(one) for one in re.findall(r"\d+", text)[:3])
            vectors[row, language], vectors[row, CUT + topic] = weight / 10, 1
        return Encoded(Outputs(unit_rows(vectors)), {})


def open_telling_encoder(
    model: ModelDescription, prompt: str, computation: Computation, role: str = "document"
) -> TellingEncoder:
    return TellingEncoder()


def _text(topic: int, language: str, weight: int) -> str:
    return f"Topic {topic} in language {LANGUAGES.index(language)} of weight {weight}."


def _documents(weight: int) -> list[dict[str, Any]]:
    topics = [
        document(f"{topic}-{language}", _text(topic, language, weight), language, topic=topic)
        for topic in TOPICS
        for language in LANGUAGES
    ]
    return [
        *topics,
        *(document(f"alone-{language}", _text(ALONE, language, weight), language) for language in LANGUAGES),
    ]


@pytest.fixture(autouse=True)
def telling(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if "real" not in request.fixturenames:
        monkeypatch.setattr("pipelines.queries.open_encoder", open_telling_encoder)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """Collections where the topic decides (`corpus`), where the language does (`sorted`), and that holds the language alone (`cut`)."""
    home = tmp_path_factory.mktemp("evaluate")
    job = Job(home, make_model(home / "model"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.preflight.run_plan.open_encoder", open_telling_encoder)
        job.write("blind.jsonl", _documents(5))
        job.write("sorted.jsonl", _documents(20))
        for collection, name, more in (
            (COLLECTION, "blind", {}),
            ("sorted", "sorted", {}),
            ("cut", "blind", {"dimensions": CUT}),
        ):
            record = job.run(collection=collection, input=f"{job.corpus}/{name}.jsonl", **more)
            assert (record["exit_code"], record["rows"]["held"]) == (0, 15)
    return job


def _evaluated(job: Job, source: str | Key = KEY, collection: str = COLLECTION, **more: Any) -> dict[str, Any]:
    target = Target(str(job.milvus), collection)
    return evaluate_collection(Request(str(job.workspace), target, source, **{"k": K, **more}))


def _questions(job: Job, rows: Sequence[dict[str, Any]], name: str = "questions.jsonl") -> str:
    path = job.home / name
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return str(path)


def test_a_space_that_knows_topics_finds_every_translation(filled: Job) -> None:
    found = _evaluated(filled)
    assert found["pairs"] == {
        "source": "metadata.topic",
        "queries": 12,
        "answers": 24,
        "queries_without_answer": 0,
        "unknown_answers": 0,
        "unknown": [],
        "documents_with_key": 12,
        "sampled": False,
    }
    assert found["documents"] == dict.fromkeys(LANGUAGES, 5)
    perfect = {"top_1": 1, f"recall_at_{K}": 1, f"ndcg_at_{K}": 1, "mrr": 1}
    assert found["results"] == [
        {
            "query_language": asking,
            "answer_language": answering,
            "representation": representation,
            "queries": len(TOPICS),
            **perfect,
        }
        for asking in LANGUAGES
        for answering in LANGUAGES
        if asking != answering
        for representation in (FULL_PRECISION, "float32")
    ]
    assert [(row["pool"], row["queries"]) for row in found["overall"]] == [
        *[("answer language", 24)] * 2,
        *[("all languages", 12)] * 2,
    ]
    assert all(row.items() >= perfect.items() for row in (*found["overall"], *found["all_languages"]))
    nothing = {"difference": 0, "low": 0, "high": 0}
    assert all(row[name] == nothing for row in found["differences"] for name in perfect)
    # Both translations, then one of the own language, of the twelve documents that are left one in three is.
    assert found["language_bias"] == [
        {
            "representation": representation,
            "query_language": language,
            "queries": len(TOPICS),
            "share": round(1 / 3, 4),
            "expected_share": round(1 / 9, 4),
            "bias": 0.25,
        }
        for representation in (FULL_PRECISION, "float32")
        for language in LANGUAGES
    ]


def test_a_space_sorted_by_language_finds_translations_only_where_it_is_told_where(filled: Job) -> None:
    found = _evaluated(filled, collection="sorted")
    within, among = (found["overall"][place] for place in (1, 3))
    assert (within["pool"], within["top_1"], within["mrr"]) == ("answer language", 1, 1)
    assert (among["pool"], among["top_1"], among[f"recall_at_{K}"], among["mrr"]) == ("all languages", 0, 0, 0)
    assert [row["bias"] for row in found["language_bias"]] == [1] * 6
    assert [row["share"] for row in found["language_bias"]] == [1] * 6


def test_what_compression_loses_is_measured(filled: Job) -> None:
    """Without the dimensions of topics all documents of a language are equal, and come by id."""
    found = _evaluated(filled, collection="cut")
    before, after = found["overall"][:2]
    assert (before["representation"], after["representation"]) == (FULL_PRECISION, "float32")
    firsts = [
        min((chunk_id(f"{topic}-{language}", 0, f"lang_{language}"), topic) for topic in (*TOPICS, "alone"))[1]
        for language in LANGUAGES
    ]
    right = sum(
        topic == firsts[LANGUAGES.index(answering)]
        for topic in TOPICS
        for asking in LANGUAGES
        for answering in LANGUAGES
        if asking != answering
    )
    assert before["top_1"] == 1
    assert after["top_1"] == round(right / 24, 4)
    overall = found["differences"][0]
    assert overall["top_1"]["difference"] == round(right / 24 - 1, 4)
    assert overall["top_1"]["low"] <= overall["top_1"]["difference"] <= overall["top_1"]["high"] <= 0
    assert found["dimensions"] == CUT
    # The dataset has what was cut off.
    rescored = _evaluated(filled, collection="cut", rescore=True, exact=False)
    assert [row["representation"] for row in rescored["overall"]] == ["float32, rescored"] * 2
    assert rescored["overall"][0]["top_1"] == 1
    assert rescored["differences"] == []


def test_the_result_is_kept_and_equal_every_time(filled: Job) -> None:
    found = _evaluated(filled, name="twice")
    path = filled.workspace / "evaluations" / COLLECTION / "twice.json"
    before = path.read_bytes()
    assert json.loads(before) == found
    _evaluated(filled, name="twice")
    assert path.read_bytes() == before
    assert (found["format"], found["collection"], found["mode"], found["k"]) == (1, COLLECTION, "dense", K)
    assert _evaluated(filled)["name"] == "metadata-topic-dense"
    assert not [one for one in before.decode().splitlines() if str(filled.home) in one and '"model"' not in one]


def test_a_key_may_be_a_part_of_a_column(filled: Job) -> None:
    by_pattern = _evaluated(filled, Key("document_id", r"^(\d+)-[a-z]+$"))
    assert by_pattern["results"] == _evaluated(filled)["results"]
    assert by_pattern["pairs"]["documents_with_key"] == 12
    few = _evaluated(filled, max_queries=5)
    assert (few["pairs"]["queries"], few["pairs"]["sampled"]) == (5, True)
    assert sum(row["queries"] for row in few["results"] if row["representation"] == "float32") == 10


@pytest.mark.parametrize("mode", ["sparse", "hybrid"])
def test_other_vectors_are_evaluated_without_full_precision(
    job: Job, heads: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    """Sparse weights are not compressed, and fused rankings are no dense ones."""
    monkeypatch.setattr(
        "pipelines.queries.open_encoder",
        lambda model, prompt, computation, _: fakes.open_fake_encoder(model, prompt, computation),
    )
    job.write("a.jsonl", _documents(5))
    assert job.run(model=str(heads), outputs="dense,sparse")["exit_code"] == 0
    found = _evaluated(job, mode=mode)
    assert {row["representation"] for row in (*found["results"], *found["language_bias"])} == {mode}
    assert [row["queries"] for row in found["overall"]] == [24, 12]
    assert (found["mode"], found["differences"]) == (mode, [])
    assert all(0 <= row[name] <= 1 for row in found["results"] for name in ("top_1", f"ndcg_at_{K}", "mrr"))
    with pytest.raises(ConfigurationError, match="--rescore ranks again by dense vectors"):
        _evaluated(job, mode=mode, rescore=True)


# --- files ---


def test_questions_of_a_file_are_asked_and_what_is_not_held_is_said(filled: Job) -> None:
    rows: list[dict[str, Any]] = [
        {
            "query": _text(1, "de", 5),
            "query_language": "de",
            "answers": [{"id": "1-en", "grade": 2}, {"id": "2-en"}, "gone"],
        },
        {"query": _text(2, "de", 5), "query_language": "de", "answers": ["gone", "gone too"]},
        {"query": _text(3, "fr", 5), "query_language": "fr", "answer_text": _text(2, "en", 5)},
        {"query": _text(0, "fr", 5), "query_language": "fr", "answer_text": f"nobody says {'that ' * 50}"},
    ]
    found = _evaluated(filled, _questions(filled, rows))
    pairs = found["pairs"]
    assert (pairs["rows"], pairs["queries"], pairs["answers"], pairs["queries_without_answer"]) == (4, 2, 3, 2)
    assert (pairs["unknown_answers"], pairs["unknown"]) == (
        3,
        ["gone", "gone too", f"nobody says {'that ' * 50}"[:100] + "…"],
    )
    german, french = [row for row in found["results"] if row["representation"] == "float32"]
    assert (german["query_language"], german["answer_language"], german["queries"]) == ("de", "en", 1)
    # 1-en first; the others in English are equal, and come by chunk id.
    order = sorted((chunk_id(f"{topic}-en", 0, "lang_en"), topic) for topic in (0, 2, 3, "alone"))
    place = [topic for _, topic in order].index(2)
    gain = 2 + (1 / np.log2(place + 3) if place < K - 1 else 0)
    assert (german["top_1"], german["mrr"]) == (1, 1)
    assert german[f"ndcg_at_{K}"] == pytest.approx(gain / (2 + 1 / np.log2(3)), abs=1e-4)
    # The French question is about topic 3, and its answer about topic 2.
    assert (french["query_language"], french["queries"], french["top_1"]) == ("fr", 1, 0)


def test_rows_in_another_order_or_format_give_the_same(filled: Job) -> None:
    rows: list[dict[str, Any]] = [
        {
            "query": _text(topic, asking, 5),
            "query_language": asking,
            "answer": f"{topic}-{answering}",
            "grade": 1 + topic,
        }
        for topic in TOPICS
        for asking in LANGUAGES
        for answering in LANGUAGES
    ]
    shuffled = random.Random(5).sample(rows, len(rows))
    pq.write_table(pa.Table.from_pylist(shuffled), filled.home / "q.parquet")
    lines = ["\t".join(rows[0]), *("\t".join(str(value) for value in row.values()) for row in reversed(rows))]
    (filled.home / "q.tsv").write_text("\n".join(lines), encoding="utf-8")
    uris = [_questions(filled, rows), str(filled.home / "q.parquet"), str(filled.home / "q.tsv")]
    found = [_evaluated(filled, uri, name="same", max_queries=9) for uri in uris]
    for one in found:
        assert one["pairs"].pop("source") in uris
    assert found[0] == found[1] == found[2]
    assert (found[0]["pairs"]["queries"], found[0]["pairs"]["sampled"]) == (9, True)


@pytest.mark.parametrize(
    ("request_of", "said"),
    [
        ({"source": Key("source")}, "--key-column source: no two documents of different languages"),
        ({"source": Key("metadata.nothing")}, "--key-column metadata.nothing: no two documents"),
        ({"collection": "nowhere"}, "there is no collection 'nowhere'"),
        ({"k": 0}, "--k 0 is out of bounds"),
        ({"max_queries": 0}, "--max-queries 0: choose 1 or more"),
        ({"name": "../run"}, "--name '../run': choose"),
        ({"mode": "sparse"}, "--mode sparse: the collection holds no sparse vectors"),
        ({"source": [{"query": "q", "query_language": "de", "answers": ["x", "y"]}]}, "it knows none of 'x', 'y'"),
        (
            {"source": [{"query": "q", "query_language": "de", "answers": [{"id": "1-de", "grade": 0}]}]},
            "with a grade above 0",
        ),
        ({"source": [{"query": "q"}]}, "questions.jsonl, line 1, column query_language"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(filled: Job, request_of: dict[str, Any], said: str) -> None:
    source = request_of.get("source", Key("metadata.topic", "(0)"))
    given = {**request_of, "source": _questions(filled, source) if isinstance(source, list) else source}
    if said.startswith("--key-column source"):
        # One file of one language shares its name with no other.
        given["source"] = Key("source", "(sorted)")
    with pytest.raises(ConfigurationError) as caught:
        _evaluated(filled, **given)
    assert said in str(caught.value)


def test_a_workspace_without_the_ledger_is_refused(filled: Job, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="has no ledger of collection 'corpus'"):
        evaluate_collection(Request(str(tmp_path), Target(str(filled.milvus), COLLECTION), KEY))


# --- the command ---


def _main(job: Job, *more: str, collection: str = COLLECTION) -> int:
    where = ["--workspace", str(job.workspace), "--milvus", str(job.milvus), "--collection", collection]
    return cli.main(["evaluate", *where, "--key-column", "metadata.topic", "--k", str(K), *more])


def test_tables_for_people_and_json(filled: Job, capsys: pytest.CaptureFixture[str]) -> None:
    assert _main(filled, collection="cut") == 0
    shown = capsys.readouterr()
    assert (
        "evaluation metadata-topic-dense of cut (8 dimensions): 12 queries with 24 answers, from metadata.topic, among 15 documents"
        in shown.out
    )
    assert "float32 against full precision, within the answer's language" in shown.out
    assert "top-1 by language of query (rows) and answer (columns), float32" in shown.out
    assert re.search(r"^  answer language  full precision  24 +1\.000  1\.000", shown.out, re.MULTILINE)
    assert "searching the collection 36 times" in shown.err
    assert _main(filled, "--json", "--no-exact") == 0
    found = json.loads(capsys.readouterr().out)
    assert {row["representation"] for row in found["results"]} == {"float32"}


def test_a_floor_that_is_not_reached_has_its_own_exit_code(filled: Job, capsys: pytest.CaptureFixture[str]) -> None:
    assert _main(filled, "--floor", "top_1=1", f"recall_at_{K}=1", "--pair-floor", "mrr=1") == 0
    capsys.readouterr()
    assert _main(filled, "--floor", "top_1=0.9", "--no-exact", collection="cut") == 8
    assert re.search(r"^BELOW FLOOR: overall: top_1 0\.\d{4} is below 0\.9$", capsys.readouterr().out, re.MULTILINE)
    assert _main(filled, "--pair-floor", "top_1=0.9", "--json", collection="cut") == 8
    captured = capsys.readouterr()
    assert len(re.findall(r"BELOW FLOOR: \w\w to \w\w: top_1", captured.err)) == 6
    assert json.loads(captured.out)["k"] == K


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--floor", "top1=1"], "--floor 'top1=1': write NAME=VALUE, a NAME of top_1, recall_at_3, ndcg_at_3, mrr"),
        (["--floor", "recall_at_10=1"], "--floor 'recall_at_10=1': write"),
        (["--pair-floor", "mrr=1.5"], "--pair-floor 'mrr=1.5': write"),
        (["--pair-floor", "mrr=0.1.2"], "--pair-floor 'mrr=0.1.2': write"),
        (["--floor", "top_1=."], "--floor 'top_1=.': write"),
        (["--key-pattern", "("], "--key-pattern '(' is no regular expression"),
    ],
)
def test_wrong_flags_are_refused(
    filled: Job, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.setattr("pipelines.evaluate.HeldRows", lambda *_: pytest.fail("the workspace was read"))
    assert _main(filled, *arguments) == 2
    assert said in capsys.readouterr().err


# --- the real model ---


@pytest.fixture
def real(tmp_path: Path, offline_model: Path, sample_corpus: Path) -> Job:
    """Eight topics of the sample corpus in four languages of four scripts, in 384 dimensions and in 32."""
    job = Job(tmp_path, offline_model)
    for topic in ("bicycles", "bread", "chess", "coffee", "glaciers", "honey-bees", "tides", "volcanoes"):
        lines = (sample_corpus / f"{topic}.jsonl").read_bytes().splitlines()
        job.write(f"{topic}.jsonl", [line for line in lines if json.loads(line)["lang"] in {"en", "th", "ru", "ja"}])
    return job


@pytest.mark.slow
def test_translations_are_found_by_the_real_model(real: Job) -> None:
    """By chance one first document in eight would be right."""
    for collection, more in ((COLLECTION, {}), ("cut", {"dimensions": 32})):
        assert real.run(collection=collection, max_tokens=256, detector="cld2", **more)["exit_code"] == 0
    key = Key("metadata.url", "/[a-z]{2}/(.*)$")
    found = {name: _evaluated(real, key, collection=name, k=10) for name in (COLLECTION, "cut")}
    whole, cut = (found[name]["overall"] for name in (COLLECTION, "cut"))
    assert (found[COLLECTION]["pairs"]["queries"], whole[0]["queries"]) == (32, 96)
    assert whole[1]["top_1"] > 0.85
    # The dataset's 16 bits against Milvus's 32.
    assert {**whole[1], "representation": FULL_PRECISION} == pytest.approx(whole[0], abs=0.02)
    assert cut[1]["ndcg_at_10"] < cut[0]["ndcg_at_10"] == whole[0]["ndcg_at_10"]
    assert found["cut"]["differences"][0]["ndcg_at_10"]["high"] < 0
    assert all(-1 <= row["bias"] <= 1 for row in found[COLLECTION]["language_bias"])
    matrix = {(row["query_language"], row["answer_language"]) for row in found[COLLECTION]["results"]}
    assert len(matrix) == 12
