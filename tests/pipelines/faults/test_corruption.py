"""Whatever befalls a file of the workspace is noticed before a wrong row reaches Milvus: the file is named, or the state is made right."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.transforms.adapters.rows import shard_rows
from transforms.adapters.workspace import Ledger, Workspace, read_intents
from transforms.load import _LoadFn
from transforms.logic.errors import CorruptDataError
from transforms.logic.schemas import INTENTS, LEDGER, batch_of

SHARDS = 3
ROWS = 40


@dataclass
class Held:
    """A workspace as a run that was killed before its commit leaves it: a ledger of two parts, three shards, and an intent."""

    workspace: Workspace

    def files(self, pattern: str) -> list[Path]:
        return sorted(Path(self.workspace.uri).glob(pattern))

    @property
    def shard(self) -> Path:
        return self.files("dataset/space/*.parquet")[1]

    @property
    def part(self) -> Path:
        return self.files("ledger/key/parts/*.parquet")[1]

    @property
    def intent(self) -> Path:
        return self.files("ledger/key/intents/*/*.parquet")[0]

    @property
    def ledger(self) -> Path:
        return self.files("ledger/key/*.json")[-1]

    def read(self) -> list[object]:
        """All that a run reads to bring a collection to the state of the ledger, by the code that reads it."""
        ledger = self.workspace.latest_ledger()
        parts = [self.workspace.read_ledger_part(name) for name in ledger.parts]
        doubts = [read_intents(uri) for uri in self.workspace.unsettled_intents(ledger)]
        places = pa.concat_tables(parts).combine_chunks().to_batches()
        columns = ["id", "partition", "row_key", "text", "vector"]
        loaded = [
            one for one in _LoadFn(self.workspace, columns).process((0, places)) if isinstance(one, pa.RecordBatch)
        ]
        return [ledger, *(table.to_pylist() for table in (*parts, *doubts, *loaded))]


@pytest.fixture
def held(tmp_path: Path) -> Held:
    workspace = Workspace(str(tmp_path / "workspace"), "space", "key")
    places = []
    for number in range(SHARDS):
        rows = shard_rows(range(number * ROWS, (number + 1) * ROWS))
        name = workspace.write_shard(rows)
        named = rows.select(["id", "document_id", "partition", "row_key", "source"]).to_pylist()
        places += [
            {**row, "document_key": row["row_key"], "shard": name, "row": row_number}
            for row_number, row in enumerate(named)
        ]
    parts = [workspace.write_ledger_part(pa.Table.from_batches([batch_of(places[half::2], LEDGER)])) for half in (0, 1)]
    workspace.commit_ledger(Ledger(1, tuple(parts[:1]), {"lang_de": len(places[::2])}), "run1")
    workspace.commit_ledger(Ledger(2, tuple(sorted(parts)), {"lang_de": len(places)}), "run2")
    intent = {name: places[0][name] for name in INTENTS.names}
    workspace.write_intents(3, pa.Table.from_batches([batch_of([intent], INTENTS)]))
    return Held(workspace)


def rewrite(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    """Puts another sound Parquet file, of the same format, in the place of one."""
    table = pq.read_table(path)
    pq.write_table(change(table).replace_schema_metadata(table.schema.metadata), path, write_page_checksum=True)


def drop_row(path: Path, chance: random.Random) -> None:
    number = chance.randrange(ROWS)
    rewrite(path, lambda table: pa.concat_tables([table.slice(0, number), table.slice(number + 1)]))


def double_row(path: Path, chance: random.Random) -> None:
    number = chance.randrange(ROWS)
    rewrite(path, lambda table: pa.concat_tables([table, table.slice(number, 1)]))


def swap_rows(path: Path, chance: random.Random) -> None:
    order = np.arange(pq.read_metadata(path).num_rows)
    first, second = chance.sample(range(len(order)), 2)
    order[[first, second]] = order[[second, first]]
    rewrite(path, lambda table: table.take(pa.array(order)))


def swap_vectors(path: Path, chance: random.Random) -> None:
    def change(table: pa.Table) -> pa.Table:
        index = table.column_names.index("vector")
        vectors = table.column("vector").combine_chunks()
        turned = pa.concat_arrays([vectors.slice(1), vectors.slice(0, 1)])
        return table.set_column(index, table.schema.field("vector"), turned)

    rewrite(path, change)


def change_text(path: Path, chance: random.Random) -> None:
    def change(table: pa.Table) -> pa.Table:
        texts = table.column("text").to_pylist()
        texts[chance.randrange(len(texts))] += "!"
        return table.set_column(table.column_names.index("text"), table.schema.field("text"), pa.array(texts))

    rewrite(path, change)


def point_elsewhere(path: Path, chance: random.Random) -> None:
    def change(table: pa.Table) -> pa.Table:
        numbers = table.column("row").to_pylist()
        numbers[chance.randrange(len(numbers))] += 1
        return table.set_column(
            table.column_names.index("row"), table.schema.field("row"), pa.array(numbers, pa.int32())
        )

    rewrite(path, change)


def flip_byte(path: Path, chance: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[chance.randrange(len(content))] ^= chance.randrange(1, 256)
    path.write_bytes(content)


def flip_byte_of_footer(path: Path, chance: random.Random) -> None:
    content = bytearray(path.read_bytes())
    footer_bytes = int.from_bytes(content[-8:-4], "little") + 8
    content[-1 - chance.randrange(footer_bytes)] ^= chance.randrange(1, 256)
    path.write_bytes(content)


def truncate(path: Path, chance: random.Random) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: chance.randrange(len(content))])


def cut_out(path: Path, chance: random.Random) -> None:
    content = path.read_bytes()
    start = chance.randrange(len(content) - 10)
    path.write_bytes(content[:start] + content[start + 10 :])


def remove(path: Path, chance: random.Random) -> None:
    path.unlink()


def put_sibling_in_place(path: Path, chance: random.Random) -> None:
    sibling = next(one for one in sorted(path.parent.iterdir()) if one != path)
    path.write_bytes(sibling.read_bytes())


def _change_ledger(path: Path, change: Callable[[dict[str, object]], object]) -> None:
    values = json.loads(path.read_bytes())
    change(values)
    path.write_text(json.dumps(values), encoding="utf-8")


def forget_part(path: Path, chance: random.Random) -> None:
    _change_ledger(path, lambda values: values["parts"].pop())  # type: ignore[attr-defined]


def miscount(path: Path, chance: random.Random) -> None:
    _change_ledger(path, lambda values: values.update(partitions={"lang_de": SHARDS * ROWS - 1}))


def double(path: Path, chance: random.Random) -> None:
    rewrite(path, lambda table: pa.concat_tables([table, table]))


CORRUPTIONS = {
    "shard": (
        drop_row,
        double_row,
        swap_rows,
        swap_vectors,
        change_text,
        flip_byte,
        flip_byte_of_footer,
        truncate,
        cut_out,
        remove,
        put_sibling_in_place,
    ),
    "part": (drop_row, double_row, point_elsewhere, swap_rows, flip_byte, truncate, remove, put_sibling_in_place),
    "intent": (double, flip_byte, truncate),
    "ledger": (flip_byte, truncate, forget_part, miscount),
}


@pytest.mark.parametrize(
    ("file", "corrupt"),
    [(file, corrupt) for file, some in CORRUPTIONS.items() for corrupt in some],
    ids=lambda value: getattr(value, "__name__", value),
)
@pytest.mark.parametrize("seed", range(5))
def test_a_damaged_file_is_named_before_anything_is_written(
    held: Held, file: str, corrupt: Callable[[Path, random.Random], None], seed: int
) -> None:
    path: Path = getattr(held, file)
    before = path.read_bytes()
    corrupt(path, random.Random(seed))
    assert not path.exists() or path.read_bytes() != before
    with pytest.raises(CorruptDataError, match=path.name):
        held.read()


def test_what_is_sound_is_read(held: Held) -> None:
    ledger, *tables = held.read()
    assert ledger == held.workspace.latest_ledger()
    loaded = [row for table in tables[3:] for row in table]  # type: ignore[attr-defined]
    assert [len(tables), len(loaded)] == [3 + SHARDS, SHARDS * ROWS]


def test_a_row_that_the_ledger_names_and_the_shard_does_not_hold_is_noticed(held: Held) -> None:
    """Both files are what their names say; they do not belong together."""
    rows = pq.read_table(held.part).replace_schema_metadata(None)
    wrong = rows.set_column(
        rows.column_names.index("row_key"),
        LEDGER.field("row_key"),
        rows.column("row_key").take(pa.array(np.roll(np.arange(len(rows)), 1))),
    )
    with pytest.raises(CorruptDataError, match="does not hold the rows that the ledger names"):
        list(_LoadFn(held.workspace, ["id", "partition", "row_key"]).process((0, wrong.combine_chunks().to_batches())))


def test_the_next_ledger_is_found_though_the_listing_is_old(held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = {"": [], "1": ["00000001.json"]}
    for names in listed.values():
        with monkeypatch.context() as patch:
            patch.setattr("transforms.adapters.workspace.list_names", lambda directory, names=names: names)
            assert held.workspace.latest_ledger().number == 2
