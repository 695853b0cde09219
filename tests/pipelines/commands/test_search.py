"""The command: ranked chunks as lines, or as JSON."""

import json
from typing import Any

import pytest

from pipelines import cli
from pipelines.search import FIELDS
from tests import fakes
from tests.pipelines.jobs import COLLECTION, Job, document, story


@pytest.fixture
def flags(job: Job, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Flags that name a collection of ten chunks in five documents."""
    monkeypatch.setattr(
        "pipelines.queries.open_encoder",
        lambda model, prompt, computation, _: fakes.open_fake_encoder(model, prompt, computation),
    )
    rows = [document(f"d{n}", story(f"d{n}", 4), ("en", "de")[n % 2], year=2020 + n, note='"x"') for n in range(5)]
    job.write("a.jsonl", rows)
    assert job.run()["exit_code"] == 0
    return ["--milvus", str(job.milvus), "--collection", COLLECTION, "--workspace", str(job.workspace)]


def _lines(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    capsys.readouterr()
    assert cli.main(["search", "rivers", *arguments]) == 0
    return capsys.readouterr().out.splitlines()


def _objects(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in _lines(capsys, *arguments, "--json")]


def test_two_lines_for_each_chunk(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    lines = _lines(capsys, *flags[:4], "--top", "2", "--languages", "de,en")
    assert len(lines) == 4
    assert [line.split()[0] for line in lines[::2]] == ["1", "2"]
    assert all(line.split()[2] in {"de", "en"} and line.split()[3].startswith("d") for line in lines[::2])
    assert all(-1 < float(line.split()[1]) < 1 for line in lines[::2])
    assert all(line.startswith("     Sentence") for line in lines[1::2])


def test_an_object_for_each_chunk_with_stable_names(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    found = _objects(capsys, *flags, "--top", "3")
    assert [tuple(one) for one in found] == [("rank", "score", "id", *FIELDS)] * 3
    assert [one["rank"] for one in found] == [1, 2, 3]
    assert all(one["metadata"]["note"] == '"x"' for one in found)
    assert found == _objects(capsys, *flags, "--top", "3")


def test_what_may_answer_is_narrowed(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    def documents(*arguments: str) -> list[str]:
        return [one["document_id"] for one in _objects(capsys, *flags, *arguments)]

    assert len(documents()) == 10
    assert sorted(documents("--by-document")) == ["d0", "d1", "d2", "d3", "d4"]
    assert set(documents("--where", "metadata.year>=2021", "metadata.year<2023")) == {"d1", "d2"}
    assert set(documents("--where", "metadata.year=[2020, 2024]", "--languages", "en")) == {"d0", "d4"}
    assert len(documents("--where", 'metadata.note="\\"x\\""')) == 10
    assert documents("--where", 'metadata.note=x" or id != "') == []
    assert len(documents("--date-from", "2026-03-01", "--date-to", "2026-03-02")) == 10
    assert documents("--date-to", "2026-03-01") == []


def test_nothing_found_is_said_to_people(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    nobody = ["--where", "document_id=nobody"]
    assert _lines(capsys, *flags, *nobody) == [
        "nothing found: the collection or the chosen partitions are empty, or no chunk fits"
    ]
    assert _objects(capsys, *flags, *nobody) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--top", "0"], "--top 0 is out of bounds; choose 1 to 16,384"),
        (["--where", "year"], "--where 'year' is no condition; write FIELD=VALUE"),
        (["--where", "year=1"], "'year' is no field to search by; choose metadata.KEY, or one of id"),
        (["--date-from", "soon"], "--date-from 'soon' is no date"),
        (["--weights", "1", "2"], "--weights are of dense and sparse vectors; choose --mode hybrid"),
        (["--mode", "sparse"], "--mode sparse: the collection holds no sparse vectors; choose dense"),
    ],
)
def test_what_cannot_be_asked_is_exit_code_2(
    flags: list[str], capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    capsys.readouterr()
    assert cli.main(["search", "rivers", *flags[:4], *arguments]) == 2
    assert said in capsys.readouterr().err
