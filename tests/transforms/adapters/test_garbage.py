"""What may go, and what stays whatever happens."""

import os
from pathlib import Path
from time import sleep
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.servers import Store
from tests.transforms.adapters.kept import commit, intend, stored
from tests.transforms.adapters.rows import key
from transforms.adapters.garbage import find_garbage, remove_garbage
from transforms.adapters.workspace import Workspace
from transforms.logic.errors import ConfigurationError, CorruptDataError
from transforms.logic.inventory import Kind
from transforms.logic.schemas import LEDGER, REJECTS, batch_of

Rows = list[dict[str, Any]]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(str(tmp_path / "workspace"), "space", "corpus-12345678")


def age(workspace: Workspace, seconds: int) -> None:
    """Makes every file that was not aged yet so old; later calls are for later files."""
    for path in Path(workspace.uri).rglob("*"):
        if path.is_file() and path.stat().st_mtime > 1_000_000_000:
            os.utime(path, (seconds, seconds))


def paths(workspace: Workspace, **choices: Any) -> list[str]:
    return [one.file.path for one in find_garbage(workspace.uri, **choices)]


def ledger_path(workspace: Workspace, *names: str) -> str:
    return "/".join(("ledger", workspace.collection_key, *names))


def contents(workspace: Workspace) -> set[bytes]:
    return {
        content
        for shard in workspace.shards()
        for content in workspace.read_shard(shard.name, ["content_key"]).column(0).to_pylist()
    }


@settings(deadline=None, derandomize=True, max_examples=25)
@given(
    runs=st.lists(st.tuples(st.sets(st.integers(0, 15), min_size=1), st.integers(1, 3)), min_size=1, max_size=5),
    keep_ledgers=st.integers(1, 3),
    by_choice=st.booleans(),
)
def test_current_rows_stay_readable_and_by_default_no_vector_is_lost(
    tmp_path_factory: pytest.TempPathFactory, runs: list[tuple[set[int], int]], keep_ledgers: int, by_choice: bool
) -> None:
    workspace = Workspace(str(tmp_path_factory.mktemp("workspace")), "space", "c-12345678")
    committed = []
    for number, (texts, parts) in enumerate(runs):
        rows = stored(workspace, texts, version=number)
        intend(workspace, number + 1, rows)
        age(workspace, 2 * number + 1)
        committed.append((commit(workspace, rows, parts), rows))
        age(workspace, 2 * number + 2)
    before = contents(workspace)
    garbage = find_garbage(workspace.uri, keep_ledgers, all_unreferenced_shards=by_choice)
    remove_garbage(workspace.uri, garbage)
    for ledger, rows in committed[-keep_ledgers:]:
        held = [row for part in ledger.parts for row in workspace.read_ledger_part(part).to_pylist()]
        assert sorted(held, key=lambda row: row["id"]) == sorted(rows, key=lambda row: row["id"])
        for row in held:
            assert row["row_key"] in workspace.read_shard(row["shard"], ["row_key"]).column(0).to_pylist()
    current = {key(number) for texts, _ in runs[-keep_ledgers:] for number in texts}
    assert contents(workspace) == (current if by_choice else before)
    assert workspace.latest_ledger() == committed[-1][0]
    assert find_garbage(workspace.uri, keep_ledgers, all_unreferenced_shards=by_choice) == []
    assert not list(Path(workspace.uri).rglob("intents/*/*"))
    kept_parts = {part for ledger, _ in committed[-keep_ledgers:] for part in ledger.parts}
    assert {path.name for path in Path(workspace.uri).rglob("parts/*")} == kept_parts
    assert len(list(Path(workspace.uri).rglob("ledger/*/*.json"))) == len(committed)


def test_nothing_goes_of_a_collection_whose_run_may_be_under_way(workspace: Workspace) -> None:
    old = stored(workspace, range(4))
    commit(workspace, old)
    rows = stored(workspace, range(4), version=1)
    commit(workspace, rows)
    age(workspace, 10)
    commit(workspace, rows[:3])
    age(workspace, 20)
    shard = f"dataset/space/{old[0]['shard']}"
    whole = paths(workspace, keep_ledgers=1)
    assert shard in whole
    assert [path for path in whole if "/parts/" in path]
    intend(workspace, 4, rows[:1])
    assert paths(workspace, keep_ledgers=1) == []
    # Another collection's run may read the shards, but not this one's ledger.
    other = Workspace(workspace.uri, "space", "other-12345678")
    for path in Path(workspace.uri).glob("ledger/*/intents"):
        path.rename(path.parent.parent / "moved")
    intend(other, 1, rows[:1])
    found = paths(workspace, keep_ledgers=1)
    assert shard not in found
    assert [path for path in found if "/parts/" in path]


def test_journals_of_imports_go_with_their_ledger_committed(workspace: Workspace) -> None:
    commit(workspace, stored(workspace, range(4)))
    for number in (1, 2):
        plan = Path(workspace.imports, f"{number:08d}", "plan.json")
        plan.parent.mkdir(parents=True)
        plan.write_bytes(b"{}")
    found = [path for path in paths(workspace) if "/imports/" in path]
    assert found == [f"ledger/{workspace.collection_key}/imports/00000001/plan.json"]


def test_shards_written_after_the_last_commit_stay(workspace: Workspace) -> None:
    commit(workspace, stored(workspace, range(4)))
    age(workspace, 10)
    fresh = stored(workspace, range(4), version=1)
    assert paths(workspace, all_unreferenced_shards=True) == []
    age(workspace, 10)
    assert paths(workspace, all_unreferenced_shards=True) == []
    os.utime(Path(workspace.uri) / "dataset" / "space" / str(fresh[0]["shard"]), (9, 9))
    assert paths(workspace) == [f"dataset/space/{fresh[0]['shard']}"]


