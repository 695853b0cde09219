"""The run record: what went in, what came out, and whether it balances (guarantee G1).

Everything here is computed from tallies, which are counted once for each bundle that was kept, and from rows counted in Milvus.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from transforms.logic.checksum import HELD, REJECTED, WANTED, WRITTEN, as_text, combined, counted_checksum, without
from transforms.logic.lengths import CHUNK_BINS, describe_lengths
from transforms.logic.mirroring import mirror
from transforms.logic.parity import ENGLISH, premium
from transforms.logic.timeline import describe_slowest, describe_timeline
from transforms.logic.verification import Kind, Verification

FORMAT = 1
EXIT_COMPLETE = 0
EXIT_CONFIGURATION = 2
EXIT_REJECTS = 3
EXIT_OVER_LIMIT = 4
EXIT_UNBALANCED = 5
EXIT_RETRY = 6
EXIT_DELETES = 7
_RATIO_DECIMALS = 4

STATUS = {
    EXIT_COMPLETE: "complete",
    EXIT_REJECTS: "complete with rejects under the limit",
    EXIT_OVER_LIMIT: "rejects over the limit",
    EXIT_UNBALANCED: "does not balance",
    EXIT_DELETES: "complete, but deletes over the limit: nothing that is gone from the source was deleted",
}

Counts = Mapping[str, float]
_REJECTED_ROW = "rejected_row."


@dataclass(frozen=True)
class RunContext:
    """What is known of a run before it starts; `max_delete_fraction` is None for one that does not mirror its source.

    `verify` says how deep the collection is held against the ledger before that is committed, `collection_space` what the collection
    records about itself, so that another one like it can be made though the first is lost, `push_metrics` the URL that gets the figures,
    `report` whether a page is made of the record, and whether that may quote chunks.
    """

    run_id: str
    splits_planned: int
    files_planned: int
    max_reject_fraction: float
    configuration: Mapping[str, Any]
    model: Mapping[str, Any]
    embedding_space: str
    representation: Mapping[str, Any]
    versions: Mapping[str, str]
    started_at: str
    started_seconds: float
    files_left_out: Mapping[str, int] = field(default_factory=dict)
    computation: Mapping[str, Any] = field(default_factory=dict)
    max_delete_fraction: float | None = None
    verify: Literal["none", "quick", "full"] = "none"
    collection_space: Mapping[str, Any] = field(default_factory=dict)
    push_metrics: str | None = None
    report: Literal["full", "no-texts", "none"] = "none"


def rejected_row_counts(rows: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Rows, with `partition` and `id`, that Milvus did not take, as counts; `rejected_rows` reads them back."""
    named = {f"{_REJECTED_ROW}{row['partition']}.{row['id']}": 1 for row in rows}
    return {"rows.rejected": len(named), **named}


def rejected_rows(counts: Counts) -> dict[str, str]:
    """The partition of each row, by id, that Milvus did not take: no ledger may hold it."""
    named = (name.rsplit(".", 1) for name in _under(_REJECTED_ROW, counts))
    return {identity: partition for partition, identity in named}


def build_record(context: RunContext, counts: Counts, counted: Mapping[str, int], seconds: float) -> dict[str, Any]:
    """The run record of a finished run.

    Args:
        context: what was known before.
        counts: the sum of all tallies.
        counted: rows of each Milvus partition, counted at strong consistency.
        seconds: wall time since the run started.
    """
    expected = {name: int(value) for name, value in _under("partition.", counts).items()}
    for partition in rejected_rows(counts).values():
        expected[partition] -= 1
    rejected = _under("rejects.", counts)
    left_out = _left_out(counts, context)
    mirrored = None if context.max_delete_fraction is None else mirror(counts, context.max_delete_fraction)
    record: dict[str, Any] = {
        "format": FORMAT,
        "run_id": context.run_id,
        "documents": {**_documents(counts), "gone": 0 if mirrored is None else mirrored.deleted},
        "files": {
            "planned": context.files_planned,
            "rejected": _sum(_under("rejects.file.", counts)),
            "left_out": sum(left_out["files"].values()),
        },
        "left_out": left_out,
        "rejects": {name: int(value) for name, value in sorted(rejected.items()) if name != "total"},
        "encodings": _encodings(counts),
        "chunks": _chunks(counts),
        "tokens": _int(counts, "tokens.split"),
        "vectors": {"encoded": _int(counts, "vectors.encoded"), "reused": _int(counts, "vectors.reused")},
        "budget_reductions": _int(counts, "budget.reductions"),
        "rows": _rows(counts),
        "checksum": as_text(without(counted_checksum(HELD, counts), counted_checksum(REJECTED, counts))),
        "mirror": None if mirrored is None else mirrored.describe(),
        "verification": None,
        "partitions": {
            name: {"expected": expected.get(name, 0), "milvus": counted.get(name, 0)}
            for name in sorted({*expected, *counted})
        },
        "languages": _languages(counts),
        "lengths": describe_lengths(counts, _max_tokens(context.configuration)),
        "stages": _stages(counts),
        "timeline": describe_timeline(counts, seconds),
        "slowest": describe_slowest(counts),
        "seconds": round(seconds, 3),
        "started_at": context.started_at,
        "model": dict(context.model),
        "embedding_space": context.embedding_space,
        "collection_space": dict(context.collection_space),
        "computation": dict(context.computation),
        "representation": dict(context.representation),
        "configuration": dict(context.configuration),
        "versions": dict(context.versions),
    }
    record["differences"] = differences(record, counts, context)
    record["reject_fraction"] = _reject_fraction(record)
    record["exit_code"] = _exit_code(record, context.max_reject_fraction)
    record["status"] = STATUS[record["exit_code"]]
    return record


