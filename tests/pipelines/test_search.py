"""Search with the real model: a question in one language finds pages in all."""

import json
import os
import re
import textwrap
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pymilvus import MilvusClient

from pipelines.search import FIELDS, Method, Restriction, Retriever, search
from tests import fakes
from tests.pipelines.jobs import COLLECTION, DIMENSIONS, Job, document, document_counts, story
from tests.proxy import fault_proxy
from transforms.adapters.milvus import PATIENT, Collection, Patience, Query, Target
from transforms.adapters.milvus.calls import attempt
from transforms.logic.errors import ConfigurationError, TransientError
from transforms.logic.filters import Condition

NAMED = os.environ.get("CORPUS_EMBED_TEST_MILVUS")
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


@pytest.fixture(scope="module")
def answers(target: Target) -> dict[str, list[dict[str, Any]]]:
    """What one retriever found: its model is loaded once."""
    with Retriever(target) as retriever:
        retriever.load_model()
        return {
            "all": retriever.retrieve(QUESTION, 5),
            "th, hi": retriever.retrieve(QUESTION, 3, Restriction(["th", "hi"])),
            "tha, hi-Deva": retriever.retrieve(QUESTION, 3, Restriction(["tha", "hi-Deva"])),
            "very long": retriever.retrieve(f"{QUESTION} " * 400, 2, Restriction(["de"])),
            "encoded beside others": retriever.retrieve_encoded(
                retriever.encode(["What is bread?", QUESTION, "ขนมปัง"]).take([1]), 5, fields=["document_id", "language"]
            ),
        }


def test_a_german_question_finds_the_thai_and_the_hindi_page(answers: dict[str, list[dict[str, Any]]]) -> None:
    hits = answers["all"]
    assert {hit["document_id"] for hit in hits} >= {f"volcanoes-{language}" for language in ("de", "en", "th", "hi")}
    assert hits[0]["document_id"] == "volcanoes-de"
    scores = [hit["score"] for hit in hits]
    assert scores == sorted(scores, reverse=True)
    assert 0.7 < scores[-1] <= scores[0] < 1
    assert tuple(hits[0]) == ("id", "score", *FIELDS)


def test_one_question_finds_what_a_retriever_finds(target: Target, answers: dict[str, list[dict[str, Any]]]) -> None:
    assert search(QUESTION, target, top=5) == answers["all"]


def test_questions_encoded_together_find_what_each_finds_alone(answers: dict[str, list[dict[str, Any]]]) -> None:
    together, alone = answers["encoded beside others"], answers["all"]
    assert [tuple(row) for row in together] == [("id", "score", "document_id", "language")] * 5
    assert [row["id"] for row in together] == [row["id"] for row in alone]
    assert [row["score"] for row in together] == pytest.approx([row["score"] for row in alone], abs=1e-4)


def test_languages_restrict_what_is_found(answers: dict[str, list[dict[str, Any]]]) -> None:
    hits = answers["th, hi"]
    assert {hit["language"] for hit in hits} == {"th", "hi"}
    assert {hit["document_id"] for hit in hits[:2]} == {"volcanoes-th", "volcanoes-hi"}
    assert len(hits) == 3
    assert answers["tha, hi-Deva"] == hits


def test_a_very_long_query_is_searched_by_its_beginning(answers: dict[str, list[dict[str, Any]]]) -> None:
    assert answers["very long"][0]["document_id"] == "volcanoes-de"


