"""What a report reads of a workspace: a bounded part, the same every time."""

import itertools
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.reports import EVALUATION, LANGUAGES, record
from transforms.adapters import secrets
from transforms.adapters.report import read_material, read_report_sample
from transforms.adapters.report.reading import _CANDIDATES
from transforms.adapters.workspace import Workspace
from transforms.logic.identity import content_key
from transforms.logic.redaction import MASK
from transforms.logic.schemas import row_schema
from transforms.logic.vectors import unit_rows

DIMENSIONS = 8
SPACE = "space"


def rows(texts: list[str], languages: list[str], outputs: tuple[Any, ...] = ("dense",)) -> pa.Table:
    """Dataset rows, sorted by content key, as `StoreVectors` writes them."""
    schema = row_schema(DIMENSIONS, outputs)
    made = []
    for number, (text, language) in enumerate(zip(texts, languages, strict=True)):
        vector = np.random.default_rng(number).normal(size=(1, DIMENSIONS)).astype(np.float32)
        values: dict[str, Any] = {
            **dict.fromkeys(("ordinal", "start", "end", "tokens"), 0),
            **dict.fromkeys(("language_score", "chunk_language_score", "unknown_fraction"), 1.0),
            **dict.fromkeys(("chunk_language", "script", "source", "date", "metadata", "partition"), ""),
            "id": f"{number:032x}",
            "document_id": f"d{number}",
            "text": text,
            "language": language,
            "content_key": content_key(SPACE, text),
            "row_key": number.to_bytes(16, "big"),
            "vector": unit_rows(vector)[0].astype(np.float16).tolist(),
            "sparse": {"indices": [1], "values": [1.0]},
        }
        made.append({name: values[name] for name in schema.names})
    made.sort(key=lambda row: row["content_key"])
    return pa.Table.from_pylist(made, schema)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(str(tmp_path), SPACE, "")


def test_a_small_dataset_is_read_whole_each_content_once(workspace: Workspace) -> None:
    texts = [f"text {number}" for number in range(20)]
    languages = ["de", "en"] * 10
    workspace.write_shard(rows(texts[:12], languages[:12]))
    workspace.write_shard(rows(texts[8:], languages[8:]))
    found = read_report_sample(workspace, 100)
    assert found.is_whole
    assert sorted(chunk.text for chunk in found.chunks) == sorted(texts)
    keys = [content_key(SPACE, chunk.text) for chunk in found.chunks]
    assert keys == sorted(keys)
    assert found.vectors.shape == (20, DIMENSIONS)
    np.testing.assert_allclose(np.linalg.norm(found.vectors, axis=1), 1, rtol=1e-5)


def test_every_vector_is_that_of_its_text(workspace: Workspace) -> None:
    texts = [f"text {number}" for number in range(50)]
    table = rows(texts, ["en"] * 50)
    workspace.write_shard(table)
    stored = {row["text"]: np.array(row["vector"], np.float32) for row in table.to_pylist()}
    found = read_report_sample(workspace, 30)
    assert (len(found.chunks), found.is_whole) == (30, False)
    for chunk, vector in zip(found.chunks, found.vectors, strict=True):
        np.testing.assert_allclose(vector, stored[chunk.text], atol=2e-3)


def test_rare_languages_are_not_drowned(workspace: Workspace) -> None:
    languages = ["en"] * 300 + ["am"] * 8 + ["th"] * 3
    workspace.write_shard(rows([f"{one} {number}" for number, one in enumerate(languages)], languages))
    found = read_report_sample(workspace, 30)
    assert Counter(chunk.language for chunk in found.chunks) == {"en": 19, "am": 8, "th": 3}


def test_the_sample_does_not_depend_on_how_the_dataset_is_cut(tmp_path: Path) -> None:
    texts = [f"text {number}" for number in range(60)]
    languages = [LANGUAGES[number % 5] for number in range(60)]
    samples = []
    for name, cuts in (("one", [0, 60]), ("three", [0, 7, 40, 60])):
        workspace = Workspace(str(tmp_path / name), SPACE, "")
        for first, last in itertools.pairwise(cuts):
            workspace.write_shard(rows(texts[first:last], languages[first:last]))
        samples.append([(chunk.text, chunk.language) for chunk in read_report_sample(workspace, 25).chunks])
    assert samples[0] == samples[1]


