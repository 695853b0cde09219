"""Malformed files, the same in every run, each with what must come of it: which documents, which rejects, and of which encoding."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

MOST_TEXT_BYTES = 10_000
MOST_RECORD_BYTES = 60_000

URI = "{uri}"
"""Stands for the file's URI in an expected id."""


@dataclass(frozen=True)
class Malformed:
    """A file, and what reading it must give.

    `documents` are the expected ids in order. If the file breaks off at a place that depends on a codec's blocks, `cut` says that they
    are a beginning of those. `rejects` are `level.reason` in order, `texts` expected texts by id.
    """

    kind: str
    name: str
    content: bytes
    documents: tuple[str, ...]
    rejects: tuple[str, ...] = ()
    cut: bool = False
    texts: Mapping[str, str] = field(default_factory=dict)
    encodings: Mapping[str, int] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


def good(number: int) -> bytes:
    """A record that nothing is wrong with, as JSON without a line end."""
    return json.dumps({"id": f"good{number}", "text": f"a good text {number}"}).encode()


def lines(*records: bytes) -> bytes:
    return b"".join(record + b"\n" for record in records)


def _odd(**values: Any) -> bytes:
    return json.dumps({"id": "odd", "text": "an odd text", **values}).encode()


def _nested(depth: int) -> bytes:
    return b'{"id": "odd", "text": "x", "m": ' + b"[" * depth + b"]" * depth + b"}"


GERMAN = (
    "Über die Brücke führt ein schöner Weg zu den Höfen, wo die Bäuerin süße Äpfel und Nüsse für die Gäste aufhebt. "
    "Später hören wir die Glocken läuten, und über den Dächern erscheint der müde, blasse Mond. "
)
RUSSIAN = (
    "Вулкан образуется там, где расплавленная порода поднимается из глубины земли на поверхность. "
    "Извержения бывают спокойными и взрывными, а пепел разносится ветром на многие километры. "
)
JAPANESE = "火山は地下深くのマグマが地表に噴き出してできる地形です。噴火の様子はマグマの性質によって大きく異なります。"

