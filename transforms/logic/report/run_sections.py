"""Sections that the run record fills: what went in, what came out, in which languages, how long, how fast."""

from collections.abc import Mapping, Sequence
from typing import Any

from transforms.logic.report.charts import stacked
from transforms.logic.report.markup import tag
from transforms.logic.report.numbers import compact, count, counted, decimal, duration, share
from transforms.logic.report.parts import (
    Column,
    Section,
    code,
    folded,
    language_name,
    legend,
    meter,
    note,
    table,
    tile,
)

Record = Mapping[str, Any]
_SHOWN_LANGUAGES = 40
_OUTCOMES = {
    "embedded": "embedded",
    "reused": "reused",
    "unchanged": "unchanged",
    "rejected": "rejected",
    "left_out": "left out",
}
_OUTCOME_MEANS = {
    "embedded": "a chunk of it was encoded",
    "reused": "every chunk had a vector already",
    "unchanged": "known as it is, and skipped",
    "rejected": "could not be processed; kept with its reason",
    "left_out": "not wanted, by the configuration",
}


def overview(record: Record) -> Section:
    """The figures that are asked for first."""
    documents, vectors, rows, embed = record["documents"], record["vectors"], record["rows"], record["stages"]["embed"]
    rejects = sum(record["rejects"].values())
    languages = len(record["languages"])
    speed = "" if not embed["tokens_per_second"] else f"{compact(embed['tokens_per_second'])} tokens/s while encoding"
    tiles = [
        tile("Documents", compact(documents["read"]), counted(rejects, "reject") if rejects else "no rejects"),
        tile("Languages", count(languages), counted(len(record["partitions"]), "partition")),
        tile("Chunks", compact(record["chunks"]["split"]), f"{compact(record['tokens'])} tokens"),
        tile("Vectors encoded", compact(vectors["encoded"]), speed),
        tile(
            "Vectors reused", compact(vectors["reused"]), _of(vectors["reused"], vectors["encoded"] + vectors["reused"])
        ),
        tile("Rows held", compact(rows["held"]), f"{compact(rows['written'])} written"),
        tile("Time", duration(record["seconds"]), f"ledger {record['ledger']}"),
    ]
    return Section("overview", "Overview", [tag("dl", {"class": "tiles"}, *tiles)])


def _of(part: float, whole: float) -> str:
    return f"{share(part, whole)} of all" if whole else ""


def balance(record: Record) -> Section:
    """What was read and what became of it, and what the collection holds against what it should."""
    documents = record["documents"]
    parts = [(label, documents[name]) for name, label in _OUTCOMES.items()]
    read = documents["read"]
    found = [
        [_OUTCOMES[name], count(documents[name]), share(documents[name], read), means]
        for name, means in _OUTCOME_MEANS.items()
    ]
    columns = [
        Column("Outcome", is_number=False),
        Column("Documents"),
        Column("Share"),
        Column("Meaning", is_number=False),
    ]
    foot = ["read", count(read), share(read, read), ""]
    content = []
    if any(value for _, value in parts):
        names = [(index, label) for index, (label, value) in enumerate(parts) if value]
        content += [stacked("outcomes", "What became of the documents", parts), legend(names)]
    content.append(table("Documents read, and what became of them", columns, found, foot))
    if record["differences"]:
        lines = [tag("li", {}, one) for one in record["differences"]]
        content.append(
            tag("div", {"class": "alert"}, tag("h3", {}, "This run does not balance"), tag("ul", {}, *lines))
        )
    else:
        content.append(note("The run balances: every document, chunk, token and row that went in is accounted for."))
    held = [
        [
            code(name),
            count(one["expected"]),
            count(one["milvus"]),
            "equal" if one["expected"] == one["milvus"] else "DIFFERS",
        ]
        for name, one in record["partitions"].items()
    ]
    columns = [
        Column("Partition", is_number=False),
        Column("In the ledger"),
        Column("Counted in Milvus"),
        Column("Result", is_number=False),
    ]
    rows = table("Rows of each partition", columns, held)
    content.append(folded(f"Rows of {len(held)} partitions", rows) if len(held) > 8 else rows)  # noqa: PLR2004
    return Section("balance", "Balance", content)


