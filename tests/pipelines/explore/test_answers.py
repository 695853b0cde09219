"""What the page is told of the sample corpus, with the real model: across languages, and one representation beside others."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipelines.explore.answers import Comparison, Explorer, Question
from pipelines.search import Method, Retriever
from tests.pipelines.jobs import COLLECTION, Job
from transforms.adapters.milvus import Target, release, served
from transforms.logic.errors import ConfigurationError

LANGUAGES = ("ar", "de", "en", "ja", "th")
TOPICS = ("volcanoes", "bread", "tides")
QUESTION = "Wie entsteht ein Vulkan?"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, offline_model: Path, sample_corpus: Path) -> Job:
    """A slice of the sample corpus in two collections, of which one holds a sixth of the dimensions."""
    job = Job(tmp_path_factory.mktemp("demo"), offline_model)
    for topic in TOPICS:
        lines = (sample_corpus / f"{topic}.jsonl").read_bytes().splitlines()
        job.write(f"{topic}.jsonl", [line for line in lines if json.loads(line)["lang"] in LANGUAGES])
    for changes in ({}, {"collection": "short", "dimensions": 64}):
        assert job.run(max_tokens=256, **changes)["exit_code"] == 0
    return job


@pytest.fixture(scope="module")
def address(demo: Job) -> Iterator[str]:
    """Of the one server of this Milvus Lite, which whoever opens the path would close behind him."""
    yield served(Target(str(demo.milvus), COLLECTION)).uri
    release(str(demo.milvus))


@pytest.fixture(scope="module")
def explorer(demo: Job, address: str) -> Iterator[Explorer]:
    found = Explorer(Target(address, "short"), workspace=str(demo.workspace), compare=[COLLECTION])
    yield found
    found.close()


def test_what_there_is_to_ask(explorer: Explorer, demo: Job) -> None:
    told = explorer.describe()
    rows = demo.stored()
    assert told["rows"] == len(rows)
    assert {one["code"]: one["rows"] for one in told["languages"]} == {
        code: sum(row["language"] == code for row in rows.values()) for code in LANGUAGES
    }
    assert [(one["collection"], one["vector_type"], one["dimensions"]) for one in told["rankings"]] == [
        ("short", "float32", 64),
        ("short", "float32", 64),
        (COLLECTION, "float32", 384),
    ]
    assert [one["by_full_precision"] for one in told["rankings"]] == [False, True, False]
    assert told["labels"] == []
    assert "metadata" in told["fields"]
    assert "text" not in told["fields"]


def test_a_german_question_finds_the_page_in_every_language(explorer: Explorer) -> None:
    for code in LANGUAGES:
        question = Question(query=QUESTION, top=2, languages=(code,), by_document=True, compare=True)
        *_, full = explorer.search(question)["rankings"]
        assert [hit["rank"] for hit in full["hits"]] == [1, 2]
        assert {hit["language"] for hit in full["hits"]} == {code}
        assert full["hits"][0]["document_id"] == f"volcanoes-{code}"


def test_conditions_on_metadata_and_dates_hold(explorer: Explorer) -> None:
    bread = Comparison(field=("metadata", "title"), operator="in", value=("Bread", "Brot"))
    (ranking,) = explorer.search(Question(query=QUESTION, where=(bread,)))["rankings"]
    assert {hit["document_id"] for hit in ranking["hits"]} == {"bread-en", "bread-de"}
    (ranking,) = explorer.search(Question(query=QUESTION, date_to="2026-03-01"))["rankings"]
    assert ranking["hits"] == []


def test_rankings_stand_side_by_side_with_what_moved(explorer: Explorer, address: str) -> None:
    question = Question(query="How does sea water rise and fall?", top=10, compare=True)
    coarse, fine, full = explorer.search(question)["rankings"]
    with Retriever(Target(address, COLLECTION)) as retriever:
        exact = [hit["id"] for hit in retriever.retrieve(question.query, 10)]
    assert [hit["id"] for hit in full["hits"]] == exact
    assert [hit["id"] for hit in coarse["hits"]] != exact
    # There are fewer rows than candidates, so that the ranking by full precision is complete.
    assert [hit["id"] for hit in fine["hits"]] == exact
    assert [hit["score"] for hit in fine["hits"]] == pytest.approx([hit["score"] for hit in full["hits"]], abs=2e-3)
    ranks = {hit["id"]: hit["rank"] for hit in coarse["hits"]}
    for other in (fine, full):
        assert [hit["first_rank"] for hit in other["hits"]] == [ranks.get(hit["id"]) for hit in other["hits"]]
        assert other["shared"] == len(ranks.keys() & set(exact))
    assert all("first_rank" not in hit for hit in coarse["hits"])
    assert fine["title"] == "short, ranked again by full precision"


def test_a_ranking_that_cannot_answer_says_why_beside_those_that_can(
    explorer: Explorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ConfigurationError("the dataset lacks the vectors of 2 of 40 chunks")

    monkeypatch.setattr(explorer._rankings[1].retriever, "retrieve", fail)
    first, fine, full = explorer.search(Question(query=QUESTION, compare=True))["rankings"]
    assert (len(first["hits"]), len(full["hits"])) == (10, 10)
    assert (fine["hits"], fine["error"]) == ([], "the dataset lacks the vectors of 2 of 40 chunks")
    monkeypatch.setattr(explorer._rankings[0].retriever, "retrieve", fail)
    with pytest.raises(ConfigurationError, match="lacks the vectors"):
        explorer.search(Question(query=QUESTION, compare=True))


def test_one_model_serves_all_rankings_of_its_space(explorer: Explorer) -> None:
    assert len({id(one.retriever.queries) for one in explorer._rankings}) == 1


def test_threads_share_an_explorer(explorer: Explorer) -> None:
    questions = [Question(query=f"{QUESTION} {number}", compare=True, top=3) for number in range(8)]
    alone = [explorer.search(question) for question in questions]
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(explorer.search, questions)) == alone


def test_retrievers_that_encode_alike_share_what_they_are_given(demo: Job, address: str) -> None:
    with Retriever(Target(address, COLLECTION)) as one:
        for method in (Method("dense"), Method("dense", workspace=str(demo.workspace))):
            with Retriever(Target(address, "short"), method, queries=one.queries) as other:
                assert other.queries is one.queries
        with Retriever(Target(address, "short"), device="cpu", queries=one.queries) as other:
            assert other.queries is not one.queries


def test_what_is_not_there_is_refused_before_the_model_is_loaded(
    demo: Job, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.queries.open_encoder", lambda *_: pytest.fail("the model was loaded"))
    target = Target(address, COLLECTION)
    with pytest.raises(ConfigurationError, match="there is no collection 'nowhere'"):
        Explorer(target, compare=["nowhere"])
    with pytest.raises(ConfigurationError, match="holds no vectors of the collection's embedding space"):
        Explorer(target, workspace=str(demo.home / "elsewhere"))
    with pytest.raises(ConfigurationError, match="--mode sparse: the collection holds no sparse vectors"):
        Explorer(target, mode="sparse")
