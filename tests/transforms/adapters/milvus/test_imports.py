"""Every file is imported once, whatever fails and whenever the importing process dies; nothing fails silently."""

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.milvus_import_server import TOKEN, Fault, import_server
from tests.transforms.adapters.milvus.importing import Place, ids_of
from transforms.adapters import crashpoints, storage
from transforms.adapters.milvus import Collection, import_jobs, imports
from transforms.adapters.milvus.import_jobs import ImportCollection
from transforms.adapters.milvus.imports import remove_files
from transforms.logic.errors import ConfigurationError, CorpusEmbedError, CorruptDataError, TransientError

VERSIONS = ("2.3.5", "2.5.4", "2.6.24")
"""Jobs by gRPC, by REST, and by REST with idempotency keys."""
ROWS = {"lang_de": range(30), "lang_en": range(20)}


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the attempts of one call."""
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda _: None)


@pytest.fixture(params=VERSIONS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    (tmp_path / "bucket").mkdir()
    with import_server(request.param, tmp_path / "bucket") as server:
        yield Place(server, tmp_path)


def _check_imported_once(place: Place) -> None:
    assert sorted(place.server.rows) == ids_of(**ROWS)


def test_files_are_imported_and_the_journal_names_their_jobs(place: Place) -> None:
    files = place.write(**ROWS)
    place.run(files)
    _check_imported_once(place)
    assert place.journal.exists
    entries = place.journal.entries(files).values()
    assert [entry.phase for entry in entries] == ["completed", "completed"]
    assert [int(entry.job_id) for entry in entries] == list(place.server.jobs)


def test_a_finished_import_is_not_begun_again(place: Place) -> None:
    files = place.write(**ROWS)
    place.run(files)
    place.run(files)
    _check_imported_once(place)
    assert len(place.server.jobs) == 2


def test_each_request_is_of_one_file_by_the_path_that_the_server_knows(tmp_path: Path) -> None:
    with import_server("2.6.24", tmp_path) as server:
        place = Place(server, tmp_path)
        files = place.write(**ROWS)
        place.run(files)
        created = [(body, head) for body, head in zip(server.bodies, server.headers, strict=True) if "files" in body]
    assert [body for body, _ in created] == [
        {"collectionName": "c", "partitionName": file.partition, "files": [[f"imports/{file.name}"]]} for file in files
    ]
    keys = [head["Idempotency-Key"] for _, head in created]
    assert len(set(keys)) == 2
    assert all(len(key) == 32 for key in keys)


# --- killed anywhere ---


class _Killed(BaseException):
    """As SIGKILL: nothing catches it."""


def _kill_at(monkeypatch: pytest.MonkeyPatch, point: str, time: int) -> Callable[[], bool]:
    reached = 0

    def crashpoint(name: str) -> None:
        nonlocal reached
        if name == point:
            reached += 1
            if reached == time:
                raise _Killed

    monkeypatch.setattr(crashpoints, "_crashpoint", crashpoint)
    return lambda: reached >= time


_POINTS = [f"{side} {step}" for step in ("import plan", "import journal", "import job") for side in ("before", "after")]


@pytest.mark.parametrize("point", _POINTS)
def test_killed_at_any_point_and_run_again(place: Place, monkeypatch: pytest.MonkeyPatch, point: str) -> None:
    files = place.write(**ROWS)
    for time in range(1, 100):
        place.journal.forget()
        place.server.imported.clear()
        place.server.jobs.clear()
        place.server.keys.clear()
        was_reached = _kill_at(monkeypatch, point, time)
        try:
            place.run(files)
        except _Killed:
            monkeypatch.undo()
            monkeypatch.setattr("tenacity.nap.time.sleep", lambda _: None)
            place.run(files)
        _check_imported_once(place)
        if not was_reached():
            assert time > 1
            return
    pytest.fail("it is reached without end")


@pytest.mark.parametrize("hours", [0, 30])
def test_killed_before_the_job_was_known_and_run_again_when_the_server_forgot_it(
    place: Place, monkeypatch: pytest.MonkeyPatch, hours: float
) -> None:
    """The list of jobs is empty, and after a day so is that of keys: the rows tell."""
    files = place.write(**ROWS)
    _kill_at(monkeypatch, "after import job", 2)
    with pytest.raises(_Killed):
        place.run(files)
    monkeypatch.undo()
    for job in place.server.jobs.values():
        while job.state != "Completed":
            place.server.advance(job)
    place.server.forgotten = True
    place.server.hours += hours
    place.run(files)
    _check_imported_once(place)
    assert len(place.server.jobs) == 2


def test_killed_before_the_job_was_asked_for_and_run_again_when_the_server_forgot_all(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = place.write(**ROWS)
    _kill_at(monkeypatch, "before import job", 2)
    with pytest.raises(_Killed):
        place.run(files)
    monkeypatch.undo()
    place.run(files)
    _check_imported_once(place)


def test_rows_that_nobody_can_account_for_are_no_ground_to_import_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = place.write(**ROWS)
    _kill_at(monkeypatch, "before import job", 1)
    with pytest.raises(_Killed):
        place.run(files)
    monkeypatch.undo()
    place.server.imported["lang_de"] = ["somebody else's"]
    with pytest.raises(CorruptDataError, match=r"partition lang_de has 1 rows, 0 were imported.*cannot be told"):
        place.run(files)
    assert "lang_de" not in [job.partition for job in place.server.jobs.values()]


# --- what fails, and where: no cell is silent ---

_RECOVERED = "recovered"
_IMPORT: dict[Fault, Any] = {
    "rate limit": _RECOVERED,
    "unavailable": _RECOVERED,
    "deadline": _RECOVERED,
    "auth": (ConfigurationError, r"does not let this user import .*check --milvus-token"),
    "refused": (
        CorpusEmbedError,
        r"failed to import 1 of 2 files(?s:.)*imports/lang_de/[0-9a-f]{32}.parquet.*the server refuses this",
    ),
    "lost request": _RECOVERED,
    "lost reply": _RECOVERED,
    "no answer of Milvus": _RECOVERED,
}
_POLL: dict[Fault, Any] = {
    "rate limit": _RECOVERED,
    "unavailable": _RECOVERED,
    "deadline": _RECOVERED,
    "auth": (ConfigurationError, r"does not let this user import .*check --milvus-token"),
    "refused": (CorpusEmbedError, "the server refuses this"),
    "lost request": _RECOVERED,
    "lost reply": _RECOVERED,
    "no answer of Milvus": _RECOVERED,
}


@pytest.mark.parametrize("fault", get_args(Fault))
@pytest.mark.parametrize("verb", ["create", "describe"])
def test_a_fault_ends_in_the_right_rows_or_in_an_error_with_its_name(
    place: Place, monkeypatch: pytest.MonkeyPatch, verb: str, fault: Fault
) -> None:
    monkeypatch.setattr(import_jobs, "CALL_TIMEOUT_SECONDS", 0.3)
    files = place.write(**ROWS)
    place.server.faults = {verb: [fault]}
    expected = {"create": _IMPORT, "describe": _POLL}[verb][fault]
    if fault == "no answer of Milvus" and verb == "describe" and place.server.version == "2.3.5":
        expected = (CorpusEmbedError, "Milvus refused GetImportState")
    if expected == _RECOVERED:
        place.run(files)
    else:
        kind, said = expected
        with pytest.raises(kind, match=said):
            place.run(files)
        # The next run mends it, whether or not it was mended outside.
        place.run(files)
    _check_imported_once(place)


def test_a_server_that_is_busy_for_long_ends_in_an_error_that_passes(place: Place) -> None:
    files = place.write(**ROWS)
    place.server.faults = {"create": ["rate limit"] * 6}
    with pytest.raises(TransientError, match=r"too busy to import .*rate limit exceeded"):
        place.run(files)
    assert place.server.rows == []
    place.run(files)
    _check_imported_once(place)


def test_answers_that_are_lost_without_end_end_in_an_error_that_passes(place: Place) -> None:
    files = place.write(**ROWS)
    place.server.faults = {"create": ["lost request"] * 50}
    with pytest.raises(TransientError, match=r"answers no request to import .*run again"):
        place.run(files)
    place.server.faults = {}
    place.run(files)
    _check_imported_once(place)


def test_a_stuck_job_is_named_with_its_state_and_progress(place: Place) -> None:
    files = place.write(**ROWS)
    place.server.stuck = True
    with pytest.raises(
        TransientError,
        match=r"imports/lang_de/\w+\.parquet makes no progress: job 1000 has been pending at 0 % for 600 seconds",
    ):
        place.run(files)
    place.server.stuck = False
    place.run(files)
    _check_imported_once(place)
    assert len(place.server.jobs) == 2


def test_a_failed_job_is_named_with_its_reason_and_asked_for_anew_by_the_next_run_alone(place: Place) -> None:
    files = place.write(**ROWS)
    place.server.broken = ["lang_en"]
    with pytest.raises(CorpusEmbedError) as caught:
        place.run(files)
    path = place.storage.path_of(files[1])
    assert "failed to import 1 of 2 files" in str(caught.value)
    assert f"  {path} (job 1001): the disk of the data node is full: {path}" in str(caught.value)
    place.run(files)
    _check_imported_once(place)
    assert [job.path for job in place.server.jobs.values()] == [
        place.storage.path_of(one) for one in (*files, files[1])
    ]
    if place.server.version == "2.6.24":
        assert len(place.server.keys) == 3


def test_rows_that_the_server_loses_are_noticed(place: Place) -> None:
    files = place.write(lang_de=range(30))
    place.server.loses_rows = 1
    with pytest.raises(
        CorruptDataError, match=r"imported 29 rows of imports/lang_de/\w+\.parquet \(job 1000\), which has 30"
    ):
        place.run(files)


def _without_vectors(table: pa.Table) -> pa.Table:
    return table.drop_columns(["dense"])


def _of_fixed_size(table: pa.Table) -> pa.Table:
    fixed = table.column("dense").cast(pa.list_(pa.float32(), 16))
    return table.set_column(table.schema.get_field_index("dense"), "dense", fixed)


def _of_fewer_dimensions(table: pa.Table) -> pa.Table:
    short = pa.array([vector[:15] for vector in table.column("dense").to_pylist()], pa.list_(pa.float32()))
    return table.set_column(table.schema.get_field_index("dense"), "dense", short)


def _with_a_long_text(table: pa.Table) -> pa.Table:
    return table.set_column(table.schema.get_field_index("date"), "date", pa.array(["ภ" * 86] * table.num_rows))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_without_vectors, "schema not equal"),
        (_of_fixed_size, "'dense' is of fixed_size_list"),
        (_of_fewer_dimensions, "'dense': a vector without 16 numbers"),
        (_with_a_long_text, "'date' exceeds max_length 256"),
    ],
)
def test_a_file_that_does_not_fit_the_schema_fails_with_the_servers_words(
    place: Place, spoil: Callable[[pa.Table], pa.Table], said: str
) -> None:
    files = place.write(lang_de=range(3))
    path = Path(place.storage.uri_of(files[0]))
    pq.write_table(spoil(pq.read_table(path)), path)
    with pytest.raises(CorpusEmbedError, match=said):
        place.run(files)
    assert place.server.rows == []


def test_a_file_that_is_gone_and_one_that_is_too_large_are_named(place: Place) -> None:
    files = place.write(**ROWS)
    Path(place.storage.uri_of(files[0])).unlink()
    place.server.max_file_bytes = 10
    with pytest.raises(CorpusEmbedError, match=r"2 of 2 files(?s:.)*no such file(?s:.)*exceeds the limit of 10 bytes"):
        place.run(files)


def test_more_jobs_than_the_server_queues_wait_for_their_turn(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transforms.adapters.milvus.imports._JOBS_AT_ONCE", 2)
    place.server.max_jobs = 2
    rows = {f"lang_{number}": range(number, number + 3) for number in range(5)}
    place.server.partitions |= {name: {} for name in rows}
    place.run(place.write(**rows))
    assert sorted(place.server.rows) == ids_of(**rows)


def test_a_journal_is_listed_as_often_however_many_files_there_are(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    works = storage.list_names
    listed: list[str] = []

    def watched(directory: str) -> list[str]:
        listed.append(directory)
        return works(directory)

    monkeypatch.setattr(imports, "list_names", watched)
    rows = {f"lang_{number}": range(number, number + 3) for number in range(5)}
    place.server.partitions |= {name: {} for name in rows}
    files = place.write(**rows)
    for _ in range(2):
        del listed[:]
        place.run(files)
        assert len(listed) == 1
    assert sorted(place.server.rows) == ids_of(**rows)


def test_a_collection_that_is_gone_is_said(place: Place) -> None:
    files = place.write(lang_de=range(3))
    place.server.partitions.pop("lang_de")
    with pytest.raises(CorpusEmbedError, match="partition not found"):
        place.run(files)
    place.server.schema = None
    place.journal.forget()
    with pytest.raises(CorpusEmbedError, match="collection not found"):
        place.run(files)


def test_a_lease_that_was_taken_over_ends_it_before_the_next_job(place: Place) -> None:
    asked = []

    def check_lease() -> None:
        asked.append(True)
        if len(asked) == 2:
            raise TransientError("another run took over")

    with pytest.raises(TransientError, match="another run took over"):
        place.run(place.write(**ROWS), check_lease=check_lease)
    assert len(place.server.jobs) == 1


@pytest.mark.parametrize("version", ["2.5.4", "2.6.24"])
def test_a_token_is_sent_and_one_that_is_wrong_is_said(
    version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN_OF_TEST", TOKEN)
    with import_server(version, tmp_path) as server:
        place = Place(server, tmp_path)
        server.token = TOKEN
        files = place.write(**ROWS)
        place.run(files)
        _check_imported_once(place)
        place.journal.forget()
        monkeypatch.setenv("TOKEN_OF_TEST", "somebody:else")
        with pytest.raises(ConfigurationError, match=r"does not let this user import .*--milvus-token") as caught:
            place.run(files)
        assert "somebody:else" not in str(caught.value)


def test_progress_is_logged(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "transforms.adapters.milvus.imports"):
        place.run(place.write(**ROWS))
    text = "\n".join(caplog.messages)
    assert (
        "job 1000 is pending, 0 %; 0 of 2 files are in" in text
        or "job 1000 is importing, 33 %; 0 of 2 files are in" in text
    )
    assert "job 1001 is completed, 100 %; 1 of 2 files are in" in text


def test_rows_that_are_never_loaded_are_left_to_the_balance(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    files = place.write(**ROWS)
    monkeypatch.setattr(ImportCollection, "counts", lambda _: {"lang_de": 30, "lang_en": 19})
    place.run(files)
    assert 300 <= place.clock.seconds < 320


def test_counts_that_fail_while_rows_are_loaded_are_asked_for_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As seen on a busy 2.3.5 (code 503)."""
    files = place.write(**ROWS)
    said = ["failed to query: segment lacks[segment=1]: channel not available[channel=by-dev-rootcoord-dml_13]"] * 3
    count = Collection.counts

    def counts(collection: Collection) -> dict[str, int]:
        if said:
            raise CorpusEmbedError(said.pop())
        return count(collection)

    monkeypatch.setattr(Collection, "counts", counts)
    place.run(files)
    _check_imported_once(place)
    assert said == []


