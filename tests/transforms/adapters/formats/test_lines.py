"""JSON Lines: every record once, in whatever splits, and none that takes another with it."""

import gzip
import json
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.transforms.adapters.formats.reading_files import (
    ids,
    line,
    read,
    read_splits,
    reading_of,
    reasons,
    written,
)
from transforms.adapters.formats import plan_splits
from transforms.adapters.storage import list_matching
from transforms.logic.records import Columns

LINES = st.lists(
    st.one_of(
        st.builds(lambda text: line("d", text), st.text(st.characters(codec="utf-8"), max_size=30)),
        st.sampled_from(
            [
                b"\n",
                b"\r\n",
                b"  \n",
                b'{"\n',
                b"\xff\n",
                b"[]\n",
                b'{"id": "c", "text": "crlf"}\r\n',
                line("x", "x" * 120),
            ]
        ),
    ),
    max_size=25,
)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(
    lines=LINES, bom=st.booleans(), newline_at_end=st.booleans(), target=st.sampled_from([1, 2, 3, 5, 16, 64, 10_000])
)
def test_splits_of_any_size_give_every_record_once(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], bom: bool, newline_at_end: bool, target: int
) -> None:
    content = b"\xef\xbb\xbf" * bom + b"".join(lines)
    path = written(
        tmp_path_factory.mktemp("split") / "a.jsonl", content if newline_at_end else content.removesuffix(b"\n")
    )
    with pytest.MonkeyPatch.context() as patch:
        whole = read(path, reading_of(most_bytes=15))
        patch.setattr("transforms.adapters.formats.splits.TARGET_SPLIT_BYTES", target)
        splits = plan_splits(list_matching([str(path)]))
        parts = read_splits(splits, reading_of(most_bytes=15))
    size = path.stat().st_size
    assert [(split.start, split.stop) for split in splits] == [
        (start, min(size, start + target)) for start in range(0, max(1, size), target)
    ]
    assert sum(split.size_bytes for split in splits) == size
    assert (parts.documents, parts.rejects) == (whole.documents, whole.rejects)
    assert (parts.records_read, parts.bytes_read) == (whole.records_read, whole.bytes_read)
    records = path.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    assert whole.records_read == sum(bool(record.strip()) for record in records)


def test_gzip_of_several_members_is_read_to_its_end(tmp_path: Path) -> None:
    content = b"".join(line(f"d{number}") for number in range(2000))
    halves = gzip.compress(content[:7001]) + gzip.compress(b"") + gzip.compress(content[7001:])
    plain, zipped = read(written(tmp_path / "a.jsonl", content)), read(written(tmp_path / "a.jsonl.gz", halves))
    assert ids(zipped) == ids(plain) == [f"d{number}" for number in range(2000)]
    assert [document["position"] for document in zipped.documents] == [
        document["position"] for document in plain.documents
    ]


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_positions_are_byte_offsets_of_lines(tmp_path: Path, name: str) -> None:
    content = b"\xef\xbb\xbf" + line("ä", "größer 🎉") + b"\r\n" + line("b") + b'{"id": 3, "text": "last"}'
    page = read(written(tmp_path / name, gzip.compress(content) if name.endswith("gz") else content))
    assert ids(page) == ["ä", "b", "3"]
    assert page.rejects == []
    for document in page.documents[1:]:
        assert json.loads(content[document["position"] :].split(b"\n")[0])["text"] == document["text"]
    assert page.documents[0]["position"] == 0
    assert {document["source"] for document in page.documents} == {str(tmp_path / name)}


# --- records that cannot be used ---

