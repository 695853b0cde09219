"""Parts of a corpus to choose from, and what is read of one: records are parsed as a run parses them, texts are not looked into."""

import heapq
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from math import ceil
from typing import Any

import pyarrow as pa

from transforms.adapters.formats import Split
from transforms.adapters.formats.compression import unpacked
from transforms.adapters.formats.footers import read_footer, row_group_ranges
from transforms.adapters.formats.groups import SplitGroup, read_group
from transforms.adapters.formats.raw import BROKEN_FILE
from transforms.adapters.formats.sniffing import HEAD_BYTES, compression_of, encoding_of, told_by_content
from transforms.adapters.storage import open_binary
from transforms.logic.decoding import UTF8
from transforms.logic.forecast import Piece
from transforms.logic.identity import digest
from transforms.logic.records import Reading
from transforms.logic.selection import Selection

PIECE_BYTES = 512 << 10
"""Some hundred documents. A piece is read whole, which is cheap, so that a document that is much longer than others is not missed where it
begins; only some of its documents are cut, which is not."""
MOST_PIECES = 200_000
MOST_READ_BYTES = 256 << 20
"""Of one piece, unpacked: some seconds. Only a file that cannot be cut has more."""
_HEAD_BYTES = 4 << 20
MOST_FILES_LOOKED_INTO = 256
"""Of more files each is chosen or not as it was planned; looking into every one would take longer than the sample."""


@dataclass(frozen=True)
class Part:
    """A piece that can be read; `records` is how many it has where its file says so."""

    group: SplitGroup
    records: int | None = None


def cut_pieces(groups: Iterable[SplitGroup], *, together: bool) -> list[Part]:
    """The corpus as pieces of which a sample is chosen, in order: splits, and finer parts of those that can be cut.

    Lines can be cut at any byte and Parquet files at row groups; other files and compressed ones stay whole.

    Args:
        groups: as planned for a run.
        together: all is one piece, because a run reads it in order up to a limit.
    """
    planned = list(groups)
    if together:
        return [Part(group) for group in planned]
    splits = [pair for group in planned for pair in zip(group.splits, group.dates, strict=True)]
    target = max(PIECE_BYTES, ceil(sum(split.size_bytes for split, _ in splits) / MOST_PIECES))
    may_look = len({split.uri for split, _ in splits}) <= MOST_FILES_LOOKED_INTO
    return [
        Part(SplitGroup((part,), (date,)), records)
        for split, date in splits
        for part, records in _parts(split, target, may_look=may_look)
    ]


def _parts(split: Split, target: int, *, may_look: bool) -> Iterator[tuple[Split, int | None]]:
    try:
        if split.format == "parquet" and not split.compression and may_look:
            yield from _row_groups(split, target)
        # A split that begins within a file was looked into when it was planned.
        elif split.size_bytes > target and (split.start or (may_look and _is_plain_lines(split))):
            for start in range(split.start, split.stop, target):
                stop = min(split.stop, start + target)
                yield replace(split, start=start, stop=stop, size_bytes=stop - start), None
        else:
            yield split, None
    except (OSError, EOFError, pa.ArrowException):
        # Reading it makes the reject.
        yield split, None


def _row_groups(split: Split, target: int) -> Iterator[tuple[Split, int | None]]:
    with open_binary(split.uri, split.etag) as stream:
        footer = read_footer(stream)
    last = len(footer.groups) if split.stop < 0 else min(split.stop, len(footer.groups))
    inside = footer.groups[split.start : last]
    if not inside:
        yield split, None
    for first, after, size_bytes in row_group_ranges(replace(footer, groups=inside), target):
        part = replace(split, start=split.start + first, stop=split.start + after, size_bytes=size_bytes)
        yield part, sum(group.rows for group in inside[first:after])


def _is_plain_lines(split: Split) -> bool:
    if split.format != "jsonl" or split.compression:
        return False
    with open_binary(split.uri, split.etag) as stream:
        head = stream.read(HEAD_BYTES)
    return not compression_of(head) and told_by_content("jsonl", head) == "jsonl" and encoding_of(head)[0] == UTF8


def describe_pieces(parts: Sequence[Part]) -> list[Piece]:
    """What is known of pieces before they are read."""
    return [_describe(part) for part in parts]


