"""A workspace with ledgers, made by hand."""

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from tests.transforms.adapters.rows import shard_rows
from transforms.adapters.workspace import Ledger, Workspace
from transforms.logic.outputs import OUTPUTS, Output
from transforms.logic.schemas import INTENTS, LEDGER, batch_of


def stored(
    workspace: Workspace,
    numbers: Iterable[int],
    version: int = 0,
    partitions: Mapping[int, str] | None = None,
    outputs: tuple[Output, ...] = OUTPUTS[:1],
) -> list[dict[str, Any]]:
    """Writes a shard of these texts and gives ledger rows that name its rows; texts without a partition are in `lang_en`."""
    table = shard_rows(numbers, version, outputs)
    of_row = [(partitions or {}).get(int(text.split()[1]), "lang_en") for text in table.column("text").to_pylist()]
    for name, values in (("partition", of_row), ("metadata", ["{}"] * table.num_rows)):
        place = table.schema.get_field_index(name)
        table = table.set_column(place, table.schema.field(place), pa.array(values))
    shard = workspace.write_shard(table)
    rows = table.select([name for name in LEDGER.names if name in table.column_names]).to_pylist()
    return [{**row, "document_key": None, "shard": shard, "row": number} for number, row in enumerate(rows)]


def commit(workspace: Workspace, rows: list[dict[str, Any]], parts: int = 1, run_id: str = "run-1") -> Ledger:
    """Commits the next ledger with these rows, in so many parts."""
    names = [
        workspace.write_ledger_part(pa.Table.from_batches([batch_of(rows[start::parts], LEDGER)]))
        for start in range(parts)
        if rows[start::parts]
    ]
    counts: dict[str, int] = {}
    for row in rows:
        counts[str(row["partition"])] = counts.get(str(row["partition"]), 0) + 1
    ledger = Ledger(workspace.latest_ledger().number + 1, tuple(sorted(names)), counts)
    workspace.commit_ledger(ledger, run_id)
    return ledger


def intend(workspace: Workspace, number: int, rows: list[dict[str, Any]]) -> None:
    """Writes intents towards a ledger."""
    workspace.write_intents(number, pa.Table.from_batches([batch_of(rows, INTENTS)]))
