"""HTML: the text of a page, a document a file."""

from collections.abc import Iterator
from typing import IO

from transforms.adapters.formats.lines import encoding_facts
from transforms.adapters.formats.markup import decode_declared, page_of
from transforms.adapters.formats.raw import RawRecord, under_wanted_names
from transforms.adapters.formats.splits import Split
from transforms.logic.decoding import UndecodableError
from transforms.logic.records import Reading
from transforms.logic.schemas import Reason

MAX_PAGE_BYTES = 8 << 20
"""A larger page is rejected whatever `max_record_bytes` allows: its tree takes up to 75 times its bytes."""


def read_html(stream: IO[bytes], split: Split, reading: Reading) -> Iterator[RawRecord]:
    """The page as one record: its URI is the id, its title and file name the metadata `title` and `name`, its language `lang`."""
    most_bytes = min(reading.max_record_bytes, MAX_PAGE_BYTES)
    raw = stream.read(most_bytes + 1)
    if len(raw) > most_bytes:
        detail = f"the page has more than {most_bytes} bytes"
        yield RawRecord(0, "byte", len(raw), reason=Reason.TOO_LARGE, detail=detail)
        return
    try:
        decoded = decode_declared(raw, reading.decoding)
    except UndecodableError as error:
        yield RawRecord(0, "byte", len(raw), reason=Reason.BAD_ENCODING, detail=str(error), raw=raw)
        return
    page = page_of(decoded.text)
    values = {
        "id": split.uri,
        "text": page.text,
        "name": split.uri.rsplit("/", 1)[-1],
        "title": page.title or None,
        "lang": page.language or None,
    }
    wanted = under_wanted_names(values, reading.columns)
    yield RawRecord(0, "byte", len(raw), wanted, raw=raw, facts=encoding_facts(decoded.encoding))
