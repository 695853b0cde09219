"""What a replay reads."""

from transforms.logic.replay import Again, patterns_again, place_of, same_bytes


def test_the_files_are_named_literally() -> None:
    again = patterns_again(["gs://b/*"], None, {"gs://b/z.jsonl", "gs://b/a[1].jsonl"}, {"too_large"})
    assert again == Again(("gs://b/a[[]1].jsonl", "gs://b/z.jsonl"))


def test_everything_is_read_where_a_file_alone_would_be_read_otherwise() -> None:
    sources = {"gs://b/2026/01/02/a.jsonl"}
    dated = ["gs://b/{date:%Y/%m/%d}/*.jsonl"]
    for patterns, limit, reasons in ((dated, None, {"too_large"}), (["gs://b/**"], 5, {"too_large"})):
        again = patterns_again(patterns, limit, sources, reasons)
        assert again.patterns == tuple(patterns)
        assert again.whole
    assert patterns_again(["gs://b/**"], None, sources, {"too_large", "duplicate_id"}).patterns == ("gs://b/**",)


def test_bytes_are_found_again_wherever_they_lie() -> None:
    row = {"source": "a", "locator": "byte 7", "hash": "h", "length_bytes": 3}
    assert same_bytes(row) == same_bytes({**row, "locator": "byte 9"})
    for other in ({"source": "b"}, {"hash": "i"}, {"length_bytes": 4}):
        assert same_bytes({**row, **other}) != same_bytes(row)
    assert same_bytes({**row, "length_bytes": 0}) is None


def test_stages_name_one_place() -> None:
    rows = [{"source": "a", "locator": locator} for locator in ("byte 7", "position 7", "row 8", "")]
    assert [place_of(row) for row in rows] == [("a", "7"), ("a", "7"), ("a", "8"), ("a", "")]
