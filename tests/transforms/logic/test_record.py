"""The run record: what does not balance is said, and the exit code follows."""

from typing import Any

import pytest

from transforms.logic.checksum import HELD, WANTED, WRITTEN, as_text, checksum, checksum_counts
from transforms.logic.parity import CHARACTERS_PER_ENGLISH_CHARACTER
from transforms.logic.record import Counts, RunContext, build_record

CONTEXT = RunContext(
    run_id="run-1",
    splits_planned=2,
    files_planned=2,
    max_reject_fraction=0.2,
    configuration={"chunking": {"max_tokens": 256}},
    model={"name": "m"},
    embedding_space="space",
    representation={"dimensions": 4},
    versions={"python": "3"},
    started_at="2024-01-02T03:04:05Z",
    started_seconds=0.0,
)
CLEAN: dict[str, float] = {
    "splits.read": 2,
    "documents.read": 10,
    "documents.embedded": 4,
    "documents.reused": 3,
    "documents.unchanged": 3,
    "chunks.split": 20,
    "chunks.looked_up": 20,
    "chunks.reconciled": 20,
    "tokens.split": 500,
    "tokens.encoded": 100,
    "tokens.spared": 400,
    "tokens.computed": 130,
    "tokens.padding": 10,
    "device.seconds": 3.5,
    "chunks.duplicates": 6,
    "chunks.hot": 2,
    "chunks.unknown": 1,
    "vectors.encoded": 8,
    "vectors.reused": 5,
    "rows.held": 20,
    "rows.to_write": 13,
    "rows.loaded": 13,
    "rows.written": 13,
    "rows.to_delete": 2,
    "rows.deleted": 2,
    "partition.lang_de": 12,
    "partition.lang_en": 8,
    "language.de.documents": 6,
    "language.de.chunks": 12,
    "language.de.tokens": 300,
    "language.de.characters": 1000,
    "language.de.bytes": 1250,
    "language.de.unknown_tokens": 3,
    "language.de.unknown_chunks": 2,
    "language.de.rejects": 1,
    "length.chunk.0": 3,
    "length.chunk.2": 17,
    "length.document.4": 10,
    "timeline.0.tokens": 60,
    "timeline.12.tokens": 40,
    "timeline.12.documents": 10,
    "slowest.0.9.b.jsonl": 1.0,
    "slowest.10.99.a.b.jsonl": 2.5,
    "language.de.mixed": 2,
    "language.en.documents": 4,
    "language.en.chunks": 8,
    "language.en.tokens": 200,
    "language.en.characters": 800,
    "language.en.bytes": 800,
    "stage.split.seconds": 2.0,
    "stage.embed.seconds": 4.0,
}
CHUNKS = {"split": 20, "duplicates": 6, "hot": 2, "unknown": 1, "truncated": 0}
COUNTED = {"lang_de": 12, "lang_en": 8}
REJECTED_RECORD = {"documents.read": 11, "rejects.record.empty_text": 1, "rejects.total": 1}


def record_of(changed: Counts | None = None, counted: dict[str, int] | None = None, **context: Any) -> dict[str, Any]:
    kept = RunContext(**{**vars(CONTEXT), **context})
    return build_record(kept, {**CLEAN, **(changed or {})}, COUNTED if counted is None else counted, 12.3456)


def test_a_run_that_balances_is_complete() -> None:
    record = record_of()

    assert record["differences"] == []
    assert (record["exit_code"], record["status"]) == (0, "complete")
    outcomes = {"embedded": 4, "reused": 3, "unchanged": 3, "rejected": 0, "left_out": 0, "gone": 0}
    assert record["documents"] == {"read": 10, **outcomes}
    assert record["rows"] == {"held": 20, "written": 13, "rejected": 0, "unchanged": 7, "deleted": 2}
    assert record["vectors"] == {"encoded": 8, "reused": 5}
    assert record["partitions"]["lang_de"] == {"expected": 12, "milvus": 12}
    assert record["chunks"] == {**CHUNKS, "rejected": 0}
    assert record["stages"]["split"] == {"seconds": 2.0, "tokens": 500, "tokens_per_second": 250.0}
    assert record["stages"]["embed"] == {
        "seconds": 4.0,
        "tokens": 100,
        "tokens_per_second": 25.0,
        "device_seconds": 3.5,
        "computed_tokens": 130,
        "padding_tokens": 10,
    }
    assert record["stages"]["write"]["tokens_per_second"] is None
    assert (record["seconds"], record["embedding_space"]) == (12.346, "space")


