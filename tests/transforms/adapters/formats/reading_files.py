"""Files written and read in tests: every record accounted for, every row within the schemas."""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from transforms.adapters.formats import Page, Split, plan_splits, read_split
from transforms.adapters.storage import list_matching
from transforms.logic.records import Columns, Reading
from transforms.logic.schemas import MAX_BATCH_ROWS, RECORDS, REJECTS, batch_of


def reading_of(columns: Columns | None = None, most_bytes: int = 10_000, **options: Any) -> Reading:
    """Small limits, so that small files reach them: a record may have six times the bytes of its text."""
    return Reading(columns or Columns(), most_bytes, **{"max_record_bytes": 6 * most_bytes, **options})


def read(path: Path, reading: Reading | None = None) -> Page:
    """All pages of all splits of a file as one."""
    chosen = reading or reading_of()
    return read_splits(plan_splits(list_matching([str(path)]), chosen.format), chosen)


def read_splits(splits: Sequence[Split], reading: Reading | None = None) -> Page:
    """All pages of the splits as one; checks that every record is accounted for, and fits the schemas."""
    total = Page()
    for split in splits:
        for page in read_split(split, reading or reading_of()):
            batch_of(page.documents, RECORDS)
            batch_of(page.rejects, REJECTS)
            files = [reject for reject in page.rejects if reject["level"] == "file"]
            assert len(page.documents) + len(page.rejects) - len(files) == page.records_read <= MAX_BATCH_ROWS
            total.documents += page.documents
            total.rejects += page.rejects
            total.records_read += page.records_read
            total.bytes_read += page.bytes_read
            total.encodings += page.encodings
    return total


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def line(document_id: str, text: str = "text", **more: Any) -> bytes:
    return json.dumps({"id": document_id, "text": text, **more}, ensure_ascii=False).encode() + b"\n"


def ids(page: Page) -> list[str]:
    return [document["document_id"] for document in page.documents]


def texts(page: Page) -> list[str]:
    return [document["text"] for document in page.documents]


def metadata(page: Page) -> list[dict[str, Any]]:
    return [json.loads(document["metadata"]) for document in page.documents]


def reasons(page: Page) -> list[tuple[str, str]]:
    return [(reject["reason"], reject["locator"]) for reject in page.rejects]


def packed(table: pa.Table, **options: Any) -> bytes:
    stream = io.BytesIO()
    pq.write_table(table, stream, **options)
    return stream.getvalue()
