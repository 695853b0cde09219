"""The editions, what is counted, and the tables; speeds are shown, never asserted."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.incremental.editions import (
    EDITIONS,
    MIRRORED,
    Document,
    choose,
    edit_metadata,
    edit_texts,
    make_editions,
    read_documents,
    write_documents,
)
from benchmarks.incremental.lookup import STUB_DIMENSIONS, make_stub_model, measure_lookup, stub_documents
from benchmarks.incremental.ours import Result, flags_of, run_once
from benchmarks.incremental.peers import PACKAGES, PEERS, is_installed, run_peer
from benchmarks.incremental.tables import render_editions, render_lookup, render_peers
from tests.fakes import FakeEncoder
from tests.pipelines.jobs import make_model
from transforms.adapters.models import describe_model

CORPORA = st.dictionaries(st.text(min_size=1), st.text(min_size=1), min_size=2, max_size=12).map(
    lambda texts: [{"id": name, "text": text, "revision": 0} for name, text in texts.items()]
)


def _by_id(documents: Sequence[Document]) -> dict[str, Document]:
    return {one["id"]: one for one in documents}


def _corpus(count: int) -> list[Document]:
    texts = (
        " ".join(f"Sentence {line} of story {number}." for line in range(number % 7 + 1)) for number in range(count)
    )
    return [{"id": f"d{number}", "text": text, "revision": 0} for number, text in enumerate(texts)]


@given(CORPORA)
def test_editing_lengthens_the_chosen_texts_and_moves_them_to_the_end(documents: list[Document]) -> None:
    chosen = choose(documents, "edited")
    edited = edit_texts(documents, chosen)
    assert {one["id"] for one in edited[-len(chosen) :]} == chosen
    assert edited[: -len(chosen)] == [one for one in documents if one["id"] not in chosen]
    before = _by_id(documents)
    for one in edited[-len(chosen) :]:
        old = before[one["id"]]
        assert len(one["text"]) > len(old["text"])
        assert one == {**old, "text": one["text"]}


@given(CORPORA)
def test_editing_metadata_touches_nothing_else(documents: list[Document]) -> None:
    chosen = choose(documents, "metadata")
    edited = edit_metadata(documents, chosen)
    assert {one["id"] for one, old in zip(edited, documents, strict=True) if one != old} == chosen
    assert [{**one, "revision": 0} for one in edited] == documents


@given(CORPORA)
def test_the_choice_depends_on_ids_and_purpose_alone(documents: list[Document]) -> None:
    assert choose(documents[::-1], "edited") == choose([{**one, "text": ""} for one in documents], "edited")


@pytest.mark.parametrize(("count", "chosen"), [(1, 1), (100, 1), (1000, 10), (1049, 10), (1051, 11)])
def test_one_in_a_hundred_is_chosen_and_at_least_one(count: int, chosen: int) -> None:
    documents = _corpus(count)
    assert len(choose(documents, "edited")) == chosen
    assert count < 1000 or choose(documents, "edited") != choose(documents, "deleted")


def test_editions_follow_from_each_other() -> None:
    documents = _corpus(300)
    editions = make_editions(documents)
    assert tuple(editions) == EDITIONS
    assert editions["first"] == editions["unchanged"] == documents
    first, edited, metadata = (_by_id(editions[name]) for name in ("first", "edited", "metadata"))
    assert sum(edited[name]["text"] != first[name]["text"] for name in first) == 3
    assert sum(metadata[name] != edited[name] for name in first) == 3
    assert len(editions[MIRRORED]) == 297
    assert _by_id(editions[MIRRORED]).items() <= metadata.items()


def test_documents_come_back_as_they_were_written(tmp_path: Path) -> None:
    documents = [{"id": "a\u2028b", "text": "x\x85y\ny\x0b\r\u2029 ж", "revision": 0}]
    write_documents(tmp_path / "some.jsonl", documents)
    assert read_documents(tmp_path / "some.jsonl") == documents


def test_the_stub_model_differs_in_its_dimensions_alone(tmp_path: Path) -> None:
    model = make_model(tmp_path / "model")
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "hidden_size": 384}))
    make_stub_model(model, tmp_path / "stub")
    stub = describe_model(str(tmp_path / "stub"))
    assert stub.dimensions == stub.hidden_size == STUB_DIMENSIONS
    assert (tmp_path / "stub" / "tokenizer.json").read_bytes() == (model / "tokenizer.json").read_bytes()


def _run_stub(flags: Sequence[str]) -> Result:
    return {**run_once([*flags, "--max-tokens", "32"], stub=True), "other_load_cores": 0.0}


def test_editions_cost_what_changed(tmp_path: Path) -> None:
    model = make_model(tmp_path / "model")
    editions = make_editions(_corpus(40))
    results: dict[str, Result] = {}
    for name in EDITIONS:
        write_documents(tmp_path / "corpus.jsonl", editions[name])
        flags = flags_of(tmp_path / "corpus.jsonl", tmp_path, str(model), str(tmp_path / "milvus.db"))
        result = _run_stub([*flags, *(["--mirror"] if name == MIRRORED else [])])
        results[name] = {**result, "start": 1.0, "process": 1.0 + result["run"]}
        assert result["seconds"] > 0
        assert result["planning"] > 0
    held = results["first"]["rows"]["held"]
    assert results["first"]["encoded"] == held > 40
    assert [results[name]["encoded"] for name in ("unchanged", "metadata", MIRRORED)] == [0, 0, 0]
    assert 0 < results["edited"]["encoded"] < 10
    assert results["unchanged"]["documents"]["unchanged"] == 40
    assert results["unchanged"]["rows"]["written"] == 0
    assert results["metadata"]["documents"]["reused"] == 1
    assert results["metadata"]["rows"]["written"] > 0
    assert results[MIRRORED]["documents"]["gone"] == 1
    table = render_editions(results, editions).splitlines()
    assert table[0].startswith("40 documents; ")
    assert {len(line) for line in table[2 : 2 + len(EDITIONS)]} == {len(table[1])}
    assert [line.split()[0] for line in table[2 : 2 + len(EDITIONS)]] == [*EDITIONS]


def test_lookup_measures_an_unchanged_rerun(tmp_path: Path) -> None:
    model = make_model(tmp_path / "model")
    runs = measure_lookup(50, model, _run_stub)
    assert runs["first"]["encoded"] == runs["first"]["rows"]["held"] == 50
    assert runs["unchanged"]["encoded"] == runs["unchanged"]["rows"]["written"] == 0
    assert runs["unchanged"]["documents"]["unchanged"] == 50


def test_stub_documents_are_distinct() -> None:
    documents = list(stub_documents(2_000))
    assert len({one["id"] for one in documents}) == len({one["text"] for one in documents}) == 2_000


class _Encode:
    """Vectors of a text alone."""

    def __init__(self) -> None:
        self.encoded = 0

    def __call__(self, texts: list[str]) -> list[list[float]]:
        self.encoded += len(texts)
        dense = FakeEncoder().encode(texts, [[]] * len(texts)).outputs.dense  # type: ignore[list-item]  # it reads no ids
        assert dense is not None
        return [[float(number) for number in vector] for vector in dense]


@pytest.mark.parametrize("peer", [*PEERS])
def test_peers_encode_again_what_changed(peer: str, tmp_path: Path) -> None:
    if not is_installed(peer):
        pytest.skip(f"{PACKAGES[peer]} is not installed")
    model = make_model(tmp_path / "model")
    for name, edition in make_editions(_corpus(40)).items():
        write_documents(tmp_path / f"{name}.jsonl", edition)
    encode = _Encode()
    results = run_peer(PEERS[peer](str(model), encode), encode, tmp_path)
    first, unchanged, edited, metadata, deleted = (result["encoded"] for result in results)
    assert first >= 40
    assert (unchanged, deleted) == (0, 0)
    # Both take metadata for content.
    assert 0 < edited < 10
    assert 0 < metadata < 10
    assert sum(result["encoded"] for result in results) == encode.encoded


def _editions(seconds: Sequence[float]) -> dict[str, Any]:
    counts = {"embedded": 5, "reused": 4, "unchanged": 6, "gone": 7}
    rows = {"written": 8, "deleted": 9}
    timed = {"start": 3.0, "planning": 2.0, "load": 1.0, "process": 20.0, "other_load_cores": 0.04}
    stages = {"split": 0.5, "label": 0.0}
    return {
        name: {**timed, "stages": stages, "seconds": one, "encoded": 1234, "documents": counts, "rows": rows}
        for name, one in zip(EDITIONS, seconds, strict=True)
    }


def test_editions_are_printed_with_the_figures_that_have_a_goal() -> None:
    results = _editions([100.0, 1.0, 3.0, 1.5, 1.25])
    text = render_editions(results, make_editions(_corpus(100)))
    row = text.splitlines()[4].split()
    assert row == ["edited", "3.0", "2.0", "1.0", "3.00", "0.0300", "5", "4", "6", "7", "1,234", "8", "9", "0.04"]
    assert (
        "rerun is 100.0 times as fast as the first run (goal: at least 50), 34.0 times with planning, 1.0 times" in text
    )
    assert "\nwhere its seconds go: split 0.50, the rest (Beam, counting, committing) 0.50\n" in text
    # The edited document holds 1.79 % of the characters: 3 / (1.79 + 1).
    assert (
        "1 % edited costs 1.50 of 1 % of the first run and an unchanged rerun (goal: at most 1.5), 1.08 by their"
        in text
    )


def test_peers_stand_beside_ours_and_the_missing_are_named() -> None:
    lines = render_peers({"corpus-embed": _editions([100, 1, 3, 1, 1])}, ["llama-index"]).splitlines()
    assert len(lines[0]) == len(lines[1])
    assert lines[1].split()[:5] == ["corpus-embed", "100.00", "1,234", "1.00", "1,234"]
    assert lines[2] == "llama-index: left out, llama_index is not installed"


def test_lookups_are_compared_with_the_smallest() -> None:
    def runs(seconds: float, peak_mib: float) -> dict[str, Any]:
        run = {"seconds": seconds, "peak_mib": peak_mib, "encoded": 0, "other_load_cores": 0.0}
        return {"first": run, "unchanged": run}

    lines = render_lookup({10_000: runs(2.0, 400.0), 100_000: runs(10.0, 500.0)}).splitlines()
    assert {len(line) for line in lines} == {len(lines[0])}
    assert lines[2].split() == ["100,000", "10.0", "10.00", "100.0", "0.50", "500", "1.25", "0", "0.00"]
