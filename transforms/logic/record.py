"""The run record: what went in, what came out, and whether it balances (guarantee G1).

Everything here is computed from tallies, which are counted once for each bundle that was kept, and from rows counted in Milvus.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

FORMAT = 1
EXIT_COMPLETE = 0
EXIT_CONFIGURATION = 2
EXIT_REJECTS = 3
EXIT_OVER_LIMIT = 4
EXIT_UNBALANCED = 5
EXIT_RETRY = 6

STATUS = {
    EXIT_COMPLETE: "complete",
    EXIT_REJECTS: "complete with rejects under the limit",
    EXIT_OVER_LIMIT: "rejects over the limit",
    EXIT_UNBALANCED: "does not balance",
}

Counts = Mapping[str, float]


@dataclass(frozen=True)
class RunContext:
    """What is known of a run before it starts."""

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


def build_record(context: RunContext, counts: Counts, counted: Mapping[str, int], seconds: float) -> dict[str, Any]:
    """The run record of a finished run.

    Args:
        context: what was known before.
        counts: the sum of all tallies.
        counted: rows of each Milvus partition, counted at strong consistency.
        seconds: wall time since the run started.
    """
    expected = {name: int(value) for name, value in _under("partition.", counts).items()}
    rejected = _under("rejects.", counts)
    record: dict[str, Any] = {
        "format": FORMAT,
        "run_id": context.run_id,
        "documents": _documents(counts),
        "files": {"planned": context.files_planned, "rejected": _sum(_under("rejects.file.", counts))},
        "rejects": {name: int(value) for name, value in sorted(rejected.items()) if name != "total"},
        "chunks": {"split": _int(counts, "chunks.split"), "rejected": _sum(_under("rejects.chunk.", counts))},
        "tokens": _int(counts, "tokens.split"),
        "vectors": {"encoded": _int(counts, "vectors.encoded"), "reused": _int(counts, "vectors.reused")},
        "rows": _rows(counts),
        "partitions": {
            name: {"expected": expected.get(name, 0), "milvus": counted.get(name, 0)}
            for name in sorted({*expected, *counted})
        },
        "languages": _languages(counts),
        "stages": _stages(counts),
        "seconds": round(seconds, 3),
        "started_at": context.started_at,
        "model": dict(context.model),
        "embedding_space": context.embedding_space,
        "representation": dict(context.representation),
        "configuration": dict(context.configuration),
        "versions": dict(context.versions),
    }
    record["differences"] = differences(record, counts, context)
    record["reject_fraction"] = _reject_fraction(record)
    record["exit_code"] = _exit_code(record, context.max_reject_fraction)
    record["status"] = STATUS[record["exit_code"]]
    return record


def differences(record: Mapping[str, Any], counts: Counts, context: RunContext) -> list[str]:
    """Every way in which the run does not balance, in words; empty for a run that does."""
    documents, rows = record["documents"], record["rows"]
    outcomes = sum(documents[name] for name in ("embedded", "reused", "unchanged", "rejected"))
    pairs = [
        ("splits planned", context.splits_planned, "splits read", _int(counts, "splits.read")),
        ("documents read", documents["read"], "embedded + reused + unchanged + rejected", outcomes),
        ("chunks split", _int(counts, "chunks.split"), "chunks looked up", _int(counts, "chunks.looked_up")),
        ("chunks split", _int(counts, "chunks.split"), "chunks reconciled", _int(counts, "chunks.reconciled")),
        ("rows to write", _int(counts, "rows.to_write"), "rows loaded from the dataset", _int(counts, "rows.loaded")),
        ("rows to write", _int(counts, "rows.to_write"), "rows written", rows["written"]),
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
    return {**outcomes, "rejected": rejected}


def _rows(counts: Counts) -> dict[str, int]:
    written, held = _int(counts, "rows.written"), _int(counts, "rows.held")
    return {
        "held": held,
        "written": written,
        "unchanged": held - _int(counts, "rows.to_write"),
        "deleted": _int(counts, "rows.deleted"),
    }


def _languages(counts: Counts) -> dict[str, dict[str, int]]:
    languages: dict[str, dict[str, int]] = {}
    for name, value in _under("language.", counts).items():
        language, what = name.rsplit(".", 1)
        languages.setdefault(language, {"documents": 0, "chunks": 0, "tokens": 0})[what] = int(value)
    return {language: languages[language] for language in sorted(languages)}


_STAGE_TOKENS = {"split": "tokens.split", "embed": "tokens.encoded"}


def _stages(counts: Counts) -> dict[str, dict[str, float | None]]:
    stages: dict[str, dict[str, float | None]] = {}
    for stage in (
        "read",
        "identify",
        "split",
        "reuse",
        "embed",
        "store",
        "reconcile",
        "load",
        "compress",
        "write",
        "delete",
    ):
        seconds = counts.get(f"stage.{stage}.seconds", 0.0)
        tokens = _int(counts, _STAGE_TOKENS.get(stage, "tokens.split"))
        rate = round(tokens / seconds, 1) if seconds and tokens else None
        stages[stage] = {"seconds": round(seconds, 3), "tokens": tokens, "tokens_per_second": rate}
    return stages


def _reject_fraction(record: Mapping[str, Any]) -> float:
    """The larger of the rejected shares of records with files, and of chunks."""
    documents, files, chunks = record["documents"], record["files"], record["chunks"]
    records = (documents["rejected"] + files["rejected"]) / max(1, documents["read"] + files["rejected"])
    return float(max(records, chunks["rejected"] / max(1, chunks["split"])))


def _exit_code(record: Mapping[str, Any], max_reject_fraction: float) -> int:
    if record["differences"]:
        return EXIT_UNBALANCED
    if record["reject_fraction"] > max_reject_fraction:
        return EXIT_OVER_LIMIT
    return EXIT_REJECTS if record["reject_fraction"] > 0 else EXIT_COMPLETE


def _under(prefix: str, counts: Counts) -> dict[str, float]:
    return {name.removeprefix(prefix): value for name, value in counts.items() if name.startswith(prefix)}


def _int(counts: Counts, name: str) -> int:
    return int(counts.get(name, 0))


def _sum(counts: Counts) -> int:
    return int(sum(counts.values()))