@pytest.fixture
def unloadable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading the model fails the test: what is wrong is found before."""
    monkeypatch.setattr("pipelines.queries.open_encoder", lambda *_: pytest.fail("the model was loaded"))


def test_what_is_no_language_is_refused(unloadable: None, target: Target) -> None:
    with pytest.raises(ConfigurationError, match="'germna' is no language code"):
        search(QUESTION, target, languages=["germna"])


def test_an_unknown_language_is_refused_with_those_that_exist(unloadable: None, target: Target) -> None:
    with pytest.raises(ConfigurationError) as caught:
        search(QUESTION, target, languages=["de", "yo"])
    assert "--languages yo: the collection holds none of it" in str(caught.value)
    assert ", ".join(sorted(LANGUAGES)) in str(caught.value)


@pytest.mark.parametrize("query", ["", "  \n", "\u200b\u0001"])
def test_an_empty_query_is_refused(unloadable: None, target: Target, query: str) -> None:
    with pytest.raises(ConfigurationError, match="holds nothing to search for"):
        search(query, target)


def test_an_unknown_collection_is_refused(unloadable: None, target: Target) -> None:
    with pytest.raises(ConfigurationError) as caught:
        search(QUESTION, Target(target.uri, "nowhere"))
    assert str(caught.value) == f"there is no collection 'nowhere' at {target.uri!r}; there is {COLLECTION}"
    with pytest.raises(ConfigurationError, match=f"; did you mean {COLLECTION}\\?"):
        search(QUESTION, Target(target.uri, f"{COLLECTION}s"))


def test_a_model_of_another_space_is_refused(unloadable: None, target: Target, small_model: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        search(QUESTION, target, model=str(small_model))
    assert f"model {str(small_model)!r} is of another space than collection {COLLECTION!r}" in str(caught.value)
    first, *lines = str(caught.value).splitlines()
    assert first.endswith("name the model that it was embedded with by --model:")
    shown = {line.split(":")[0].strip(): line for line in lines}
    assert set(shown) == {"embedding_space", "model"}
    assert shown["model"].endswith(f" in the collection, {str(small_model)!r} of model {str(small_model)!r}")


@pytest.mark.parametrize("top", [0, -1, 16_385])
def test_a_top_out_of_bounds_is_refused(unloadable: None, target: Target, top: int) -> None:
    with pytest.raises(ConfigurationError, match=f"^--top {top} is out of bounds; choose 1 to 16,384$"):
        search(QUESTION, target, top=top)


# --- a retriever, with an encoder that knows texts by their digest alone ---


@pytest.fixture
def fake_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "pipelines.queries.open_encoder",
        lambda model, prompt, computation, _: fakes.open_fake_encoder(model, prompt, computation),
    )


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory, small_model: Path) -> Job:
    """Forty chunks of twenty documents with metadata, in four collections, of which one is of another space."""
    job = Job(tmp_path_factory.mktemp("known"), small_model)
    job.write(
        "a.jsonl",
        [
            document(f"d{number}", story(f"d{number}", 4), ("en", "de")[number % 2], year=2010 + number, topic=["a"])
            for number in range(20)
        ],
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.preflight.run_plan.open_encoder", fakes.open_fake_encoder)
        job.run()
        job.run(collection="smaller", dimensions=8)
        job.run(collection="smallest", dimensions=4)
        job.run(collection="other", document_prompt="text: ", workspace=str(job.home / "elsewhere"))
    return job


def _cosines(job: Job, question: str) -> list[tuple[str, str, float]]:
    """Chunk id, document id and full-precision cosine of every row of the dataset, best first."""
    dense = fakes.outputs_of([f"query: |bfloat16|{question}"], DIMENSIONS).dense
    assert dense is not None
    found = []
    for name, row in job.stored().items():
        vector = np.array(row["vector"], np.float64)
        found.append((name, row["document_id"], float(vector @ dense[0] / np.linalg.norm(vector))))
    return sorted(found, key=lambda one: (-one[2], one[0]))


def test_full_precision_ranks_again_what_a_representation_found(fake_queries: None, known: Job) -> None:
    target = Target(str(known.milvus), "smallest")
    exact = _cosines(known, "rivers")
    with Retriever(target) as coarse, Retriever(target, Method("dense", workspace=str(known.workspace))) as fine:
        truncated = [hit["id"] for hit in coarse.retrieve("rivers", 10)]
        hits = fine.retrieve("rivers", 10)
    assert truncated != [name for name, _, _ in exact[:10]]
    # Forty candidates are all that there are.
    assert [hit["id"] for hit in hits] == [name for name, _, _ in exact[:10]]
    assert [hit["score"] for hit in hits] == pytest.approx([score for _, _, score in exact[:10]], abs=1e-5)


def test_the_best_chunk_of_each_document_also_by_full_precision(fake_queries: None, known: Job) -> None:
    with Retriever(Target(str(known.milvus), "smaller"), Method(workspace=str(known.workspace))) as retriever:
        hits = retriever.retrieve("rivers", 5, by_document=True)
        assert len({hit["document_id"] for hit in hits}) == 5
        scores = {name: score for name, _, score in _cosines(known, "rivers")}
        assert [hit["score"] for hit in hits] == pytest.approx([scores[hit["id"]] for hit in hits], abs=1e-5)
        assert [hit["score"] for hit in hits] == sorted((hit["score"] for hit in hits), reverse=True)
        assert retriever.retrieve("rivers", 5, Restriction(where=[Condition("document_id", "==", "none")])) == []


def test_a_workspace_that_lacks_the_vectors_is_refused(fake_queries: None, known: Job, tmp_path: Path) -> None:
    target = Target(str(known.milvus), COLLECTION)
    with pytest.raises(ConfigurationError, match="holds no vectors of the collection's embedding space"):
        Retriever(target, Method(workspace=str(tmp_path / "elsewhere")))
    shards = sorted((known.workspace / "dataset").rglob("*.parquet"))
    with Retriever(target, Method(workspace=str(known.workspace))) as retriever:
        content = shards[0].read_bytes()
        shards[0].unlink()
        try:
            with pytest.raises(ConfigurationError, match=r"lacks the vectors of \d+ of 40 chunks that were found"):
                retriever.retrieve("rivers", 10)
        finally:
            shards[0].write_bytes(content)
        assert len(retriever.retrieve("rivers", 10)) == 10


def test_restrictions_hold_together(fake_queries: None, known: Job) -> None:
    only = Restriction(["de"], where=[Condition("metadata.year", ">=", 2020), Condition("metadata.year", "<", 2024)])
    with Retriever(Target(str(known.milvus), COLLECTION)) as retriever:
        hits = retriever.retrieve("rivers", 30, only)
        assert {hit["document_id"] for hit in hits} == {"d11", "d13"}
        assert all(hit["metadata"]["topic"] == ["a"] and hit["date"] == "2026-03-01" for hit in hits)
        assert len(retriever.retrieve("rivers", 40, Restriction(date_from="2026-03", date_to="2026-03-02"))) == 40
        assert retriever.retrieve("rivers", 40, Restriction(date_to="2026-03-01")) == []
        with pytest.raises(ConfigurationError, match="'year' is no field to search by"):
            retriever.retrieve("rivers", 5, Restriction(where=[Condition("year", "==", 2000)]))


def test_threads_share_a_retriever(fake_queries: None, known: Job) -> None:
    questions = [f"question {number}" for number in range(24)]
    with Retriever(Target(str(known.milvus), COLLECTION)) as retriever:
        alone = [retriever.retrieve(question, 5) for question in questions]
        with ThreadPoolExecutor(8) as threads:
            assert list(threads.map(lambda question: retriever.retrieve(question, 5), questions)) == alone
    assert len({hits[0]["id"] for hits in alone}) > 5


def test_an_alias_may_move_to_a_collection_of_the_same_space_only(fake_queries: None, known: Job) -> None:
    # Held open, so that the three are in one Milvus Lite.
    with known.client() as client:
        client.create_alias(COLLECTION, "served")
        with Retriever(Target(client._config.uri, "served")) as retriever:
            with Retriever(Target(client._config.uri, COLLECTION)) as first:
                assert retriever.retrieve("rivers", 40) == first.retrieve("rivers", 40)
            client.alter_alias("smaller", "served")
            with Retriever(Target(client._config.uri, "smaller")) as smaller:
                assert retriever.retrieve("rivers", 40) == smaller.retrieve("rivers", 40)
            client.alter_alias("other", "served")
            with pytest.raises(ConfigurationError) as caught:
                retriever.retrieve("rivers", 40)
            client.alter_alias(COLLECTION, "served")
            assert len(retriever.retrieve("rivers", 40)) == 40
    said, space, prompt = str(caught.value).splitlines()
    assert said == (
        "the collection that was opened is of another space than collection 'served'; "
        "that is an alias which means another one by now, open it anew:"
    )
    assert re.fullmatch("  embedding_space: '[0-9a-f]{32}' in the collection, '[0-9a-f]{32}' of the .* opened", space)
    assert prompt == "  document_prompt: 'text: ' in the collection, 'passage: ' of the collection that was opened"


def test_an_alias_that_moves_between_question_and_search_mixes_nothing(
    fake_queries: None, known: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is embedded for one collection is not compared with the vectors of another."""
    works = Collection.search
    moves: list[str] = []

    def moving(self: Collection, query: Query, top: int, fields: Sequence[str]) -> Any:
        if moves:
            self._client.alter_alias(moves.pop(), "moving")
        return works(self, query, top, fields)

    monkeypatch.setattr(Collection, "search", moving)
    with known.client() as client:
        client.create_alias(COLLECTION, "moving")
        with Retriever(Target(client._config.uri, "moving")) as retriever:
            before = retriever.retrieve("rivers", 5)
            moves.append("other")
            with pytest.raises(ConfigurationError, match="is of another space than collection 'moving'"):
                retriever.retrieve("rivers", 5)
            client.alter_alias(COLLECTION, "moving")
            moves.append("smaller")
            # Another representation of the same space: the question is asked again as that one is.
            after = retriever.retrieve("rivers", 5)
            assert (len(before), moves) == (5, [])
            assert after == retriever.retrieve("rivers", 5)


