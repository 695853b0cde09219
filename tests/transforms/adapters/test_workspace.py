"""What the project keeps: written whole, named by content, read back as written or refused by name."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.transforms.adapters.rows import DIMENSIONS, shard_rows
from transforms.adapters import workspace as workspace_module
from transforms.adapters.storage import join, list_names, read_bytes, write_bytes
from transforms.adapters.workspace import Held, Ledger, Workspace, collection_key, read_intents
from transforms.logic.errors import CorruptDataError, TransientError
from transforms.logic.schemas import INTENTS, LEDGER, REJECTS, batch_of, row_schema

INTENT = {"id": "00" * 16, "document_id": "d", "partition": "lang_de"}
HELD_ROW = {**INTENT, "row_key": b"k" * 16, "shard": "s", "row": 3, "source": "a", "document_key": b"d" * 16}
REJECT = {
    "level": "record",
    "stage": "read",
    "reason": "empty_text",
    "source": "a.jsonl",
    "locator": "byte 0",
    "document_id": None,
    "detail": "",
    "hash": "",
    "length_bytes": 0,
    "text": None,
}


@pytest.fixture(params=["local", "memory"])
def workspace(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Workspace]:
    if request.param == "local":
        yield Workspace(str(tmp_path / "workspace"), "space", "corpus-key")
    else:
        yield Workspace("memory://bucket/workspace", "space", "corpus-key")
        if fsspec.filesystem("memory").exists("/bucket"):
            fsspec.filesystem("memory").rm("/bucket", recursive=True)


def dataset(workspace: Workspace) -> str:
    return join(workspace.uri, "dataset", workspace.space)


def ledgers(workspace: Workspace) -> str:
    return join(workspace.uri, "ledger", workspace.collection_key)


def table(schema: pa.Schema, *rows: Any) -> pa.Table:
    return pa.Table.from_batches([batch_of(rows, schema)])


# --- the dataset ---


def test_a_shard_reads_back_as_written(workspace: Workspace) -> None:
    rows = shard_rows(range(20))
    name = workspace.write_shard(rows)
    assert workspace.read_shard(name).replace_schema_metadata(None).equals(rows)
    assert workspace.read_shard(name).schema.remove_metadata() == row_schema(DIMENSIONS)
    keys = [key[:4].hex() for key in rows.column("content_key").to_pylist()]
    assert name.startswith(f"{keys[0]}-{keys[-1]}-")
    (shard,) = workspace.shards()
    assert (shard.name, shard.first, shard.last) == (name, int(keys[0], 16), int(keys[-1], 16))


def test_the_same_rows_are_stored_once(workspace: Workspace) -> None:
    assert workspace.write_shard(shard_rows(range(5))) == workspace.write_shard(shard_rows(range(5)))
    assert workspace.write_shard(shard_rows(range(5), version=1)) != workspace.shards()[0].name
    assert len(workspace.shards()) == 2


def test_spaces_do_not_see_each_other(workspace: Workspace) -> None:
    workspace.write_shard(shard_rows(range(5)))
    assert Workspace(workspace.uri, "other space", workspace.collection_key).shards() == []


@settings(deadline=None, derandomize=True, max_examples=40)
@given(numbers=st.sets(st.integers(0, 49)), group_rows=st.sampled_from([1, 3, 7, 50, 100]))
def test_rows_by_number_are_the_same_rows_of_the_whole(
    tmp_path_factory: pytest.TempPathFactory, numbers: set[int], group_rows: int
) -> None:
    workspace = Workspace(str(tmp_path_factory.mktemp("workspace")), "space", "key")
    rows = shard_rows(range(50))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workspace_module, "_ROW_GROUP_ROWS", group_rows)
        name = workspace.write_shard(rows)
    assert pq.ParquetFile(join(dataset(workspace), name)).num_row_groups == -(-50 // group_rows)
    wanted = np.array(sorted(numbers), np.int64)
    taken = workspace.read_shard(name, ["id", "vector"], wanted)
    assert taken.replace_schema_metadata(None).equals(rows.select(["id", "vector"]).take(pa.array(wanted)))


def test_a_truncated_or_vanished_shard_is_named(workspace: Workspace) -> None:
    name = workspace.write_shard(shard_rows(range(50)))
    uri = join(dataset(workspace), name)
    whole = read_bytes(uri)
    for content in (b"", whole[:100], whole[:-1], whole[: len(whole) // 2] + whole[len(whole) // 2 + 1 :]):
        write_bytes(uri, content)
        with pytest.raises(CorruptDataError, match=name):
            workspace.read_shard(name)
    with pytest.raises(CorruptDataError, match="gone-shard"):
        workspace.read_shard("gone-shard.parquet")


@settings(deadline=None, derandomize=True, max_examples=120)
@given(place=st.integers(0, 100_000), flip=st.integers(1, 255))
def test_a_flipped_byte_of_a_page_never_changes_a_row_unseen(
    tmp_path_factory: pytest.TempPathFactory, place: int, flip: int
) -> None:
    workspace = Workspace(str(tmp_path_factory.mktemp("workspace")), "space", "key")
    rows = shard_rows(range(30))
    name = workspace.write_shard(rows)
    path = Path(dataset(workspace), name)
    content = bytearray(path.read_bytes())
    footer_bytes = int.from_bytes(content[-8:-4], "little") + 8
    content[place % (len(content) - footer_bytes)] ^= flip
    path.write_bytes(content)
    try:
        read = workspace.read_shard(name).replace_schema_metadata(None)
    except CorruptDataError:
        read = None
    assert read is None or read.equals(rows)


@settings(deadline=None, derandomize=True, max_examples=120)
@given(place=st.integers(1, 100_000), flip=st.integers(1, 255))
def test_a_flipped_byte_of_the_footer_is_no_error_of_another_kind(
    tmp_path_factory: pytest.TempPathFactory, place: int, flip: int
) -> None:
    workspace = Workspace(str(tmp_path_factory.mktemp("workspace")), "space", "key")
    name = workspace.write_shard(shard_rows(range(3)))
    path = Path(dataset(workspace), name)
    content = bytearray(path.read_bytes())
    footer_bytes = int.from_bytes(content[-8:-4], "little") + 8
    content[-1 - place % footer_bytes] ^= flip
    path.write_bytes(content)
    try:
        count = workspace.read_shard(name).num_rows
    except CorruptDataError:
        count = 3
    assert count == 3


def test_another_format_version_is_refused(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(workspace_module, "FORMAT", 2)
        name = workspace.write_shard(shard_rows(range(3)))
        workspace.write_record("run", {"format": 2})
        workspace.commit_ledger(Ledger(1, (), {}), "run")
    with pytest.raises(CorruptDataError, match="has format 2, this version reads 1"):
        workspace.read_shard(name)
    with pytest.raises(CorruptDataError, match="has format 2, this version reads 1"):
        workspace.latest_ledger()
    with pytest.raises(CorruptDataError, match="has format 2, this version reads 1"):
        workspace.read_record("run")


def test_a_parquet_file_of_somebody_else_is_refused(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path), "space", "key")
    Path(dataset(workspace)).mkdir(parents=True)
    pq.write_table(pa.table({"a": [1]}), join(dataset(workspace), "00000000-ffffffff-x.parquet"))
    with pytest.raises(CorruptDataError, match="has format 0"):
        workspace.read_shard("00000000-ffffffff-x.parquet")


# --- the ledger ---


def test_before_the_first_run_the_ledger_is_empty(workspace: Workspace) -> None:
    assert workspace.latest_ledger() == Ledger(0, (), {})
    assert Held(workspace.latest_ledger(), (), trusted=True).next_number == 1
    assert workspace.unsettled_intents(Ledger(0, (), {})) == []


def test_the_last_committed_ledger_counts(workspace: Workspace) -> None:
    for number in range(1, 12):
        workspace.commit_ledger(Ledger(number, (f"part{number}",), {"lang_de": number, "lang_fr": 1}), f"run{number}")
    assert workspace.latest_ledger() == Ledger(11, ("part11",), {"lang_de": 11, "lang_fr": 1})
    assert workspace.latest_ledger().rows == 12


def test_a_ledger_is_committed_once(workspace: Workspace) -> None:
    first = Ledger(1, ("a",), {"lang_de": 1})
    workspace.commit_ledger(first, "run")
    workspace.commit_ledger(first, "run")
    for other, run in ((first, "another run"), (Ledger(1, ("b",), {"lang_de": 1}), "run")):
        with pytest.raises(TransientError, match=r"another run committed .*00000001\.json"):
            workspace.commit_ledger(other, run)
    assert workspace.latest_ledger() == first


def test_of_threads_that_commit_one_number_exactly_one_wins(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path), "space", "key")
    gate = threading.Barrier(12)
    won: list[str] = []
    lost: list[str] = []

    def commit(run: str) -> None:
        gate.wait()
        try:
            workspace.commit_ledger(Ledger(1, (run,), {}), run)
            won.append(run)
        except TransientError:
            lost.append(run)

    threads = [threading.Thread(target=commit, args=(f"run{number}",)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert len(lost) == 11
    assert workspace.latest_ledger().parts == tuple(won)


_COMMITTER = """
import sys
from transforms.adapters.workspace import Ledger, Workspace
from transforms.logic.errors import TransientError

