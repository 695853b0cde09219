"""Material of a report, as a run would leave it, without a run."""

from dataclasses import replace
from typing import Any

import numpy as np

from tests.hostile_markup import HOSTILE
from transforms.logic.record import RunContext, build_record
from transforms.logic.report.page import Material
from transforms.logic.report.sample import ReportSample, SampledChunk
from transforms.logic.vectors import unit_rows

LANGUAGES = ("ar", "de", "en", "ja", "th")
TEXTS = {
    "ar": "تجري الأنهار إلى البحر، وتقع على ضفافها مدن قديمة.",
    "de": "Flüsse fließen zum Meer, und an ihren Ufern liegen alte Städte.",
    "en": "Rivers run to the sea, and old towns lie on their banks.",
    "ja": "川は海へ流れ、その岸には古い町がある。",
    "th": "แม่น้ำไหลลงสู่ทะเล และเมืองเก่าตั้งอยู่ริมฝั่ง",
}
CONFIGURATION: dict[str, Any] = {
    "storage": {"collection": "manuals", "workspace": "ws", "milvus": "m.db"},
    "chunking": {"max_tokens": 64},
    "run": {"max_reject_fraction": 0.05},
    "representation": {"recall_floor": 0.98},
}


def counts() -> dict[str, float]:
    """Tallies of a run that balances."""
    found: dict[str, float] = {
        "splits.read": 2,
        "documents.read": 101,
        "documents.embedded": 60,
        "documents.reused": 30,
        "documents.unchanged": 10,
        "rejects.record.empty_text": 1,
        "rejects.total": 1,
        **dict.fromkeys(("chunks.split", "chunks.looked_up", "chunks.reconciled"), 200),
        "tokens.split": 5000,
        "tokens.encoded": 4000,
        "tokens.spared": 1000,
        "vectors.encoded": 150,
        "vectors.reused": 40,
        "chunks.duplicates": 10,
        **dict.fromkeys(("rows.held", "rows.to_write", "rows.loaded", "rows.written"), 200),
        "stage.split.seconds": 1.5,
        "stage.embed.seconds": 20.0,
        "length.document.9": 60,
        "length.document.11": 30,
        "slowest.0.4096.corpus/a.jsonl": 0.5,
    }
    for index, language in enumerate(LANGUAGES):
        found[f"partition.lang_{language}"] = 40
        figures = {"documents": 20, "chunks": 40, "tokens": 1000, "characters": 2000 + 500 * index, "bytes": 4000}
        found.update({f"language.{language}.{name}": value for name, value in figures.items()})
    found |= {f"length.chunk.{index}": 5 + index for index in range(0, 32, 2)}
    return found | {f"timeline.{second}.tokens": 100 + second for second in range(0, 40, 2)}


def record(**changed: float) -> dict[str, Any]:
    """The record of that run, with some tallies changed."""
    context = RunContext(
        run_id="run-1",
        splits_planned=2,
        files_planned=2,
        max_reject_fraction=0.05,
        configuration=CONFIGURATION,
        model={"name": "model", "revision": None, "files_digest": "00ff"},
        embedding_space="space",
        representation={"outputs": ["dense"], "vector_type": "float32", "dimensions": 64, "metric": "COSINE"},
        versions={"python": "3.11.9", "corpus-embed": "0.1.0"},
        started_at="2026-03-01T04:00:00Z",
        started_seconds=0.0,
    )
    rows = {f"lang_{language}": 40 for language in LANGUAGES}
    return {**build_record(context, {**counts(), **changed}, rows, 41.5), "ledger": 3, "reject_files": []}


def sample(topics: int = 24, dimensions: int = 64, noise: float = 0.25) -> ReportSample:
    """A chunk on each topic in every language, close to its translations."""
    random = np.random.default_rng(0)
    centres = unit_rows(random.normal(size=(topics, dimensions)).astype(np.float32))
    offsets = noise * unit_rows(random.normal(size=(topics * len(LANGUAGES), dimensions)).astype(np.float32))
    chunks = [
        SampledChunk(f"topic{topic}-{language}", 0, language, f"{topic}: {TEXTS[language]}")
        for topic in range(topics)
        for language in LANGUAGES
    ]
    return ReportSample(chunks, unit_rows(np.repeat(centres, len(LANGUAGES), axis=0) + offsets), is_whole=True)


EVALUATION: dict[str, Any] = {
    "name": "parallel",
    "collection": "manuals",
    "created_by": "corpus-embed 0.1.0",
    "pairs": 120,
    "results": [
        {
            "query_language": "en",
            "answer_language": language,
            "queries": 24,
            "top_1": 0.9,
            "recall_at_10": 1.0,
            "ndcg_at_10": 0.95,
            "representation": "float32",
        }
        for language in ("de", "ja")
    ],
    "differences": [
        {"from": "full precision", "to": "float32", "top_1": {"difference": 0.0, "low": -0.0015, "high": 0.002}}
    ],
    "language_bias": [{"query_language": "de", "prefers_own": 0.61}],
}


def material(**changed: Any) -> Material:
    """All of it."""
    return replace(Material(record(), sample(), [EVALUATION]), **changed)


def hostile() -> Material:
    """Material in which everything that anyone may choose is hostile."""
    made = record()
    names = dict(enumerate(HOSTILE))
    one = made["languages"]["de"]
    made["languages"] = dict.fromkeys(HOSTILE, one)
    made["partitions"] = {name: {"expected": 1, "milvus": 1} for name in HOSTILE}
    made["rejects"] = {f"record.{name}": 1 for name in HOSTILE}
    made["differences"] = list(HOSTILE)
    made["configuration"] = {
        "storage": {"collection": HOSTILE[1], **{name: name for name in HOSTILE}},
        "chunking": {"max_tokens": HOSTILE[2]},
        "run": {"max_reject_fraction": HOSTILE[3]},
        "representation": {"recall_floor": HOSTILE[4]},
    }
    made["versions"] = {name: name for name in HOSTILE}
    made["model"] = {"name": HOSTILE[5], "revision": HOSTILE[6], "files_digest": HOSTILE[7]}
    made["slowest"] = [{"source": name, "start": 0, "stop": 1, "seconds": 1.0} for name in HOSTILE]
    made["verification"] = {
        "form": HOSTILE[8],
        "recall": dict.fromkeys(HOSTILE, 0.5),
        "findings": [{"kind": name, "partition": name, "detail": name} for name in HOSTILE],
    }
    for name, place in (("run_id", 9), ("status", 10), ("started_at", 11), ("embedding_space", 12), ("checksum", 13)):
        made[name] = names[place]
    made["computation"] = {name: name for name in HOSTILE}
    measured = [
        {
            "vector_type": name,
            "dimensions": 8,
            "bytes_per_vector": 2 + index,
            "recall": 0.5,
            "worst_language": name,
            "worst_recall": 0.4,
            "rescored_recall": 0.6,
        }
        for index, name in enumerate(HOSTILE)
    ]
    made["representation"] = {"vector_type": HOSTILE[14], "dimensions": 8, "metric": HOSTILE[15], "measured": measured}
    vectors = sample(topics=14).vectors[: len(HOSTILE)]
    chunks = [SampledChunk(name, 0, HOSTILE[-1 - index], name) for index, name in enumerate(HOSTILE)]
    rows = [{name: name for name in HOSTILE[:12]}, *({HOSTILE[0]: name} for name in HOSTILE)]
    evaluation = {**EVALUATION, "name": HOSTILE[16], "created_by": HOSTILE[17], HOSTILE[18]: rows}
    return Material(made, ReportSample(chunks, vectors), [evaluation], remarks=HOSTILE)
