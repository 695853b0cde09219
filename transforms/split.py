"""SplitIntoChunks: documents to chunks bounded by the model's own tokenizer, each with a language of its own."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import apache_beam as beam
import orjson
import pyarrow as pa
from apache_beam.pvalue import PCollection

from transforms.adapters.detectors import Detector
from transforms.identify import identify_chunks
from transforms.logic.chunking import Limits, split_texts
from transforms.logic.languages import Identified, is_seen_whole
from transforms.logic.lengths import length_counts
from transforms.logic.records import Place, reject
from transforms.logic.rows import chunk_rows, with_row_keys
from transforms.logic.schemas import CHUNKS, Reason, batch_of, slices
from transforms.metrics import ByProducts, Stopwatch, rejected, tally, with_by_products

Row = dict[str, Any]


class Tokenizer(Protocol):
    """What splitting needs of a model's tokenizer."""

    splits_at_whitespace: bool
    unknown_id: int | None

    def tokenise(self, texts: Sequence[str]) -> Sequence[bytes]:
        """Ids of each text alone, as the bytes of their int32."""
        ...


@dataclass(frozen=True)
class Splitting:
    """How documents are cut.

    Attributes:
        limits: bounds of a chunk.
        space: the embedding space that the content keys are of.
        structure: whether texts are cut as Markdown; `auto`: those whose metadata says so.
        max_unknown_fraction: share of unknown tokens in [0, 1] above which a vector means little.
        on_unknown: whether a chunk above it is only counted, or rejected.
    """

    limits: Limits
    space: str
    structure: Literal["plain", "markdown", "auto"] = "auto"
    max_unknown_fraction: float = 1.0
    on_unknown: Literal["flag", "reject"] = "flag"


class SplitIntoChunks(beam.PTransform[PCollection[pa.RecordBatch], PCollection[pa.RecordBatch]]):
    """Batches of the `DOCUMENTS` schema to batches of the `CHUNKS` schema."""

    def __init__(
        self,
        tokenizer: Callable[[], Tokenizer],
        detector: Callable[[], Detector],
        splitting: Splitting,
        by_products: ByProducts,
    ) -> None:
        """Takes picklable factories of the tokenizer and of the detector that judged the documents."""
        super().__init__()
        self._function = _SplitFn(tokenizer, detector, splitting)
        self._by_products = by_products

    def expand(self, documents: PCollection[pa.RecordBatch]) -> PCollection[pa.RecordBatch]:
        """Documents in, chunks out."""
        return self._by_products.take(documents | with_by_products(self._function))


def split_into_chunks(
    batch: pa.RecordBatch, tokenizer: Tokenizer, detector: Detector, splitting: Splitting
) -> tuple[list[Row], list[Row]]:
    """The pure twin: rows of `CHUNKS`, and rejects.

    A document without a token is rejected, and, by choice, a chunk with too many unknown tokens; a document of such chunks only is
    rejected as a whole.
    """
    documents = batch.to_pylist()
    found = split_texts(
        [document["text"] for document in documents],
        tokenizer.tokenise,
        splitting.limits,
        splits_at_whitespace=tokenizer.splits_at_whitespace,
        markdown=[_is_markdown(document["metadata"], splitting.structure) for document in documents],
    )
    rows: list[Row] = []
    rejects: list[Row] = []
    open_languages: list[Row] = []
    for document, spans in zip(documents, found, strict=True):
        of_document = chunk_rows(document, spans, splitting.space, tokenizer.unknown_id)
        fitting = [row for row in of_document if not _is_refused(row, splitting)]
        rows.extend(fitting)
        if len(of_document) > 1 and (document["mixed"] or not is_seen_whole(document["text"])):
            open_languages.extend(fitting)
        if not fitting:
            rejects.append(_reject_document(document, of_document))
        elif len(fitting) < len(of_document):
            rejects.extend(_reject_chunk(row, splitting) for row in of_document if _is_refused(row, splitting))
            for row in fitting:
                # Known, the document would not come here again, and the next run would not say what is missing of it.
                row["document_key"] = None
    _label(open_languages, detector)
    return list(with_row_keys(rows)), rejects


def _is_markdown(metadata: str, structure: str) -> bool:
    if structure == "auto":
        return '"markdown"' in metadata and orjson.loads(metadata).get("format") == "markdown"
    return structure == "markdown"


def _is_refused(row: Row, splitting: Splitting) -> bool:
    return splitting.on_unknown == "reject" and row["unknown_fraction"] > splitting.max_unknown_fraction