@pytest.mark.parametrize(
    ("changed", "difference"),
    [
        ({"splits.read": 1}, "splits planned 2 != splits read + left out 1"),
        ({"documents.read": 11}, "documents read 11 != embedded + reused + unchanged + rejected + left out 10"),
        ({"documents.rejected": 1}, "documents read 10 != embedded + reused + unchanged + rejected + left out 11"),
        (
            {"rejects.record.empty_text": 1},
            "documents read 10 != embedded + reused + unchanged + rejected + left out 11",
        ),
        ({"chunks.looked_up": 19}, "chunks split 20 != chunks looked up 19"),
        ({"chunks.reconciled": 21}, "chunks split 20 != chunks reconciled 21"),
        ({"tokens.encoded": 99}, "tokens split 500 != tokens encoded + spared by a known vector 499"),
        ({"tokens.spared": 0}, "tokens split 500 != tokens encoded + spared by a known vector 100"),
        ({"chunks.truncated": 1}, "chunks truncated 1 != allowed 0"),
        ({"rows.loaded": 12}, "rows to write 13 != rows loaded from the dataset 12"),
        ({"rows.written": 14}, "rows to write 13 != rows written + rejected 14"),
        ({"rows.deleted": 0}, "rows to delete 2 != rows deleted 0"),
        ({"partition.lang_de": 11}, "partition lang_de: 11 rows in the ledger != 12 counted in Milvus"),
        ({"partition.lang_fr": 1}, "partition lang_fr: 1 rows in the ledger != 0 counted in Milvus"),
    ],
)
def test_each_difference_is_found_and_said(changed: Counts, difference: str) -> None:
    record = record_of(changed)

    assert record["differences"] == [difference]
    assert (record["exit_code"], record["status"]) == (5, "does not balance")


def test_rows_that_are_as_many_but_not_the_wanted_ones_do_not_balance() -> None:
    """One row was written with the content of another."""
    wanted = [{"id": "1", "row_key": b"x"}, {"id": "2", "row_key": b"y"}]
    written = [{"id": "1", "row_key": b"y"}, {"id": "2", "row_key": b"y"}]
    balanced = checksum_counts(WANTED, wanted) | checksum_counts(WRITTEN, wanted)
    assert record_of(balanced)["differences"] == []

    (difference,) = record_of(balanced | checksum_counts(WRITTEN, written))["differences"]

    assert (
        difference
        == f"checksum of rows to write {as_text(checksum(wanted))} != of rows written + rejected {as_text(checksum(written))}"
    )


def test_the_checksum_is_that_of_the_held_rows() -> None:
    rows = [{"id": str(number), "row_key": b"k"} for number in range(9)]
    parts = [checksum_counts(HELD, rows[:4]), checksum_counts(HELD, rows[4:])]
    counts = {name: parts[0][name] + parts[1][name] for name in parts[0]}

    assert record_of(counts)["checksum"] == as_text(checksum(rows))
    assert record_of()["checksum"] == "0" * 32


