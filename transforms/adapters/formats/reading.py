"""A split read page by page: opened, handed to its format's reader, and parsed to documents and rejects."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from types import MappingProxyType
from typing import Any, cast

from transforms.adapters.formats.delimited import read_delimited
from transforms.adapters.formats.files import read_text
from transforms.adapters.formats.json_values import read_json
from transforms.adapters.formats.lines import encoding_facts, read_lines
from transforms.adapters.formats.opening import open_split
from transforms.adapters.formats.raw import BROKEN_FILE, RawRecord, Reader, RefusedFileError
from transforms.adapters.formats.splits import EXTRAS, Split, missing_extra
from transforms.adapters.formats.tables import read_parquet
from transforms.adapters.formats.wet import read_wet
from transforms.logic.decoding import UTF8
from transforms.logic.records import Place, Reading, parse_record, reject
from transforms.logic.schemas import MAX_BATCH_BYTES, MAX_BATCH_ROWS, Reason

_READERS: Mapping[str, Reader] = MappingProxyType(
    {
        "jsonl": read_lines,
        "json": read_json,
        "csv": read_delimited,
        "tsv": read_delimited,
        "text": read_text,
        "markdown": read_text,
        "wet": read_wet,
        "parquet": read_parquet,
    }
)


@dataclass
class Page:
    """What was read of a split: documents, rejects, and how many records and bytes they came from.

    `encodings` counts the documents of other encodings than UTF-8.
    """

    documents: list[dict[str, Any]] = field(default_factory=list)
    rejects: list[dict[str, Any]] = field(default_factory=list)
    records_read: int = 0
    bytes_read: int = 0
    encodings: Counter[str] = field(default_factory=Counter)

    @property
    def full(self) -> bool:
        """Whether the batch limits are reached."""
        return self.records_read >= MAX_BATCH_ROWS or self.bytes_read >= MAX_BATCH_BYTES


def read_split(split: Split, reading: Reading) -> Iterator[Page]:
    """Reads a split page by page; a failure of the file ends it with a file-level reject, what was read before it stands."""
    page = Page()
    try:
        for record in _records(split, reading):
            _add(page, record, split.uri, reading)
            if page.full:
                yield page
                page = Page()
    except RefusedFileError as refused:
        page.rejects.append(reject("read", refused.reason, shown_uri(split.uri), refused.detail))
    except BROKEN_FILE as error:
        detail = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}"
        page.rejects.append(reject("read", Reason.UNREADABLE_FILE, split.uri, detail))
    yield page


def shown_uri(uri: str) -> str:
    """The URI as text of Unicode: bytes of a local name that are not UTF-8 stand as escapes."""
    return uri.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _records(split: Split, reading: Reading) -> Iterator[RawRecord]:
    if shown_uri(split.uri) != split.uri:
        # Rows, records and logs name their source, in UTF-8.
        raise RefusedFileError(Reason.UNREADABLE_FILE, "the name of the file is not UTF-8: rename it")
    with open_split(split, reading) as opened:
        if opened is None:
            return
        records = _reader(opened.split.format)(opened.stream, opened.split, reading)
        if opened.encoding == UTF8:
            yield from records
            return
        facts = encoding_facts(opened.encoding)
        for record in records:
            yield replace(record, facts={**facts, **record.facts})


def _reader(format_name: str) -> Reader:
    if format_name not in EXTRAS:
        return _READERS[format_name]
    extra = missing_extra(format_name)
    if extra:
        detail = (
            f"{format_name} by its content, which needs an extra: install {extra}, or leave the file out with --exclude"
        )
        raise RefusedFileError(Reason.UNKNOWN_FORMAT, detail)
    # What an extra brings is imported where it is needed.
    module = import_module(f"transforms.adapters.formats.{format_name}")
    return cast("Reader", getattr(module, f"read_{format_name}"))


def _add(page: Page, record: RawRecord, uri: str, reading: Reading) -> None:
    """Adds one record's document or reject."""
    place = Place(uri, record.position, record.unit)
    page.records_read += 1
    page.bytes_read += record.size_bytes
    if record.reason is not None:
        page.rejects.append(reject("read", record.reason, place, record.detail, record.raw))
        return
    document, rejected = parse_record(record.values, reading, place, record.raw, record.facts)
    if document is not None:
        page.documents.append(document)
        if "encoding" in record.facts:
            page.encodings[record.facts["encoding"]] += 1
    if rejected is not None:
        page.rejects.append(rejected)
