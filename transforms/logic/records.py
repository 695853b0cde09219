"""From one raw record of a source to a document of the `RECORDS` schema, or to a reject."""

import json
import math
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from types import MappingProxyType
from typing import Any, Literal

from transforms.logic.identity import digest
from transforms.logic.normalise import is_blank, normalise_text
from transforms.logic.schemas import Reason

MAX_DOCUMENT_ID_BYTES = 1024
MAX_METADATA_BYTES = 60_000
MAX_METADATA_DEPTH = 64
MAX_REJECTED_TEXT_BYTES = 16 << 10
_JSON = json.JSONEncoder(ensure_ascii=False, sort_keys=True)
_DECIMAL_BITS = 2048  # 617 digits; Python's own limit cannot be set below 640


@dataclass(frozen=True)
class Columns:
    """Names of the source's columns. `metadata` None keeps every column that has no other role."""

    id: str = "id"
    text: str = "text"
    language: str | None = None
    date: str = "date"
    metadata: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Reading:
    """How a source is read: which columns matter, where ids come from, how bytes become text, and what is too large."""

    columns: Columns = field(default_factory=Columns)
    max_document_bytes: int = 10_000_000
    max_record_bytes: int = 64 << 20
    max_decompressed_bytes: int = 1 << 40
    max_compression_ratio: float = 1000
    format: str = "auto"
    id_from: Literal["column", "place"] = "column"
    decoding: Literal["detect", "strict"] = "detect"


@dataclass(frozen=True)
class Place:
    """Where a record lies: the source URI, and its byte offset or row number there."""

    source: str
    position: int
    unit: str

    @property
    def locator(self) -> str:
        """For example `byte 1024` or `row 7`."""
        return f"{self.unit} {self.position}"


def reject(
    stage: str, reason: Reason, place: Place | str, detail: str, raw: bytes = b"", document_id: str | None = None
) -> dict[str, Any]:
    """A row of the `REJECTS` schema. A place given as text is a source: the whole file is rejected.

    `raw` becomes a digest and a length; how that of a record begins goes along for those who asked for it (`WriteRejects`), with U+FFFD
    for what is not UTF-8. `detail` must not quote it.
    """
    whole_file = isinstance(place, str)
    return {
        "level": "file" if whole_file else "record",
        "stage": stage,
        "reason": reason.value,
        "source": place if isinstance(place, str) else place.source,
        "locator": "" if isinstance(place, str) else place.locator,
        "document_id": document_id,
        "detail": detail,
        "hash": digest(raw).hex(),
        "length_bytes": len(raw),
        "text": raw[:MAX_REJECTED_TEXT_BYTES].decode("utf-8", "replace") if raw and not whole_file else None,
    }


class _RefusedError(Exception):
    """A record that cannot become a document; never leaves this module."""

    def __init__(self, reason: Reason, detail: str, document_id: str | None = None) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.document_id = document_id


