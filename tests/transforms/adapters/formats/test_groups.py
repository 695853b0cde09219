"""Groups of splits: many small files in few elements, whatever is selected counted, and no file read as another than was planned."""

import bz2
import gzip
import json
import lzma
import os
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.servers import Store
from transforms.adapters.formats import plan_splits
from transforms.adapters.formats.groups import MAX_GROUP_SPLITS, SplitGroup, group_splits, read_group
from transforms.adapters.formats.splits import TARGET_SPLIT_BYTES, Split
from transforms.adapters.storage import SourceFile, list_matching
from transforms.logic.records import Reading
from transforms.logic.schemas import MAX_BATCH_ROWS, RECORDS, REJECTS, batch_of
from transforms.logic.selection import Selection, window_of

PROPERTY = settings(deadline=None, derandomize=True, max_examples=40)
ALL = Selection()

Row = dict[str, Any]


def line(document_id: str, **more: Any) -> bytes:
    return json.dumps({"id": document_id, "text": f"text of {document_id}", **more}).encode() + b"\n"


def groups_of(*patterns: str, together: bool = False) -> list[SplitGroup]:
    files = list_matching(patterns)
    return group_splits(plan_splits(files), files, together=together)


def read(groups: Sequence[SplitGroup], selection: Selection = ALL) -> tuple[list[Row], list[Row], Counter[str]]:
    """Documents, rejects and counts of all groups; checks that pages keep the limits of a batch, and that all documents are told of."""
    documents: list[Row] = []
    rejects: list[Row] = []
    counts: Counter[str] = Counter()
    for group in groups:
        for page in read_group(group, Reading(), selection):
            batch_of(page.documents, RECORDS)
            batch_of(page.rejects, REJECTS)
            assert len(page.documents) <= MAX_BATCH_ROWS
            documents += page.documents
            rejects += page.rejects
            counts += page.counts
    records = sum(reject["level"] == "record" for reject in rejects)
    left_out = sum(count for name, count in counts.items() if name.startswith("left_out."))
    assert counts["documents.read"] == len(documents) + records + left_out
    assert counts["splits.read"] + counts["splits.left_out"] == sum(len(group.splits) for group in groups)
    return documents, rejects, counts


def ids(documents: Sequence[Row]) -> list[str]:
    return [document["document_id"] for document in documents]


def reasons(rejects: Sequence[Row]) -> list[tuple[str, str, str]]:
    return [(reject["level"], reject["reason"], reject["source"]) for reject in rejects]


# --- grouping ---

