"""The run record as a person reads it at the end of a run."""

import shlex
from collections.abc import Mapping
from typing import Any

from pipelines.config import Config


def summarise(record: Mapping[str, Any], config: Config) -> str:
    """A few lines and a table per language, ending with what to do next."""
    documents, vectors, rows = record["documents"], record["vectors"], record["rows"]
    embed = record["stages"]["embed"]
    speed = f", {embed['tokens_per_second']:,.0f} tokens/s" if embed["tokens_per_second"] else ""
    lines = [
        f"run {record['run_id']}: {record['status']} (exit code {record['exit_code']}), {record['seconds']:.1f} s",
        "",
        _counts("documents", documents, "read"),
        f"  chunks      {record['chunks']['split']:>9,}   of {record['tokens']:,} tokens",
        f"  vectors     {vectors['encoded']:>9,} encoded in {embed['seconds']:.1f} s{speed}; {vectors['reused']:,} reused",
        _counts("rows", rows, "held"),
        "",
        *_table(record),
    ]
    if record["rejects"]:
        reasons = ", ".join(f"{name.split('.')[-1]} {count}" for name, count in record["rejects"].items())
        limit = f"limit {config.run.max_reject_fraction:.2%}"
        lines += [
            "",
            f"rejects: {reasons}; {record['reject_fraction']:.2%} of all ({limit}), kept in {', '.join(record['reject_files'])}",
        ]
    lines += ["", *(f"DOES NOT BALANCE: {difference}" for difference in record["differences"])]
    lines += ["search it:", f"  {_search_command(config)}"]
    return "\n".join(lines) + "\n"


def _counts(name: str, counts: Mapping[str, int], total: str) -> str:
    parts = ", ".join(f"{count:,} {what}" for what, count in counts.items() if what != total)
    return f"  {name:<11} {counts[total]:>9,} {total}: {parts}"


def _table(record: Mapping[str, Any]) -> list[str]:
    lines = ["  language   documents   chunks   tokens   tokens/chunk"]
    for language, counts in record["languages"].items():
        mean = counts["tokens"] / max(1, counts["chunks"])
        lines.append(
            f"  {language:<9} {counts['documents']:>10,} {counts['chunks']:>8,} {counts['tokens']:>8,} {mean:>14.1f}"
        )
    lines += ["", "  partition         rows in Milvus"]
    lines += [f"  {name:<17} {partition['milvus']:>14,}" for name, partition in record["partitions"].items()]
    return lines


def _search_command(config: Config) -> str:
    storage = config.storage
    places = ["--milvus", storage.milvus, "--collection", storage.collection]
    return shlex.join(["corpus-embed", "search", "your question", *places])