def test_a_question_costs_a_search_and_one_look_at_what_the_name_means(
    fake_queries: None, known: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def counted(name: str, *more: Any) -> Any:
        asked.append(name)
        return attempt(name, *more)

    monkeypatch.setattr("transforms.adapters.milvus.calls.attempt", counted)
    with Retriever(Target(str(known.milvus), COLLECTION)) as retriever:
        retriever.retrieve("rivers", 5, Restriction(["de"]))
        for restriction in (None, Restriction(["de"]), Restriction(["en", "de"], date_from="2026")):
            asked.clear()
            assert retriever.retrieve("rivers", 5, restriction)
            # Partitions are asked for once.
            assert [name for name in asked if name != "list_partitions"] == ["search", "describe_collection"]
            assert len(asked) == 2


def test_partitions_that_come_and_go_are_seen(fake_queries: None, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.preflight.run_plan.open_encoder", fakes.open_fake_encoder)
    job.write("a.jsonl", [document(f"d{number}", lang=("en", "de")[number % 2]) for number in range(4)])
    with job.client() as client:
        target = Target(client._config.uri, COLLECTION)
        job.run(milvus=target.uri)
        with Retriever(target) as retriever:
            assert len(retriever.retrieve("rivers", 5, Restriction(["de"]))) == 2
            with pytest.raises(ConfigurationError, match="--languages fr: the collection holds none of it"):
                retriever.retrieve("rivers", 5, Restriction(["fr"]))
            job.write("b.jsonl", [document("new", lang="fr")])
            job.run(milvus=target.uri)
            assert [hit["document_id"] for hit in retriever.retrieve("rivers", 5, Restriction(["fr"]))] == ["new"]
            client.drop_partition(COLLECTION, "lang_fr")
            with pytest.raises(ConfigurationError, match="--languages fr: the collection holds none of it"):
                retriever.retrieve("rivers", 5, Restriction(["fr"]))


def test_an_alias_that_moves_between_the_searches_of_a_question_mixes_no_two_collections(
    job: Job, heads: Path, fake_queries: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where both are of one space and one representation, as two editions are."""
    monkeypatch.setattr("pipelines.preflight.run_plan.open_encoder", fakes.open_fake_encoder)
    job.model = heads
    works = MilvusClient.search
    moves: list[str] = []

    def moving(self: MilvusClient, *given: Any, **more: Any) -> Any:
        found = works(self, *given, **more)
        if moves:
            self.alter_alias(moves.pop(), "editions")
        return found

    with job.client() as client:
        uri = client._config.uri
        for edition in ("first", "second"):
            job.write(
                "a.jsonl", [document(f"{edition}{number}", story(f"{edition}{number}", 4)) for number in range(5)]
            )
            assert job.run(milvus=uri, collection=edition, outputs="dense,sparse")["exit_code"] == 0
        client.create_alias("first", "editions")
        monkeypatch.setattr(MilvusClient, "search", moving)
        with Retriever(Target(uri, "editions"), Method("hybrid")) as retriever:
            before = retriever.retrieve("rivers", 20)
            moves.append("second")
            during = retriever.retrieve("rivers", 20)
            assert (moves, during) == ([], retriever.retrieve("rivers", 20))
    for hits, edition in ((before, "first"), (during, "second")):
        assert {hit["document_id"] for hit in hits} == {f"{edition}{number}" for number in range(5)}


def test_one_question_sees_every_row_and_a_service_does_not_wait_for_the_latest(
    fake_queries: None, known: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    works = Collection.search
    levels: list[str] = []

    def noted(self: Collection, query: Query, top: int, fields: Sequence[str]) -> Any:
        levels.append(query.consistency)
        return works(self, query, top, fields)

    monkeypatch.setattr(Collection, "search", noted)
    target = Target(str(known.milvus), COLLECTION)
    search("rivers", target)
    with Retriever(target) as retriever:
        retriever.retrieve("rivers")
    with Retriever(target, Method(consistency="Eventually")) as retriever:
        retriever.retrieve("rivers")
    assert levels == ["Strong", "Bounded", "Eventually"]


def test_who_asks_is_told_soon_that_milvus_is_away(fake_queries: None, known: Job) -> None:
    brief = Method(patience=Patience(0.5, 0.5))
    with (
        known.client() as client,
        fault_proxy(client._config.uri) as proxy,
        Retriever(Target(proxy.uri, COLLECTION), brief) as retriever,
        Retriever(Target(proxy.uri, COLLECTION), Method(patience=PATIENT)) as patient,
    ):
        before = retriever.retrieve("rivers", 5)
        proxy.set("closed")
        with pytest.raises(TransientError, match=r"Milvus search failed \d+ times, for up to 0.5 seconds: "):
            retriever.retrieve("rivers", 5)
        proxy.set("open")
        assert patient.retrieve("rivers", 5) == before


def test_what_is_loaded_is_not_loaded_again(fake_queries: None, known: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who may only read may not load, and need not."""
    with known.client() as client:
        client.load_collection(COLLECTION)
        monkeypatch.setattr(Collection, "load", lambda _: pytest.fail("the collection is loaded"))
        with Retriever(Target(client._config.uri, COLLECTION)) as retriever:
            assert len(retriever.retrieve("rivers", 5)) == 5


def test_the_example_runs(fake_queries: None, known: Job, capsys: pytest.CaptureFixture[str]) -> None:
    assert Retriever.__doc__ is not None
    (example,) = re.findall(r"```python\n(.*?)```", Retriever.__doc__, re.DOTALL)
    place = f'"{known.milvus}", "{COLLECTION}"'
    assert example.count('"http://localhost:19530", "manuals"') == 1
    code = textwrap.dedent(example).replace('"http://localhost:19530", "manuals"', place).replace('"th"', '"en"')
    exec(compile(code, "example", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert len({line.split()[1] for line in lines}) == 5


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ({"weights": (1, 1)}, "--weights are of dense and sparse vectors; choose --mode hybrid"),
        ({"mode": "hybrid", "weights": (0, 0)}, "choose two numbers of at least 0, one above 0"),
        ({"mode": "hybrid", "weights": (2, -1)}, "choose two numbers of at least 0"),
        ({"mode": "hybrid", "weights": (1, float("nan"))}, "choose two numbers of at least 0"),
    ],
)
def test_weights_that_weigh_nothing_are_refused(method: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        Method(**method)


@pytest.mark.skipif(NAMED is None, reason="needs a server that holds bits, named in CORPUS_EMBED_TEST_MILVUS")
def test_bits_are_ranked_again_by_full_precision(fake_queries: None, job: Job) -> None:
    job.write("a.jsonl", [document(f"d{number}", story(f"d{number}", 4)) for number in range(60)])
    job.run()
    name = "corpus_embed_bits"
    client = MilvusClient(NAMED)
    try:
        client.drop_collection(name)
        assert job.run(vector_type="binary", milvus=NAMED, collection=name)["exit_code"] == 0
        target = Target(str(NAMED), name)
        exact = _cosines(job, "rivers")[:10]
        with Retriever(target) as coarse, Retriever(target, Method("dense", workspace=str(job.workspace))) as fine:
            bits = [hit["id"] for hit in coarse.retrieve("rivers", 120)]
            # A quarter of the candidates of all 120 is all of them.
            hits = fine.retrieve("rivers", 30)[:10]
            documents = fine.retrieve("rivers", 15, by_document=True)
    finally:
        client.drop_collection(name)
        client.close()
    assert len(bits) == len(set(bits)) == 120
    assert bits[:10] != [one for one, _, _ in exact]
    assert [hit["id"] for hit in hits] == [one for one, _, _ in exact]
    assert [hit["score"] for hit in hits] == pytest.approx([score for _, _, score in exact], abs=1e-5)
    assert len({hit["document_id"] for hit in documents}) == 15