SPLITS = st.lists(st.integers(0, 3 * TARGET_SPLIT_BYTES // 2) | st.integers(0, 200), max_size=300).map(
    lambda sizes: [Split(f"f{number}", "jsonl", 0, size, size, "") for number, size in enumerate(sizes)]
)


@PROPERTY
@given(SPLITS)
def test_groups_hold_every_split_once_in_order_and_within_limits(splits: list[Split]) -> None:
    groups = group_splits(splits, [])
    assert [split for group in groups for split in group.splits] == splits
    for group in groups:
        assert 0 < len(group.splits) <= MAX_GROUP_SPLITS
        assert len(group.splits) == 1 or sum(split.size_bytes for split in group.splits) <= TARGET_SPLIT_BYTES
    together = group_splits(splits, [], together=True)
    assert [list(group.splits) for group in together] == ([splits] if splits else [])


@pytest.mark.parametrize(("count", "expected"), [(1, 1), (8, 8), (64, 64), (640, 64), (64_000, 126), (200_000, 391)])
def test_few_files_stay_apart_and_many_come_together(count: int, expected: int) -> None:
    splits = [Split(str(number), "jsonl", 0, 100, 100, "") for number in range(count)]
    assert len(group_splits(splits, [])) == pytest.approx(expected, rel=0.02)


def test_a_group_knows_the_dates_of_its_paths() -> None:
    files = [SourceFile("a", 1, "", "2026-03-01"), SourceFile("b", 1, ""), SourceFile("c", 1, "", "")]
    splits = [Split(file.uri, "jsonl", 0, 1, 1, "") for file in files]
    assert group_splits([splits[0], splits[0], *splits[1:]], files, together=True)[0].dates == (
        "2026-03-01",
        "2026-03-01",
        None,
        "",
    )


def test_documents_of_many_files_share_batches(tmp_path: Path) -> None:
    for number in range(700):
        (tmp_path / f"{number:03}.jsonl").write_bytes(line(f"d{number:03}"))
    (tmp_path / "350-broken.jsonl").write_bytes(b"no json\n")
    (group,) = groups_of(f"{tmp_path}/", together=True)
    pages = list(read_group(group, Reading(), ALL))
    assert [len(page.documents) for page in pages] == [MAX_BATCH_ROWS, 700 - MAX_BATCH_ROWS]
    documents, rejects, _ = read([group])
    assert ids(documents) == [f"d{number:03}" for number in range(700)]
    assert {document["source"] for document in documents} == {f"{tmp_path}/{number:03}.jsonl" for number in range(700)}
    assert reasons(rejects) == [("record", "malformed_record", f"{tmp_path}/350-broken.jsonl")]


def test_large_documents_do_not_share_a_batch_beyond_its_bytes(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"{number}.jsonl").write_bytes(line(f"d{number}", text="x" * (3 << 20)))
    pages = list(read_group(groups_of(f"{tmp_path}/", together=True)[0], Reading(), ALL))
    assert [ids(page.documents) for page in pages] == [["d0", "d1"], ["d2", "d3"], ["d4"]]


# --- selection over a whole corpus ---

DATES = st.sampled_from(["", "n/a", "2026-03-01", "2026-03-01T23:30:00-02:00", "2026-03-02", "2026-03-03T12:00"])
CORPORA = st.lists(st.lists(DATES, max_size=6), min_size=1, max_size=5)
WINDOWS = st.sampled_from([None, ("2026-03-02", None), (None, "2026-03-02"), ("2026-03-01", "2026-03-03")])


@PROPERTY
@given(
    corpus=CORPORA,
    ends=WINDOWS,
    sample=st.sampled_from([1, 0.7, 0.3]),
    limit=st.none() | st.integers(1, 8),
    dated=st.booleans(),
)
def test_any_selection_equals_filtering_the_whole_corpus(
    tmp_path_factory: pytest.TempPathFactory,
    corpus: list[list[str]],
    ends: tuple[str | None, str | None] | None,
    sample: float,
    limit: int | None,
    dated: bool,
) -> None:
    root = tmp_path_factory.mktemp("corpus")
    for number, dates in enumerate(corpus):
        rows = [line(f"d{number}-{row}", date=date) for row, date in enumerate(dates)]
        (root / f"2026-03-0{number + 1}.jsonl").write_bytes(b"{broken\n".join([b"", *rows]) + b'{"id": 1}\n')
    pattern = f"{root}/{{date:%Y-%m-%d}}.jsonl" if dated else f"{root}/*.jsonl"
    everything, all_rejects, _ = read(groups_of(pattern))
    window = window_of(*ends) if ends else None
    kept = [
        document
        for document in everything
        if (window is None or dated or window.reason_against(document["date"]) is None)
    ]
    sampled = [document for document in kept if document in read(groups_of(pattern), Selection(sample=sample))[0]]
    selection = Selection(window, sample, limit)
    documents, rejects, counts = read(groups_of(pattern, together=limit is not None), selection)
    assert documents == sampled[:limit]
    if limit is None or len(sampled) < limit:
        assert rejects == all_rejects
        assert counts["left_out.limit"] == counts["splits.left_out"] == counts["files.left_out.limit"] == 0
        assert counts["documents.read"] == len(everything) + len(all_rejects)
    else:
        sources = [document["source"] for document in sampled]
        last = int(sources[limit - 1][-len("1.jsonl")])
        assert counts["splits.read"] == last
        assert counts["files.left_out.limit"] == counts["splits.left_out"] == len(corpus) - last


def test_a_limit_opens_no_file_that_it_does_not_need(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(line("a") + line("b"))
    (tmp_path / "b.jsonl").write_bytes(line("c"))
    (group,) = groups_of(f"{tmp_path}/", together=True)
    (tmp_path / "b.jsonl").unlink()
    documents, rejects, counts = read([group], Selection(limit=2))
    assert (ids(documents), rejects) == (["a", "b"], [])
    assert (counts["splits.left_out"], counts["files.left_out.limit"], counts["left_out.limit"]) == (1, 1, 0)
    documents, rejects, counts = read([group], Selection(limit=1))
    assert (ids(documents), rejects) == (["a"], [])
    assert counts["left_out.limit"] == 1


def test_a_file_that_a_limit_cuts_is_not_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.jsonl").write_bytes(line("a") + line("b") + line("c"))
    monkeypatch.setattr("transforms.adapters.formats.splits.TARGET_SPLIT_BYTES", len(line("a")))
    (group,) = groups_of(f"{tmp_path}/", together=True)
    documents, _, counts = read([group], Selection(limit=1))
    assert ids(documents) == ["a"]
    assert (counts["splits.left_out"], counts["files.left_out.limit"]) == (2, 0)


# --- files that change ---


def parquet(*names: str) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"id": list(names), "text": [f"text of {name}" for name in names]}), sink)
    return bytes(sink.getvalue().to_pybytes())


