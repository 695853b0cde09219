"""Cutting a document into chunks with the model's own tokens.

A text is taken as words, what stands between loose white space, and long words as pieces. Their tokens are counted, the text is cut by the
counts, and the ids of a chunk are put together from those of its words: a tokenizer that splits at white space sees each word alone, so
that every word is tokenised once, also the one that occurs a thousand times. Only a chunk that begins or ends inside a word has that
part tokenised again, so that ids always equal `tokenizer(chunk text)`. With any other tokenizer the counts are estimates, and the
chunk itself is tokenised.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, pairwise

import numpy as np
import numpy.typing as npt
from icu4py.breakers import WordBreaker

from transforms.logic.boundaries import Boundaries, boundaries_of, ends_within_words, sentence_ends
from transforms.logic.graphemes import Places, cluster_end, grapheme_boundary_before, is_grapheme_boundary, words_of

MIN_TOKENS_LIMIT = 32
ID_BYTES = 4
"""Ids travel as bytes: a corpus has billions, and a Python integer takes eight times as many."""

_LONG_WORD = 24
_LONG_PIECE = 16
# A word is divided when it is long and holds more than one part in so many of the limit, as few addresses do.
_LONG_WORDS_OF_LIMIT = 16
# A sentence inside a word is divided further when it holds more than one part in so many of the limit.
_PIECES_OF_LIMIT = 8
# Pieces are counted apart, so that a chunk of them may have a little more tokens than they have together.
_SLACK = 32


@dataclass(frozen=True)
class Limits:
    """Bounds of a chunk.

    Attributes:
        max_tokens: content tokens, without prompt and special tokens.
        overlap_tokens: tokens shared with the chunk before.
        max_bytes: UTF-8 bytes.
        min_tokens: a cut leaves at least so many on both sides; at most half of `max_tokens`.
    """

    max_tokens: int
    overlap_tokens: int = 0
    max_bytes: int = 65_535
    min_tokens: int = 0


@dataclass(frozen=True)
class Span:
    """A chunk: `text[start:end]` in code points, and the ids of exactly that text as the bytes of their int32."""

    start: int
    end: int
    token_ids: bytes

    @property
    def tokens(self) -> int:
        """How many tokens it has."""
        return len(self.token_ids) // ID_BYTES


Tokenise = Callable[[Sequence[str]], Sequence[bytes]]
"""The model's tokenizer without special tokens, truncation and padding: the ids of each text alone, as the bytes of their int32."""


def split_texts(
    texts: Sequence[str],
    tokenise: Tokenise,
    limits: Limits,
    *,
    splits_at_whitespace: bool,
    markdown: Sequence[bool] | None = None,
) -> list[list[Span]]:
    """Splits each text into spans in order; a text without any token has none.

    Args:
        texts: normalised texts.
        tokenise: the model's tokenizer.
        limits: bounds that every span keeps.
        splits_at_whitespace: whether the tokenizer treats text around white space independently.
        markdown: which texts are Markdown; none if not given.

    Returns:
        For each text its spans: within the limits, in order of their start, together covering every character that is not white
        space and has a token, cut only at grapheme cluster boundaries (a single cluster beyond the limits excepted).
    """
    tokens = _Tokens(tokenise, splits_at_whitespace)
    kinds = markdown or [False] * len(texts)
    drafts = [
        _draft(words, tokens, limits, markdown=kind)
        for words, kind in zip(_read_words(texts, tokens), kinds, strict=True)
    ]
    parts = [part for draft in drafts for piece in draft for part in (piece.head, piece.tail) if part]
    ids = iter(tokenise(parts))
    results = []
    for text, draft in zip(texts, drafts, strict=True):
        spans: list[Span] = []
        for piece in draft:
            before = next(ids) if piece.head else b""
            after = next(ids) if piece.tail else b""
            spans.extend(_fit(text, Span(piece.start, piece.end, before + piece.token_ids + after), tokens, limits))
        spans = [span for span in spans if span.token_ids]
        results.append(_without_contained(spans) if limits.overlap_tokens else spans)
    return results


