"""Zero-shot labels of a whole run: equal to the computation by hand, filterable, frozen with the collection."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines import cli
from pipelines.search import search
from tests import fakes
from tests.fakes import ENCODED, OPENED, outputs_of
from tests.pipelines.jobs import COLLECTION, DIMENSIONS, Job, document, row_counts, story
from transforms.adapters.milvus import Target
from transforms.logic.errors import ConfigurationError
from transforms.logic.vectors import Float32

TEXTS = {"rivers": ["This text is about rivers.", "Water flows."], "towns": ["This text is about towns."]}
FILE = '[labels]\ntowns = "This text is about towns."\nrivers = ["This text is about rivers.", "Water flows."]\n'


@pytest.fixture
def labelled(job: Job, monkeypatch: pytest.MonkeyPatch) -> Job:
    """A job with a corpus and a file of labels."""
    job.write("a.jsonl", [document(f"d{number}", story(f"d{number}", 3)) for number in range(12)])
    (job.home / "labels.toml").write_text(FILE, encoding="utf-8")
    monkeypatch.setattr(
        "pipelines.queries.open_encoder",
        lambda model, prompt, computation, _: fakes.open_fake_encoder(model, prompt, computation),
    )
    return job


def _labels(job: Job) -> str:
    return str(job.home / "labels.toml")


def _vector(text: str, prompt: str) -> Float32:
    dense = outputs_of([f"{prompt}|bfloat16|{text}"], DIMENSIONS).dense
    assert dense is not None
    return dense[0].astype(np.float64)


def _by_hand(vector: list[float], prompt: str) -> tuple[str, float]:
    full = np.array(vector, np.float64)
    scores = {}
    for name, texts in TEXTS.items():
        mean = np.mean([_vector(text, prompt) for text in texts], axis=0)
        scores[name] = float(full @ mean / np.linalg.norm(full) / np.linalg.norm(mean))
    best = max(scores, key=lambda name: scores[name])
    return best, scores[best]


def _check(job: Job, prompt: str) -> set[str]:
    stored, found = job.stored(), set()
    for identity, row in job.rows().items():
        label, score = _by_hand(stored[identity]["vector"], prompt)
        assert (row["label"], row["label_score"]) == (label, pytest.approx(score, abs=1e-5))
        found.add(label)
    return found


def test_labels_in_milvus_are_those_by_hand(labelled: Job) -> None:
    record = labelled.run(labels=_labels(labelled))
    assert record["exit_code"] == 0
    assert record["stages"]["label"]["seconds"] > 0
    assert _check(labelled, "passage: ") == {"rivers", "towns"}
    # The dataset stays free of them: other labels need no other vectors.
    assert not {"label", "label_score"} & set(next(iter(labelled.stored().values())))
    rows = labelled.rows()
    ENCODED.clear()
    OPENED.clear()
    again = labelled.run(labels=_labels(labelled))
    assert (row_counts(again), ENCODED, OPENED) == ((24, 0, 24, 0), [], [])
    assert labelled.rows() == rows


def test_labels_need_the_dense_vectors_of_the_dataset_alone(labelled: Job, heads: Path) -> None:
    labelled.model = heads
    labelled.run(labels=_labels(labelled), outputs="dense,sparse", milvus_outputs="sparse")
    assert _check(labelled, "passage: ") == {"rivers", "towns"}
    assert "dense" not in next(iter(labelled.rows().values()))


def test_labels_have_a_prompt_of_their_own_if_the_file_says_so(labelled: Job) -> None:
    (labelled.home / "labels.toml").write_text(f'prompt = "topic: "\n{FILE}', encoding="utf-8")
    labelled.run(labels=_labels(labelled))
    assert OPENED == ["passage: ", "topic: "]
    _check(labelled, "topic: ")


def test_a_chunk_below_the_floor_has_no_label(labelled: Job) -> None:
    (labelled.home / "labels.toml").write_text(f"floor = 0.2\n{FILE}", encoding="utf-8")
    labelled.run(labels=_labels(labelled))
    rows = labelled.rows().values()
    assert all((row["label"] == "") == (row["label_score"] < 0.2) for row in rows)
    assert {row["label"] for row in rows} >= {"", "rivers"}


def test_searches_can_be_kept_to_labels(labelled: Job, capsys: pytest.CaptureFixture[str]) -> None:
    labelled.run(labels=_labels(labelled))
    target = Target(str(labelled.milvus), COLLECTION)
    wanted = {identity for identity, row in labelled.rows().items() if row["label"] == "towns"}
    assert 0 < len(wanted) < 24
    hits = search("anything", target, top=24, labels=["towns"])
    assert {hit["id"] for hit in hits} == wanted
    assert {hit["label"] for hit in hits} == {"towns"}
    assert len(search("anything", target, top=24, labels=["towns", "rivers"])) == 24
    with pytest.raises(
        ConfigurationError, match="--labels sports: the collection has no such label; there are rivers, towns"
    ):
        search("anything", target, labels=["towns", "sports"])
    capsys.readouterr()
    flags = ["--milvus", target.uri, "--collection", COLLECTION, "--labels", "towns", "--top", "1"]
    assert cli.main(["search", "anything", *flags]) == 0
    assert " towns " in capsys.readouterr().out.splitlines()[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "labels: rivers,towns in the collection, none in this run"),
        (FILE.replace("about towns", "about cities"), "labels_digest: "),
        (FILE.replace("towns =", "cities ="), "labels: rivers,towns in the collection, cities,rivers in this run"),
    ],
    ids=["none", "text", "name"],
)
def test_other_labels_are_refused_with_the_difference(labelled: Job, text: str | None, said: str) -> None:
    labelled.run(labels=_labels(labelled))
    ENCODED.clear()
    changes: dict[str, Any] = {}
    if text is not None:
        (labelled.home / "labels.toml").write_text(text, encoding="utf-8")
        changes = {"labels": _labels(labelled)}
    with pytest.raises(ConfigurationError) as caught:
        labelled.run(**changes)
    assert said in str(caught.value)
    assert ENCODED == []


def test_the_same_labels_in_another_order_are_the_same(labelled: Job) -> None:
    labelled.run(labels=_labels(labelled))
    moved = Path(labelled.home / "moved.toml")
    moved.write_text(
        '[labels]\nrivers = ["Water flows.", "This text is about rivers."]\ntowns = ["This text is about towns."]\n',
        encoding="utf-8",
    )
    assert row_counts(labelled.run(labels=str(moved))) == (24, 0, 24, 0)


def test_a_collection_without_labels_says_so(labelled: Job) -> None:
    labelled.run()
    assert not {"label", "label_score"} & set(next(iter(labelled.rows().values())))
    with pytest.raises(ConfigurationError, match="it has none: they are given by run --labels"):
        search("anything", Target(str(labelled.milvus), COLLECTION), labels=["towns"])
