"""A store that fails, at whichever call of whichever operation: a named error, or the right result; never anything else."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.pipelines.faults.stores import FAULTS, TRANSIENT, Plan, empty, failing
from tests.transforms.adapters.rows import shard_rows
from transforms.adapters import storage
from transforms.adapters.storage import (
    check_unchanged,
    check_writable,
    current_etag,
    list_matching,
    list_names,
    open_binary,
    read_bytes,
    write_bytes,
)
from transforms.adapters.workspace import Ledger, Workspace
from transforms.logic.errors import ConfigurationError, CorruptDataError, TransientError
from transforms.logic.schemas import LEDGER, batch_of

ROOT = "faulty://bucket/workspace"
FILE = f"{ROOT}/in/a.jsonl"
CONTENT = b"content " * 1000
LEDGER_ROW = {
    "id": "0" * 32,
    "document_id": "d",
    "partition": "p",
    "row_key": b"k" * 16,
    "shard": "s",
    "row": 0,
    "source": "a",
    "document_key": None,
}


def workspace() -> Workspace:
    return Workspace(ROOT, "space", "key")


def _read_opened() -> bytes:
    with open_binary(FILE, current_etag(FILE) or "") as stream:
        return stream.read()


def _write() -> bytes:
    write_bytes(f"{ROOT}/new", CONTENT)
    return read_bytes(f"{ROOT}/new")


def _create() -> bytes:
    write_bytes(f"{ROOT}/exclusive", CONTENT, exclusive=True)
    return read_bytes(f"{ROOT}/exclusive")


def _create_taken() -> str:
    with pytest.raises(FileExistsError):
        write_bytes(FILE, CONTENT, exclusive=True)
    return "refused"


def _write_shard() -> pa.Table:
    name = workspace().write_shard(shard_rows(range(5)))
    return workspace().read_shard(name, whole=True)


def _commit() -> Ledger:
    part = workspace().write_ledger_part(pa.Table.from_batches([batch_of([LEDGER_ROW], LEDGER)]))
    workspace().commit_ledger(Ledger(1, (part,), {"p": 1}), "run")
    assert workspace().read_ledger_part(part).num_rows == 1
    return workspace().latest_ledger()


def _write_record() -> dict[str, Any]:
    workspace().write_record("run", {"format": 1, "rows": 3})
    return workspace().read_record("run")


OPERATIONS: dict[str, Callable[[], Any]] = {
    "list_matching a glob": lambda: [file.uri for file in list_matching([f"{ROOT}/in/*.jsonl"])],
    "list_matching a directory": lambda: [file.uri for file in list_matching([f"{ROOT}/in/"])],
    "list_names": lambda: list_names(f"{ROOT}/in"),
    "current_etag": lambda: current_etag(FILE),
    "check_unchanged": lambda: check_unchanged(FILE, current_etag(FILE) or ""),
    "read_bytes": lambda: read_bytes(FILE),
    "open_binary": _read_opened,
    "write_bytes": _write,
    "write_bytes exclusive": _create,
    "write_bytes exclusive, taken": _create_taken,
    "check_writable": lambda: check_writable(ROOT),
    "a shard": _write_shard,
    "a ledger": _commit,
    "a record": _write_record,
}


@pytest.fixture(autouse=True)
def store() -> Iterator[None]:
    _reset()
    yield
    empty()


def _reset() -> None:
    empty()
    write_bytes(FILE, CONTENT)


@pytest.mark.parametrize("reply_lost", [False, True], ids=["refused", "reply lost"])
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_fault_at_any_call_of_an_operation(operation: str, fault: str, reply_lost: bool) -> None:
    function = OPERATIONS[operation]
    is_etag = operation == "current_etag"
    expected = function()
    call = 0
    while True:
        call += 1
        if not is_etag:
            _reset()
        with failing(Plan(fault, call, reply_lost)) as plan:
            try:
                found, error = function(), None
            except (ConfigurationError, CorruptDataError, TransientError, OSError) as raised:
                found, error = None, raised
        if error is None:
            assert _equal(found, expected), f"call {call} failed in silence"
            if not plan.struck:
                break
        else:
            assert isinstance(error, TransientError) == (fault in TRANSIENT) or fault == "401"
            assert ROOT.removeprefix("faulty:/") in str(error)
        if operation == "write_bytes exclusive":
            # Whether the first attempt had done its work is for the caller to find out: `commit_ledger` does.
            _reset()
        assert _equal(function(), expected)
    assert call > 1


def _equal(found: Any, expected: Any) -> bool:
    return bool(found.equals(expected)) if isinstance(expected, pa.Table) else found == expected


@pytest.mark.parametrize("fault", ["503", "reset", "timeout"])
def test_a_commit_whose_reply_was_lost_is_no_lost_race(fault: str) -> None:
    ledger = Ledger(1, ("part",), {"p": 1})
    with failing(Plan(fault, 1, reply_lost=True)), pytest.raises(TransientError):
        workspace().commit_ledger(ledger, "run")
    assert workspace().latest_ledger() == ledger
    workspace().commit_ledger(ledger, "run")
    with pytest.raises(TransientError, match="another run committed"):
        workspace().commit_ledger(ledger, "another run")


@pytest.mark.parametrize("kept", [0, 1, len(CONTENT) - 1])
def test_a_read_that_ends_early_is_no_content(monkeypatch: pytest.MonkeyPatch, kept: int) -> None:
    read = type(open_stream()).read
    monkeypatch.setattr(
        "fsspec.implementations.memory.MemoryFile.read", lambda file, *_: read(file)[:kept], raising=False
    )
    with pytest.raises(TransientError, match=f"{kept} of 8000 bytes"):
        read_bytes(FILE)


def open_stream() -> Any:
    with open_binary(FILE) as stream:
        return stream


def test_an_old_listing_makes_no_run_forget_a_ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    for number in (1, 2, 3):
        workspace().commit_ledger(Ledger(number, (), {"p": number}), f"run{number}")
    names = storage.list_names(f"{ROOT}/ledger/key")
    for old in ([], names[:1], names[:2]):
        monkeypatch.setattr("transforms.adapters.workspace.list_names", lambda directory, old=old: old)
        assert workspace().latest_ledger() == Ledger(3, (), {"p": 3})


@pytest.mark.parametrize("exclusive", [False, True])
@pytest.mark.parametrize("step", ["write", "fsync", "name", "directory"])
@pytest.mark.parametrize("errno", [28, 122, 13, 5])
def test_a_local_disk_that_fails_is_named_and_holds_nothing_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exclusive: bool, step: str, errno: int
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno, os.strerror(errno))

    path = tmp_path / "below" / "file"
    with monkeypatch.context() as patch:
        if step == "write":
            patch.setattr(Path, "open", fail)
        elif step == "fsync":
            patch.setattr(os, "fsync", fail)
        elif step == "directory":
            patch.setattr(Path, "mkdir", fail)
        else:
            patch.setattr(os, "link", fail)
            patch.setattr(Path, "replace", fail)
        with pytest.raises(OSError, match=os.strerror(errno)) as caught:
            write_bytes(str(path), CONTENT, exclusive=exclusive)
        assert str(path) in str(caught.value)
    assert list(tmp_path.rglob("*")) in ([], [path.parent])
    write_bytes(str(path), CONTENT, exclusive=exclusive)
    assert [one.read_bytes() for one in path.parent.iterdir()] == [CONTENT]