def parse_record(
    values: Any, reading: Reading, place: Place, raw: bytes = b"", facts: Mapping[str, str] = MappingProxyType({})
) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Turns decoded values into (document, None) or (None, reject).

    The text is scrubbed and NFC-normalised here, before anything takes ids or offsets of it. A reject keeps digest and length of `raw`.
    `facts` are what the reader found out, such as the encoding: they become metadata, whatever columns were chosen, where the record
    has no value of that name.
    """
    try:
        return _document(values, reading, place, facts), None
    except _RefusedError as refused:
        return None, reject("read", refused.reason, place, refused.detail, raw, refused.document_id)


def value_of(values: Mapping[str, Any], name: str) -> Any:
    """The value under a name, or under a dotted one within nested objects; a literal name with dots wins. None if there is none."""
    if name in values or "." not in name:
        return values.get(name)
    path = _path_of(values, name)
    for key in path:
        values = values[key]
    return values if path else None


def _path_of(values: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """Keys that lead to the value; empty if there is none."""
    if name in values:
        return (name,)
    dot = name.find(".")
    while dot >= 0:
        inner = values.get(name[:dot])
        if isinstance(inner, Mapping):
            rest = _path_of(inner, name[dot + 1 :])
            if rest:
                return (name[:dot], *rest)
        dot = name.find(".", dot + 1)
    return ()


def _document(values: Any, reading: Reading, place: Place, facts: Mapping[str, str]) -> dict[str, Any]:
    columns = reading.columns
    if not isinstance(values, Mapping):
        raise _RefusedError(Reason.WRONG_TYPE, f"the record is a {type(values).__name__}, an object is needed")
    document_id = _document_id(values, reading, place)
    return {
        "document_id": document_id,
        "text": _text(values, columns.text, document_id, reading.max_document_bytes),
        "declared_language": _text_or_none(value_of(values, columns.language)) if columns.language else None,
        "source": place.source,
        "position": place.position,
        "date": _date(value_of(values, columns.date)),
        "metadata": _metadata(values, columns, document_id, facts),
    }


def _document_id(values: Mapping[str, Any], reading: Reading, place: Place) -> str:
    column = reading.columns.id
    value = value_of(values, column)
    if value is None or value == "":
        if reading.id_from == "column":
            advice = "; --id-from place makes ids of source and place"
            raise _RefusedError(Reason.MISSING_ID, f"no value in column {column!r}{advice}")
        value = f"{place.source}#{place.position}"
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise _RefusedError(
            Reason.WRONG_TYPE, f"{column!r} is of type {type(value).__name__}, text or an integer is needed"
        )
    document_id = normalise_text(value if isinstance(value, str) else _integer_text(value))
    if not document_id:
        raise _RefusedError(Reason.MISSING_ID, f"nothing but control characters in column {column!r}")
    size = len(document_id.encode())
    if size > MAX_DOCUMENT_ID_BYTES:
        raise _RefusedError(Reason.TOO_LARGE, f"{column!r} has {size} bytes, {MAX_DOCUMENT_ID_BYTES} are allowed")
    return document_id


def _text(values: Mapping[str, Any], column: str, document_id: str, max_document_bytes: int) -> str:
    path = _path_of(values, column)
    if not path:
        raise _RefusedError(Reason.MISSING_COLUMN, f"no column {column!r}", document_id)
    text = value_of(values, column)
    if text is None:
        raise _RefusedError(Reason.EMPTY_TEXT, f"{column!r} is null", document_id)
    if not isinstance(text, str):
        raise _RefusedError(
            Reason.WRONG_TYPE, f"{column!r} is of type {type(text).__name__}, text is needed", document_id
        )
    # No character has more than four bytes, so most texts need not be encoded to be measured.
    size = 0 if 4 * len(text) <= max_document_bytes else len(text.encode("utf-8", "surrogatepass"))
    if size > max_document_bytes:
        detail = f"{column!r} has {size} bytes, {max_document_bytes} are allowed"
        raise _RefusedError(Reason.TOO_LARGE, detail, document_id)
    normalised = normalise_text(text)
    if is_blank(normalised):
        raise _RefusedError(Reason.EMPTY_TEXT, f"{column!r} holds nothing visible", document_id)
    return normalised


def _metadata(values: Mapping[str, Any], columns: Columns, document_id: str, facts: Mapping[str, str]) -> str:
    roles = [columns.id, columns.text, columns.date, *([columns.language] if columns.language else [])]
    if columns.metadata is None:
        chosen = {name: value for name, value in values.items() if name not in roles}
        for role in roles:
            path = _path_of(values, role) if "." in role else ()
            if len(path) > 1:
                chosen = _without(chosen, path)
    else:
        chosen = {name: value_of(values, name) for name in columns.metadata}
    plain = _plain({name: value for name, value in chosen.items() if value is not None}, document_id)
    metadata = _JSON.encode({**facts, **plain})
    size = 0 if 4 * len(metadata) <= MAX_METADATA_BYTES else len(metadata.encode())
    if size > MAX_METADATA_BYTES:
        detail = f"metadata has {size} bytes, {MAX_METADATA_BYTES} are allowed: choose columns with --metadata-columns"
        raise _RefusedError(Reason.TOO_LARGE, detail, document_id)
    return metadata


def _without(values: Mapping[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    """The values without the one at the path; an object that holds nothing else goes with it."""
    first, rest = path[0], path[1:]
    if not rest:
        return {name: value for name, value in values.items() if name != first}
    if first not in values:
        return dict(values)
    inner = _without(values[first], rest)
    return {name: inner if name == first else value for name, value in values.items() if inner or name != first}


def _plain(value: Any, document_id: str, depth: int = 0) -> Any:
    """A value that any JSON parser takes: scrubbed text; dates, integers beyond 64 bits and other objects as text; NaN as null.

    Bytes are text where they are UTF-8, else Base64.
    """
    if depth > MAX_METADATA_DEPTH:
        detail = f"metadata is nested deeper than {MAX_METADATA_DEPTH}"
        raise _RefusedError(Reason.TOO_LARGE, detail, document_id)
    if isinstance(value, str | bytes):
        return normalise_text(value if isinstance(value, str) else _text_of(value))
    if isinstance(value, Mapping):
        return {normalise_text(str(key)): _plain(item, document_id, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, document_id, depth + 1) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int):
        return value if -(1 << 63) <= value < 1 << 64 else _integer_text(value)
    return None if value is None else normalise_text(str(value))


def _text_of(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return b64encode(value).decode()


def _integer_text(value: int) -> str:
    """Decimal, or hexadecimal where Python refuses decimal (`sys.set_int_max_str_digits`)."""
    return str(value) if value.bit_length() <= _DECIMAL_BITS else hex(value)


def _text_or_none(value: Any) -> str | None:
    return normalise_text(value) or None if isinstance(value, str) else None


def _date(value: Any) -> str:
    if isinstance(value, date):
        return value.isoformat()
    return normalise_text(value)[:64] if isinstance(value, str) else ""
