from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from transforms.adapters import known_before
from transforms.adapters.known_before import read_known
from transforms.adapters.workspace import Ledger, Workspace
from transforms.logic.identity import digest
from transforms.logic.schemas import KEY, LEDGER

DOCUMENTS = 2000


@pytest.fixture
def filled(tmp_path: Path) -> tuple[Workspace, Ledger]:
    """A ledger of one row a document, in 20 parts by document id."""
    workspace = Workspace(str(tmp_path), "space", "key")
    ids = sorted((f"d{number}" for number in range(DOCUMENTS)), key=digest)
    parts = []
    for start in range(0, DOCUMENTS, DOCUMENTS // 20):
        rows = [
            {
                "id": name,
                "document_id": name,
                "partition": "p",
                "row_key": digest("row", name),
                "shard": "s",
                "row": 0,
                "source": "a",
                # One in ten has none, as if one of its chunks had been rejected.
                "document_key": None if int(name[1:]) % 10 == 0 else digest("key", name),
            }
            for name in ids[start : start + DOCUMENTS // 20]
        ]
        parts.append(workspace.write_ledger_part(pa.Table.from_pylist(rows, LEDGER)))
    return workspace, Ledger(1, tuple(parts), {"p": DOCUMENTS})


def weights_of(workspace: Workspace, ledger: Ledger, names: list[str]) -> np.ndarray:
    keys = pa.array([digest("key", name) for name in names], KEY)
    return read_known(workspace, [], ledger).documents(keys, names)


def test_a_document_is_known_by_its_key(filled: tuple[Workspace, Ledger]) -> None:
    names = ["d1", "d10", "another"]
    assert weights_of(*filled, names).tolist() == [1, 0, 0]


def test_nothing_is_known_without_a_ledger_or_a_dataset(tmp_path: Path) -> None:
    known = read_known(Workspace(str(tmp_path), "space", "key"), [], Ledger(0, (), {}))
    keys = pa.array([digest("x")], KEY)
    assert known.documents(keys, ["d1"]).tolist() == [0]
    assert known.contents(keys).tolist() == [0]
    assert known.contents(keys[:0]).tolist() == []


def test_of_a_large_ledger_a_part_is_looked_up_that_stands_for_all(
    filled: tuple[Workspace, Ledger], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_before, "MOST_FILES", 5)
    names = [f"d{number}" for number in range(DOCUMENTS)]
    weights = weights_of(*filled, names)
    kinds = sorted(set(weights.tolist()))
    assert kinds[0] == 0
    assert len(kinds) == 2
    assert kinds[1] == pytest.approx(4, rel=0.2)
    assert weights.sum() == pytest.approx(0.9 * DOCUMENTS, rel=0.05)
