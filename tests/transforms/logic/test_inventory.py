"""Files of a workspace by their paths."""

import pytest

from transforms.logic.inventory import Kind, Listing, kept_file


@pytest.mark.parametrize(
    ("path", "kind", "owner", "number"),
    [
        ("dataset/abc/00000000-ffffffff-12.parquet", Kind.SHARD, "abc", 0),
        ("ledger/corpus-1234abcd/00000012.json", Kind.LEDGER, "corpus-1234abcd", 12),
        ("ledger/c/123456789.json", Kind.LEDGER, "c", 123_456_789),
        ("ledger/c/lease/00000003.json", Kind.LEASE, "c", 0),
        ("ledger/c/parts/ab.parquet", Kind.PART, "c", 0),
        ("ledger/c/intents/00000007/ab.parquet", Kind.INTENTS, "c", 7),
        ("ledger/c/imports/00000007/plan.json", Kind.IMPORT, "c", 7),
        ("rejects/run-1/ab.parquet", Kind.REJECTS, "run-1", 0),
        ("runs/run-1/run.json", Kind.RECORD, "run-1", 0),
        ("runs/run-1/report.html", Kind.REPORT, "run-1", 0),
        ("evaluations/corpus/metadata-key-dense.json", Kind.EVALUATION, "corpus", 0),
        ("evaluations/corpus/notes.txt", Kind.OTHER, "", 0),
        ("calibration/abc/00000001.json", Kind.CALIBRATION, "abc", 0),
        ("calibration/abc/0a1b.safetensors", Kind.PROJECTION, "abc", 0),
        ("tokenizers/abc.json", Kind.TOKENIZER, "", 0),
        ("dataset/abc/.x.parquet.12-34.partial", Kind.TEMPORARY, "", 0),
        (".write-probe", Kind.TEMPORARY, "", 0),
        ("dataset/abc/x.parquet/y.parquet", Kind.OTHER, "", 0),
        ("dataset/x.parquet", Kind.OTHER, "", 0),
        ("dataset/abc/notes.txt", Kind.OTHER, "", 0),
        ("ledger/c/latest.json", Kind.OTHER, "", 0),
        ("ledger/c/parts/deep/ab.parquet", Kind.OTHER, "", 0),
        ("runs/run-1/other.json", Kind.OTHER, "", 0),
        ("partial", Kind.OTHER, "", 0),
        ("x.partial", Kind.OTHER, "", 0),
    ],
)
def test_a_path_tells_what_a_file_is(path: str, kind: Kind, owner: str, number: int) -> None:
    file = kept_file(path, 5, None)
    assert (file.kind, file.owner, file.number, file.size_bytes) == (kind, owner, number, 5)


def test_intents_are_unsettled_until_their_ledger_is_there() -> None:
    paths = ["ledger/c/00000001.json", *(f"ledger/c/intents/{number:08d}/a.parquet" for number in (1, 2, 3))]
    listing = Listing([kept_file(path, 1, None) for path in (*paths, "ledger/d/intents/00000001/a.parquet")])
    assert [file.number for file in listing.unsettled_intents("c")] == [2, 3]
    assert [file.number for file in listing.unsettled_intents("d")] == [1]
    latest = listing.latest_ledger("c")
    assert latest is not None
    assert latest.number == 1
    assert listing.latest_ledger("d") is None
    assert listing.owners(Kind.LEDGER, Kind.INTENTS) == ["c", "d"]
