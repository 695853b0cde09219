"""Files of questions: every format says the same, and what is wrong is refused with its place."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transforms.adapters import question_files
from transforms.adapters.question_files import read_questions
from transforms.logic.errors import ConfigurationError
from transforms.logic.questions import Question

GOOD = b'{"query": "Wo?", "query_language": "de", "answer": "a"}'


def _parquet(path: Path, rows: list[dict[str, Any]]) -> str:
    pq.write_table(pa.Table.from_pylist(rows), path)
    return str(path)


def test_every_format_says_the_same(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"query": "Wo\u0308?", "query_language": "de", "answer": "a", "grade": 2, "note": "x"},
        {"query": "Wö?", "query_language": "de", "answer": "b", "grade": 1, "note": "y"},
        {"query": "ที่ไหน", "query_language": "th", "answer": "c d", "grade": 1, "note": None},
    ]
    lines = "\n\n".join(json.dumps(row) for row in rows)
    (tmp_path / "q.jsonl").write_text(f"\ufeff{lines}\r\n", encoding="utf-8")
    table = "\r\n".join(
        ["query\tnote\tquery_language\tanswer\tgrade"]
        + [
            "\t".join(str(row[name] or "") for name in ("query", "note", "query_language", "answer", "grade"))
            for row in rows
        ]
    )
    (tmp_path / "q.TSV").write_text(table, encoding="utf-8")
    found = [
        read_questions(uri, 10)
        for uri in (str(tmp_path / "q.jsonl"), str(tmp_path / "q.TSV"), _parquet(tmp_path / "q.parquet", rows))
    ]
    for one in found:
        assert {question.language: question for question in one.questions()} == {
            "de": Question("Wö?", "de", {"a": 2, "b": 1}),
            "th": Question("ที่ไหน", "th", {"c d": 1}),
        }
        assert one.rows == 3


def test_columns_of_parquet_may_be_lists_of_ids_or_of_grades(tmp_path: Path) -> None:
    ids = _parquet(tmp_path / "a.parquet", [{"query": "q", "query_language": "en", "answers": ["a", "b"]}])
    grades = [{"id": "a", "grade": 2}, {"id": "b", "grade": 0}]
    graded = _parquet(tmp_path / "b.parquet", [{"query": "q", "query_language": "en", "answers": grades}])
    assert read_questions(ids, 1).questions()[0].answers == {"a": 1, "b": 1}
    assert read_questions(graded, 1).questions()[0].answers == {"a": 2, "b": 0}


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("q.jsonl", b"", "q.jsonl: the file holds no question"),
        ("q.jsonl", b"\n \n", "q.jsonl: the file holds no question"),
        ("q.jsonl", GOOD + b"\n\n{", "q.jsonl, line 3: it is not JSON"),
        ("q.jsonl", b"[" * 100_000, "q.jsonl, line 1: it is not JSON"),
        ("q.jsonl", b"[1]", "q.jsonl, line 1: an object with the columns query, query_language"),
        ("q.jsonl", GOOD + b"\n\xff\n", "q.jsonl, line 2: it is not UTF-8"),
        (
            "q.jsonl",
            GOOD + b"\n" + b'{"query": "' + b"x" * (1 << 20),
            "q.jsonl, line 2: it is longer than 1,048,576 bytes",
        ),
        ("q.jsonl", GOOD.replace(b'"a"', b"NaN"), "q.jsonl, line 1, column answer: a document id is needed, not nan"),
        ("q.jsonl", GOOD.replace(b'"a"', b'"\\ud800"'), ""),
        ("q.jsonl", GOOD.replace(b'"Wo?"', b'"\\u0000"'), "q.jsonl, line 1, column query: a text that is not empty"),
        ("q.tsv", b"query\tanswer\tquery\n", "q.tsv, line 1: the first line must name columns, each once"),
        ("q.tsv", b"where\tto\n", "q.tsv, line 1: the first line must name columns"),
        ("q.tsv", b"query\tquery_language\tanswers\nq\ten\ta\n", "q.tsv, line 1: the first line must name columns"),
        (
            "q.tsv",
            b"query\tquery_language\tanswer\nq\ten\n",
            "q.tsv, line 2: it has 2 fields, and the first line names 3",
        ),
        ("q.tsv", b"query\tquery_language\tanswer\nq\t\ta\n", "q.tsv, line 2, column query_language: a text"),
        ("q.parquet", b"PAR1 or not", "q.parquet: the file cannot be read"),
        ("q.csv", b"query,answer\n", "q.csv: the name must end in .jsonl, .tsv, .parquet"),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(tmp_path: Path, name: str, data: bytes, said: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    if not said:
        # A lone surrogate is no character: it becomes U+FFFD, as in documents.
        assert read_questions(str(path), 5).questions()[0].answers == {"\ufffd": 1}
        return
    with pytest.raises(ConfigurationError) as caught:
        read_questions(str(path), 5)
    assert said in str(caught.value)


def test_a_row_of_parquet_is_named_by_its_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(question_files, "_BATCH_ROWS", 2)
    rows = [{"query": "q", "query_language": "en", "answer": name} for name in ("a", "b", "c", "")]
    with pytest.raises(
        ConfigurationError, match=r"q\.parquet, row 4: one of the columns answers, answer and answer_text"
    ):
        read_questions(_parquet(tmp_path / "q.parquet", rows), 5)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"--pairs .*nowhere\.tsv: the file cannot be read"):
        read_questions(str(tmp_path / "nowhere.tsv"), 5)
