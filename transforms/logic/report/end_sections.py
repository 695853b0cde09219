"""Sections about trust: what was verified, and with what the run was made."""

import json
from collections.abc import Mapping
from typing import Any

from transforms.logic.report.markup import Node, tag
from transforms.logic.report.numbers import NONE, count, moment
from transforms.logic.report.parts import Column, Section, code, folded, note, table

Record = Mapping[str, Any]
_MOST_CHARACTERS = 300


def text_of(value: Any) -> str:
    """A plain value of a record, as it stands in a table."""
    if value is None:
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return count(value)
    if isinstance(value, float):
        return f"{value:,.3f}"
    words = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return words if len(words) <= _MOST_CHARACTERS else f"{words[: _MOST_CHARACTERS - 1]}…"


def _option(value: Any) -> str:
    """As it would be written: a limit of 0.0001 is not 0.000."""
    return repr(value) if isinstance(value, float) else text_of(value)


_CHECKS = {
    "ids_compared": "Ids of Milvus that went into checksums",
    "rows_compared": "Rows fetched back and compared",
    "vectors_exact": "Vectors equal to the last bit",
    "searched": "Stored vectors searched for",
}


def verification(record: Record) -> Section:
    """What was held against what at the end of the run."""
    found = record["verification"]
    if found is None:
        words = "The rows of each partition were counted, and nothing else was compared (--verify none)."
        return Section("verification", "Verification", [note(words)])
    rows: list[list[Node]] = [[label, count(found[name])] for name, label in _CHECKS.items() if found.get(name)]
    rows.insert(0, ["Rows of the ledger", count(found.get("rows"))])
    content = [
        table(f"What was compared (--verify {found['form']})", [Column("What", is_number=False), Column("Count")], rows)
    ]
    if found.get("recall"):
        recalls: list[list[Node]] = [[code(name), f"{value:.3f}"] for name, value in found["recall"].items()]
        columns = [Column("Partition", is_number=False), Column("Recall@10")]
        content.append(table("Recall of the index against exact search", columns, recalls))
    if found["findings"]:
        items = [
            tag("li", {}, " ".join(text_of(one.get(key)) for key in ("kind", "partition", "detail")))
            for one in found["findings"]
        ]
        content.append(tag("div", {"class": "alert"}, tag("h3", {}, "Findings"), tag("ul", {}, *items)))
    else:
        content.append(note("No difference was found."))
    return Section("verification", "Verification", content)


def provenance(record: Record) -> Section:
    """Configuration, model and versions."""
    columns = [Column("Option", is_number=False), Column("Value", is_number=False)]
    model = record["model"]
    facts: list[list[Node]] = [
        ["Run", code(text_of(record["run_id"]))],
        ["Started", moment(text_of(record["started_at"]))],
        ["Model", code(text_of(model.get("name")))],
        ["Revision", code(text_of(model.get("revision")))],
        ["Files of the model, digest", code(text_of(model.get("files_digest")))],
        ["Embedding space", code(text_of(record["embedding_space"]))],
        *([[name.capitalize(), text_of(value)] for name, value in record.get("computation", {}).items()]),
        ["Checksum of the held rows", code(text_of(record.get("checksum")))],
    ]
    content = [table("Run and model", [Column("What", is_number=False), Column("Value", is_number=False)], facts)]
    options: list[list[Node]] = [
        [code(name), code(_option(value))]
        for section in record["configuration"].values()
        if isinstance(section, Mapping)
        for name, value in section.items()
    ]
    if options:
        content.append(folded(f"Configuration, {len(options)} options", table("Configuration", columns, options)))
    versions: list[list[Node]] = [[code(name), code(text_of(value))] for name, value in record["versions"].items()]
    if versions:
        named = [Column("Package", is_number=False), Column("Version", is_number=False)]
        content.append(folded(f"Versions of {len(versions)} packages", table("Versions", named, versions)))
    return Section("provenance", "Configuration and versions", content)