BAD_RECORDS: Mapping[str, tuple[bytes, str]] = {
    "object cut off": (b'{"id": "x", "text": ', "malformed_record"),
    "bare word": (b"hello", "malformed_record"),
    "single quotes": (b"{'id': 'x', 'text': 'y'}", "malformed_record"),
    "trailing comma": (b'{"id": "x", "text": "y",}', "malformed_record"),
    "comment": (b'{"id": "x", /* why */ "text": "y"}', "malformed_record"),
    "undefined value": (b'{"id": "x", "text": undefined}', "malformed_record"),
    "unclosed string": (b'{"id": "x", "text": "y}', "malformed_record"),
    "quote in a string": (b'{"id": "x", "text": "a "quoted" word"}', "malformed_record"),
    "missing colon": (b'{"id" "x", "text": "y"}', "malformed_record"),
    "missing bracket": (b'{"id": "x", "text": "y", "m": ["a"', "malformed_record"),
    "wrong bracket": (b'{"id": "x", "text": "y", "m": ["a"}}', "malformed_record"),
    "unknown escape": (rb'{"id": "x", "text": "\x41"}', "malformed_record"),
    "raw control character": (b'{"id": "x", "text": "a\tb"}', "malformed_record"),
    "raw NUL": (b'{"id": "x", "text": "a\x00b"}', "malformed_record"),
    "leading zeros": (b'{"id": 007, "text": "y"}', "malformed_record"),
    "hexadecimal number": (b'{"id": 0x10, "text": "y"}', "malformed_record"),
    "number of 5,000 digits": (b'{"id": "x", "text": "y", "n": ' + b"9" * 5000 + b"}", "malformed_record"),
    "nested too deeply to parse": (_nested(20_000), "malformed_record"),
    "nested too deeply to hold": (_nested(100_000), "too_large"),
    "nested too deeply to store": (_nested(900), "too_large"),
    "list": (b'["id", "text"]', "wrong_type"),
    "number": (b"17", "wrong_type"),
    "string": (b'"text"', "wrong_type"),
    "null": (b"null", "wrong_type"),
    "true": (b"true", "wrong_type"),
    "bytes of no encoding": (b'{"id": "x", "text": "\xff\xfe"}', "bad_encoding"),
    "UTF-8 cut short": (b'{"id": "x", "text": "\xe2\x82"}', "bad_encoding"),
    "overlong UTF-8": (b'{"id": "x", "text": "\xc0\xaf"}', "bad_encoding"),
    "surrogate in UTF-8": (b'{"id": "x", "text": "\xed\xa0\x80"}', "bad_encoding"),
    "a word of Latin-1": ('{"id": "x", "text": "größer"}'.encode("latin-1"), "bad_encoding"),
    "damaged UTF-8": (f'{{"id": "x", "text": "{RUSSIAN}'.encode() + b'\xff"}', "bad_encoding"),
    "no id": (b'{"text": "y"}', "missing_id"),
    "null as id": (b'{"id": null, "text": "y"}', "missing_id"),
    "empty id": (b'{"id": "", "text": "y"}', "missing_id"),
    "id of controls": (rb'{"id": "\u0000\u0001", "text": "y"}', "missing_id"),
    "names in capitals": (b'{"ID": "x", "TEXT": "y"}', "missing_id"),
    "NaN as id": (b'{"id": NaN, "text": "y"}', "wrong_type"),
    "infinity as id": (b'{"id": -Infinity, "text": "y"}', "wrong_type"),
    "fraction as id": (b'{"id": 1.5, "text": "y"}', "wrong_type"),
    "exponent as id": (b'{"id": 1e400, "text": "y"}', "wrong_type"),
    "bool as id": (b'{"id": true, "text": "y"}', "wrong_type"),
    "list as id": (b'{"id": ["x"], "text": "y"}', "wrong_type"),
    "id of 4,000 digits": (b'{"id": ' + b"9" * 4000 + b', "text": "y"}', "too_large"),
    "id of 2,000 characters": (_odd(id="x" * 2000), "too_large"),
    "no text": (b'{"id": "x"}', "missing_column"),
    "null as text": (_odd(text=None), "empty_text"),
    "empty text": (_odd(text=""), "empty_text"),
    "blank text": (_odd(text=" \u00a0\u200b\n"), "empty_text"),
    "text of controls": (_odd(text="\x00\x07\x1b"), "empty_text"),
    "number as text": (_odd(text=5), "wrong_type"),
    "object as text": (_odd(text={"de": "y"}), "wrong_type"),
    "text above the limit": (_odd(text="x" * (MOST_TEXT_BYTES + 1)), "too_large"),
    "record above the limit": (_odd(m="x" * MOST_RECORD_BYTES), "too_large"),
    "metadata above the limit": (b'{"id": "x", "text": "y", "m": [' + b'"x",' * 14_000 + b'"x"]}', "too_large"),
}
"""Records that are lost alone: bytes without a line end, and the reason."""

ZALGO = "".join(
    letter + "".join(chr(0x300 + (at * 7 + mark) % 80) for mark in range(30)) for at, letter in enumerate("zalgo")
)
FAMILY = "👩‍👩‍👧‍👦🏳️‍🌈🇩🇪👍🏽"

ODD_TEXTS: Mapping[str, tuple[str, str | None]] = {
    "9 KB without a space": ("x" * 9000, "x" * 9000),
    "Han without a space": ("山" * 3000, "山" * 3000),
    "zalgo": (ZALGO, None),
    "emoji sequences": (FAMILY * 20, FAMILY * 20),
    "right-to-left controls": ("\u202eabc\u202c \u2067def\u2069", "\u202eabc\u202c \u2067def\u2069"),
    "NULs": ("so\x00me NULs\x00", "some NULs"),
    "C0 and C1 controls": ("a\x01\x1f\x7f\x80\x9fb", "ab"),
    "next line and form feed": ("a\x85b\x0cc", "a\nb\nc"),
    "noncharacters": ("a\ufdd0\uffff\U0001fffe\U0010ffffb", "ab"),
    "lone surrogates": ("a\ud800b\udfff", "a\ufffdb\ufffd"),
    "byte order marks inside": ("a\ufeffb", "ab"),
    "decomposed Korean": ("\u1112\u1161\u11ab" * 50, "한" * 50),
    "soft hyphens and joiners": ("a\u00ad\u200d\u2060b", "a\u00ad\u200d\u2060b"),
    "carriage returns": ("a\r\nb\rc", "a\r\nb\rc"),
    "tags and private use": ("\U000e0041\ue000\U000f0000x", "\U000e0041\ue000\U000f0000x"),
}
"""Texts that are odd but lawful: as written in JSON, and as they must be kept (None: as NFC has it)."""

