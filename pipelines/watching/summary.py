"""The run record as a person reads it at the end of a run."""

import shlex
from collections.abc import Mapping
from typing import Any

from pipelines.configuration.config import Config
from transforms.logic.record import EXIT_OVER_LIMIT

_COMMONEST_REASONS = 5
_LANGUAGES = "  language   documents   chunks      tokens   tokens/chunk   tokens/character   premium"


def summarise(record: Mapping[str, Any], config: Config, report: str | None = None) -> str:
    """A few lines and a table per language, ending with what to do next; `report` is the URI of the report, if there is one."""
    documents, vectors, rows = record["documents"], record["vectors"], record["rows"]
    embed = record["stages"]["embed"]
    speed = f", {embed['tokens_per_second']:,.0f} tokens/s" if embed["tokens_per_second"] else ""
    lines = [
        f"run {record['run_id']}: {record['status']} (exit code {record['exit_code']}), {record['seconds']:.1f} s",
        "",
        _counts(
            "documents", {name: count for name, count in documents.items() if name not in {"left_out", "gone"}}, "read"
        ),
        *_left_out(record["left_out"]),
        f"  chunks      {record['chunks']['split']:>9,}   of {record['tokens']:,} tokens{_remarks(record['chunks'])}",
        f"  vectors     {vectors['encoded']:>9,} encoded in {embed['seconds']:.1f} s{speed}; {vectors['reused']:,} reused",
        _counts("rows", rows, "held"),
        *_mirror(record["mirror"], config),
        "",
        *_table(record),
    ]
    if record["rejects"]:
        reasons = ", ".join(f"{name.split('.')[-1]} {count}" for name, count in record["rejects"].items())
        limit = f"limit {config.run.max_reject_fraction:.2%}"
        lines += [
            "",
            f"rejects: {reasons}; {record['reject_fraction']:.2%} of all ({limit}); each with its place:",
            f"  {_rejects_command(record, config)}",
        ]
    lines += _over_limit(record, config)
    lines += ["", *(f"DOES NOT BALANCE: {difference}" for difference in record["differences"])]
    lines += [f"report: {report}", ""] if report else []
    lines += ["search it:", f"  {_search_command(config)}"] if rows["held"] else []
    return "\n".join(lines) + "\n"


def _counts(name: str, counts: Mapping[str, int], total: str) -> str:
    parts = ", ".join(f"{count:,} {what}" for what, count in counts.items() if what != total)
    return f"  {name:<11} {counts[total]:>9,} {total}: {parts}"


def _remarks(chunks: Mapping[str, int]) -> str:
    """What is worth saying of chunks, if there is any of it."""
    phrases = {
        "duplicates": "repeat another",
        "hot": "of a hot content",
        "unknown": "with too many unknown tokens",
        "truncated": "truncated",
    }
    said = [f"{chunks[name]:,} {phrase}" for name, phrase in phrases.items() if chunks[name]]
    return f"; {', '.join(said)}" if said else ""


def _left_out(left_out: Mapping[str, Mapping[str, int]]) -> list[str]:
    parts = [
        f"{sum(reasons.values()):,} {what} ({', '.join(f'{reason} {count:,}' for reason, count in reasons.items())})"
        for what, reasons in left_out.items()
        if reasons
    ]
    return [f"  left out    {', '.join(parts)}"] if parts else []


def _mirror(mirror: Mapping[str, Any] | None, config: Config) -> list[str]:
    """What became of the documents that the source no longer has, if the run looked for them."""
    if mirror is None:
        return []
    said = {
        "deleted": "deleted",
        "source not whole": f"not deleted: {mirror['unread']:,} files or records that could not be read may hold them; "
        "mend them, or leave them out of the input",
        "over the limit": f"NOT DELETED: above --max-delete-fraction {config.run.max_delete_fraction:g}; "
        "if that is meant, run again with a higher one",
    }
    return [
        f"  mirror      {mirror['gone']:>9,} of {mirror['held']:,} documents gone from the source: {said[mirror['outcome']]}"
    ]


def _over_limit(record: Mapping[str, Any], config: Config) -> list[str]:
    """The commonest reasons, if there were too many rejects."""
    if record["exit_code"] != EXIT_OVER_LIMIT:
        return []
    commonest = sorted(record["rejects"].items(), key=lambda counted: (-counted[1], counted[0]))[:_COMMONEST_REASONS]
    allowed = f"{config.run.max_reject_fraction:.2%}"
    return [
        "",
        f"TOO MANY REJECTS: {record['reject_fraction']:.2%}, allowed by --max-reject-fraction {allowed}; the commonest:",
        *(f"  {count:>9,} {name.partition('.')[2]} ({name.partition('.')[0]})" for name, count in commonest),
    ]


def _table(record: Mapping[str, Any]) -> list[str]:
    # Of documents that skipped the pipeline nobody asked for their language again.
    lines = [_LANGUAGES] if record["languages"] else []
    for language, counts in record["languages"].items():
        mean = counts["tokens"] / max(1, counts["chunks"])
        lines.append(
            f"  {language:<9} {counts['documents']:>10,} {counts['chunks']:>8,} {counts['tokens']:>11,} {mean:>14.1f}"
            f" {_figure(counts['tokens_per_character'], 3):>18} {_figure(counts['premium'], 2):>9}"
        )
    lines += [*([""] if lines else []), "  partition         rows in Milvus"]
    lines += [f"  {name:<17} {partition['milvus']:>14,}" for name, partition in record["partitions"].items()]
    return lines


def _figure(value: float | None, decimals: int) -> str:
    return "-" if value is None else f"{value:.{decimals}f}"


def _rejects_command(record: Mapping[str, Any], config: Config) -> str:
    return shlex.join(["corpus-embed", "rejects", "show", config.storage.workspace, "--run", record["run_id"]])


def _search_command(config: Config) -> str:
    storage = config.storage
    places = ["--milvus", storage.milvus, "--collection", storage.collection]
    return shlex.join(["corpus-embed", "search", "your question", *places])
