"""Malformed tables: CSV, TSV and Parquet."""

import io
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from tests.transforms.adapters.formats.malformed import GERMAN, MOST_RECORD_BYTES, RUSSIAN, Malformed

HEADER = b"id,text,note\n"
ABOVE = MOST_RECORD_BYTES + 1

BAD_ROWS: dict[str, tuple[bytes, tuple[str, ...]]] = {
    "row too short": (b"x,y\n", ("malformed_record",)),
    "row too long": (b"x,y,z,\n", ("malformed_record",)),
    "quote that is never closed": (b'x,"y,z\n', ("malformed_record",)),
    "text behind a quote": (b'x,"y"y,z\n', ("malformed_record",)),
    "bytes of no encoding in a row": (b"x,\xff\xfe,z\n", ("bad_encoding",)),
    "a word of Latin-1 in a row": ("x,größer,z\n".encode("latin-1"), ("bad_encoding",)),
    "empty id in a row": (b",y,z\n", ("missing_id",)),
    "empty text in a row": (b"x,,z\n", ("empty_text",)),
    "blank text in a row": (b'x," \n\t",z\n', ("empty_text",)),
    "line above the limit": (b"x," + b"y" * ABOVE + b",z\n", ("too_large",)),
    "text above the limit in a row": (b"x," + b"y" * 10_001 + b",z\n", ("too_large",)),
    "NUL as row": (b"\x00\n", ("malformed_record",)),
    "two rows that are none": (b"x\ny\n", ("malformed_record", "malformed_record")),
}
KEPT_ROWS: dict[str, tuple[bytes, str]] = {
    "line ends in a value": (b'odd,"one\ntwo\r\nthree",z\n', "one\ntwo\r\nthree"),
    "doubled quotes": (b'odd,"say ""yes""",z\n', 'say "yes"'),
    "quote within a value": (b'odd,5" wide,z\n', '5" wide'),
    "delimiter in quotes": (b'odd,"a,b",z\n', "a,b"),
    "row that ends in CR LF": (b"odd,y,z\r\n", "y"),
    "empty lines between rows": (b"\n\r\nodd,y,z\n\n", "y"),
    "NUL in a value": (b"odd,a\x00b,z\n", "ab"),
}


def delimited() -> Iterator[Malformed]:
    """Rows that are lost, rows that are kept, and tables that are odd as a whole."""
    for number, (kind, (raw, reasons)) in enumerate(BAD_ROWS.items()):
        rejects = tuple(f"record.{reason}" for reason in reasons)
        for place, content in (
            ("first", raw + b"good1,a,b\ngood2,a,b\n"),
            ("last", b"good1,a,b\ngood2,a,b\n" + raw.removesuffix(b"\n")),
        ):
            yield Malformed(kind, f"row{number}-{place}.csv", HEADER + content, ("good1", "good2"), rejects)
    for number, (kind, (raw, text)) in enumerate(KEPT_ROWS.items()):
        content = HEADER + b"good1,a,b\n" + raw + b"good2,a,b\n"
        yield Malformed(kind, f"value{number}.csv", content, ("good1", "odd", "good2"), texts={"odd": text})
    yield from _whole_tables()