def test_a_count_that_is_refused_is_said(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def counts(_: Collection) -> dict[str, int]:
        raise CorpusEmbedError("Milvus refused count: no such field")

    files = place.write(**ROWS)
    monkeypatch.setattr(Collection, "counts", counts)
    with pytest.raises(CorpusEmbedError, match="no such field"):
        place.run(files)


# --- the plan ---


def test_an_import_of_other_rows_is_refused(place: Place) -> None:
    place.journal.plan(place.write(**ROWS), place.storage)
    with pytest.raises(
        ConfigurationError, match="an import of 50 rows was begun and this run wants 49, or others: drop the collection"
    ):
        place.run(place.write(lang_de=range(30), lang_en=range(19)))


def test_the_same_rows_cut_in_another_way_go_on_with_the_files_that_were_fixed(place: Place) -> None:
    fixed = place.write(**ROWS)
    place.journal.plan(fixed, place.storage)
    cut = place.write(lang_de=range(10)) + place.write(lang_de=range(10, 30), lang_en=range(20))
    assert place.journal.plan(cut, place.storage) == sorted(fixed, key=lambda file: file.name)
    place.run(cut)
    _check_imported_once(place)


def test_another_storage_is_refused(place: Place) -> None:
    files = place.write(**ROWS)
    place.journal.plan(files, place.storage)
    with pytest.raises(ConfigurationError, match=r"was begun from --import-storage .*name these to go on"):
        place.journal.plan(files, replace(place.storage, path="elsewhere"))


def test_a_damaged_journal_is_named(place: Place) -> None:
    files = place.write(**ROWS)
    place.journal.plan(files, place.storage)
    (plan,) = (place.home / "journal").rglob("plan.json")
    values = json.loads(plan.read_bytes())
    plan.write_text(json.dumps({**values, "format": 2}))
    with pytest.raises(CorruptDataError, match=r"plan\.json has format 2, this version reads 1"):
        place.run(files)
    plan.write_bytes(b"{")
    with pytest.raises(CorruptDataError, match=r"plan\.json cannot be read"):
        place.run(files)


def test_a_forgotten_journal_is_gone(place: Place) -> None:
    files = place.write(**ROWS)
    place.run(files)
    place.journal.forget()
    assert not place.journal.exists
    assert place.journal.entries(files)[files[0].name].phase == "new"


def test_files_that_cannot_be_removed_are_named_and_harm_nothing(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    files = place.write(**ROWS)
    path = Path(place.storage.uri_of(files[0]))
    path.unlink()
    path.mkdir()
    remove_files(place.storage, files)
    assert not Path(place.storage.uri_of(files[1])).exists()
    assert f"{path} was imported and cannot be removed" in caplog.text
