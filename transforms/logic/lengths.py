"""Histograms of lengths in tokens, with bins that are fixed before anything is counted, so that counts of many workers add up.

Chunks have at most `max_tokens` tokens: their bins are equally wide. Documents have any number: theirs double every second bin.
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from typing import Any

CHUNK_BINS = 32
_DOCUMENT_BINS = 60
_CHUNK = "length.chunk."
_DOCUMENT = "length.document."


def chunk_bin_tokens(max_tokens: int) -> int:
    """Width of a chunk's bin, so that at most `CHUNK_BINS` hold every length up to `max_tokens`."""
    return -(-max_tokens // CHUNK_BINS)


def document_edges() -> list[int]:
    """Where bins of documents begin: 1, 2, 3, 4, 6, 8, 12, 16, 24 … tokens; the last has no end."""
    edges = [1, 2, 3]
    while len(edges) < _DOCUMENT_BINS:
        edges.append(2 * edges[-2])
    return edges


_EDGES = document_edges()


def length_counts(chunks: Iterable[tuple[Hashable, int]], max_tokens: int) -> dict[str, int]:
    """Tallies of chunks, each what names its document and its tokens; all chunks of a document must be among them."""
    width = chunk_bin_tokens(max_tokens)
    counts: Counter[str] = Counter()
    documents: Counter[Hashable] = Counter()
    for document_id, tokens in chunks:
        counts[f"{_CHUNK}{max(0, tokens - 1) // width}"] += 1
        documents[document_id] += tokens
    for tokens in documents.values():
        counts[f"{_DOCUMENT}{_document_bin(tokens)}"] += 1
    return dict(counts)


def _document_bin(tokens: int) -> int:
    return max(0, sum(edge <= tokens for edge in _EDGES) - 1)


def describe_lengths(counts: Mapping[str, float], max_tokens: int) -> dict[str, Any]:
    """Both histograms as plain values, each a list of bins in order: `from` and `to` in tokens, both included, and how many there are.

    Empty bins at the ends are left out.
    """
    width = chunk_bin_tokens(max_tokens)
    chunk_edges = [1 + width * index for index in range(CHUNK_BINS + 1)]
    return {
        "chunks": _bins(_under(_CHUNK, counts), chunk_edges),
        "documents": _bins(_under(_DOCUMENT, counts), _EDGES),
    }


def _bins(counted: Mapping[int, int], edges: list[int]) -> list[dict[str, int]]:
    if not counted:
        return []
    return [
        {
            "from": edges[index],
            "to": edges[index + 1] - 1 if index + 1 < len(edges) else edges[index],
            "count": counted.get(index, 0),
        }
        for index in range(min(counted), max(counted) + 1)
    ]


def _under(prefix: str, counts: Mapping[str, float]) -> dict[int, int]:
    return {int(name.removeprefix(prefix)): int(value) for name, value in counts.items() if name.startswith(prefix)}
