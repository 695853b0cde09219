"""Whatever is done to a collection behind our back is found and named; a sound one is found sound."""

import json
import shutil
import struct
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from pymilvus import MilvusClient

from pipelines import cli
from pipelines.verify import show, verify_collection
from tests import fakes
from tests.milvus_keeping_server import KeepingServer, keeping_server
from tests.pipelines.jobs import COLLECTION, DIMENSIONS, Job, add_heads, document, make_model, story
from transforms.adapters.lease import leased
from transforms.adapters.milvus import Target
from transforms.adapters.milvus.audit import AuditedCollection
from transforms.adapters.verifier import Depth, Form
from transforms.adapters.workspace import Workspace, collection_key
from transforms.logic.errors import ConfigurationError, CorruptDataError
from transforms.logic.verification import Kind, Verification

Row = dict[str, Any]
LANGUAGES = ("en", "de", "fr")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Job, Path]:
    """A job that has run, and a copy of its home."""
    home = tmp_path_factory.mktemp("verify")
    job = Job(home / "job", make_model(home / "model"))
    job.write("a.jsonl", [document(f"d{n}", story(f"d{n}", 4), lang=LANGUAGES[n % 3]) for n in range(15)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.preflight.run_plan.open_encoder", fakes.open_fake_encoder)
        record = job.run(verify="full", outputs="dense,sparse", model=str(add_heads(make_model(home / "heads"))))
    assert (record["exit_code"], record["rows"]["held"]) == (0, 30)
    shutil.copytree(job.home, home / "kept")
    return job, home / "kept"


@pytest.fixture
def filled(kept: tuple[Job, Path]) -> Job:
    """The job as it was after its run."""
    job, copy = kept
    shutil.rmtree(job.home)
    shutil.copytree(copy, job.home)
    return job


def target(job: Job, collection: str = COLLECTION) -> Target:
    return Target(str(job.milvus), collection)


def verified(job: Job, form: Form = "full", **depth: Any) -> Verification:
    return verify_collection(str(job.workspace), target(job), form, Depth(**depth))


def flags(job: Job, *more: str) -> list[str]:
    places = ["--workspace", str(job.workspace), "--milvus", str(job.milvus), "--collection", COLLECTION]
    return ["verify", *places, *more]


@pytest.mark.parametrize("form", ["quick", "full"])
def test_a_sound_collection_is_found_sound_and_left_as_it_is(filled: Job, form: Form) -> None:
    before = filled.rows()
    found = verified(filled, form)
    assert found.findings == []
    assert (found.form, found.ledger, found.rows) == (form, 1, 30)
    assert found.rows_compared == found.vectors_exact == (30 if form == "full" else 16)
    assert found.ids_compared == (30 if form == "full" else 0)
    # Every row, by its dense vector and by its weights.
    assert found.searched == (60 if form == "full" else 0)
    assert found.recall == (dict.fromkeys(("lang_de", "lang_en", "lang_fr"), 1.0) if form == "full" else {})
    assert filled.rows() == before


# --- corruptions ---


def _in(client: MilvusClient, partition: str) -> list[Row]:
    """The rows of a partition as they could be written again, by id."""
    rows = client.query(COLLECTION, filter='id != ""', partition_names=[partition], output_fields=["*"], limit=1000)
    return sorted((dict(row) for row in rows), key=lambda row: row["id"])


def drop_rows(client: MilvusClient) -> None:
    client.delete(COLLECTION, ids=[row["id"] for row in _in(client, "lang_de")[2:4]])


def add_row(client: MilvusClient) -> None:
    client.upsert(COLLECTION, [{**_in(client, "lang_de")[0], "id": "f" * 32}], partition_name="lang_de")


def add_foreign_row(client: MilvusClient) -> None:
    client.upsert(COLLECTION, [{**_in(client, "lang_de")[0], "id": "none of ours"}], partition_name="lang_de")


def swap_row(client: MilvusClient) -> None:
    """One goes and another comes: the counts are right."""
    add_row(client)
    client.delete(COLLECTION, ids=[_in(client, "lang_de")[0]["id"]])


def put_into_another_partition(client: MilvusClient) -> None:
    client.upsert(COLLECTION, [_in(client, "lang_fr")[0]], partition_name="lang_de")


def add_partition(client: MilvusClient) -> None:
    client.create_partition(COLLECTION, "lang_xx")
    client.upsert(COLLECTION, [{**_in(client, "lang_de")[0], "id": "f" * 32}], partition_name="lang_xx")


def swap_vectors(client: MilvusClient) -> None:
    first, second = _in(client, "lang_de")[3:5]
    first["dense"], second["dense"] = second["dense"], first["dense"]
    client.upsert(COLLECTION, [first, second], partition_name="lang_de")


def shuffle_vectors(client: MilvusClient) -> None:
    rows = _in(client, "lang_de")
    vectors = [row["dense"] for row in rows]
    client.upsert(
        COLLECTION,
        [{**row, "dense": vector} for row, vector in zip(rows, [*vectors[1:], vectors[0]], strict=True)],
        partition_name="lang_de",
    )


def make_stale(client: MilvusClient) -> None:
    row = _in(client, "lang_de")[1]
    client.upsert(COLLECTION, [{**row, "text": row["text"] + " before it was edited"}], partition_name="lang_de")


def change_weights(client: MilvusClient) -> None:
    row = _in(client, "lang_de")[1]
    client.upsert(COLLECTION, [{**row, "sparse": {1: 0.5}}], partition_name="lang_de")


def drop_partition(client: MilvusClient) -> None:
    client.drop_partition(COLLECTION, "lang_de")


def drop_index(client: MilvusClient) -> None:
    client.release_collection(COLLECTION)
    client.drop_index(COLLECTION, "dense")


CORRUPTIONS: list[tuple[Callable[[MilvusClient], None], set[tuple[Kind, str, int]]]] = [
    (drop_rows, {(Kind.COUNT, "lang_de", 2), (Kind.MISSING, "lang_de", 2)}),
    (add_row, {(Kind.COUNT, "lang_de", 1), (Kind.UNKNOWN, "lang_de", 1)}),
    (add_foreign_row, {(Kind.COUNT, "lang_de", 1), (Kind.UNKNOWN, "lang_de", 1)}),
    (swap_row, {(Kind.MISSING, "lang_de", 1), (Kind.UNKNOWN, "lang_de", 1)}),
    (put_into_another_partition, {(Kind.COUNT, "lang_de", 1), (Kind.UNKNOWN, "lang_de", 1)}),
    (add_partition, {(Kind.COUNT, "lang_xx", 1), (Kind.UNKNOWN, "lang_xx", 1)}),
    (swap_vectors, {(Kind.VECTOR, "lang_de", 2)}),
    (shuffle_vectors, {(Kind.VECTOR, "lang_de", 10)}),
    (make_stale, {(Kind.CONTENT, "lang_de", 1)}),
    (change_weights, {(Kind.VECTOR, "lang_de", 1)}),
    (drop_partition, {(Kind.COUNT, "lang_de", 10), (Kind.MISSING, "lang_de", 10)}),
    (drop_index, {(Kind.INDEX, "", 0)}),
]


@pytest.mark.parametrize(("corrupt", "expected"), CORRUPTIONS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_corruption_is_named_with_partition_and_number(
    filled: Job, corrupt: Callable[[MilvusClient], None], expected: set[tuple[Kind, str, int]]
) -> None:
    with filled.client() as client:
        corrupt(client)
    found = {(one.kind, one.partition, one.count) for one in verified(filled).findings}
    # With so few rows a row with another's vector still is among the ten nearest, or not, as chance has it.
    assert {one for one in found if one[0] not in {Kind.NOT_FOUND, Kind.RECALL}} == expected


@pytest.mark.parametrize("corrupt", [drop_rows, drop_partition])
def test_rows_that_are_gone_are_written_again_by_what_is_said(
    filled: Job, corrupt: Callable[[MilvusClient], None], fake_encoder: None, capsys: pytest.CaptureFixture[str]
) -> None:
    with filled.client() as client:
        corrupt(client)
    assert cli.main(flags(filled)) == 5
    assert "; run again what filled it: as the counts differ every row is written again" in capsys.readouterr().out
    record = filled.run(outputs="dense,sparse", model=str(filled.home.parent / "heads"))
    assert (record["exit_code"], fakes.ENCODED) == (0, [])
    assert verified(filled).findings == []


def test_the_rows_that_differ_are_named(filled: Job) -> None:
    with filled.client() as client:
        ids = [row["id"] for row in _in(client, "lang_de")]
        drop_rows(client)
        row = _in(client, "lang_fr")[0]
        client.upsert(COLLECTION, [{**row, "tokens": 99, "metadata": {"new": 1}}], partition_name="lang_fr")
    by_kind = {one.kind: one for one in verified(filled).findings}
    assert by_kind[Kind.MISSING].ids == tuple(ids[2:4])
    assert by_kind[Kind.CONTENT].ids == (row["id"],)
    assert by_kind[Kind.CONTENT].detail.endswith("differ from the dataset in metadata, tokens")


def test_vectors_of_many_ranges_and_few_rows_at_once_are_told_apart(
    filled: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transforms.logic.verification.IdRanges.__init__.__defaults__", (2,))
    monkeypatch.setattr("transforms.adapters.held_rows._ROWS_AT_ONCE", 3)
    assert verified(filled).findings == []
    with filled.client() as client:
        drop_rows(client)
        swap_vectors(client)
    found = {(one.kind, one.count) for one in verified(filled).findings}
    assert {(Kind.COUNT, 2), (Kind.MISSING, 2)} <= found


def test_an_index_that_finds_the_wrong_rows_is_found(filled: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    nearest = AuditedCollection.nearest

    def farthest(self: AuditedCollection, partition: str, vectors: Any, metric: str, top: int) -> Any:
        return nearest(self, partition, -vectors, metric, 3)

    monkeypatch.setattr(AuditedCollection, "nearest", farthest)
    found = verified(filled, queries=5)
    assert {(one.kind, one.partition) for one in found.findings} == {
        (kind, f"lang_{language}") for kind in (Kind.NOT_FOUND, Kind.RECALL) for language in LANGUAGES
    }
    assert found.searched == 30
    assert all(recall < 0.8 for recall in found.recall.values())
    assert {one.kind for one in verified(filled, min_recall=0.0).findings} == {Kind.NOT_FOUND}
    assert verified(filled, queries=0).findings == []


# --- every output ---


@pytest.fixture(params=["dense,sparse,multi", "sparse,multi", "multi"])
def several(request: pytest.FixtureRequest, job: Job, heads: Path) -> Iterator[tuple[Job, KeepingServer]]:
    """Six rows of several outputs in a Milvus that holds all of them."""
    job.model = heads
    job.write("a.jsonl", [document(f"d{n}", lang=LANGUAGES[n % 3]) for n in range(6)])
    with keeping_server("2.6.4") as server:
        record = job.run(outputs="dense,sparse,multi", milvus_outputs=request.param, milvus=server.uri)
        assert (record["exit_code"], record["verification"]["findings"]) == (0, [])
        assert record["verification"]["rows_compared"] == record["verification"]["vectors_exact"] == 6
        yield job, server


def change_field(server: KeepingServer, output: str) -> str:
    """One number of an output of the first row becomes another one; gives the row's id."""
    first = min(server.rows)
    field = server.rows[first][output]
    if output == "multi":
        (vectors,) = field.struct_arrays.fields
        vectors.vectors.vector_array.data[0].float_vector.data[-1] += 0.001
    elif output == "sparse":
        (content,) = field.vectors.sparse_float_vector.contents
        (weight,) = struct.unpack("<f", content[4:8])
        field.vectors.sparse_float_vector.contents[0] = content[:4] + struct.pack("<f", weight / 2) + content[8:]
    else:
        field.vectors.float_vector.data[0] += 0.001
    return first


@pytest.mark.parametrize("form", ["quick", "full"])
def test_every_output_is_fetched_back(several: tuple[Job, KeepingServer], form: Form) -> None:
    job, server = several
    where = Target(server.uri, COLLECTION)
    outputs = sorted({"dense", "sparse", "multi"} & set(next(iter(server.rows.values()))))
    assert verify_collection(str(job.workspace), where, form, Depth(queries=0)).findings == []
    for output in outputs:
        before = deepcopy(server.rows)
        changed = change_field(server, output)
        found = verify_collection(str(job.workspace), where, form, Depth(queries=0))
        (finding,) = found.findings
        assert (finding.kind, finding.count, finding.ids) == (Kind.VECTOR, 1, (changed,))
        assert finding.detail.endswith(f"fetched are not the dataset's in the output {output}")
        assert (found.rows_compared, found.vectors_exact) == (6, 5)
        server.rows = before


def test_tokens_that_are_lost_or_too_many_are_noticed(several: tuple[Job, KeepingServer]) -> None:
    job, server = several
    for more in (True, False):
        (vectors,) = server.rows[max(server.rows)]["multi"].struct_arrays.fields
        numbers = vectors.vectors.vector_array.data[0].float_vector.data
        first = numbers[:DIMENSIONS]
        if more:
            numbers.extend(first)
        else:
            del numbers[-2 * DIMENSIONS :]
        (finding,) = verify_collection(str(job.workspace), Target(server.uri, COLLECTION), "quick").findings
        assert (finding.kind, finding.ids) == (Kind.VECTOR, (max(server.rows),))


def test_rows_with_many_tokens_are_fetched_a_few_at_a_time(
    several: tuple[Job, KeepingServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    job, server = several
    rows = AuditedCollection.rows
    asked: list[int] = []

    def watched(self: AuditedCollection, partition: str, ids: Sequence[str], fields: Sequence[str]) -> Any:
        asked.append(len(ids))
        return rows(self, partition, ids, fields)

    monkeypatch.setattr(AuditedCollection, "rows", watched)
    largest = max(
        4 * len(row["multi"].struct_arrays.fields[0].vectors.vector_array.data[0].float_vector.data)
        for row in server.rows.values()
    )
    monkeypatch.setattr("transforms.adapters.verifier._FETCHED_BYTES", 4 * largest)
    assert verify_collection(str(job.workspace), Target(server.uri, COLLECTION), "quick").findings == []
    assert asked == [4, 2]
    monkeypatch.setattr("transforms.adapters.verifier._FETCHED_BYTES", 1)
    del asked[:]
    verify_collection(str(job.workspace), Target(server.uri, COLLECTION), "quick")
    assert asked == [1] * 6


def test_weights_that_do_not_find_their_row_are_found(filled: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    heaviest = AuditedCollection.heaviest

    def few(self: AuditedCollection, partition: str, weights: Any, top: int) -> Any:
        return [of_query[1:3] for of_query in heaviest(self, partition, weights, top)]

    monkeypatch.setattr(AuditedCollection, "heaviest", few)
    found = verified(filled, queries=4).findings
    assert {one.kind for one in found} == {Kind.NOT_FOUND}
    assert all(one.detail.startswith(f"{one.count} of 4 stored sparse vectors find neither") for one in found)
    assert found


# --- the workspace ---


def _workspace(job: Job) -> Workspace:
    return Workspace(str(job.workspace), "", collection_key(str(job.milvus), COLLECTION))


@pytest.mark.parametrize("pattern", ["ledger/*/parts/*.parquet", "dataset/*/*.parquet", "ledger/*/00000001.json"])
def test_a_damaged_file_of_the_workspace_is_named(
    filled: Job, capsys: pytest.CaptureFixture[str], pattern: str
) -> None:
    path = min(filled.workspace.glob(pattern))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert cli.main(flags(filled)) == 5
    assert path.name in capsys.readouterr().err


def test_a_run_that_died_is_a_finding(filled: Job) -> None:
    workspace = _workspace(filled)
    intents = min(filled.workspace.glob("ledger/*/intents/00000001/*.parquet"))
    again = intents.parent.with_name("00000002")
    again.mkdir()
    shutil.copy(intents, again)
    assert workspace.unsettled_intents(workspace.latest_ledger())
    (finding,) = verified(filled, "quick").findings
    assert finding.kind == Kind.UNFINISHED
    assert "run it again" in finding.detail


def test_beside_a_run_it_is_refused(filled: Job, capsys: pytest.CaptureFixture[str]) -> None:
    with leased(_workspace(filled).lease, "run-of-somebody"):
        assert cli.main(flags(filled)) == 6
    assert "run run-of-somebody (process" in capsys.readouterr().err
    assert cli.main(flags(filled)) == 0


def test_a_collection_without_a_ledger_or_none_at_all_is_refused(filled: Job, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="has no ledger of collection 'corpus'"):
        verify_collection(str(tmp_path), target(filled))
    with pytest.raises(ConfigurationError, match=r"there is no collection 'nowhere' at .*; there is corpus$"):
        verify_collection(str(filled.workspace), target(filled, "nowhere"))


# --- the command ---


def test_the_command_says_what_it_did(filled: Job, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(flags(filled)) == 0
    text = capsys.readouterr().out
    assert text.startswith("full verification of corpus: ledger 1, 30 rows\n")
    assert text.endswith("nothing found: the collection is what its ledger says\n")
    assert cli.main(flags(filled, "--quick")) == 0
    # Three of sixteen (Hanley and Lippman-Hand 1983).
    assert "had more than 18.75% of the rows been wrong, it would show (95 %)" in capsys.readouterr().out


def test_the_command_names_findings_and_gives_them_as_json(filled: Job, capsys: pytest.CaptureFixture[str]) -> None:
    with filled.client() as client:
        drop_rows(client)
    assert cli.main(flags(filled, "--json", "--quick")) == 5
    (finding,) = [one for one in json.loads(capsys.readouterr().out)["findings"] if one["kind"] == "count"]
    assert finding == {
        "kind": "count",
        "partition": "lang_de",
        "count": 2,
        "ids": [],
        "detail": "8 rows counted, 10 in the ledger",
    }
    assert cli.main(flags(filled)) == 5
    assert "FOUND: partition lang_de: missing rows: 2 of the ledger are not there: " in capsys.readouterr().out


@pytest.mark.parametrize("wrong", [["--rows", "0"], ["--queries", "-1"], ["--min-recall", "1.5"]])
def test_a_depth_out_of_bounds_is_refused(filled: Job, capsys: pytest.CaptureFixture[str], wrong: list[str]) -> None:
    assert cli.main(flags(filled, *wrong)) == 2
    assert f"{wrong[0]} {wrong[1]}" in capsys.readouterr().err


def test_an_alias_is_verified_as_what_it_means(filled: Job) -> None:
    with filled.client() as client:
        client.create_alias(COLLECTION, "docs")
    found = verify_collection(str(filled.workspace), target(filled, "docs"), "quick")
    assert found.findings == []
    assert "quick verification of docs" in show(found, "docs")


# --- the end of a run ---


@pytest.fixture
def small(job: Job) -> Job:
    """So few rows that the quick form sees all."""
    job.write("a.jsonl", [document(f"d{n}", lang=LANGUAGES[n % 3]) for n in range(6)])
    assert job.run()["verification"]["rows_compared"] == 6
    return job


def test_a_run_whose_collection_is_not_what_it_should_be_is_not_committed(small: Job) -> None:
    with small.client() as client:
        first, second = _in(client, "lang_de")
        first["dense"], second["dense"] = second["dense"], first["dense"]
        client.upsert(COLLECTION, [first, second], partition_name="lang_de")
    small.write("b.jsonl", [document("new")])
    record = small.run()
    assert (record["exit_code"], record["status"], record["ledger"]) == (5, "does not balance", 1)
    (difference,) = record["differences"]
    assert difference.startswith("other vector: 2 of 7 fetched are not the dataset's in the output dense: ")
    assert _workspace(small).latest_ledger().number == 1
    assert small.run(verify="none")["ledger"] == 2


def test_a_run_may_leave_the_verification_out_or_do_it_in_full(small: Job) -> None:
    assert small.run(verify="none")["verification"] is None
    full = small.run(verify="full")["verification"]
    assert (full["form"], full["ids_compared"], full["recall"]) == (
        "full",
        6,
        {"lang_de": 1.0, "lang_en": 1.0, "lang_fr": 1.0},
    )


def test_a_lost_shard_is_no_silent_success(small: Job) -> None:
    next(small.workspace.glob("dataset/*/*.parquet")).unlink()
    with pytest.raises(CorruptDataError, match="gone or damaged"):
        verified(small)


def test_an_index_that_is_being_built_is_waited_for_in_the_full_form(
    filled: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    indexes = AuditedCollection.indexes
    states = ["InProgress", "InProgress"]

    def building(self: AuditedCollection) -> Any:
        state = states.pop() if states else "Finished"
        return {name: {**index, "state": state} for name, index in indexes(self).items()}

    waited: list[float] = []
    monkeypatch.setattr("tenacity.nap.time.sleep", waited.append)
    monkeypatch.setattr(AuditedCollection, "indexes", building)
    assert verified(filled).findings == []
    assert (states, len(waited)) == ([], 2)
    monkeypatch.setattr("transforms.adapters.verifier._READY_SECONDS", 0.0)
    states[:] = ["InProgress"] * 9
    assert {(one.kind, one.detail.split(":")[0]) for one in verified(filled).findings} == {
        (Kind.INDEX, f"the index of field {name!r} is not finished after 0 s") for name in ("dense", "sparse")
    }
    states[:] = ["InProgress"] * 9
    assert verified(filled, "quick").findings == []