def test_of_a_large_dataset_only_the_beginnings_of_few_shards_are_read(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transforms.adapters.report.reading._CANDIDATES", 40)
    texts = sorted((f"text {number}" for number in range(400)), key=lambda text: content_key(SPACE, text))
    for start in range(0, 400, 50):
        workspace.write_shard(rows(texts[start : start + 50], ["en"] * 50))
    opened: list[str] = []
    read = Workspace.open_shard

    def open_shard(self: Workspace, name: str) -> Any:
        opened.append(name)
        return read(self, name)

    monkeypatch.setattr(Workspace, "open_shard", open_shard)
    found = read_report_sample(workspace, 10)
    assert [chunk.text for chunk in found.chunks] == texts[:10]
    assert not found.is_whole
    assert len(set(opened)) == 1
    assert _CANDIDATES > 400


def test_a_dataset_without_dense_vectors_gives_texts_alone(workspace: Workspace) -> None:
    workspace.write_shard(rows(["a", "b"], ["de", "en"], ("sparse",)))
    found = read_report_sample(workspace, 10)
    assert (len(found.chunks), found.vectors.size) == (2, 0)


def test_what_cannot_be_read_is_said_and_the_rest_is_there(workspace: Workspace, tmp_path: Path) -> None:
    name = workspace.write_shard(rows(["a"], ["de"]))
    (tmp_path / "dataset" / SPACE / name).write_bytes(b"no parquet")
    directory = tmp_path / "evaluations" / "manuals"
    directory.mkdir(parents=True)
    (directory / "a.json").write_text("[1, 2")
    found = read_material(str(tmp_path), record())
    assert found.sample is None
    assert [one.split(":")[0] for one in found.remarks] == [
        "Map, neighbours and the recall of smaller vectors",
        f"Evaluation {directory}/a.json",
    ]


def test_evaluations_of_the_collection_are_found(workspace: Workspace, tmp_path: Path) -> None:
    for collection, name in (("manuals", "b"), ("manuals", "a"), ("other", "c")):
        directory = tmp_path / "evaluations" / collection
        directory.mkdir(parents=True, exist_ok=True)
        (directory / f"{name}.json").write_text(json.dumps({**EVALUATION, "name": name}))
    found = read_material(str(tmp_path), record())
    assert [one["name"] for one in found.evaluations] == ["a", "b"]
    assert found.remarks == []


def test_one_evaluation_that_cannot_be_read_hides_no_other(workspace: Workspace, tmp_path: Path) -> None:
    directory = tmp_path / "evaluations" / "manuals"
    directory.mkdir(parents=True)
    (directory / "a.json").write_text("[1, 2]")
    (directory / "b.json").write_text(json.dumps({**EVALUATION, "name": "b"}))
    found = read_material(str(tmp_path), record())
    assert [one["name"] for one in found.evaluations] == ["b"]
    assert found.remarks == [f"Evaluation {directory}/a.json: it holds no result of an evaluation"]


def test_an_evaluation_of_sixty_languages_is_shown(workspace: Workspace, tmp_path: Path) -> None:
    """Its file is larger than those of few languages by the square of their number."""
    row = EVALUATION["results"][0]
    pairs = [{**row, "query_language": f"x{one}", "answer_language": f"y{one % 60}"} for one in range(60 * 59 * 2)]
    directory = tmp_path / "evaluations" / "manuals"
    directory.mkdir(parents=True)
    (directory / "a.json").write_text(json.dumps({**EVALUATION, "results": pairs}, indent=2))
    assert (directory / "a.json").stat().st_size > 1 << 20
    found = read_material(str(tmp_path), record())
    assert (len(found.evaluations[0]["results"]), found.remarks) == (len(pairs), [])


def test_of_many_evaluations_it_is_said_that_some_are_left_out(workspace: Workspace, tmp_path: Path) -> None:
    directory = tmp_path / "evaluations" / "manuals"
    directory.mkdir(parents=True)
    for number in range(10):
        (directory / f"{number}.json").write_text(json.dumps({**EVALUATION, "name": str(number)}))
    found = read_material(str(tmp_path), record())
    assert [one["name"] for one in found.evaluations] == [str(number) for number in range(8)]
    assert found.remarks == ["Evaluations: the first 8 of 10 by name are shown"]


def test_no_secret_comes_along(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "root:canary-5f2b9c-sings"
    monkeypatch.setattr(secrets, "_known", {secret})
    workspace.write_shard(rows([f"the password is {secret}"], ["en"]))
    directory = tmp_path / "evaluations" / "manuals"
    directory.mkdir(parents=True)
    (directory / "a.json").write_text(json.dumps({"name": secret}))
    found = read_material(str(tmp_path), {**record(), "differences": [f"a server said {secret}"]})
    assert found.sample is not None
    assert found.sample.chunks[0].text == f"the password is {MASK}"
    assert found.record["differences"] == [f"a server said {MASK}"]
    assert found.evaluations == [{"name": MASK}]