@dataclass(frozen=True)
class _Tokens:
    """The tokenizer, and whether the words of a text may be tokenised alone."""

    tokenise: Tokenise
    splits_at_whitespace: bool

    def of(self, text: str) -> bytes:
        return self.tokenise([text])[0]


@dataclass(frozen=True)
class _Words:
    """The words of a text in order: starts and ends, each shape (words,), int64, and the ids of each."""

    text: str
    starts: Places
    ends: Places
    token_ids: Sequence[bytes]


@dataclass(frozen=True)
class _Draft:
    """A span whose middle has its ids; the text before and after it is still to be tokenised."""

    start: int
    end: int
    token_ids: bytes
    head: str = ""
    tail: str = ""


def _read_words(texts: Sequence[str], tokens: _Tokens) -> Iterator[_Words]:
    places = [words_of(text) for text in texts]
    words: list[str] = []
    for text, (starts, ends) in zip(texts, places, strict=True):
        plain = text.split()
        # Less text, where a space that carries a mark belongs to a word.
        same = len(plain) == len(starts) and sum(map(len, plain)) == int((ends - starts).sum())
        words += plain if same else [text[start:end] for start, end in zip(starts, ends, strict=True)]
    ids = tokens.tokenise(words)
    first = 0
    for text, (starts, ends) in zip(texts, places, strict=True):
        yield _Words(text, starts, ends, ids[first : first + len(starts)])
        first += len(starts)


def _draft(words: _Words, tokens: _Tokens, limits: Limits, *, markdown: bool) -> list[_Draft]:
    """Cuts one text."""
    if not len(words.starts):
        return []
    start, end = int(words.starts[0]), int(words.ends[-1])
    if (end - start) * 4 <= limits.max_bytes:
        token_ids = b"".join(words.token_ids)
        if len(token_ids) <= limits.max_tokens * ID_BYTES:
            if tokens.splits_at_whitespace:
                return [_Draft(start, end, token_ids)]
            return [_Draft(start, end, b"", words.text[start:end])]
    boundaries = boundaries_of(words.text, markdown=markdown)
    pieces = _Pieces(words, boundaries, tokens, limits)
    return [pieces.draft(first, after) for first, after in pieces.cut()]


