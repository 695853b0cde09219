"""Whole runs that import: the first fills the collection, later ones upsert; what cannot be is refused before anything is encoded."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import fakes
from tests.milvus_import_server import ImportServer, import_server
from tests.pipelines.jobs import Job, document, row_counts, story
from transforms.logic.errors import ConfigurationError, CorpusEmbedError


@pytest.fixture(params=["2.3.5", "2.6.24"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ImportServer]:
    with import_server(request.param, tmp_path / "bucket") as started:
        yield started


def _settings(server: ImportServer) -> dict[str, Any]:
    return {
        "milvus": server.uri,
        "write": "import",
        "import_storage": str(server.root / "imports"),
        "import_path": "imports",
        "import_endpoint": server.endpoint,
        # The server of the tests keeps ids, and no rows to be fetched back.
        "verify": "none",
    }


def _corpus(job: Job) -> None:
    job.write(
        "a.jsonl",
        [document(f"{lang}{n}", story(f"{lang}{n}", 4), lang=lang) for lang in ("de", "fr") for n in range(9)],
    )


def test_the_first_run_imports_and_the_next_upserts_what_changed(job: Job, server: ImportServer) -> None:
    _corpus(job)
    first = job.run(**_settings(server))
    assert (first["exit_code"], first["differences"]) == (0, [])
    assert row_counts(first) == (36, 36, 0, 0)
    assert {name: len(ids) for name, ids in server.imported.items()} == {"lang_de": 18, "lang_fr": 18}
    assert server.of("Upsert") == []
    assert row_counts(job.run(**_settings(server))) == (36, 0, 36, 0)
    job.write("b.jsonl", [document("new", story("new", 4))])
    third = job.run(**_settings(server))
    assert (third["exit_code"], row_counts(third)) == (0, (38, 2, 36, 0))
    assert len(server.jobs) == 2
    assert server.of("Upsert") != []


def test_a_failed_import_commits_nothing_and_the_next_run_goes_on(job: Job, server: ImportServer) -> None:
    _corpus(job)
    server.broken = ["lang_fr"]
    with pytest.raises(CorpusEmbedError, match="failed to import 1 of 2 files"):
        job.run(**_settings(server))
    with pytest.raises(
        ConfigurationError, match="an import into collection 'corpus' was begun and is not finished; --write import"
    ):
        job.run(milvus=server.uri, verify="none")
    encoded = len(fakes.ENCODED)
    record = job.run(**_settings(server))
    assert (record["exit_code"], row_counts(record)) == (0, (36, 36, 0, 0))
    assert len(fakes.ENCODED) == encoded
    assert len(server.jobs) == 3
    assert len(server.rows) == len(set(server.rows)) == 36


def test_rows_that_the_server_does_not_have_are_noticed(job: Job, server: ImportServer) -> None:
    _corpus(job)
    job.run(**_settings(server))
    server.imported["lang_de"].pop()
    record = job.run(**_settings(server))
    assert record["differences"] == []
    assert row_counts(record)[1] == 36
    assert server.of("Upsert") != []


def test_lite_is_refused_before_anything_is_encoded(job: Job, tmp_path: Path) -> None:
    _corpus(job)
    with pytest.raises(ConfigurationError, match="Milvus Lite imports no files"):
        job.run(write="import", import_storage=str(tmp_path / "imports"))
    assert fakes.ENCODED == []


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"write": "import"}, r"--write import needs --import-storage"),
        ({"import_storage": "x"}, r"--import-storage is for --write import"),
        ({"import_endpoint": "http://x"}, r"--import-endpoint is for --write import"),
        ({"write": "insert"}, r"--write"),
        ({"write": "import", "import_storage": "x", "import_file_bytes": 1}, r"--import-file-bytes"),
        ({"write": "import", "import_storage": "nowhere://x"}, r"nowhere"),
    ],
)
def test_settings_that_cannot_be_are_refused(job: Job, values: dict[str, Any], said: str) -> None:
    _corpus(job)
    with pytest.raises(ConfigurationError, match=said):
        job.run(**values)
    assert fakes.ENCODED == []