def verified(record: Mapping[str, Any], verification: Verification, max_reject_fraction: float) -> dict[str, Any]:
    """A run record with what a verification of the collection found: every finding is a difference, so that nothing is committed."""
    # Counts are compared as they are.
    found = [str(finding) for finding in verification.findings if finding.kind != Kind.COUNT]
    changed = {**record, "verification": verification.describe(), "differences": [*record["differences"], *found]}
    code = _exit_code(changed, max_reject_fraction)
    return {**changed, "exit_code": code, "status": STATUS[code]}


def differences(record: Mapping[str, Any], counts: Counts, context: RunContext) -> list[str]:
    """Every way in which the run does not balance, in words; empty for a run that does."""
    documents, rows = record["documents"], record["rows"]
    outcomes = sum(documents[name] for name in ("embedded", "reused", "unchanged", "rejected", "left_out"))
    splits = _int(counts, "splits.read") + _int(counts, "splits.left_out")
    pairs = [
        ("splits planned", context.splits_planned, "splits read + left out", splits),
        ("documents read", documents["read"], "embedded + reused + unchanged + rejected + left out", outcomes),
        ("chunks split", _int(counts, "chunks.split"), "chunks looked up", _int(counts, "chunks.looked_up")),
        ("chunks split", _int(counts, "chunks.split"), "chunks reconciled", _int(counts, "chunks.reconciled")),
        ("tokens split", _int(counts, "tokens.split"), "tokens encoded + spared by a known vector", _tokens(counts)),
        ("chunks truncated", _int(counts, "chunks.truncated"), "allowed", 0),
        ("rows to write", _int(counts, "rows.to_write"), "rows loaded from the dataset", _int(counts, "rows.loaded")),
        ("rows to write", _int(counts, "rows.to_write"), "rows written + rejected", rows["written"] + rows["rejected"]),
        (
            "checksum of rows to write",
            as_text(counted_checksum(WANTED, counts)),
            "of rows written + rejected",
            as_text(combined(counted_checksum(name, counts) for name in (WRITTEN, REJECTED))),
        ),
        ("rows to delete", _int(counts, "rows.to_delete"), "rows deleted", rows["deleted"]),
    ]
    found = [
        f"{left_name} {left} != {right_name} {right}" for left_name, left, right_name, right in pairs if left != right
    ]
    for name, partition in record["partitions"].items():
        if partition["expected"] != partition["milvus"]:
            found.append(
                f"partition {name}: {partition['expected']} rows in the ledger != {partition['milvus']} counted in Milvus"
            )
    return found


def _documents(counts: Counts) -> dict[str, int]:
    # A record is rejected on its way, or at the end because none of its chunks has a vector.
    rejected = _sum(_under("rejects.record.", counts)) + _int(counts, "documents.rejected")
    outcomes = {name: _int(counts, f"documents.{name}") for name in ("read", "embedded", "reused", "unchanged")}
    return {**outcomes, "rejected": rejected, "left_out": _sum(_under("left_out.", counts))}


def _encodings(counts: Counts) -> dict[str, int]:
    """Documents that were not UTF-8, by encoding."""
    found = _under("encoding.", counts)
    return {name.removesuffix(".documents"): int(count) for name, count in sorted(found.items())}


def _left_out(counts: Counts, context: RunContext) -> dict[str, dict[str, int]]:
    """Documents and files that were not wanted, by reason; documents of files that were never read are not counted."""
    files = {**context.files_left_out, **_under("files.left_out.", counts)}
    return {
        "documents": {reason: int(count) for reason, count in sorted(_under("left_out.", counts).items())},
        "files": {reason: int(count) for reason, count in sorted(files.items())},
    }


def _rows(counts: Counts) -> dict[str, int]:
    held, rejected = _int(counts, "rows.held"), _int(counts, "rows.rejected")
    return {
        "held": held - rejected,
        "written": _int(counts, "rows.written"),
        "rejected": rejected,
        "unchanged": held - _int(counts, "rows.to_write"),
        "deleted": _int(counts, "rows.deleted"),
    }


