"""The figures of a run record in Prometheus's text format 0.0.4.

https://github.com/prometheus/docs/blob/main/docs/instrumenting/exposition_formats.md

A run ends, so every figure is a gauge of the last one: what a Pushgateway keeps until the next run replaces it.
"""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PREFIX = "corpus_embed_"
OTHER = "other"
MOST_LANGUAGES = 50
"""Languages with figures of their own, those with the most tokens; the rest is `other`."""

_Samples = Sequence[tuple[Mapping[str, str], float]]


class _Metric(NamedTuple):
    name: str
    help: str
    samples: _Samples


def exposition(record: Mapping[str, Any], collection: str) -> str:
    """The text to push for the record of a run on a collection."""
    return "".join(_shown(metric) for metric in _metrics(record, collection))


def metric_names(record: Mapping[str, Any]) -> list[str]:
    """Names of the metrics that a record of this version gives."""
    return [f"{PREFIX}{metric.name}" for metric in _metrics(record, "")]


def _metrics(record: Mapping[str, Any], collection: str) -> Iterator[_Metric]:
    embed = record["stages"]["embed"]
    started = dt.datetime.fromisoformat(record["started_at"]).timestamp()
    yield _Metric("run_info", "Always 1; its labels name the last run.", [(_info(record, collection), 1)])
    yield _one("run_exit_code", "Exit code of the last run; the table is in docs/operate.md.", record["exit_code"])
    yield _one("run_differences", "Ways in which the last run does not balance.", len(record["differences"]))
    yield _one("run_started_timestamp_seconds", "When the last run started, Unix time.", started)
    yield _one("run_seconds", "Wall time of the last run.", record["seconds"])
    yield _by("documents", "Documents of the last run by outcome; read is their sum.", "outcome", record["documents"])
    yield _by("chunks", "Chunks of the last run: split, and how many of those are of a kind.", "kind", record["chunks"])
    yield _by("vectors", "Vectors of the last run by origin.", "origin", record["vectors"])
    yield _by("rows", "Rows of the last run by outcome; held is what the collection has.", "outcome", record["rows"])
    yield _by("partition_rows", "Rows of each partition, counted in Milvus.", "partition", _partitions(record))
    yield _Metric(
        "rejects",
        "Rejects of the last run.",
        [
            (dict(zip(("level", "reason"), name.split(".", 1), strict=True)), count)
            for name, count in record["rejects"].items()
        ],
    )
    yield _one(
        "reject_ratio", "Share of rejects, 0 to 1, that --max-reject-fraction limits.", record["reject_fraction"]
    )
    yield _one("tokens", "Tokens of the chunks of the last run.", record["tokens"])
    yield _one("encoded_tokens", "Tokens of them that were encoded.", embed["tokens"])
    yield _one("computed_tokens", "Tokens that passes computed, with frames and padding.", embed["computed_tokens"])
    yield _one("padding_tokens", "Tokens of them that are padding.", embed["padding_tokens"])
    yield _one("device_seconds", "Time for which devices were taken, all workers together.", embed["device_seconds"])
    yield _one("budget_reductions", "How often memory was short.", record["budget_reductions"])
    stages = {name: stage["seconds"] for name, stage in record["stages"].items()}
    yield _by("stage_seconds", "Time spent in each stage, all workers together.", "stage", stages)
    languages = _commonest(record["languages"])
    for what in ("documents", "chunks", "tokens"):
        counts = {language: one[what] for language, one in languages.items()}
        yield _by(f"language_{what}", f"{what.capitalize()} of each language in the last run.", "language", counts)


def _info(record: Mapping[str, Any], collection: str) -> dict[str, str]:
    return {
        "run_id": record["run_id"],
        "collection": collection,
        "embedding_space": record["embedding_space"],
        "version": record["versions"].get("corpus-embed", ""),
        "status": record["status"],
    }


def _partitions(record: Mapping[str, Any]) -> dict[str, float]:
    return {name: partition["milvus"] for name, partition in record["partitions"].items()}


def _commonest(languages: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Counts of the languages with the most tokens, and of all others together."""
    order = sorted(languages, key=lambda language: (-languages[language]["tokens"], language))
    found: dict[str, dict[str, float]] = {}
    for place, language in enumerate(order):
        counts = found.setdefault(language if place < MOST_LANGUAGES else OTHER, {})
        for what in ("documents", "chunks", "tokens"):
            counts[what] = counts.get(what, 0) + languages[language][what]
    return found


def _one(name: str, help_text: str, value: float) -> _Metric:
    return _Metric(name, help_text, [({}, value)])


def _by(name: str, help_text: str, label: str, values: Mapping[str, float]) -> _Metric:
    return _Metric(name, help_text, [({label: key}, value) for key, value in values.items()])


def _shown(metric: _Metric) -> str:
    name = f"{PREFIX}{metric.name}"
    lines = [f"# HELP {name} {metric.help}", f"# TYPE {name} gauge"]
    lines += [f"{name}{_labels(labels)} {value!r}" for labels, value in metric.samples]
    return "\n".join(lines) + "\n"


def _labels(labels: Mapping[str, str]) -> str:
    pairs = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{pairs}}}" if pairs else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