@pytest.mark.parametrize(
    ("counts", "outcome", "deleted", "code"),
    [
        ({"mirror.held": 100}, "deleted", 0, 0),
        ({"mirror.held": 100, "mirror.gone": 10}, "deleted", 10, 0),
        ({"mirror.held": 100, "mirror.gone": 11}, "over the limit", 0, 7),
        ({"mirror.held": 100, "mirror.gone": 1, "mirror.unread": 1}, "source not whole", 0, 0),
        ({"mirror.held": 100, "mirror.unread": 1}, "deleted", 0, 0),
    ],
)
def test_what_mirroring_came_to_is_recorded(counts: Counts, outcome: str, deleted: int, code: int) -> None:
    record = record_of(counts, max_delete_fraction=0.1)

    assert (record["mirror"]["outcome"], record["mirror"]["deleted"], record["exit_code"]) == (outcome, deleted, code)
    assert record["documents"]["gone"] == deleted
    assert record_of(counts)["mirror"] is None
    # Rejects above their limit, and what does not balance, are worse.
    worse = record_of({**counts, **REJECTED_RECORD}, max_delete_fraction=0.1, max_reject_fraction=0.0)
    assert worse["exit_code"] == 4


def test_a_partition_that_only_milvus_has_is_a_difference() -> None:
    record = record_of(counted={**COUNTED, "lang_xx": 3})

    assert record["differences"] == ["partition lang_xx: 0 rows in the ledger != 3 counted in Milvus"]


def test_all_differences_are_said_at_once() -> None:
    assert len(record_of({"splits.read": 0, "rows.deleted": 1}, {})["differences"]) == 4


@pytest.mark.parametrize(
    ("changed", "fraction"),
    [
        (REJECTED_RECORD, 1 / 11),
        ({"documents.read": 11, "documents.rejected": 1}, 1 / 11),
        ({"rejects.file.unreadable_file": 1}, 1 / 11),
        ({"rejects.chunk.bad_vector": 2}, 2 / 20),
        ({**REJECTED_RECORD, "rejects.chunk.bad_vector": 2}, 2 / 20),
    ],
    ids=["record", "document", "file", "chunk", "the larger share"],
)
def test_rejects_count_against_the_limit(changed: Counts, fraction: float) -> None:
    under, over = record_of(changed), record_of(changed, max_reject_fraction=0.05)

    assert under["reject_fraction"] == pytest.approx(fraction)
    assert (under["exit_code"], under["status"]) == (3, "complete with rejects under the limit")
    assert (over["exit_code"], over["status"]) == (4, "rejects over the limit")


def test_the_limit_itself_is_allowed() -> None:
    rejected = {"documents.read": 12.5e3, "documents.embedded": 11244, "documents.reused": 3, "documents.unchanged": 3}
    changed = {**rejected, "rejects.record.empty_text": 1250}

    assert record_of(changed, max_reject_fraction=0.1)["exit_code"] == 3
    assert record_of({"rejects.chunk.bad_vector": 0}, max_reject_fraction=0)["exit_code"] == 0


def test_one_reject_among_millions_is_not_rounded_away() -> None:
    changed = {"documents.read": 10_000_001, "documents.embedded": 9_999_994, "rejects.record.empty_text": 1}

    assert record_of(changed)["exit_code"] == 3
    assert record_of(changed, max_reject_fraction=0)["exit_code"] == 4


def test_a_run_that_does_not_balance_says_so_whatever_was_rejected() -> None:
    assert record_of({"rejects.record.empty_text": 9}, max_reject_fraction=0)["exit_code"] == 5


def test_rejects_are_listed_by_level_and_reason() -> None:
    changed = {**REJECTED_RECORD, "rejects.chunk.bad_vector": 2, "rejects.file.unreadable_file": 1}

    record = record_of(changed)

    assert record["rejects"] == {"chunk.bad_vector": 2, "file.unreadable_file": 1, "record.empty_text": 1}
    assert record["files"] == {"planned": 2, "rejected": 1, "left_out": 0}
    assert record["chunks"] == {**CHUNKS, "rejected": 2}
    assert record["documents"]["rejected"] == 1


