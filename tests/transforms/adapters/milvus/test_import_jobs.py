"""How a Milvus of each version imports, and what is wrong at once."""

from typing import Any

import pytest

from tests.servers import Answer, answering_server
from transforms.adapters.milvus import Target
from transforms.adapters.milvus.import_jobs import LostReplyError, RestJobs, check_can_import, import_by
from transforms.logic.errors import ConfigurationError, CorpusEmbedError


@pytest.mark.parametrize(
    ("version", "by"),
    [
        ("milvus_lite-3.2.2", "none"),
        ("2.2.16", "grpc"),
        ("v2.3.5", "grpc"),
        ("2.4.0", "rest"),
        ("v2.6.24", "rest"),
        ("3.0.2", "rest"),
        ("master-20261101-abcdef", "rest"),
    ],
)
def test_by_version(version: str, by: str) -> None:
    assert import_by(version) == by


def test_lite_is_refused_with_what_to_use() -> None:
    with pytest.raises(
        ConfigurationError,
        match=r"--write import: Milvus Lite imports no files; use --write upsert, or a Milvus server",
    ):
        check_can_import("milvus_lite-3.2.2", Target("http://127.0.0.1:1", "c"))
    check_can_import("2.3.5", Target("http://127.0.0.1:1", "c"))


@pytest.mark.parametrize(
    ("uri", "endpoint", "flag"),
    [("unix:/run/milvus.sock", None, "--milvus"), ("https://m", "m:9", "--import-endpoint")],
)
def test_an_address_without_http_is_named(uri: str, endpoint: str | None, flag: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{flag} .*name an http:// or https:// address"):
        RestJobs(Target(uri, "c"), endpoint)


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (
            Answer(404, b"404 page not found"),
            ConfigurationError,
            r"no import by REST .*--import-endpoint, or use --write upsert",
        ),
        (Answer(403, b""), ConfigurationError, r"check --milvus-token"),
        (Answer(500, b""), LostReplyError, r"500"),
        (Answer(200, b"[]"), LostReplyError, r"no answer of Milvus"),
        (Answer(200, b'{"code": 0, "data": {}}'), LostReplyError, r"names no job"),
        (
            Answer(200, b'{"code": 1100, "message": "bad files"}'),
            CorpusEmbedError,
            r"refused to import a\.parquet: bad files",
        ),
    ],
)
def test_answers_that_are_no_job(answer: Answer, kind: Any, said: str) -> None:
    with answering_server(answer) as address, pytest.raises(kind, match=said):
        RestJobs(Target(address, "c")).create("lang_de", "a.parquet", "key")