def _describe(part: Part) -> Piece:
    group, first = part.group, part.group.splits[0]
    # The size of row groups is that once unpacked.
    kind = ".".join(
        filter(
            None, (first.format, first.compression, "groups" if first.format == "parquet" and first.stop >= 0 else "")
        )
    )
    name = f"{first.uri}#{first.start}"
    return Piece(kind, name, sum(split.size_bytes for split in group.splits), part.records)


@dataclass
class Records:
    """What was read of a piece.

    Attributes:
        counts: tallies as those of a run: rejects by level and reason, documents left out by reason, bytes.
        read: how many records it has.
        documents: how many of them became documents that are taken.
        text_bytes: UTF-8 bytes of the texts of all these.
        chosen: some of the documents by chance, or all, as rows of the `RECORDS` schema in their order.
        certain: of the others those that are longer than a fair share of the text for each of the wanted, in their order.
        share: of the piece that was read, about, in (0, 1]; the figures are those of this share.
    """

    counts: Counter[str] = field(default_factory=Counter)
    read: int = 0
    documents: int = 0
    text_bytes: int = 0
    chosen: list[dict[str, Any]] = field(default_factory=list)
    certain: list[dict[str, Any]] = field(default_factory=list)
    share: float = 1.0


def read_piece(group: SplitGroup, reading: Reading, selection: Selection, seed: int, most: int | None) -> Records:
    """Reads a piece; of its documents those with the smallest digests of seed and place are chosen, at most so many.

    A document with more than one part of so many of the text of the piece is looked into besides: few often have much of it.
    A file that cannot be cut is read up to `MOST_READ_BYTES`; with `selection.limit`, and where all documents are wanted, to its end.
    """
    until = MOST_READ_BYTES if most is not None and selection.limit is None else None
    found = Records()
    by_chance, by_length = _Largest(most), _Largest(most)
    with closing(read_group(group, reading, selection)) as pages:  # type: ignore[type-var]
        for page in pages:
            found.counts.update(page.counts)
            found.counts.update(f"rejects.{row['level']}.{row['reason']}" for row in page.rejects)
            for row in page.documents:
                size_bytes = len(row["text"].encode())
                place = int.from_bytes(digest("plan", seed, row["source"], row["position"])[:8])
                by_chance.offer(-place, found.documents, row)
                by_length.offer(size_bytes, found.documents, row)
                found.documents += 1
                found.text_bytes += size_bytes
            if until is not None and found.counts["bytes.read"] >= until:
                found.share = min(1.0, found.counts["bytes.read"] / _unpacked_bytes(group.splits[0], reading))
                break
    found.read = found.counts.pop("documents.read", 0)
    certain = {} if most is None or most >= found.documents else by_length.above(found.text_bytes / most)
    found.certain = [certain[number] for number in sorted(certain)]
    found.chosen = [row for number, row in by_chance.rows() if number not in certain]
    return found


class _Largest:
    """The rows with the largest weights, at most so many; all where no number is given."""

    def __init__(self, most: int | None) -> None:
        self._most = most
        self._kept: list[tuple[int, int, dict[str, Any]]] = []

    def offer(self, weight: int, number: int, row: dict[str, Any]) -> None:
        """Takes a row; `number` is another for each."""
        if self._most is None or len(self._kept) < self._most:
            heapq.heappush(self._kept, (weight, -number, row))
        else:
            heapq.heappushpop(self._kept, (weight, -number, row))

    def rows(self) -> list[tuple[int, dict[str, Any]]]:
        """What was kept, in order of the numbers."""
        return [(-number, row) for _, number, row in sorted(self._kept, key=lambda one: -one[1])]

    def above(self, weight: float) -> dict[int, dict[str, Any]]:
        """Of what was kept the rows of greater weight, by number."""
        return {-number: row for own, number, row in self._kept if own > weight}


def _unpacked_bytes(split: Split, reading: Reading) -> float:
    """How many bytes a whole file unpacks to, about: as many times its size as its beginning does."""
    with open_binary(split.uri, split.etag) as stream:
        head = stream.read(_HEAD_BYTES)
    compression = compression_of(head)
    if not compression:
        return float(split.size_bytes)
    plain = unpacked(io.BufferedReader(io.BytesIO(head)), compression, reading, _HEAD_BYTES)
    found = 0
    try:
        while block := plain.read1(_HEAD_BYTES):
            found += len(block)
    except BROKEN_FILE:
        # The head ends within the packed data.
        pass
    return split.size_bytes * max(1, found) / len(head)