BAD_LINES = {
    "not json": (b'{"id": "x", "text": ', "malformed_record"),
    "two values": (b'{"id": "x", "text": "y"} {}', "malformed_record"),
    "a bare word": (b"hello", "malformed_record"),
    "a list": (b'["id", "text"]', "wrong_type"),
    "a number": (b"17", "wrong_type"),
    "null": (b"null", "wrong_type"),
    "bad utf-8": (b'{"id": "x", "text": "\xff\xfe"}', "bad_encoding"),
    "utf-8 cut short": (b'{"id": "x", "text": "\xe2\x82"}', "bad_encoding"),
    "encoded surrogate": (b'{"id": "x", "text": "\xed\xa0\x80"}', "bad_encoding"),
    "latin-1": ('{"id": "x", "text": "größer"}'.encode("latin-1"), "bad_encoding"),
    "deep": (b'{"id": "x", "text": "y", "m": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "too_large"),
    "nested too deeply for a parser": (
        b'{"id": "x", "text": "y", "m": ' + b"[" * 20_000 + b"]" * 20_000 + b"}",
        "malformed_record",
    ),
    "nested too deeply for a row": (b'{"id": "x", "text": "y", "m": ' + b"[" * 900 + b"]" * 900 + b"}", "too_large"),
    "integer of 5,000 digits": (b'{"id": "x", "text": "y", "n": ' + b"9" * 5000 + b"}", "malformed_record"),
    "no id": (b'{"text": "y"}', "missing_id"),
    "empty text": (b'{"id": "x", "text": " \\u0000 "}', "empty_text"),
    "no text": (b'{"id": "x"}', "missing_column"),
    "text of another type": (b'{"id": "x", "text": {"de": "y"}}', "wrong_type"),
    "a nul byte": (b'{"id": "x", "text": "a\x00b"}', "malformed_record"),
}


@pytest.mark.parametrize("what", BAD_LINES)
def test_a_bad_line_harms_itself_only(tmp_path: Path, what: str) -> None:
    bad, reason = BAD_LINES[what]
    before = line("before")
    page = read(written(tmp_path / "a.jsonl", before + bad + b"\n" + line("after")))
    assert ids(page) == ["before", "after"]
    assert reasons(page) == [(reason, f"byte {len(before)}")]
    rejected = page.rejects[0]
    assert (rejected["level"], rejected["stage"], rejected["source"]) == ("record", "read", str(tmp_path / "a.jsonl"))
    if reason != "too_large" or what != "deep":
        assert rejected["length_bytes"] == len(bad) + 1
        assert len(rejected["hash"]) == 32


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (r"a\ud800b", "a\ufffdb"),
        (r"\ud83c\udf89", "🎉"),
        (r"e\u0301", "é"),
        (r"\u0000a\ufeffb\uffff", "ab"),
        (r"a\u0085b", "a\nb"),
    ],
)
def test_escapes_are_scrubbed_and_normalised(tmp_path: Path, text: str, kept: str) -> None:
    content = f'{{"id": "{text}1", "text": "{text}", "m": "{text}", "{text}": 1, "lang": "{text}", "date": "{text}"}}\n'
    page = read(written(tmp_path / "a.jsonl", content.encode()), reading_of(Columns(language="lang")))
    assert page.rejects == []
    document = page.documents[0]
    assert (document["document_id"], document["text"], document["declared_language"]) == (f"{kept}1", kept, kept)
    assert json.loads(document["metadata"]) == {"m": kept, kept: 1}


def test_what_only_the_standard_library_reads_is_kept(tmp_path: Path) -> None:
    content = b'{"id": 123456789012345678901234567890, "text": "a", "nan": NaN, "big": 36893488147419103232, "inf": [-Infinity]}\n'
    page = read(written(tmp_path / "a.jsonl", content))
    assert ids(page) == ["123456789012345678901234567890"]
    metadata = json.loads(page.documents[0]["metadata"])
    assert metadata["nan"] is None
    assert metadata["inf"] == [None]
    assert int(metadata["big"]) == 1 << 65


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_a_document_above_the_limit_is_rejected_with_its_size(tmp_path: Path, name: str) -> None:
    content = line("small") + line("big", "ä" * 51) + line("fits", "ä" * 50)
    page = read(
        written(tmp_path / name, gzip.compress(content) if name.endswith("gz") else content), reading_of(most_bytes=100)
    )
    assert ids(page) == ["small", "fits"]
    assert [(reject["reason"], reject["document_id"]) for reject in page.rejects] == [("too_large", "big")]
    assert "102 bytes, 100 are allowed" in page.rejects[0]["detail"]


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_a_line_too_long_to_hold_is_read_past(tmp_path: Path, name: str) -> None:
    size = 64 << 20
    content = line("before") + b"x" * size + b"\n" + line("after")
    path = written(tmp_path / name, gzip.compress(content, 1) if name.endswith("gz") else content)
    del content
    tracemalloc.start()
    page = read(path)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert ids(page) == ["before", "after"]
    assert reasons(page) == [("too_large", f"byte {len(line('before'))}")]
    assert f"{size + 1} bytes" in page.rejects[0]["detail"]
    assert peak_bytes < size / 4


def test_a_line_of_exactly_the_limit_is_read(tmp_path: Path) -> None:
    most = 100 * 6
    fits = line("d", m="x" * (most - len(line("d", m=""))))
    assert len(fits) == most
    page = read(written(tmp_path / "a.jsonl", fits + line("after")), reading_of(most_bytes=100))
    assert ids(page) == ["d", "after"]
