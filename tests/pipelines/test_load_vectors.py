"""Load: what one collection holds goes to another, without a model."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines import cli
from pipelines.configuration import options, sections
from pipelines.load_vectors import load
from pipelines.preflight.load_plan import Loading
from tests import fakes
from tests.conftest import ROOT
from tests.fakes import ENCODED
from tests.milvus_import_server import ImportServer, import_server
from tests.pipelines.jobs import COLLECTION, Job, add_heads, document, make_model, row_counts, story
from transforms.adapters.lease import leased
from transforms.adapters.milvus import Collection, Target, release, served
from transforms.adapters.workspace import Workspace, collection_key
from transforms.logic.errors import ConfigurationError, CorpusEmbedError, TransientError
from transforms.write import Writing

COPY = "copy"


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Job, Path]:
    """A job that has run, and a copy of its home."""
    home = tmp_path_factory.mktemp("load")
    job = Job(home / "job", add_heads(make_model(home / "model")))
    job.write("a.jsonl", [document(f"d{n}", story(f"d{n}", 4), lang=("en", "de")[n % 2]) for n in range(8)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.preflight.run_plan.open_encoder", fakes.open_fake_encoder)
        record = job.run(outputs="dense,sparse")
    assert (record["exit_code"], record["rows"]["held"]) == (0, 16)
    shutil.copytree(job.home, home / "kept")
    return job, home / "kept"


@pytest.fixture
def filled(kept: tuple[Job, Path], fake_encoder: None) -> Job:
    """The job as it was after its run."""
    job, copy = kept
    shutil.rmtree(job.home)
    shutil.copytree(copy, job.home)
    return job


def other(job: Job) -> str:
    return str(job.home / "other.db")


def loaded(job: Job, **changes: Any) -> dict[str, Any]:
    asked = Loading(
        **{"workspace": str(job.workspace), "source": COLLECTION, "target": Target(other(job), COPY), **changes}
    )
    return load(asked, options.to_pipeline_options(["--runner=FnApiRunner"]))


def rows(job: Job, milvus: str, collection: str) -> dict[str, dict[str, Any]]:
    """Every row of a collection of another Milvus."""
    return _At(job.home, job.model, Path(milvus)).rows(collection)


class _At(Job):
    """A job with its Milvus elsewhere."""

    def __init__(self, home: Path, model: Path, path: Path) -> None:
        super().__init__(home, model)
        self._path = path

    @property
    def milvus(self) -> Path:
        return self._path


def flags(job: Job, *more: str) -> list[str]:
    places = ["--workspace", str(job.workspace), "--from", COLLECTION, "--milvus", other(job), "--collection", COPY]
    return ["load", *places, *more]


def test_another_milvus_holds_the_same_rows_and_a_second_load_writes_nothing(filled: Job) -> None:
    # The Milvus that it comes from may be gone.
    source = filled.rows()
    shutil.rmtree(filled.milvus)
    record = loaded(filled)
    assert (record["exit_code"], row_counts(record), record["ledger"]) == (0, (16, 16, 0, 0), 1)
    assert record["verification"]["findings"] == []
    assert rows(filled, other(filled), COPY) == source
    again = loaded(filled)
    assert (again["exit_code"], row_counts(again), again["ledger"]) == (0, (16, 0, 16, 0), 1)
    assert ENCODED == []


def test_another_representation_beside_the_first(filled: Job) -> None:
    target = Target(str(filled.milvus), COPY)
    record = loaded(
        filled,
        target=target,
        representation=sections.Representation(dimensions=8),
        milvus_outputs=("dense",),
        verify="full",
    )
    assert (record["exit_code"], record["representation"]["dimensions"]) == (0, 8)
    before = filled.rows()
    copies = filled.rows(COPY)
    assert copies.keys() == before.keys()
    for identity, row in copies.items():
        head = np.array(before[identity]["dense"][:8])
        np.testing.assert_allclose(row["dense"], head / np.linalg.norm(head), atol=1e-3)
        assert (row["text"], row["partition"], row["metadata"]) == tuple(
            before[identity][name] for name in ("text", "partition", "metadata")
        )
        assert "sparse" not in row


def test_it_follows_what_it_was_loaded_from(filled: Job) -> None:
    loaded(filled)
    filled.write("a.jsonl", [document(f"d{n}", story(f"d{n} now", 2)) for n in range(4)])
    filled.run(outputs="dense,sparse", mirror=True, max_delete_fraction=1)
    ENCODED.clear()
    record = loaded(filled)
    assert (record["exit_code"], row_counts(record), ENCODED) == (0, (4, 4, 0, 14), [])
    assert rows(filled, other(filled), COPY) == filled.rows()
    # A copy may be copied.
    third = loaded(filled, source=COPY, target=Target(other(filled), "third"))
    assert (third["exit_code"], third["rows"]["held"]) == (0, 4)


def test_no_model_is_imported(filled: Job) -> None:
    code = (
        "import sys\nfrom pipelines import cli\n"
        f"assert cli.main({flags(filled, '--runner=FnApiRunner')!r}) == 0\n"
        "print(sorted({'torch', 'transformers', 'sentence_transformers'} & set(sys.modules)))\n"
    )
    shutil.rmtree(filled.model)
    try:
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    finally:
        add_heads(make_model(filled.model))
    *said, imported = done.stdout.splitlines()
    assert imported == "[]"
    assert said[1] == f"  {COPY} holds 16 rows, as {COLLECTION} does: 16 written, 0 rejected, 0 unchanged, 0 deleted"


def test_one_that_died_is_brought_to_its_end(filled: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    upsert = Collection.upsert
    calls = []

    def breaking(self: Collection, partition: str, some: Any) -> Any:
        calls.append(partition)
        if len(calls) > 1:
            raise TransientError("the server is away")
        return upsert(self, partition, some)

    with monkeypatch.context() as patch:
        patch.setattr(Collection, "upsert", breaking)
        with pytest.raises(TransientError, match="the server is away"):
            loaded(filled)
    workspace = Workspace(str(filled.workspace), "", collection_key(other(filled), COPY))
    assert workspace.latest_ledger().number == 0
    record = loaded(filled)
    assert (record["exit_code"], record["rows"]["held"], record["ledger"]) == (0, 16, 1)
    assert rows(filled, other(filled), COPY) == filled.rows()


def test_a_run_goes_on_in_what_was_loaded(filled: Job) -> None:
    """It is a collection like any other."""
    loaded(filled)
    record = filled.run(milvus=other(filled), collection=COPY, outputs="dense,sparse")
    assert (record["exit_code"], row_counts(record), ENCODED) == (0, (16, 0, 16, 0), [])


def test_an_index_may_be_chosen_and_the_source_s_is_taken_else(filled: Job) -> None:
    def index_of(collection: str) -> str | None:
        opened = Collection(served(Target(other(filled), collection)))
        try:
            return opened.space().index
        finally:
            opened.close()
            release(other(filled))

    loaded(filled, index="IVF_FLAT", index_parameters=("nlist=8",))
    assert index_of(COPY) == "IVF_FLAT nlist=8"
    # Of a collection it stands.
    assert row_counts(loaded(filled)) == (16, 0, 16, 0)
    with pytest.raises(
        ConfigurationError, match=r"--index asks for HNSW .* the collection was made with IVF_FLAT nlist=8"
    ):
        loaded(filled, index="HNSW")
    loaded(filled, source=COPY, target=Target(other(filled), "third"))
    assert index_of("third") == "IVF_FLAT nlist=8"


# --- by import ---


@pytest.fixture
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ImportServer]:
    with import_server(getattr(request, "param", "2.6.24"), tmp_path / "bucket") as started:
        yield started


def imported(job: Job, server: ImportServer, **changes: Any) -> dict[str, Any]:
    """A load by import; the server of the tests keeps ids, and no rows to be fetched back."""
    wanted = sections.Loading(
        write="import",
        import_storage=str(server.root / "imports"),
        import_path="imports",
        import_endpoint=server.endpoint,
    )
    # 2.3 holds no sparse vectors.
    settings = {"loading": wanted, "milvus_outputs": ("dense",), "verify": "none"}
    return loaded(job, target=Target(server.uri, COPY), **{**settings, **changes})


@pytest.mark.parametrize("server", ["2.3.5", "2.6.24"], indirect=True)
def test_a_fresh_collection_is_filled_by_import_and_later_by_upsert(filled: Job, server: ImportServer) -> None:
    record = imported(filled, server)
    assert (record["exit_code"], record["differences"], row_counts(record)) == (0, [], (16, 16, 0, 0))
    assert sorted(server.rows) == sorted(filled.rows())
    assert {name: len(ids) for name, ids in server.imported.items()} == {"lang_de": 8, "lang_en": 8}
    assert server.of("Upsert") == []
    assert not list(server.root.rglob("*.parquet"))
    assert row_counts(imported(filled, server)) == (16, 0, 16, 0)
    filled.write("b.jsonl", [document("new", story("new", 4))])
    filled.run(outputs="dense,sparse")
    ENCODED.clear()
    assert row_counts(imported(filled, server)) == (18, 2, 16, 0)
    assert (len(server.jobs), len(server.rows), ENCODED) == (2, 16, [])
    assert server.of("Upsert") != []


def test_an_import_that_failed_is_gone_on_with_and_by_nothing_else(filled: Job, server: ImportServer) -> None:
    server.broken = ["lang_en"]
    with pytest.raises(CorpusEmbedError, match="failed to import 1 of 2 files"):
        imported(filled, server)
    with pytest.raises(ConfigurationError, match="an import into collection 'copy' was begun and is not finished"):
        imported(filled, server, loading=sections.Loading())
    record = imported(filled, server)
    assert (record["exit_code"], row_counts(record)) == (0, (16, 16, 0, 0))
    assert len(server.jobs) == 3
    assert len(server.rows) == len(set(server.rows)) == 16


def test_another_representation_is_imported_and_the_server_checks_it(filled: Job, server: ImportServer) -> None:
    record = imported(filled, server, representation=sections.Representation(vector_type="int8", dimensions=8))
    assert (record["exit_code"], record["representation"]["vector_type"]) == (0, "int8")
    assert len(server.rows) == 16


# --- refusals ---


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"source": "nowhere"}, "--from nowhere: the workspace has no ledger of it; there is corpus"),
        (
            {"representation": sections.Representation(dimensions=99)},
            "--dimensions 99 is more than the model has; choose at most 16",
        ),
        ({"milvus_outputs": ("multi",)}, "the dataset has no multi; choose of dense, sparse"),
        ({"representation": sections.Representation(vector_type="int8")}, "does not hold vectors of type int8"),
        ({"index": "NEAREST"}, "--index NEAREST is unknown; choose auto, or one of "),
        ({"index": "HNSW", "milvus_outputs": ("sparse",)}, "--index HNSW is for dense vectors"),
        ({"milvus_outputs": ("dense", "multi"), "writing": Writing("columns")}, "--write-path columns does not write"),
        (
            {"loading": sections.Loading(write="import", import_storage="nowhere://x")},
            "nowhere",
        ),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(filled: Job, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        loaded(filled, **changes)
    assert said in str(caught.value)
    collection = Collection(served(Target(other(filled), COPY)))
    assert not collection.exists()
    collection.close()
    release(other(filled))


def test_the_same_collection_another_space_and_a_run_under_way_are_refused(filled: Job) -> None:
    with pytest.raises(ConfigurationError, match="--from and --collection are both 'corpus'"):
        loaded(filled, target=Target(str(filled.milvus), COLLECTION))
    loaded(filled)
    with pytest.raises(ConfigurationError, match="  dimensions: 16 in the collection, 8 in this run"):
        loaded(filled, representation=sections.Representation(dimensions=8))
    for key in (collection_key(str(filled.milvus), COLLECTION), collection_key(other(filled), COPY)):
        lease = Workspace(str(filled.workspace), "", key).lease
        with leased(lease, "run-of-somebody"), pytest.raises(TransientError, match="run-of-somebody"):
            loaded(filled)


def test_a_record_that_does_not_say_what_the_collection_is_sends_to_the_collection(filled: Job) -> None:
    for path in filled.workspace.glob("runs/*/run.json"):
        record = json.loads(path.read_bytes())
        del record["collection_space"]
        path.write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(ConfigurationError, match="no record says what it holds; say by --from-milvus"):
        loaded(filled)
    assert loaded(filled, source_milvus=str(filled.milvus))["rows"]["held"] == 16


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--dimensions", "many"], "--dimensions: needs integer (dimensions), 1 or more (got 'many')"),
        (["--vector-type", "float8"], "--vector-type: needs one of float32"),
        (["--write", "import"], "--write import needs --import-storage"),
        (["--import-storage", "x"], "--import-storage is for --write import; add that or leave it out"),
        (["--index-parameters", "nlist=1"], "name it by --index, as in --index HNSW"),
        (["--writers", "0"], "--writers: needs integer, 1 to 64 (got '0')"),
        (["--milvus-outputs", "thick"], "--milvus-outputs: needs some of dense, sparse, multi (got 'thick')"),
        (["--dimension", "8"], "unknown option '--dimension'; did you mean --dimensions?"),
    ],
)
def test_a_wrong_flag_is_named(filled: Job, capsys: pytest.CaptureFixture[str], more: list[str], said: str) -> None:
    assert cli.main(flags(filled, *more)) == 2
    assert said in capsys.readouterr().err