def _chunks(counts: Counts) -> dict[str, int]:
    """Chunks split, and how many of them repeat the content of another one, went round the shuffle as repeats, and so on.

    Which of the duplicates are hot depends on how the runner bundles work, every other figure on the corpus alone.
    """
    names = ("split", "duplicates", "hot", "unknown", "truncated")
    return {
        **{name: _int(counts, f"chunks.{name}") for name in names},
        "rejected": _sum(_under("rejects.chunk.", counts)),
    }


def _tokens(counts: Counts) -> int:
    return _int(counts, "tokens.encoded") + _int(counts, "tokens.spared")


_COUNTED_PER_LANGUAGE = (
    *("documents", "mixed", "chunks", "tokens", "characters", "bytes"),
    *("unknown_tokens", "unknown_chunks", "rejects"),
)


def _languages(counts: Counts) -> dict[str, dict[str, float | None]]:
    """What each language holds and costs; a ratio without a denominator is None."""
    found: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for name, value in _under("language.", counts).items():
        language, what = name.rsplit(".", 1)
        found[language][what] = int(value)
    of_english = _ratio(found[ENGLISH]["tokens"], found[ENGLISH]["characters"]) if ENGLISH in found else None
    return {language: _language(language, found[language], of_english) for language in sorted(found)}


def _language(language: str, counted: Mapping[str, int], of_english: float | None) -> dict[str, float | None]:
    tokens_per_character = _ratio(counted["tokens"], counted["characters"])
    ratios = {
        "tokens_per_character": tokens_per_character,
        "tokens_per_byte": _ratio(counted["tokens"], counted["bytes"]),
        "chunks_per_document": _ratio(counted["chunks"], counted["documents"]),
        "unknown_fraction": _ratio(counted["unknown_tokens"], counted["tokens"]),
        "premium": premium(language, tokens_per_character, of_english),
    }
    rounded = {name: None if ratio is None else round(ratio, _RATIO_DECIMALS) for name, ratio in ratios.items()}
    return {**{name: counted[name] for name in _COUNTED_PER_LANGUAGE}, **rounded}


def _max_tokens(configuration: Mapping[str, Any]) -> int:
    """Bound of a chunk; what never cuts documents has none, and counts no lengths."""
    return int(configuration.get("chunking", {}).get("max_tokens", CHUNK_BINS))


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


_STAGE_TOKENS = {"split": "tokens.split", "embed": "tokens.encoded"}


def _stages(counts: Counts) -> dict[str, dict[str, float | None]]:
    stages: dict[str, dict[str, float | None]] = {}
    for stage in (
        "read",
        "recognise",
        "identify",
        "split",
        "reuse",
        "model",
        "embed",
        "share",
        "store",
        "reconcile",
        "load",
        "label",
        "compress",
        "write",
        "delete",
    ):
        seconds = counts.get(f"stage.{stage}.seconds", 0.0)
        tokens = 0 if stage == "model" else _int(counts, _STAGE_TOKENS.get(stage, "tokens.split"))
        rate = round(tokens / seconds, 1) if seconds and tokens else None
        stages[stage] = {"seconds": round(seconds, 3), "tokens": tokens, "tokens_per_second": rate}
    # How chunks fall together into passes depends on how the runner bundles work, so they stand with what is measured.
    stages["embed"] |= {
        "device_seconds": round(counts.get("device.seconds", 0.0), 3),
        "computed_tokens": _int(counts, "tokens.computed"),
        "padding_tokens": _int(counts, "tokens.padding"),
    }
    return stages


def reject_fraction(records: float, read: float, files: float, chunks: float, split: float) -> float:
    """The larger of the rejected shares of records with files, and of chunks: `read` are all records, `split` all chunks."""
    return float(max((records + files) / max(1, read + files), chunks / max(1, split)))


def _reject_fraction(record: Mapping[str, Any]) -> float:
    documents, files, chunks = record["documents"], record["files"], record["chunks"]
    return reject_fraction(
        documents["rejected"], documents["read"], files["rejected"], chunks["rejected"], chunks["split"]
    )


def _exit_code(record: Mapping[str, Any], max_reject_fraction: float) -> int:
    if record["differences"]:
        return EXIT_UNBALANCED
    if record["reject_fraction"] > max_reject_fraction:
        return EXIT_OVER_LIMIT
    if record["mirror"] is not None and record["mirror"]["outcome"] == "over the limit":
        return EXIT_DELETES
    return EXIT_REJECTS if record["reject_fraction"] > 0 else EXIT_COMPLETE


def _under(prefix: str, counts: Counts) -> dict[str, float]:
    return {name.removeprefix(prefix): value for name, value in counts.items() if name.startswith(prefix)}


def _int(counts: Counts, name: str) -> int:
    return int(counts.get(name, 0))


def _sum(counts: Counts) -> int:
    return int(sum(counts.values()))