KEPT_RECORDS: Mapping[str, tuple[bytes, str]] = {
    "duplicate names": (b'{"id": "first", "text": "y", "id": "odd"}', "odd"),
    "integer id of 30 digits": (
        b'{"id": 123456789012345678901234567890, "text": "y"}',
        "123456789012345678901234567890",
    ),
    "integer id of 700 digits": (b'{"id": 1' + b"0" * 700 + b', "text": "y"}', hex(10**700)),
    "NaN in metadata": (b'{"id": "odd", "text": "y", "m": [NaN, Infinity, 1e999]}', "odd"),
    "names beyond ASCII": ('{"id": "odd", "text": "y", "größe": {"ключ": 1}}'.encode(), "odd"),
    "negative zero as id": (b'{"id": -0, "text": "y"}', "0"),
}
"""Records that look wrong and are not: bytes, and the id they must have."""


def malformed_files() -> Iterator[Malformed]:
    """Every file; names are unique."""
    # Imported here, as these modules take the classes above from this one.
    from tests.transforms.adapters.formats import malformed_containers, malformed_tables

    makers: tuple[Callable[[], Iterator[Malformed]], ...] = (
        _bad_records,
        _kept_records,
        _odd_texts,
        malformed_tables.delimited,
        malformed_tables.parquet,
        malformed_containers.compressed,
        malformed_containers.bombs,
        malformed_containers.lying_names,
        malformed_containers.unknown,
        malformed_containers.encoded,
        malformed_containers.broken_json,
        malformed_containers.web_extracts,
    )
    for maker in makers:
        yield from maker()


def _bad_records() -> Iterator[Malformed]:
    for number, (kind, (raw, reason)) in enumerate(BAD_RECORDS.items()):
        rejects, name = (f"record.{reason}",), f"bad{number}"
        yield Malformed(kind, f"{name}-first.jsonl", lines(raw, good(1), good(2)), ("good1", "good2"), rejects)
        yield Malformed(kind, f"{name}-last.ndjson", lines(good(1), good(2)) + raw, ("good1", "good2"), rejects)
        content = b"[" + b",\n".join((good(1), raw, good(2))) + b"]\n"
        yield Malformed(kind, f"{name}.json", content, ("good1", "good2"), rejects)


def _kept_records() -> Iterator[Malformed]:
    for number, (kind, (raw, document_id)) in enumerate(KEPT_RECORDS.items()):
        documents = ("good1", document_id, "good2")
        yield Malformed(kind, f"kept{number}.jsonl", lines(good(1), raw, good(2)), documents)
        yield Malformed(kind, f"kept{number}.json", b"[" + b",".join((good(1), raw, good(2))) + b"]", documents)


def _odd_texts() -> Iterator[Malformed]:
    for number, (kind, (text, kept)) in enumerate(ODD_TEXTS.items()):
        texts = {"odd": kept} if kept is not None else {}
        documents = ("good1", "odd", "good2")
        content = lines(good(1), _odd(text=text), good(2))
        yield Malformed(kind, f"text{number}.jsonl", content, documents, texts=texts)
        pretty = b"\n".join(json.dumps(json.loads(record), indent=2).encode() for record in content.splitlines())
        yield Malformed(kind, f"text{number}.json", pretty, documents, texts=texts)
        if kind == "lone surrogates":
            continue
        yield Malformed(kind, f"text{number}.txt", text.encode(), (URI,), texts={URI: kept} if kept else {})
        quoted = '"' + text.replace('"', '""') + '"'
        row = f"id,text\ngood1,a\nodd,{quoted}\ngood2,b\n".encode()
        yield Malformed(kind, f"text{number}.csv", row, documents, texts=texts)