def _whole_tables() -> Iterator[Malformed]:
    rows = [["id", "text", "note"], ["good1", "a text", "b"], ["good2", "a text", "b"]]
    both, missing = ("good1", "good2"), ("file.missing_column",)
    for number, (kind, delimiter) in enumerate((("semicolons", ";"), ("tabs", "\t"), ("bars", "|"), ("commas", ","))):
        content = "".join(delimiter.join(row) + "\n" for row in rows)
        yield Malformed(f"parted by {kind}", f"table{number}.csv", content.encode(), both)
        returns = content.replace("\n", "\r").encode()
        yield Malformed(f"carriage returns alone, {kind}", f"returns{number}.csv", returns, both)
    yield Malformed("TSV with a stray quote", "quote.tsv", b'id\ttext\ngood1\t"a text\ngood2\tb "text"\n', both)
    yield Malformed("TSV with quoted values", "quoted.tsv", b'id\ttext\ngood1\t"a\tb"\ngood2\t"c\nd"\n', both)
    yield Malformed("table without rows", "header.csv", HEADER, ())
    yield Malformed("table without anything", "nothing.csv", b"", ())
    yield Malformed("table of empty lines", "lines.csv", b"\n\r\n\n", ())
    yield Malformed("header without text", "text.csv", b"id,body\nx,y\n", (), missing)
    yield Malformed("header without id", "id.csv", b"name,text\nx,y\n", (), missing)
    yield Malformed("table without header", "headless.csv", b"x,y\nx,y\n", (), missing)
    yield Malformed("header above the limit", "wide.csv", b"id,text," + b"x" * ABOVE + b"\nx,y,z\n", (), missing)
    yield Malformed("header with a quote never closed", "open.csv", b'id,"text\nx,y\n', (), missing)
    yield Malformed("names with space", "space.csv", b" id , text \ngood1,a\n", ("good1",))
    yield Malformed("equal names", "equal.csv", b"id,text,id\ngood1,a,other\n", ("good1",))
    yield Malformed("column without name", "unnamed.csv", b",id,text\n0,good1,a\n", ("good1",))
    for name, codec in (("windows-1252", "cp1252"), ("windows-1251", "cp1251")):
        text = GERMAN if codec == "cp1252" else RUSSIAN
        rows_of_text = b"".join(f"odd{n},{text.replace(',', '')}\n".encode(codec) for n in range(3))
        documents = ("odd0", "odd1", "odd2")
        table = b"id,text\n" + rows_of_text
        yield Malformed(f"table in {name}", f"{name}.csv", table, documents, encodings={name: 3})
    swallowed = b"".join(b"good%d,a,b\n" % number for number in range(1, 3)) + b'x,"y,z\n' + b"lost,a,b\n" * 9000
    kept = ("good1", "good2", *("lost",) * 9000)
    yield Malformed("quote open beyond the limit", "beyond.csv", HEADER + swallowed, kept, ("record.too_large",))


def _packed(table: pa.Table, **options: object) -> bytes:
    stream = io.BytesIO()
    pq.write_table(table, stream, **options)
    return stream.getvalue()


def _footer_bytes(whole: bytes) -> int:
    return int.from_bytes(whole[-8:-4], "little")


def parquet() -> Iterator[Malformed]:
    """Parquet files: cut, overwritten, and with rows of every bad kind."""
    table = pa.table({"id": ["good1", "good2"], "text": ["a text", "a text"]})
    whole, unreadable = _packed(table), ("file.unreadable_file",)
    cuts = {
        "Parquet cut in half": whole[: len(whole) // 2],
        "Parquet without its last byte": whole[:-1],
        "Parquet that is its magic alone": b"PAR1",
        "Parquet without content": b"",
        "Parquet with a footer that claims too much": whole[:-8] + b"\xff\xff\xff\x7fPAR1",
        "Parquet with a footer of zeros": whole[: -8 - _footer_bytes(whole)] + bytes(_footer_bytes(whole)) + whole[-8:],
        "Parquet footer that is empty": whole[:-8] + b"\x00\x00\x00\x00PAR1",
    }
    for number, (kind, content) in enumerate(cuts.items()):
        yield Malformed(kind, f"cut{number}.parquet", content, (), unreadable)
    for column in ("id", "text"):
        content = _packed(table.rename_columns({column: "other"}))
        yield Malformed(f"Parquet without {column}", f"no-{column}.parquet", content, (), ("file.missing_column",))
    odd = pa.table({"id": ["good1", None, "", "x", "x", "good2"], "text": ["a", "a", "a", None, " ", "a"]})
    rejects = ("record.missing_id", "record.missing_id", "record.empty_text", "record.empty_text")
    yield Malformed("Parquet with bad rows", "rows.parquet", _packed(odd), ("good1", "good2"), rejects)
    numbers = pa.table({"id": ["x"], "text": [1.5]})
    yield Malformed("Parquet with numbers as text", "numbers.parquet", _packed(numbers), (), ("record.wrong_type",))
    yield Malformed("Parquet without rows", "empty.parquet", _packed(table.slice(0, 0)), ())
