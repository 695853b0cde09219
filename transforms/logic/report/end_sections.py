"""Sections about trust: how well retrieval was found to work, what was verified, and with what the run was made."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from transforms.logic.report.markup import Node, tag
from transforms.logic.report.numbers import NONE, count, moment
from transforms.logic.report.parts import Column, Section, code, folded, note, table

Record = Mapping[str, Any]
_MOST_ROWS = 200
_MOST_COLUMNS = 12
_MOST_CHARACTERS = 300
_PLAIN = ("name", "collection", "created_by", "pairs")


def evaluation(found: Sequence[Mapping[str, Any]]) -> Section | None:
    """What evaluations of the collection came to: every list of rows in one becomes a table, whatever its columns."""
    if not found:
        return None
    content: list[Any] = []
    for one in found:
        content.append(tag("h3", {}, _text(one.get("name", "evaluation"))))
        plain = [
            f"{_words(key)} {_text(one[key])}" for key in _PLAIN[2:] if isinstance(one.get(key), str | int | float)
        ]
        if plain:
            content.append(note(", ".join(plain) + "."))
        for key, value in one.items():
            if isinstance(value, list) and value and all(isinstance(row, Mapping) for row in value):
                content += _rows(_words(str(key)), value)
    return Section("evaluation", "Evaluation", content)


def _rows(caption: str, rows: Sequence[Mapping[str, Any]]) -> Iterator[Any]:
    names = list(dict.fromkeys(str(name) for row in rows for name in row))[:_MOST_COLUMNS]
    columns = [Column(_words(name), is_number=_is_number(rows, name)) for name in names]
    shown = [[_text(row.get(name)) for name in names] for row in rows[:_MOST_ROWS]]
    if columns:
        yield table(caption.capitalize(), columns, shown)
    if len(rows) > _MOST_ROWS:
        yield note(f"{len(rows) - _MOST_ROWS:,} more rows are in the evaluation's own file.")


def _is_number(rows: Sequence[Mapping[str, Any]], name: str) -> bool:
    given = [row.get(name) for row in rows]
    return all(value is None or (isinstance(value, int | float) and not isinstance(value, bool)) for value in given)


def _words(name: str) -> str:
    return name.replace("_at_", "@").replace("_", " ")


def _text(value: Any) -> str:
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
    return repr(value) if isinstance(value, float) else _text(value)


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
            tag("li", {}, " ".join(_text(one.get(key)) for key in ("kind", "partition", "detail")))
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
        ["Run", code(_text(record["run_id"]))],
        ["Started", moment(_text(record["started_at"]))],
        ["Model", code(_text(model.get("name")))],
        ["Revision", code(_text(model.get("revision")))],
        ["Files of the model, digest", code(_text(model.get("files_digest")))],
        ["Embedding space", code(_text(record["embedding_space"]))],
        *([[name.capitalize(), _text(value)] for name, value in record.get("computation", {}).items()]),
        ["Checksum of the held rows", code(_text(record.get("checksum")))],
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
    versions: list[list[Node]] = [[code(name), code(_text(value))] for name, value in record["versions"].items()]
    if versions:
        named = [Column("Package", is_number=False), Column("Version", is_number=False)]
        content.append(folded(f"Versions of {len(versions)} packages", table("Versions", named, versions)))
    return Section("provenance", "Configuration and versions", content)
