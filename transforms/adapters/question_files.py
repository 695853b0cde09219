"""Files of questions with known answers: JSON Lines, Parquet or TSV, read row by row."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from transforms.adapters.storage import open_binary
from transforms.logic.errors import ConfigurationError
from transforms.logic.questions import QuestionSample

COLUMNS = ("query", "query_language", "answers", "answer", "answer_text", "grade")
_MAX_LINE_BYTES = 1 << 20
_BATCH_ROWS = 1024


def read_questions(uri: str, most: int) -> QuestionSample:
    """The questions of a file, at most so many: see `QuestionSample.add` for its columns.

    In a file whose name ends in .tsv the first line names the columns, and each line holds as many fields, parted by tabs; a question with
    several answers has a line for each. Files whose name ends in .jsonl hold an object a line, others must be .parquet.

    Raises:
        ConfigurationError: naming the line or row, and what is wrong with it; or the file, if it cannot be read or holds no question.
        TransientError: the store does not answer.
    """
    sample = QuestionSample(most)
    for place, row in _rows(uri):
        sample.add(row, place)
    if not sample.rows:
        raise ConfigurationError(f"--pairs {uri}: the file holds no question")
    return sample


def _rows(uri: str) -> Iterator[tuple[str, dict[str, Any]]]:
    readers = {".jsonl": _of_objects, ".tsv": _of_fields, ".parquet": _of_columns}
    reader = next((one for ending, one in readers.items() if uri.lower().endswith(ending)), None)
    if reader is None:
        raise ConfigurationError(f"--pairs {uri}: the name must end in {', '.join(readers)}")
    with _opened(uri) as stream:
        yield from reader(uri, stream)


@contextmanager
def _opened(uri: str) -> Iterator[IO[bytes]]:
    try:
        with open_binary(uri) as stream:
            yield stream
    except (OSError, UnicodeDecodeError, pa.ArrowException) as error:
        raise ConfigurationError(f"--pairs {uri}: the file cannot be read: {error}") from error


def _of_objects(uri: str, stream: IO[bytes]) -> Iterator[tuple[str, dict[str, Any]]]:
    for place, line in _lines(uri, stream):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ConfigurationError(f"{place}: it is not JSON: {error}") from error
        if not isinstance(row, dict):
            raise ConfigurationError(f"{place}: an object with the columns {', '.join(COLUMNS)} is needed")
        yield place, row


def _of_fields(uri: str, stream: IO[bytes]) -> Iterator[tuple[str, dict[str, Any]]]:
    names: list[str] | None = None
    for place, line in _lines(uri, stream):
        fields = line.split("\t")
        if names is None:
            if "query" not in fields or len(set(fields)) != len(fields) or "answers" in fields:
                known = ", ".join(name for name in COLUMNS if name != "answers")
                raise ConfigurationError(
                    f"{place}: the first line must name columns, each once, of {known}, parted by tabs"
                )
            names = fields
            continue
        if len(fields) != len(names):
            raise ConfigurationError(f"{place}: it has {len(fields)} fields, and the first line names {len(names)}")
        yield place, dict(zip(names, fields, strict=True))


def _lines(uri: str, stream: IO[bytes]) -> Iterator[tuple[str, str]]:
    """Lines that are not blank, with their places."""
    number = 0
    while raw := stream.readline(_MAX_LINE_BYTES + 1):
        number += 1
        place = f"{uri}, line {number}"
        if len(raw) > _MAX_LINE_BYTES:
            raise ConfigurationError(f"{place}: it is longer than {_MAX_LINE_BYTES:,} bytes")
        try:
            line = raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise ConfigurationError(f"{place}: it is not UTF-8: {error}") from error
        if line.strip():
            yield place, line


def _of_columns(uri: str, stream: IO[bytes]) -> Iterator[tuple[str, dict[str, Any]]]:
    file = pq.ParquetFile(stream)
    columns = [name for name in COLUMNS if name in file.schema_arrow.names]
    number = 0
    for batch in file.iter_batches(_BATCH_ROWS, columns=columns):
        for row in batch.to_pylist():
            number += 1
            yield f"{uri}, row {number}", row
