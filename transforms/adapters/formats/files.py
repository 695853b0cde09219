"""Text and Markdown: a document a file."""

from collections.abc import Iterator
from typing import IO

from transforms.adapters.formats.lines import encoding_facts
from transforms.adapters.formats.raw import RawRecord, under_wanted_names
from transforms.adapters.formats.splits import Split
from transforms.logic.decoding import UndecodableError, decode
from transforms.logic.records import Reading
from transforms.logic.schemas import Reason


def read_text(stream: IO[bytes], split: Split, reading: Reading) -> Iterator[RawRecord]:
    """The file as one record: its URI is the id, its name the metadata `name`."""
    raw = stream.read(reading.max_record_bytes + 1)
    size_bytes = len(raw)
    if size_bytes > reading.max_record_bytes:
        detail = f"the file has more than the {reading.max_record_bytes} bytes of --max-record-bytes"
        yield RawRecord(0, "byte", size_bytes, reason=Reason.TOO_LARGE, detail=detail)
        return
    try:
        decoded = decode(raw, reading.decoding)
    except UndecodableError as error:
        yield RawRecord(0, "byte", size_bytes, reason=Reason.BAD_ENCODING, detail=str(error), raw=raw)
        return
    values = {"id": split.uri, "text": decoded.text, "name": split.uri.rsplit("/", 1)[-1]}
    facts = encoding_facts(decoded.encoding)
    if split.format == "markdown":
        facts["format"] = "markdown"
    wanted = under_wanted_names(values, reading.columns)
    yield RawRecord(0, "byte", size_bytes, wanted, raw=raw, facts=facts)