workspace = Workspace(sys.argv[1], "space", "key")
print("ready", flush=True)
sys.stdin.readline()
try:
    workspace.commit_ledger(Ledger(1, (sys.argv[2],), {}), sys.argv[2])
    print("won")
except TransientError:
    print("lost")
"""


def test_of_processes_that_commit_one_number_exactly_one_wins(tmp_path: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _COMMITTER, str(tmp_path), f"run{number}"],
            cwd=Path(__file__).parents[3],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(3)
    ]
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    outcomes = [process.communicate(timeout=60)[0].strip() for process in processes]
    assert sorted(outcomes) == ["lost", "lost", "won"]
    assert Workspace(str(tmp_path), "space", "key").latest_ledger().parts == (f"run{outcomes.index('won')}",)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", '{"format": 1}', '{"format": 1, "parts": 3, "partitions": {}}']
)
def test_a_damaged_ledger_is_named(workspace: Workspace, content: str) -> None:
    write_bytes(join(ledgers(workspace), "00000003.json"), content.encode())
    with pytest.raises(CorruptDataError, match=r"00000003\.json"):
        workspace.latest_ledger()


def test_parts_of_a_ledger_read_back(workspace: Workspace) -> None:
    rows = table(LEDGER, HELD_ROW, {**HELD_ROW, "id": "01" * 16})
    name = workspace.write_ledger_part(rows)
    assert workspace.read_ledger_part(name).equals(rows)
    assert workspace.write_ledger_part(rows) == name
    assert workspace.latest_ledger() == Ledger(0, (), {})


def test_intents_are_unsettled_until_their_ledger_is_committed(workspace: Workspace) -> None:
    rows = table(INTENTS, INTENT)
    before = workspace.latest_ledger()
    workspace.write_intents(1, rows)
    workspace.write_intents(1, rows)
    workspace.write_intents(1, table(INTENTS, {**INTENT, "document_id": "other"}))
    unsettled = workspace.unsettled_intents(before)
    assert len(unsettled) == 2
    assert sorted(read_intents(uri).column("document_id").to_pylist()[0] for uri in unsettled) == ["d", "other"]
    workspace.commit_ledger(Ledger(1, (), {}), "run")
    assert workspace.unsettled_intents(workspace.latest_ledger()) == []
    assert len(workspace.unsettled_intents(before)) == 2


def test_an_interrupted_write_of_intents_is_not_read(workspace: Workspace) -> None:
    write_bytes(join(ledgers(workspace), "intents", "00000001", ".x.parquet.1-1.partial"), b"half")
    assert workspace.unsettled_intents(workspace.latest_ledger()) == []


def test_collections_have_ledgers_of_their_own() -> None:
    keys = [collection_key(uri, name) for uri in ("a.db", "b.db", "http://a:19530") for name in ("corpus", "demo")]
    assert len(set(keys)) == 6
    assert keys[0].startswith("corpus-")
    assert collection_key("a.db", "corpus") == keys[0]


# --- rejects and run records ---


def test_rejects_and_records_read_back(workspace: Workspace) -> None:
    uri = workspace.write_rejects("run", table(REJECTS, REJECT))
    assert uri.startswith(join(workspace.uri, "rejects", "run") + "/")
    workspace.write_record("run", {"format": 1, "documents": {"read": 3}, "text": "größer 🎉"})
    workspace.write_record("run", {"format": 1, "documents": {"read": 4}, "text": "größer 🎉"})
    assert workspace.read_record("run")["documents"] == {"read": 4}
    assert workspace.record_uri("run") == join(workspace.uri, "runs", "run", "run.json")
    assert json.loads(read_bytes(workspace.record_uri("run")))["text"] == "größer 🎉"
    assert list_names(join(workspace.uri, "runs", "run")) == ["run.json"]


def test_a_missing_or_foreign_record_is_named(workspace: Workspace) -> None:
    with pytest.raises(CorruptDataError, match=r"run\.json"):
        workspace.read_record("run")
    for content in (b"[]", b"3", b"{}", b"not json", b"\xff"):
        write_bytes(workspace.record_uri("run"), content)
        with pytest.raises(CorruptDataError, match=r"run\.json"):
            workspace.read_record("run")