def test_a_shard_with_a_content_of_its_own_goes_by_choice_alone(workspace: Workspace) -> None:
    alone = stored(workspace, [1, 2, 99])
    twins = [stored(workspace, [1, 2], version=version) for version in (1, 2)]
    age(workspace, 5)
    commit(workspace, stored(workspace, [1], version=3))
    age(workspace, 10)
    shards = [f"dataset/space/{rows[0]['shard']}" for rows in twins]
    assert paths(workspace) == sorted(shards)
    assert paths(workspace, all_unreferenced_shards=True) == sorted([*shards, f"dataset/space/{alone[0]['shard']}"])
    Path(workspace.uri, "dataset", "space", str(alone[0]["shard"])).unlink()
    # Of two shards that alone hold a content one stays.
    assert len(paths(workspace)) == 1


@pytest.mark.slow
def test_garbage_in_a_bucket(store: Store) -> None:
    workspace = Workspace(f"{store.root}/work", "space", "corpus-12345678")
    twin = stored(workspace, range(4))
    commit(workspace, twin)
    rows = stored(workspace, range(4), version=1)
    intend(workspace, 2, rows)
    # GCS and S3 tell the second of a write; only what is surely older may go.
    sleep(1.1)
    last = commit(workspace, rows)
    garbage = find_garbage(workspace.uri, 1)
    assert [one.file.kind for one in garbage] == [Kind.SHARD, Kind.INTENTS, Kind.PART]
    assert garbage[0].file.name == twin[0]["shard"]
    remove_garbage(workspace.uri, garbage)
    remove_garbage(workspace.uri, garbage)
    assert find_garbage(workspace.uri, 1) == []
    assert [shard.name for shard in workspace.shards()] == [rows[0]["shard"]]
    assert workspace.latest_ledger() == last


def test_half_written_files_go_when_a_later_run_was_committed(workspace: Workspace) -> None:
    rows = stored(workspace, range(3))
    half = Path(workspace.uri) / "dataset" / "space" / ".a.parquet.1-2.partial"
    half.write_bytes(b"half")
    assert paths(workspace) == []
    commit(workspace, rows)
    age(workspace, 10)
    assert paths(workspace) == []
    os.utime(half, (5, 5))
    (found,) = find_garbage(workspace.uri)
    assert (found.file.path, found.reason) == ("dataset/space/.a.parquet.1-2.partial", "its writer died")
    remove_garbage(workspace.uri, [found, found])
    assert not half.exists()


def test_rejects_that_their_record_does_not_name_go(workspace: Workspace) -> None:
    empty = pa.Table.from_batches([], REJECTS)
    uris = {run_id: workspace.write_rejects(run_id, empty) for run_id in ("run-1", "run-died")}
    left = Path(uris["run-1"]).with_name("0" * 32 + ".parquet")
    left.write_bytes(Path(uris["run-1"]).read_bytes())
    age(workspace, 10)
    commit(workspace, stored(workspace, range(3)))
    workspace.write_record("run-1", {"format": 1, "reject_files": [uris["run-1"]]})
    age(workspace, 20)
    assert paths(workspace) == [f"rejects/run-1/{left.name}"]
    # A run under the same id may have written it, and writes its record at the end.
    os.utime(left, (30, 30))
    assert paths(workspace) == []


def test_unknown_files_and_ledgers_never_go(workspace: Workspace) -> None:
    rows = stored(workspace, range(3))
    for count in (3, 2, 1):
        commit(workspace, rows[:count])
        age(workspace, 10 - count)
    (Path(workspace.uri) / "notes.txt").write_text("mine")
    (Path(workspace.uri) / "dataset" / "space" / "notes.txt").write_text("mine")
    unnamed = workspace.write_ledger_part(pa.Table.from_batches([batch_of(rows[1:2], LEDGER)]))
    found = paths(workspace, keep_ledgers=1, all_unreferenced_shards=True)
    assert len(found) == 2
    assert all(path.startswith(ledger_path(workspace, "parts")) for path in found)
    # Its run may be under way; it is not once a later ledger was committed.
    assert ledger_path(workspace, "parts", unnamed) not in found
    age(workspace, 10)
    commit(workspace, rows)
    age(workspace, 11)
    assert ledger_path(workspace, "parts", unnamed) in paths(workspace)


def test_a_ledger_that_cannot_be_followed_stops_everything(workspace: Workspace) -> None:
    ledger = commit(workspace, stored(workspace, range(3)))
    (Path(workspace.uri) / ledger_path(workspace, "parts") / ledger.parts[0]).unlink()
    with pytest.raises(CorruptDataError, match="though a ledger names it"):
        find_garbage(workspace.uri)
    with pytest.raises(ConfigurationError, match="--keep-ledgers 0"):
        find_garbage(workspace.uri, 0)


def test_nothing_is_called_garbage_by_a_ledger_that_was_altered(workspace: Workspace) -> None:
    rows = stored(workspace, range(4))
    ledger = commit(workspace, rows)
    path = Path(workspace.uri) / ledger_path(workspace, f"{ledger.number:08d}.json")
    path.write_text(path.read_text().replace(ledger.parts[0], "another.parquet"))
    with pytest.raises(CorruptDataError, match="is not a ledger as it was committed"):
        find_garbage(workspace.uri)