class _Pieces:
    """One text as pieces between which it may be cut: words, and the parts of words that are long or hold a boundary."""

    def __init__(self, words: _Words, boundaries: Boundaries, tokens: _Tokens, limits: Limits) -> None:
        self._text = words.text
        self._words = words
        self._tokens = tokens
        self._limits = limits
        self._boundaries = boundaries
        counts = np.fromiter(map(len, words.token_ids), np.int64, len(words.token_ids)) // ID_BYTES
        self._starts, self._ends, shares, self._word = self._refine(counts)
        self._total = [0.0, *np.cumsum(shares).tolist()]
        self._divided = len(self._starts) > len(words.starts) or not tokens.splits_at_whitespace
        self._strong = [
            self._numbers(places) for places in (boundaries.headings, boundaries.paragraphs, boundaries.lines)
        ]
        self._word_starts = (np.flatnonzero(np.diff(self._word)) + 1).tolist() if self._divided else None
        self._blocks: list[list[int]] = [np.searchsorted(self._starts, block).tolist() for block in boundaries.blocks]

    def _refine(self, counts: Places) -> tuple[Places, Places, npt.NDArray[np.float64], Places]:
        """Starts, ends, tokens and word of each piece: words, but those divided that are long or in which a sentence ends."""
        starts, ends = self._words.starts, self._words.ends
        least = self._limits.max_tokens / _LONG_WORDS_OF_LIMIT
        chosen = (ends - starts > _LONG_WORD) & (counts > least)
        inner = ends_within_words(self._text)
        if inner:
            chosen[np.searchsorted(starts, inner, "right") - 1] = True
        long = np.flatnonzero(chosen).tolist()
        shares = counts.astype(np.float64)
        words = np.arange(len(starts))
        if not long:
            return starts, ends, shares, words
        parts: list[tuple[Places, Places, npt.NDArray[np.float64], Places]] = []
        done = 0
        for number in long:
            borders, of_borders = self._divide(int(starts[number]), int(ends[number]), int(counts[number]))
            if len(of_borders) > 1:
                before = slice(done, number)
                parts.append((starts[before], ends[before], shares[before], words[before]))
                fine = np.array(borders, np.int64)
                parts.append((fine[:-1], fine[1:], np.array(of_borders), np.full(len(of_borders), number)))
                done = number + 1
        parts.append((starts[done:], ends[done:], shares[done:], words[done:]))
        refined = [np.concatenate(column) for column in zip(*parts, strict=True)]
        return refined[0], refined[1], refined[2], refined[3]

    def _divide(self, start: int, end: int, count: int) -> tuple[list[int], list[float]]:
        """Borders of the pieces of one word, and the share of its tokens that each has: an estimate where there are several."""
        text = self._text
        borders = [start]
        for place in sentence_ends(text[start:end]):
            if start + place < end and is_grapheme_boundary(text, start + place, borders[-1]):
                borders.append(start + place)
        borders.append(end)
        shares = self._shares(borders, count)
        fine = [start]
        of_fine: list[float] = []
        for first, last, share in zip(borders, borders[1:], shares, strict=False):
            ends = list(_word_ends(text, first, last)) if share > self._limits.max_tokens / _PIECES_OF_LIMIT else [last]
            of_fine += self._shares([first, *ends], share)
            fine += ends
        return fine, of_fine

    def _shares(self, borders: Sequence[int], count: float) -> list[float]:
        """How `count` tokens are spread over the pieces between borders: as over the same pieces apart."""
        if len(borders) == 2:  # noqa: PLR2004  one piece
            return [count]
        apart = [len(ids) for ids in self._tokens.tokenise([self._text[start:end] for start, end in pairwise(borders)])]
        scale = count / max(1, sum(apart))
        return [one * scale for one in apart]

    def _numbers(self, boundaries: Sequence[int]) -> list[int]:
        """Numbers of the pieces that begin at a boundary."""
        places = np.array(boundaries, np.int64)
        numbers = np.searchsorted(self._starts, places)
        kept = (numbers > 0) & (numbers < len(self._starts))
        numbers, places = numbers[kept], places[kept]
        found: list[int] = numbers[self._ends[numbers - 1] <= places].tolist()
        return found

    @cached_property
    def _sentences(self) -> list[int]:
        return self._numbers(self._boundaries.sentences)

    @cached_property
    def _sentence_starts(self) -> list[int]:
        return self._numbers(self._boundaries.starts)

    @cached_property
    def _within(self) -> list[int]:
        return self._numbers(self._boundaries.within)

    def _levels(self) -> Iterator[list[int]]:
        """Numbers of the pieces before which it is best to cut, the strongest kind first."""
        yield from self._strong
        yield self._sentences
        yield self._within
        if self._word_starts is not None:
            yield self._word_starts

    def cut(self) -> Iterator[tuple[int, int]]:
        """Yields (first, after) piece of each chunk."""
        limits, total = self._limits, self._total
        room = limits.max_tokens - (1 + limits.max_tokens // _SLACK if self._divided else 0)
        last = len(self._starts)
        first = 0
        while first < last:
            high = bisect_right(total, total[first] + room + 1e-6) - 1
            if high >= last:
                yield first, last
                return
            if limits.min_tokens:
                high = min(high, bisect_right(total, total[last] - limits.min_tokens + 1e-6) - 1)
            high = max(high, first + 1)
            after = self._strongest(first, high)
            yield first, after
            first = self._overlap_start(first, after)

    def _strongest(self, first: int, high: int) -> int:
        """The last boundary of the strongest kind in the second half of the room, else `high`; a block that fits is not cut."""
        total, limits = self._total, self._limits
        block = bisect_left(self._blocks, [high]) - 1
        if block >= 0:
            start, end = self._blocks[block]
            fits = total[end] - total[start] <= limits.max_tokens
            if first < start < high < end and fits and total[start] - total[first] >= limits.min_tokens:
                high = start
        low = bisect_right(total, total[first] + limits.max_tokens / 2)
        if high < low:
            return high
        for numbers in self._levels():
            index = bisect_right(numbers, high) - 1
            if index >= 0 and numbers[index] >= max(low, first + 1):
                return numbers[index]
        return high

    def _overlap_start(self, first: int, after: int) -> int:
        """The piece that the next chunk begins with: a sentence start, else a word start, at most the overlap before the cut."""
        overlap = self._limits.overlap_tokens
        if not overlap:
            return after
        earliest = max(first + 1, bisect_left(self._total, self._total[after] - overlap - 1e-6))
        words = range(earliest, after) if self._word_starts is None else _between(self._word_starts, earliest, after)
        for start in chain(_between(self._sentence_starts, earliest, after), words):
            shared = self._text[self._starts[start] : self._ends[after - 1]]
            if not self._divided or len(self._tokens.of(shared)) <= overlap * ID_BYTES:
                return start
        return after

    def draft(self, first: int, after: int) -> _Draft:
        """The chunk of these pieces."""
        words, text = self._words, self._text
        start, end = int(self._starts[first]), int(self._ends[after - 1])
        left, right = int(self._word[first]), int(self._word[after - 1])
        head = start > int(words.starts[left])
        tail = end < int(words.ends[right])
        if not self._tokens.splits_at_whitespace or (left == right and (head or tail)):
            return _Draft(start, end, b"", text[start:end])
        return _Draft(
            start,
            end,
            b"".join(words.token_ids[left + head : right + 1 - tail]),
            text[start : words.ends[left]] if head else "",
            text[words.starts[right] : end] if tail else "",
        )


def _between(numbers: Sequence[int], first: int, after: int) -> Sequence[int]:
    return numbers[bisect_left(numbers, first) : bisect_left(numbers, after)]


def _word_ends(text: str, start: int, end: int) -> Iterator[int]:
    """Ends of the words of `text[start:end]` by ICU, which knows those of scripts without space; of longer ones, ends of parts."""
    place = position = start
    for word in WordBreaker(text[start:end], "en"):
        position += len(word)
        if position < end and not is_grapheme_boundary(text, position, place):
            continue
        while position - place > _LONG_PIECE:
            boundary = grapheme_boundary_before(text, place + _LONG_PIECE, place)
            place = boundary if boundary > place else cluster_end(text, place)
            if place >= position:
                break
            yield place
        place = max(place, position)
        yield place


def _fit(text: str, span: Span, tokens: _Tokens, limits: Limits) -> Iterator[Span]:
    """Yields the span, or its halves, halved until each keeps the limits; a single code point is never cut."""
    start, end = span.start, span.end
    small = (end - start) * 4 <= limits.max_bytes or len(text[start:end].encode()) <= limits.max_bytes
    if (small and span.tokens <= limits.max_tokens) or end - start <= 1:
        yield span
        return
    middle = _middle(text, start, end)
    for left, right in ((start, middle), (middle, end)):
        bounds = words_of(text[left:right])
        if len(bounds[0]):
            half = (left + int(bounds[0][0]), left + int(bounds[1][-1]))
            yield from _fit(text, Span(*half, tokens.of(text[slice(*half)])), tokens, limits)


def _middle(text: str, start: int, end: int) -> int:
    """A place to halve: after white space near the middle, else a grapheme boundary, else the middle code point."""
    middle = (start + end) // 2
    space = max(text.rfind(" ", start + 1, middle), text.rfind("\n", start + 1, middle))
    if space > start + (end - start) // 4 and is_grapheme_boundary(text, space + 1, start):
        return space + 1
    boundary = grapheme_boundary_before(text, middle, start)
    if boundary > start:
        return boundary
    boundary = cluster_end(text, start)
    return boundary if boundary < end else middle


def _without_contained(spans: Sequence[Span]) -> list[Span]:
    """Spans in order, but none that lies within another: overlapping spans that were halved can pass each other."""
    kept: list[Span] = []
    for span in sorted(spans, key=lambda span: (span.start, -span.end)):
        if not kept or span.end > kept[-1].end:
            kept.append(span)
    return kept