def wet(name: str) -> bytes:
    text = f"text of {name}".encode()
    head = (
        f"WARC/1.0\r\nWARC-Type: conversion\r\nWARC-Record-ID: <urn:uuid:{name}>\r\nWARC-Target-URI: http://{name}/\r\n"
    )
    return f"{head}Content-Type: text/plain\r\nContent-Length: {len(text)}\r\n\r\n".encode() + text + b"\r\n\r\n"


CONTENTS: dict[str, Callable[..., bytes]] = {
    "a.jsonl": lambda *names: b"".join(line(name) for name in names),
    "a.jsonl.gz": lambda *names: gzip.compress(b"".join(line(name) for name in names), mtime=0),
    "a.parquet": parquet,
    "a.jsonl.bz2": lambda *names: bz2.compress(b"".join(line(name) for name in names)),
    "a.jsonl.xz": lambda *names: lzma.compress(b"".join(line(name) for name in names)),
    "a.jsonl.zst": lambda *names: pa.compress(b"".join(line(name) for name in names), "zstd", asbytes=True),
    "a.json": lambda *names: json.dumps([json.loads(line(name)) for name in names]).encode(),
    "a.csv": lambda *names: b"id,text\n" + b"".join(f"{name},text of {name}\n".encode() for name in names),
    "a.tsv": lambda *names: b"id\ttext\n" + b"".join(f"{name}\ttext of {name}\n".encode() for name in names),
    "a.txt": lambda *names: f"text of {names}".encode(),
    "a.md": lambda *names: f"# Head\n\ntext of {names}".encode(),
    "a.warc.wet.gz": lambda *names: gzip.compress(b"".join(wet(name) for name in names), mtime=0),
}


@pytest.mark.parametrize("name", CONTENTS)
def test_every_format_is_read_from_object_storage_as_from_a_disk(store: Store, tmp_path: Path, name: str) -> None:
    content = CONTENTS[name]("d0", "d1", "d2")
    (tmp_path / name).write_bytes(content)
    store.put(name, content)
    local, stored = (read(groups_of(f"{root}/")) for root in (tmp_path, store.root))
    assert local[0]
    assert {row["source"] for row in stored[0]} == {f"{store.root}/{name}"}
    assert json.dumps(stored).replace(store.root, str(tmp_path)) == json.dumps(local)


@pytest.mark.parametrize("name", CONTENTS)
@pytest.mark.parametrize("replaced", [True, False], ids=["replaced", "gone"])
def test_a_file_that_changed_after_planning_is_named_and_gives_no_document(
    store: Store, tmp_path: Path, name: str, replaced: bool
) -> None:
    for root in (str(tmp_path), store.root):
        for one, content in ((name, CONTENTS[name]("d0")), ("b.jsonl", line("good"))):
            (tmp_path / one).write_bytes(content) if root == str(tmp_path) else store.put(one, content)
        groups = groups_of(f"{root}/")
        if root == str(tmp_path):
            (tmp_path / name).write_bytes(CONTENTS[name]("new", "newer")) if replaced else (tmp_path / name).unlink()
        else:
            store.put(name, CONTENTS[name]("new", "newer")) if replaced else store.remove(name)
        documents, rejects, _ = read(groups)
        assert ids(documents) == ["good"]
        assert reasons(rejects) == [("file", "changed_file", f"{root}/{name}")]
        planned = next(split.etag for group in groups for split in group.splits if split.uri.endswith(name))
        assert f"was listed as {planned} and is " in rejects[0]["detail"]
        assert rejects[0]["detail"].endswith("gone") is not replaced
        # The next run plans it as it is.
        documents, rejects, _ = read(groups_of(f"{root}/"))
        assert "good" in ids(documents)
        assert "changed_file" not in [reason for _, reason, _ in reasons(rejects)]