def _reject_document(document: Row, chunks: Sequence[Row]) -> Row:
    place = Place(document["source"], document["position"], "position")
    raw = document["text"].encode()
    if not chunks:
        detail = "the model's tokenizer finds no token in the text"
        return reject("split", Reason.EMPTY_TEXT, place, detail, raw, document["document_id"])
    least = min(row["unknown_fraction"] for row in chunks)
    detail = f"the vocabulary of the model lacks at least {least:.1%} of every chunk's tokens"
    return reject("split", Reason.UNKNOWN_TOKENS, place, detail, raw, document["document_id"])


def _reject_chunk(row: Row, splitting: Splitting) -> Row:
    place = Place(row["source"], row["position"], "position")
    detail = (
        f"the vocabulary of the model lacks {row['unknown_fraction']:.1%} of the tokens of chunk {row['ordinal']}, "
        f"{splitting.max_unknown_fraction:.1%} are allowed"
    )
    described = reject("split", Reason.UNKNOWN_TOKENS, place, detail, row["text"].encode(), row["document_id"])
    return {**described, "level": "chunk"}


def _label(rows: Sequence[Row], detector: Detector) -> None:
    """Gives chunks a language of their own: those of documents that are mixed, or too long to have been seen whole."""
    parents = [Identified(row["language"], row["language_score"], row["script"]) for row in rows]
    labels = identify_chunks([row["text"] for row in rows], parents, detector)
    for row, label in zip(rows, labels, strict=True):
        row["chunk_language"], row["chunk_language_score"] = label.language, label.score


class _SplitFn(beam.DoFn):
    def __init__(
        self, tokenizer: Callable[[], Tokenizer], detector: Callable[[], Detector], splitting: Splitting
    ) -> None:
        self._tokenizer_factory = tokenizer
        self._detector_factory = detector
        self._splitting = splitting
        self._opened: tuple[Tokenizer, Detector] | None = None

    def process(self, batch: pa.RecordBatch) -> Iterator[Any]:
        # Not in setup(), which is called where nothing arrives too: a tokenizer takes a second, and a run may find nothing to split.
        if self._opened is None:
            loading = Stopwatch()
            with loading.running():
                self._opened = self._tokenizer_factory(), self._detector_factory()
            yield tally("model", seconds=loading.seconds)
        tokenizer, detector = self._opened
        watch = Stopwatch()
        with watch.running():
            rows, rejects = split_into_chunks(batch, tokenizer, detector, self._splitting)
            batches = list(slices(pa.Table.from_batches([batch_of(rows, CHUNKS)])))
        yield from batches
        yield from rejected(rejects)
        yield tally("split", seconds=watch.seconds, **chunk_counts(rows, tokenizer, self._splitting))
        yield tally("split", **reject_counts(batch, rejects))


def chunk_counts(rows: Sequence[Row], tokenizer: Tokenizer, splitting: Splitting) -> dict[str, int]:
    """Tallies of rows of `CHUNKS`, all those of their documents: figures of each document language, lengths, and totals."""
    counts: Counter[str] = Counter()
    for row in rows:
        language = f"language.{row['language']}"
        counts[f"{language}.chunks"] += 1
        counts[f"{language}.tokens"] += row["tokens"]
        counts[f"{language}.characters"] += len(row["text"])
        counts[f"{language}.bytes"] += len(row["text"].encode())
        if row["unknown_fraction"]:
            counts[f"{language}.unknown_tokens"] += int((row["token_ids"] == tokenizer.unknown_id).sum())
            counts[f"{language}.unknown_chunks"] += 1
        counts["chunks.unknown"] += row["unknown_fraction"] > splitting.max_unknown_fraction
        counts["tokens.split"] += row["tokens"]
    # Documents with the same id are told apart later; here each record of the source is one.
    of_records = (((row["source"], row["position"]), row["tokens"]) for row in rows)
    lengths = length_counts(of_records, splitting.limits.max_tokens)
    return {"chunks.split": len(rows), **counts, **lengths}


def reject_counts(batch: pa.RecordBatch, rejects: Sequence[Row]) -> dict[str, int]:
    """Tallies of rejects of a batch of `DOCUMENTS`, by the language of their documents."""
    languages = dict(zip(batch.column("document_id").to_pylist(), batch.column("language").to_pylist(), strict=True))
    return dict(Counter(f"language.{languages[row['document_id']]}.rejects" for row in rejects))
