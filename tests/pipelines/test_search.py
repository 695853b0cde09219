"""Search with the real model: a question in one language finds pages in all."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines import cli
from pipelines.search import search
from tests.pipelines.jobs import COLLECTION, Job, document_counts
from transforms.adapters.milvus import Target
from transforms.logic.errors import ConfigurationError

QUESTION = "Wie entsteht ein Vulkan?"
LANGUAGES = ("en", "de", "th", "hi", "ko")
TOPICS = ("volcanoes", "bread")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, offline_model: Path, sample_corpus: Path) -> Job:
    """A slice of the sample corpus, embedded with the real model."""
    job = Job(tmp_path_factory.mktemp("demo"), offline_model)
    for topic in TOPICS:
        lines = (sample_corpus / f"{topic}.jsonl").read_bytes().splitlines()
        job.write(f"{topic}.jsonl", [line for line in lines if json.loads(line)["lang"] in LANGUAGES])
    return job


@pytest.fixture(scope="module")
def records(demo: Job) -> list[dict[str, Any]]:
    """The records of a first run and a rerun."""
    return [demo.run(max_tokens=256, detector="cld2") for _ in range(2)]


@pytest.fixture(scope="module")
def target(demo: Job, records: list[dict[str, Any]]) -> Target:
    return Target(str(demo.milvus), COLLECTION)


def test_rerun_with_the_real_model_encodes_nothing(records: list[dict[str, Any]]) -> None:
    documents = len(TOPICS) * len(LANGUAGES)
    first, second = records
    assert document_counts(first) == (documents, documents, 0, 0, 0)
    assert document_counts(second) == (documents, 0, 0, documents, 0)
    assert first["vectors"]["encoded"] >= documents
    assert second["vectors"] == {"encoded": 0, "reused": 0}
    assert {name: partition["milvus"] for name, partition in first["partitions"].items()} == {
        name: partition["milvus"] for name, partition in second["partitions"].items()
    }
    assert set(first["partitions"]) == {f"lang_{language}" for language in LANGUAGES}
    assert first["representation"]["dimensions"] == 384


def test_a_german_question_finds_the_thai_and_the_hindi_page(target: Target) -> None:
    hits = search(QUESTION, target, top=5)
    assert {hit["document_id"] for hit in hits} >= {f"volcanoes-{language}" for language in ("de", "en", "th", "hi")}
    assert hits[0]["document_id"] == "volcanoes-de"
    scores = [hit["score"] for hit in hits]
    assert scores == sorted(scores, reverse=True)
    assert 0.7 < scores[-1] <= scores[0] < 1
    assert set(hits[0]) == {"id", "score", "document_id", "ordinal", "language", "text"}


def test_languages_restrict_what_is_found(target: Target) -> None:
    hits = search(QUESTION, target, top=3, languages=["th", "hi"])
    assert {hit["language"] for hit in hits} == {"th", "hi"}
    assert {hit["document_id"] for hit in hits[:2]} == {"volcanoes-th", "volcanoes-hi"}
    assert len(hits) == 3


def test_a_language_goes_by_any_of_its_codes(target: Target) -> None:
    assert search(QUESTION, target, top=3, languages=["tha", "hi-Deva"]) == search(
        QUESTION, target, top=3, languages=["th", "hi"]
    )


def test_what_is_no_language_is_refused(target: Target) -> None:
    with pytest.raises(ConfigurationError, match="'germna' is no language code"):
        search(QUESTION, target, languages=["germna"])


def test_an_unknown_language_is_refused_with_those_that_exist(target: Target) -> None:
    with pytest.raises(ConfigurationError) as caught:
        search(QUESTION, target, languages=["de", "yo"])
    assert "--languages yo: the collection holds none of it" in str(caught.value)
    assert ", ".join(sorted(LANGUAGES)) in str(caught.value)


@pytest.mark.parametrize("query", ["", "  \n", "\u200b\u0001"])
def test_an_empty_query_is_refused(target: Target, query: str) -> None:
    with pytest.raises(ConfigurationError, match="holds nothing to search for"):
        search(query, target)


def test_an_unknown_collection_is_refused(target: Target) -> None:
    with pytest.raises(ConfigurationError, match="there is no collection 'nowhere'"):
        search(QUESTION, Target(target.uri, "nowhere"))


def test_a_model_of_another_space_is_refused(target: Target, small_model: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        search(QUESTION, target, model=str(small_model))
    assert f"model {str(small_model)!r} is of another space than collection {COLLECTION!r}" in str(caught.value)
    assert "--model" in str(caught.value)


def test_a_very_long_query_is_searched_by_its_beginning(target: Target) -> None:
    hits = search(f"{QUESTION} " * 400, target, top=2, languages=["de"])
    assert hits[0]["document_id"] == "volcanoes-de"


def test_the_command_prints_ranked_chunks(target: Target, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--milvus", target.uri, "--collection", target.collection, "--top", "2", "--languages", "de,th"]
    assert cli.main(["search", QUESTION, *flags]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert lines[0].split()[0] == "1"
    assert lines[2].split()[0] == "2"
    assert {line.split()[3] for line in lines[::2]} == {"volcanoes-de", "volcanoes-th"}
    assert {line.split()[2] for line in lines[::2]} == {"de", "th"}
    assert all(0 < float(line.split()[1]) < 1 for line in lines[::2])


@pytest.mark.parametrize("top", [0, -1, 16_385])
def test_a_top_out_of_bounds_is_refused(target: Target, capsys: pytest.CaptureFixture[str], top: int) -> None:
    flags = ["--milvus", target.uri, "--collection", target.collection, "--top", str(top)]
    assert cli.main(["search", QUESTION, *flags]) == 2
    assert capsys.readouterr().err == f"corpus-embed search: --top {top} is out of bounds; choose 1 to 16,384\n"