def languages(record: Record) -> Section:
    """Documents, tokens and their price in each language."""
    found: Mapping[str, Mapping[str, Any]] = record["languages"]
    if not found:
        return Section(
            "languages", "Languages", [note("No document went through the pipeline, so no language was counted.")]
        )
    order = sorted(found, key=lambda name: (-found[name]["documents"], name))
    most = max(one["documents"] for one in found.values())
    most_premium = max((one["premium"] or 0 for one in found.values()), default=0)
    # Records of earlier versions lack some.
    added = [(name, heading) for name, heading in _ADDED.items() if any(name in one for one in found.values())]
    columns = [
        Column("Language", is_number=False),
        Column("Documents"),
        Column("", is_number=False),
        Column("Chunks"),
        Column("Tokens"),
        Column("Tokens per character"),
        Column("Premium", meaning="tokens that the same content takes, against English"),
        Column("", is_number=False),
        Column("Unknown tokens", meaning="tokens that the model's vocabulary lacks (<unk>), as a share of all"),
        *(Column(heading) for _, heading in added),
    ]
    rows = [_language(name, found[name], most, most_premium, [one for one, _ in added]) for name in order]
    caption = "Languages, the one with the most documents first"
    content = [table(caption, columns, rows[:_SHOWN_LANGUAGES])]
    if len(rows) > _SHOWN_LANGUAGES:
        content.append(
            folded(
                f"{len(rows) - _SHOWN_LANGUAGES} more", table("The other languages", columns, rows[_SHOWN_LANGUAGES:])
            )
        )
    content.append(
        note(
            "Premium: how many tokens, and so how much time and money, the same content takes in this language for each token that it "
            "takes in English; none where the corpus holds no English or the language's length against English is not known. "
            "Rejects are those whose language was known when they were rejected."
        )
    )
    return Section("languages", "Languages", content)


_ADDED = {"unknown_chunks": "Chunks with unknown tokens", "rejects": "Rejects"}


def _language(name: str, one: Mapping[str, Any], most: int, most_premium: float, added: Sequence[str]) -> list[Any]:
    return [
        language_name(name),
        count(one["documents"]),
        meter(one["documents"], most),
        count(one["chunks"]),
        count(one["tokens"]),
        decimal(one["tokens_per_character"], 3),
        decimal(one["premium"], 2),
        meter(one["premium"] or 0, most_premium, 1),
        share(one["unknown_fraction"] or 0, 1),
        *(count(one.get(column)) for column in added),
    ]


def reuse(record: Record) -> Section:
    """How much of the work was spared."""
    vectors, chunks, rows = record["vectors"], record["chunks"], record["rows"]
    parts = [("encoded", vectors["encoded"]), ("reused from the dataset", vectors["reused"])]
    rest = max(0, chunks["split"] - sum(value for _, value in parts) - chunks["rejected"])
    parts.append(("stored before, or a repeat of a chunk of this run", rest))
    content = []
    if any(value for _, value in parts):
        content += [
            stacked("reuse-chunks", "Where the vectors of chunks came from", parts),
            legend([(index, f"{label}: {count(value)}") for index, (label, value) in enumerate(parts) if value]),
        ]
    facts = [
        ["Documents known as they are, and skipped", count(record["documents"]["unchanged"])],
        ["Chunks that repeat the content of another", count(chunks["duplicates"])],
        ["Rows of the collection that stay as they are", count(rows["unchanged"])],
        ["Rows written", count(rows["written"])],
        ["Rows deleted", count(rows["deleted"])],
    ]
    columns = [Column("What", is_number=False), Column("Count")]
    content.append(table("What was spared, and what was done", columns, facts))
    return Section("reuse", "Reuse", content)


def rejects(record: Record) -> Section:
    """What could not be processed, by reason; never what it said."""
    found = sorted(record["rejects"].items(), key=lambda one: (-one[1], one[0]))
    if not found:
        return Section("rejects", "Rejects", [note("Nothing was rejected.")])
    whole = sum(value for _, value in found)
    rows = [
        [
            name.partition(".")[2].replace("_", " "),
            name.partition(".")[0],
            count(value),
            share(value, whole),
            meter(value, found[0][1]),
        ]
        for name, value in found
    ]
    columns = [
        Column("Reason", is_number=False),
        Column("Level", is_number=False),
        Column("Rejects"),
        Column("Share"),
        Column("", is_number=False),
    ]
    limit = record["configuration"].get("run", {}).get("max_reject_fraction")
    allowed = f"; the limit is {limit:.2%}" if isinstance(limit, int | float) else ""
    said = f"Rejected: {record['reject_fraction']:.2%} of all{allowed}. Their texts are not in this report."
    return Section(
        "rejects",
        "Rejects",
        [table("Rejects by reason", columns, rows, ["all", "", count(whole), share(whole, whole), ""]), note(said)],
    )