def test_what_was_read_before_a_file_changed_stands_and_nothing_after(tmp_path: Path) -> None:
    names = [f"d{number}" for number in range(3 * MAX_BATCH_ROWS)]
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"".join(line(name) for name in names))
    pages = read_group(groups_of(str(path))[0], Reading(), ALL)
    documents = [*next(pages).documents]
    assert ids(documents) == names[:MAX_BATCH_ROWS]
    path.write_bytes(b"".join(line(name) for name in reversed(names)))
    rest = list(pages)
    documents += [row for page in rest for row in page.documents]
    # One page had been read when the file changed.
    assert ids(documents) in (names[:MAX_BATCH_ROWS], names[: 2 * MAX_BATCH_ROWS])
    (reject,) = [row for page in rest for row in page.rejects]
    assert (reject["reason"], reject["source"]) == ("changed_file", str(path))


def test_an_object_that_changes_while_it_is_read_gives_only_what_was_planned(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transforms.adapters.stores._READ_BYTES", 1 << 16)
    monkeypatch.setattr("transforms.adapters.formats.opening._BUFFER_BYTES", 1 << 16)
    names = [f"d{number:05}" for number in range(20_000)]
    uri = store.put("a.jsonl", b"".join(line(name) for name in names))
    pages = read_group(groups_of(uri)[0], Reading(), ALL)
    first = next(pages)
    store.put("a.jsonl", b"".join(line(name) for name in reversed(names)))
    rest = list(pages)
    documents = [*first.documents, *(row for page in rest for row in page.documents)]
    assert MAX_BATCH_ROWS <= len(documents) < len(names)
    assert ids(documents) == names[: len(documents)]
    (reject,) = [row for page in rest for row in page.rejects]
    assert (reject["reason"], reject["source"]) == ("changed_file", uri)


def test_small_objects_cost_one_request_each(store: Store) -> None:
    for number in range(20):
        store.put(f"{number:02}.jsonl", line(f"d{number:02}"))
    groups = groups_of(f"{store.root}/")
    store.requests()
    documents, _, _ = read(groups)
    assert len(documents) == 20
    assert len(store.requests()) == 20


def test_documents_that_were_not_utf8_are_counted_by_encoding(tmp_path: Path) -> None:
    for number, encoding in enumerate(("utf-16", "utf-16", "utf-8", "utf-32-le")):
        (tmp_path / f"{number}.txt").write_bytes(f"text number {number}".encode(encoding))
    files = list_matching([f"{tmp_path}/*.txt"])
    groups = group_splits(plan_splits(files), files, together=True)
    pages = [page for group in groups for page in read_group(group, Reading(), Selection())]
    counts = {name: count for page in pages for name, count in page.counts.items() if name.startswith("encoding.")}
    assert counts == {"encoding.utf-16-le.documents": 2, "encoding.utf-32-le.documents": 1}


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_a_file_whose_name_is_not_utf8_costs_itself_only(tmp_path: Path) -> None:
    """Its URI cannot stand in a row, a record or a log, so it is named in another way."""
    with Path(os.fsdecode(os.fsencode(tmp_path) + b"/K\xe4ufer.jsonl")).open("wb") as stream:
        stream.write(line("lost"))
    (tmp_path / "a.jsonl").write_bytes(line("a"))
    groups = groups_of(f"{tmp_path}/")
    documents, (lost,), _ = read(groups)
    assert [document["document_id"] for document in documents] == ["a"]
    assert (lost["level"], lost["reason"]) == ("file", "unreadable_file")
    assert lost["source"] == f"{tmp_path}/K\\xe4ufer.jsonl"
    assert "not UTF-8" in lost["detail"]
    timed = [page.seconds for group in groups for page in read_group(group, Reading(), ALL, iter(range(100)).__next__)]
    assert f"{tmp_path}/K\\xe4ufer.jsonl" in json.dumps(timed, ensure_ascii=False).encode().decode().replace(
        "\\\\", "\\"
    )
