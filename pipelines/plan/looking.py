"""A sample of the corpus, looked into as a run would: languages, chunks, tokens, rejects, and what is known already."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, inf
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.plan.planning import Intended
from transforms.adapters.detectors import Detector
from transforms.adapters.sampling import Part, Records, cut_pieces, describe_pieces, read_piece
from transforms.adapters.tokenizers import ModelTokenizer
from transforms.identify import identify_language, keep_languages, language_counts
from transforms.logic.forecast import PER_STRATUM, READ, Looked, Sample, chosen, factor_to, stratify
from transforms.logic.recognition import with_keys
from transforms.logic.schemas import KEY, MAX_BATCH_ROWS, RECORDS, batch_of
from transforms.split import chunk_counts, split_into_chunks

Row = dict[str, Any]

DOCUMENTS_OF_PIECE = 16
FEWEST_DOCUMENTS = 256
"""However alike documents are, so many are looked into."""
KEPT_ROWS = 1000
_MOST_GROWTH = 8
_HEADROOM = 1.1


@dataclass(frozen=True)
class Wanted:
    """How much is looked into.

    Attributes:
        confidence: of the intervals, in (0, 1).
        margin: half the interval of all tokens, as a share of them; 0 looks into everything.
        documents: so many at least, whatever the margin; None goes by the margin.
        seed: another one gives another sample.
    """

    confidence: float
    margin: float
    documents: int | None = None
    seed: int = 0


@dataclass
class Found:
    """A sample, and what does not add up over its documents.

    Attributes:
        sample: what does.
        contents: content keys of each document's chunks, each once, by piece.
        document_ids: by piece.
        rows: some chunks, by content key.
        to_encode: tokens of each content that would be encoded.
    """

    sample: Sample
    contents: list[list[bytes]] = field(default_factory=list)
    document_ids: list[list[str]] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    to_encode: dict[bytes, int] = field(default_factory=dict)


@dataclass(frozen=True)
class _OfPiece:
    looked: Looked
    contents: list[bytes]
    to_encode: dict[bytes, int]
    document_ids: list[str]
    rows: list[Row]


def look(intended: Intended, wanted: Wanted) -> Found:
    """Looks into pieces, more of them until the tokens of the corpus are known within the margin."""
    parts = cut_pieces(intended.sources.groups, together=intended.sources.selection.limit is not None)
    pieces = describe_pieces(parts)
    strata = stratify(pieces, wanted.seed)
    looker = _Looker(intended, parts, wanted.seed)
    per_stratum, most = PER_STRATUM, DOCUMENTS_OF_PIECE
    reached = (-1, -1)
    while True:
        numbers = chosen(strata, per_stratum)
        if wanted.documents is not None and numbers:
            most = max(most, ceil(wanted.documents / len(numbers)))
        of_pieces = {number: looker.look(number, None if wanted.margin == 0 else most) for number in numbers}
        sample = Sample(pieces, strata, {number: one.looked for number, one in of_pieces.items()})
        growth = _growth(sample, wanted)
        before, reached = reached, (len(numbers), sample.documents)
        # Of files that are too large to be read there is no more to look into.
        if growth <= 1 or sample.is_complete or reached == before:
            return _found(sample, [of_pieces[number] for number in numbers])
        if len(numbers) == len(pieces):
            most *= growth
        else:
            per_stratum *= growth


def _growth(sample: Sample, wanted: Wanted) -> int:
    """How many times as much has to be looked into; 1 if it is enough."""
    if wanted.documents is not None:
        return 1 if sample.documents >= wanted.documents else 2
    factor = factor_to(sample.total("tokens.split", wanted.confidence), wanted.margin)
    if factor <= 1:
        return 1 if sample.documents >= FEWEST_DOCUMENTS else 2
    if factor == inf and wanted.margin == 0:
        return len(sample.pieces)
    return int(min(_MOST_GROWTH, max(2, ceil(factor * _HEADROOM))))


def _found(sample: Sample, parts: Sequence[_OfPiece]) -> Found:
    to_encode = {key: tokens for part in parts for key, tokens in part.to_encode.items()}
    rows = sorted((row for part in parts for row in part.rows), key=lambda row: row["content_key"])
    contents, ids = [part.contents for part in parts], [part.document_ids for part in parts]
    return Found(sample, contents, ids, rows[:KEPT_ROWS], to_encode)


class _Looker:
    """Looks into pieces; what was looked into whole is not read again."""

    def __init__(self, intended: Intended, parts: Sequence[Part], seed: int) -> None:
        self._intended = intended
        self._parts = parts
        self._seed = seed
        self._done: dict[int, tuple[int | None, _OfPiece]] = {}
        self._opened: tuple[ModelTokenizer, Detector] | None = None

    def look(self, number: int, most: int | None) -> _OfPiece:
        """Looks into at most so many documents of a piece."""
        if number in self._done:
            before, found = self._done[number]
            if before == most or found.looked.is_complete:
                return found
        intended = self._intended
        records = read_piece(self._parts[number].group, intended.reading, intended.sources.selection, self._seed, most)
        found = self._measure(records)
        self._done[number] = (most, found)
        return found

    def _measure(self, records: Records) -> _OfPiece:
        if self._opened is None:
            self._opened = self._intended.tokenizer(), self._intended.detector()
        tokenizer, detector = self._opened
        measured: list[dict[str, float]] = []
        contents: list[bytes] = []
        to_encode: dict[bytes, int] = {}
        rows: list[Row] = []
        certain, documents = len(records.certain), [*records.certain, *records.chosen]
        # Of long documents, which are looked into in any case, as large a part of the chunks as of the others.
        step = max(1, round((records.documents - certain) / max(1, len(records.chosen))))
        for start in range(0, len(documents), MAX_BATCH_ROWS):
            batch = batch_of(documents[start : start + MAX_BATCH_ROWS], RECORDS)
            for figures, chunks, fresh in measure_documents(batch, self._intended, tokenizer, detector):
                drawn = chunks[::step] if len(measured) < certain else chunks
                measured.append(figures)
                contents += {chunk["content_key"]: None for chunk in drawn}
                to_encode |= fresh
                rows += drawn
        share = records.share
        counted = {name: count / share for name, count in records.counts.items() if name != "splits.read"}
        looked = Looked(
            {**counted, READ: records.read / share},
            round(records.read / share),
            round(records.documents / share),
            round(records.text_bytes / share),
            measured[certain:],
            share == 1,
            measured[:certain],
        )
        rows.sort(key=lambda row: row["content_key"])
        ids = [row["document_id"] for row in documents]
        return _OfPiece(looked, contents, to_encode, ids, rows[:KEPT_ROWS])


def measure_documents(
    batch: pa.RecordBatch, intended: Intended, tokenizer: ModelTokenizer, detector: Detector
) -> Iterator[tuple[dict[str, float], list[Row], dict[bytes, int]]]:
    """Figures of each document of a batch of `RECORDS`, its rows of `CHUNKS`, and tokens by content of what of it would be encoded."""
    keyed = with_keys(batch, intended.recipe)
    unchanged = intended.known.documents(keyed.column("document_key"), keyed.column("document_id").to_pylist())
    identified = identify_language(keyed, detector, intended.partitioning)
    kept = keep_languages(identified, intended.partitioning.keep_languages)
    rows, rejects = split_into_chunks(kept, tokenizer, detector, intended.splitting)
    chunks_of, rejects_of = _by_place(rows), defaultdict(list)
    for row in rejects:
        rejects_of[row["source"], int(row["locator"].removeprefix("position "))].append(row)
    taken = {(one["source"], one["position"]) for one in kept.select(["source", "position"]).to_pylist()}
    for number, document in enumerate(keyed.select(["source", "position", "text"]).to_pylist()):
        place = document["source"], document["position"]
        figures: dict[str, float] = {"text_bytes": float(len(document["text"].encode()))}
        if place not in taken:
            yield {**figures, "left_out.language": 1.0}, [], {}
            continue
        chunks = chunks_of.get(place, [])
        figures |= language_counts(identified.slice(number, 1))
        figures |= chunk_counts(chunks, tokenizer, intended.splitting)
        figures |= Counter(f"rejects.{row['level']}.{row['reason']}" for row in rejects_of.get(place, ()))
        work, to_encode = _work(chunks, float(unchanged[number]), intended)
        yield {name: value for name, value in (figures | work).items() if value}, chunks, to_encode


def _by_place(rows: Sequence[Row]) -> Mapping[tuple[str, int], list[Row]]:
    found: dict[tuple[str, int], list[Row]] = defaultdict(list)
    for row in rows:
        found[row["source"], row["position"]].append(row)
    return found


def _work(chunks: Sequence[Row], unchanged: float, intended: Intended) -> tuple[dict[str, float], dict[bytes, int]]:
    """What of a document is left to do. Weights of what is known stand for what was not looked up, so that a figure may be negative."""
    keys = [chunk["content_key"] for chunk in chunks]
    tokens = np.array([chunk["tokens"] for chunk in chunks], np.float64)
    known = intended.known.contents(pa.array(keys, KEY))
    figures = {
        "documents.unchanged": unchanged,
        "chunks.repeated_within": float(len(keys) - len(set(keys))),
        "chunks.changed": len(chunks) * (1 - unchanged),
        "tokens.changed": float(tokens.sum()) * (1 - unchanged),
    }
    if unchanged:
        # Only what is looked up is recognised, and then its contents need not be.
        left = np.full(len(chunks), 1 - unchanged)
    else:
        left = 1 - known
        figures["chunks.known"] = float(known.sum())
    figures["chunks.to_encode"] = float(left.sum())
    figures["tokens.to_encode"] = float((tokens * left).sum())
    fresh = [number for number in range(len(chunks)) if not unchanged and not known[number]]
    return figures, {keys[number]: chunks[number]["tokens"] for number in fresh}
