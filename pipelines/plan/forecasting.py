"""A plan: what a run would find, do, take and leave behind."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from pipelines.configuration.config import Config
from pipelines.plan.looking import Found, Wanted, look
from pipelines.plan.planning import Intended, intend
from pipelines.preflight.run_plan import run_id
from transforms.adapters.ledger_buckets import document_bucket_count
from transforms.adapters.models.arithmetic import arithmetic_of
from transforms.adapters.stored_size import distinct_tokens, field_row_bytes, shard_bytes
from transforms.logic.errors import ConfigurationError
from transforms.logic.forecast_costs import Cost, Device, Work, costs, paces
from transforms.logic.forecast_intervals import Estimate, exactly
from transforms.logic.forecast_repeats import repeats
from transforms.logic.parity import ENGLISH, premium
from transforms.logic.record import reject_fraction
from transforms.logic.schemas import Reason
from transforms.logic.sizing import TABLED, index_bytes, vector_bytes

_PER_LANGUAGE = ("documents", "mixed", "chunks", "tokens", "characters", "bytes")
_SPARSE_ENTRY_BYTES = 8
_MULTI_NUMBER_BYTES = 4
_SHARD_BYTES = 128 << 20


@dataclass(frozen=True)
class Asked:
    """What a plan is asked for beside the run: how much is looked into, devices, and numbers of workers."""

    wanted: Wanted
    devices: Sequence[Device]
    currency: str
    workers: Sequence[int]


@dataclass(frozen=True)
class Forecast:
    """A plan, as plain values and estimates."""

    intended: Intended
    found: Found
    figures: Mapping[str, Estimate]
    languages: Mapping[str, Mapping[str, Estimate]]
    rejects: Mapping[str, Estimate]
    unseen_rejects: Estimate
    unseen_languages: Estimate
    repeats: Estimate
    work: Work
    costs: Sequence[Cost]
    flops_of_token: float
    dataset_bytes: Estimate
    files: Mapping[str, int]
    milvus: Sequence[Mapping[str, Any]]
    field_bytes: Estimate

    @property
    def reject_fraction(self) -> float:
        """As a run record has it."""
        files = sum(one.value for name, one in self.rejects.items() if name.startswith("file."))
        chunks = sum(one.value for name, one in self.rejects.items() if name.startswith("chunk."))
        records, read, split = (
            self.figures[name].value for name in ("documents.rejected", "documents.read", "chunks.split")
        )
        return reject_fraction(records, read, files, chunks, split)


def forecast(config: Config, asked: Asked) -> Forecast:
    """Reads a sample and makes the plan.

    Raises:
        ConfigurationError: a value is wrong, as a run would find.
        CorruptDataError: the workspace does not hold what was written.
    """
    intended = intend(config)
    found = look(intended, asked.wanted)
    sample, confidence = found.sample, asked.wanted.confidence
    names = sample.names()
    figures = {name: sample.total(name, confidence) for name in names}
    for name in ("documents.read", "chunks.split", "tokens.split", "documents.unchanged", "chunks.known"):
        figures.setdefault(name, exactly(0))
    repeated = _repeats(found, figures, confidence)
    same_id = repeats(found.document_ids, figures["documents.read"], confidence, complete=sample.is_complete)
    rejects = {name.removeprefix("rejects."): figures.pop(name) for name in names if name.startswith("rejects.")}
    if same_id.value:
        rejects[f"record.{Reason.DUPLICATE_ID.value}"] = same_id
    figures["documents.rejected"] = _sum([one for name, one in rejects.items() if name.startswith("record.")])
    work = _work(found, figures, repeated)
    chunks = figures["chunks.split"]
    mean_tokens = figures["tokens.split"].value / max(1.0, chunks.value) + intended.frame_tokens
    flops = arithmetic_of(intended.model).flops_of_token(mean_tokens)
    of_fields = field_row_bytes(found.rows) if found.rows else 0.0
    stored, files = _stored(intended, found, work)
    return Forecast(
        intended,
        found,
        figures,
        _languages(figures),
        dict(sorted(rejects.items())),
        sample.unseen_records(confidence),
        sample.unseen_documents(confidence),
        repeated,
        work,
        costs(asked.devices, paces(intended.records, intended.workspace.space), work, flops, asked.workers),
        flops,
        stored,
        files,
        _milvus(config, intended, found, chunks, of_fields),
        chunks.times(of_fields),
    )


def _repeats(found: Found, figures: Mapping[str, Estimate], confidence: float) -> Estimate:
    """Chunks that repeat another: those within a document add up over documents, only those across documents are hard to tell."""
    within, chunks = figures.get("chunks.repeated_within", exactly(0)), figures["chunks.split"]
    apart = Estimate(*(max(0.0, end - within.value) for end in (chunks.value, chunks.low, chunks.high)))
    total = _sum([within, repeats(found.contents, apart, confidence, complete=found.sample.is_complete)])
    return Estimate(min(total.value, chunks.value), min(total.low, chunks.low), min(total.high, chunks.high))


def _sum(parts: Sequence[Estimate]) -> Estimate:
    """Of figures whose errors need not cancel: ends are added, which is wider than the truth."""
    return Estimate(sum(one.value for one in parts), sum(one.low for one in parts), sum(one.high for one in parts))


def _work(found: Found, figures: Mapping[str, Estimate], repeated: Estimate) -> Work:
    zero = exactly(0)
    chunks, tokens = figures.get("chunks.changed", zero), figures.get("tokens.changed", zero)
    if found.sample.is_complete:
        encoded = exactly(sum(found.to_encode.values()))
    else:
        to_encode = figures.get("tokens.to_encode", zero)
        everything = max(1.0, figures["chunks.split"].value)
        # Nobody should count on repeats that were not seen.
        ends = (repeated.value, repeated.low, repeated.high if repeated.value else 0.0)
        once, most, least = (1 - min(1.0, end / everything) for end in ends)
        encoded = Estimate(to_encode.value * once, to_encode.low * least, to_encode.high * most)
    return Work(figures["documents.read"], tokens, encoded, chunks)


def _languages(figures: Mapping[str, Estimate]) -> dict[str, dict[str, Estimate]]:
    languages: dict[str, dict[str, Estimate]] = {}
    for name, estimate in figures.items():
        if name.startswith("language."):
            language, what = name.removeprefix("language.").rsplit(".", 1)
            languages.setdefault(language, dict.fromkeys(_PER_LANGUAGE, exactly(0)))[what] = estimate
    return dict(sorted(languages.items()))


def ratios(languages: Mapping[str, Mapping[str, Estimate]]) -> dict[str, dict[str, float | None]]:
    """Tokens a character of each language, and its premium over English."""
    each = {
        language: counted["tokens"].value / counted["characters"].value if counted["characters"].value else None
        for language, counted in languages.items()
    }
    return {
        language: {"tokens_per_character": one, "premium": premium(language, one, each.get(ENGLISH))}
        for language, one in each.items()
    }


def _stored(intended: Intended, found: Found, work: Work) -> tuple[Estimate, dict[str, int]]:
    """Bytes that the dataset grows by, and how many files the run would write: shards of it and parts of the ledger, about."""
    chunks = ceil(work.chunks.value)
    shards = min(intended.bucket_count, chunks)
    of_shard = (
        shard_bytes(found.rows, chunks / shards, intended.model, intended.outputs, intended.frame_tokens)
        if shards
        else 0.0
    )
    stored = work.chunks.times(shards * of_shard / max(1, chunks))
    parts = min(document_bucket_count(intended.ledger, intended.bucket_count), ceil(work.documents.value))
    return stored, {"dataset": max(shards, ceil(stored.value / _SHARD_BYTES)), "ledger": parts}


def _milvus(
    config: Config, intended: Intended, found: Found, chunks: Estimate, of_fields: float
) -> list[dict[str, Any]]:
    """Memory and disk of the vectors and indexes that the collection could have, by representation and index."""
    dimensions = config.representation.dimensions or intended.model.dimensions
    rows = round(chunks.value)
    sizes: list[dict[str, Any]] = []
    if "dense" in intended.milvus_outputs:
        for vector_type, index in TABLED:
            memory = index_bytes(index, vector_type, dimensions, rows)
            kept = vector_bytes(vector_type, dimensions) * rows
            sizes.append(
                {
                    "vectors": vector_type,
                    "dimensions": dimensions,
                    "index": index,
                    "memory_bytes": memory,
                    "disk_bytes": round(kept + of_fields * rows + memory),
                }
            )
    if found.rows and "sparse" in intended.milvus_outputs:
        size = round(distinct_tokens(found.rows) * _SPARSE_ENTRY_BYTES * rows)
        sizes.append(_other("sparse", "SPARSE_INVERTED_INDEX", size))
    if found.rows and "multi" in intended.milvus_outputs:
        numbers = intended.model.multi_dimensions * (
            sum(row["tokens"] for row in found.rows) / len(found.rows) + intended.frame_tokens
        )
        sizes.append(_other("multi", "HNSW", round(numbers * _MULTI_NUMBER_BYTES * rows)))
    return sizes


def _other(output: str, index: str, size: int) -> dict[str, Any]:
    return {"vectors": output, "dimensions": None, "index": index, "memory_bytes": size, "disk_bytes": 2 * size}


def describe(config: Config, asked: Asked, plan: Forecast) -> dict[str, Any]:
    """The plan as plain values; every estimate with the ends of its interval."""
    sample, figures = plan.found.sample, plan.figures
    read = sum(sample.pieces[number].size_bytes for number in sample.looked)
    of_ratios = ratios(plan.languages)
    return {
        "format": 1,
        "run_id": run_id(config),
        "collection": config.storage.collection or config.run.publish,
        "model": plan.intended.model.name,
        "embedding_space": plan.intended.workspace.space,
        "sample": {
            "confidence": asked.wanted.confidence,
            "margin": asked.wanted.margin,
            "reached_margin": round(figures["tokens.split"].relative_half_width, 4)
            if figures["tokens.split"].value
            else None,
            "seed": asked.wanted.seed,
            "complete": sample.is_complete,
            "pieces": len(sample.pieces),
            "pieces_read": len(sample.looked),
            "source_bytes": sum(piece.size_bytes for piece in sample.pieces),
            "source_bytes_read": read,
            "pieces_begun": sum(not one.whole for one in sample.looked.values()),
            "documents": sample.documents,
        },
        "documents": {
            "read": figures["documents.read"].describe(),
            "rejected": figures["documents.rejected"].describe(),
            "unchanged": figures["documents.unchanged"].describe(),
            "left_out": {
                name.removeprefix("left_out."): one.describe()
                for name, one in figures.items()
                if name.startswith("left_out.")
            },
        },
        "files": {
            "planned": plan.intended.sources.files_planned,
            "left_out": dict(plan.intended.sources.files_left_out),
        },
        "rejects": {name: one.describe() for name, one in plan.rejects.items()},
        "rejects_of_an_unseen_reason": plan.unseen_rejects.describe(),
        "reject_fraction": round(plan.reject_fraction, 6),
        "chunks": figures["chunks.split"].describe(),
        "tokens": figures["tokens.split"].describe(),
        "repeats": plan.repeats.describe(),
        "languages": {
            language: {**{name: one.describe() for name, one in counted.items()}, **of_ratios[language]}
            for language, counted in plan.languages.items()
        },
        "documents_of_an_unseen_language": plan.unseen_languages.describe(),
        "work": {
            "chunks": plan.work.chunks.describe(),
            "chunks_with_known_vectors": figures["chunks.known"].describe(),
            "tokens_encoded": plan.work.encoded_tokens.describe(),
        },
        "currency": asked.currency,
        "flops_of_token": round(plan.flops_of_token),
        "costs": [one.describe() for one in plan.costs],
        "dataset_bytes": plan.dataset_bytes.describe(),
        "files_written": dict(plan.files),
        "milvus": list(plan.milvus),
        "milvus_field_bytes": plan.field_bytes.describe(),
    }


def read_workers(text: str) -> tuple[int, ...]:
    """Numbers of workers as they were written, with commas."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise ConfigurationError(f"--workers {text!r}: numbers above 0 with commas are needed, as in 1,4,16")
    return tuple(sorted({int(part) for part in parts}))