def test_what_is_left_out_is_counted_by_reason_and_balances() -> None:
    counts = {
        "documents.read": 17,
        "left_out.date": 4,
        "left_out.language": 3,
        "splits.left_out": 3,
        "files.left_out.limit": 2,
    }

    record = record_of(counts, splits_planned=5, files_planned=5, files_left_out={"excluded": 6})

    assert record["left_out"] == {"documents": {"date": 4, "language": 3}, "files": {"excluded": 6, "limit": 2}}
    assert (record["documents"]["left_out"], record["files"]["left_out"]) == (7, 8)
    assert (record["differences"], record["exit_code"], record["reject_fraction"]) == ([], 0, 0)


@pytest.mark.parametrize("lost", [{"left_out.date": 1}, {"splits.left_out": 1}])
def test_what_is_left_out_beyond_what_was_read_or_planned_is_a_difference(lost: Counts) -> None:
    record = record_of(lost)

    (difference,) = record["differences"]
    assert "left out" in difference
    assert record["exit_code"] == 5


def test_a_run_without_input_balances() -> None:
    record = build_record(RunContext(**{**vars(CONTEXT), "splits_planned": 0}), {}, {}, 0.0)

    assert (record["differences"], record["exit_code"], record["reject_fraction"]) == ([], 0, 0)


def test_a_language_has_its_figures_and_what_it_costs_against_english() -> None:
    languages = record_of()["languages"]

    assert list(languages) == ["de", "en"]
    assert languages["de"] == {
        "documents": 6,
        "mixed": 2,
        "chunks": 12,
        "tokens": 300,
        "characters": 1000,
        "bytes": 1250,
        "unknown_tokens": 3,
        "unknown_chunks": 2,
        "rejects": 1,
        "tokens_per_character": 0.3,
        "tokens_per_byte": 0.24,
        "chunks_per_document": 2.0,
        "unknown_fraction": 0.01,
        "premium": round(0.3 / 0.25 * CHARACTERS_PER_ENGLISH_CHARACTER["de"], 4),
    }
    assert (languages["en"]["premium"], languages["en"]["unknown_fraction"], languages["en"]["mixed"]) == (1.0, 0.0, 0)


def test_without_english_no_language_has_a_premium() -> None:
    counts = {name: value for name, value in CLEAN.items() if not name.startswith("language.en.")}

    languages = build_record(CONTEXT, counts, COUNTED, 1.0)["languages"]

    assert languages["de"]["premium"] is None
    assert languages["de"]["tokens_per_character"] == 0.3


def test_a_language_all_of_whose_documents_were_rejected_has_figures_without_ratios() -> None:
    languages = record_of({"language.xx.documents": 3})["languages"]

    assert languages["xx"] == {
        **dict.fromkeys(
            ("mixed", "chunks", "tokens", "characters", "bytes", "unknown_tokens", "unknown_chunks", "rejects"), 0
        ),
        **dict.fromkeys(("tokens_per_character", "tokens_per_byte", "unknown_fraction", "premium")),
        "documents": 3,
        "chunks_per_document": 0.0,
    }


def test_documents_that_were_not_utf8_are_listed_by_encoding() -> None:
    assert record_of()["encodings"] == {}
    counts = {"encoding.windows-1251.documents": 3, "encoding.utf-16-le.documents": 1}
    assert record_of(counts)["encodings"] == {"utf-16-le": 1, "windows-1251": 3}


def test_lengths_times_and_the_slowest_splits_are_recorded() -> None:
    record = record_of()

    of_chunks = [(one["from"], one["to"], one["count"]) for one in record["lengths"]["chunks"]]
    assert of_chunks == [(1, 8, 3), (9, 16, 0), (17, 24, 17)]
    assert record["lengths"]["documents"] == [{"from": 6, "to": 7, "count": 10}]
    assert record["timeline"] == [
        {"start": 0, "width": 1, "tokens": 60},
        {"start": 12, "width": 1, "documents": 10, "tokens": 40},
    ]
    assert record["slowest"] == [
        {"source": "a.b.jsonl", "start": 10, "stop": 99, "seconds": 2.5},
        {"source": "b.jsonl", "start": 0, "stop": 9, "seconds": 1.0},
    ]
