"""Cutting a document into chunks with the model's own tokens.

The document is tokenised once, cut at token offsets, and the ids are handed on. A cut prefers, within the second half of the limit,
the end of a paragraph, of a line, of a sentence (Unicode Standard Annex 29 through ICU, united with terminators that ICU treats
otherwise), then white space, then a grapheme cluster. Only where a chunk begins or ends inside a run of text without white space
can its ids differ from the document's, so those chunks alone are tokenised again: ids always equal `tokenizer(chunk text)`.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import regex
from icu4py.breakers import SentenceBreaker

MIN_TOKENS_LIMIT = 32

_TERMINATOR = regex.compile(
    r"""(?:(?<![.!?…])[.!?…]++["'”’»)\]]*+(?=\s)|[。！？｡︒．]+[」』”’）)】》"]*|[।॥۔؟؞։።፨៕៖။᠃᥄꓿܀᱾꯫᭞]+["'”’»)\]]*)\s*"""
)
_LINE_END = regex.compile(r"\n\s*")
_PARAGRAPH_END = regex.compile(r"\n[^\S\n]*\n\s*")
_SPACE_RUN = regex.compile(r"\s+")
_LOOSE_SPACE = (
    r"(?:\r\n|[\t\n\r\u2028\u2029]"
    r"|\s(?![\p{Grapheme_Cluster_Break=Extend}\p{Grapheme_Cluster_Break=ZWJ}\p{Grapheme_Cluster_Break=SpacingMark}]))"
)
_LEADING_SPACE = regex.compile(rf"{_LOOSE_SPACE}*")
_SPLITTING_SPACE = frozenset(" \n\r\t")
# The last place that no rule of Unicode Standard Annex 29 can join, whatever stands before: from it clusters are counted on.
_CERTAIN_BOUNDARY = regex.compile(
    r"(?r)(?<![\r\p{GCB=Prepend}])\s|(?<![\r\p{GCB=Prepend}\p{GCB=Extend}\p{GCB=ZWJ}\p{GCB=L}])"
    r"[^\p{GCB=Extend}\p{GCB=ZWJ}\p{GCB=SpacingMark}\p{GCB=Regional_Indicator}\p{GCB=V}\p{GCB=T}]"
)


@dataclass(frozen=True)
class Encoding:
    """Token ids of a text and their `(start, end)` offsets in it, in code points, both of one length."""

    ids: Sequence[int]
    offsets: Sequence[tuple[int, int]]


@dataclass(frozen=True)
class Limits:
    """Bounds of a chunk: content tokens (without prompt and special tokens), tokens shared with the one before, UTF-8 bytes."""

    max_tokens: int
    overlap_tokens: int = 0
    max_bytes: int = 65_535


@dataclass(frozen=True)
class Span:
    """A chunk: `text[start:end]` in code points, and the ids of exactly that text."""

    start: int
    end: int
    token_ids: Sequence[int]


Tokenise = Callable[[Sequence[str]], Sequence[Encoding]]


def split_texts(
    texts: Sequence[str], tokenise: Tokenise, limits: Limits, *, splits_at_whitespace: bool
) -> list[list[Span]]:
    """Splits each text into spans in order; a text without any token has none.

    Args:
        texts: normalised texts.
        tokenise: the model's tokenizer without special tokens, truncation and padding.
        limits: bounds that every span keeps.
        splits_at_whitespace: whether the tokenizer treats text around white space independently; if not, all but whole
            documents are tokenised again.

    Returns:
        For each text its spans: within the limits, in order of their start, together covering every character that is not white
        space and has a token, cut only at grapheme cluster boundaries (a single cluster beyond the limits excepted).
    """
    plans = [_cut(text, encoding, limits) for text, encoding in zip(texts, tokenise(texts), strict=True)]
    results: list[list[Span]] = []
    doubtful: list[tuple[int, int]] = []
    for number, (text, plan) in enumerate(zip(texts, plans, strict=True)):
        spans: list[Span] = []
        for span, aligned in plan:
            exact = aligned and (
                (span.start == 0 and span.end == len(text))
                or (splits_at_whitespace and _at_space(text, span.start - 1) and _at_space(text, span.end))
            )
            if not exact:
                doubtful.append((number, len(spans)))
            spans.append(span)
        results.append(spans)
    if doubtful:
        _retokenise(texts, results, doubtful, tokenise, limits)
    return results


def _retokenise(
    texts: Sequence[str], results: list[list[Span]], doubtful: list[tuple[int, int]], tokenise: Tokenise, limits: Limits
) -> None:
    """Replaces the ids of doubtful spans by those of their own text, cutting again what then exceeds a limit."""
    spans = [results[number][index] for number, index in doubtful]
    pieces = [texts[number][span.start : span.end] for (number, _), span in zip(doubtful, spans, strict=True)]
    replaced = {
        place: list(_fit(texts[place[0]], span.start, span.end, encoding.ids, tokenise, limits))
        for place, span, encoding in zip(doubtful, spans, tokenise(pieces), strict=True)
    }
    for number in sorted({number for number, _ in doubtful}):
        results[number] = [
            final
            for index, span in enumerate(results[number])
            for final in replaced.get((number, index), [span])
            if final.token_ids
        ]
        if limits.overlap_tokens:
            results[number] = _without_contained(results[number])


def _without_contained(spans: Sequence[Span]) -> list[Span]:
    """Spans in order, but none that lies within another: overlapping spans that were halved can pass each other."""
    kept: list[Span] = []
    for span in sorted(spans, key=lambda span: (span.start, -span.end)):
        if not kept or span.end > kept[-1].end:
            kept.append(span)
    return kept


def _fit(text: str, start: int, end: int, ids: Sequence[int], tokenise: Tokenise, limits: Limits) -> Iterator[Span]:
    """Yields the span, or its halves, halved until each keeps the limits; a single code point is never cut."""
    fits = len(ids) <= limits.max_tokens and len(text[start:end].encode()) <= limits.max_bytes
    if fits or end - start <= 1:
        yield Span(start, end, ids)
        return
    middle = _middle(text, start, end)
    for left, right in ((start, middle), (middle, end)):
        bounds = _strip(text, left, right)
        if bounds[0] < bounds[1]:
            yield from _fit(text, *bounds, tokenise([text[bounds[0] : bounds[1]]])[0].ids, tokenise, limits)


def _middle(text: str, start: int, end: int) -> int:
    """A place to halve: after white space near the middle, else a grapheme boundary, else the middle code point."""
    middle = (start + end) // 2
    space = max(text.rfind(" ", start + 1, middle), text.rfind("\n", start + 1, middle))
    if space > start + (end - start) // 4 and is_grapheme_boundary(text, space + 1, start):
        return space + 1
    boundary = _grapheme_boundary_before(text, middle, start)
    if boundary > start:
        return boundary
    boundary = _cluster_end(text, start)
    return boundary if boundary < end else middle


def _cut(text: str, encoding: Encoding, limits: Limits) -> list[tuple[Span, bool]]:
    """Cuts on the document's own tokens; the flag tells whether both ends lie between tokens."""
    ids, offsets = encoding.ids, encoding.offsets
    if not ids:
        return []
    if len(ids) <= limits.max_tokens and len(text) * 4 <= limits.max_bytes:
        return [(Span(*_strip(text, 0, len(text)), ids), True)]
    starts = _non_decreasing([start for start, _ in offsets])
    ends = [end for _, end in offsets]
    boundaries = _Boundaries(text)
    limit = limits.max_tokens - 1
    spans: list[tuple[Span, bool]] = []
    begin = 0
    while True:
        first = bisect_left(starts, begin)
        if first >= len(ids):
            # A cluster beyond the limit was cut inside the last token; what is left of it has ids of its own.
            start, end = _strip(text, begin, len(text))
            if start < end:
                spans.append((Span(start, end, ()), False))
            break
        last = first + limit
        at_end = last >= len(ids)
        cut = len(text) if at_end else boundaries.strongest(starts[first + limit // 2], starts[last], begin)
        after = bisect_left(starts, cut)
        start, end = _strip(text, begin, cut)
        if start < end:
            aligned = (first == 0 or ends[first - 1] <= start) and (after == len(ids) or ends[after - 1] <= cut)
            small = (end - start) * 4 <= limits.max_bytes or len(text[start:end].encode()) <= limits.max_bytes
            sound = small and first < after <= first + limits.max_tokens
            spans.append((Span(start, end, ids[first:after]), aligned and sound))
        if cut >= len(text):
            break
        begin = boundaries.overlap_start(starts, after, limits.overlap_tokens, begin, cut)
    return spans


class _Boundaries:
    """Places of one text where it may be cut, each the index of the first character after it."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._paragraphs = [match.end() for match in _PARAGRAPH_END.finditer(text)]
        self._lines = [match.end() for match in _LINE_END.finditer(text)]
        self._sentences = sorted({*_icu_sentence_ends(text), *(match.end() for match in _TERMINATOR.finditer(text))})
        self._spaces = [match.end() for match in _SPACE_RUN.finditer(text)]

    def strongest(self, low: int, high: int, begin: int) -> int:
        """The last boundary of the strongest kind in (low, high], else of graphemes, else the end of the cluster at `begin`."""
        for places in (self._paragraphs, self._lines, self._sentences, self._spaces):
            index = bisect_right(places, high) - 1
            while index >= 0 and places[index] > max(low, begin):
                if is_grapheme_boundary(self._text, places[index], begin):
                    return places[index]
                index -= 1
        cut = _grapheme_boundary_before(self._text, high, begin)
        return cut if cut > begin else _cluster_end(self._text, begin)

    def overlap_start(self, starts: Sequence[int], after: int, overlap_tokens: int, begin: int, cut: int) -> int:
        """Where the next chunk begins: a sentence start, else a word start, at most `overlap_tokens` before the cut."""
        if overlap_tokens <= 0 or after >= len(starts):
            return cut
        earliest = starts[max(0, after - overlap_tokens)]
        if after > overlap_tokens and starts[after - overlap_tokens - 1] == earliest:
            earliest += 1  # one character of several tokens: those before are too many
        for places in (self._sentences, self._spaces):
            index = bisect_left(places, earliest)
            place = places[index] if index < len(places) else cut
            if begin < place < cut and is_grapheme_boundary(self._text, place, begin):
                return place
        return cut


def _icu_sentence_ends(text: str) -> Iterator[int]:
    position = 0
    # The breaker's own offsets count UTF-16 units; the substrings it yields are counted in code points instead.
    for sentence in SentenceBreaker(text, "en"):
        position += len(sentence)
        yield position


def is_grapheme_boundary(text: str, place: int, begin: int = 0) -> bool:
    """Whether no extended grapheme cluster of `text` (Unicode Standard Annex 29) from `begin` on, a boundary itself, spans `place`."""
    return place <= begin or place >= len(text) or _grapheme_boundary_before(text, place, begin) == place


def _grapheme_boundary_before(text: str, place: int, begin: int) -> int:
    """The last grapheme boundary at or before `place`, counted from `begin`, which is one."""
    certain = _CERTAIN_BOUNDARY.search(text, begin, place + 1)
    left = boundary = certain.start() if certain else begin
    # A slice, because \X counts a run of regional indicators from the start of what it is given, whatever `pos` says.
    for match in regex.finditer(r"\X", text[left : place + 1]):
        if left + match.end() > place:
            break
        boundary = left + match.end()
    return boundary


def _cluster_end(text: str, start: int) -> int:
    """Where the grapheme cluster that begins at `start` ends."""
    size = 64
    while True:
        end = start + len(next(regex.finditer(r"\X", text[start : start + size]))[0])
        if end < start + size or end >= len(text):
            return end
        size *= 2


def _strip(text: str, start: int, end: int) -> tuple[int, int]:
    """Takes white space off both ends, never the base of a cluster that a mark makes visible."""
    match = _LEADING_SPACE.match(text, start, end)
    start = match.end() if match else start
    stripped = start + len(text[start:end].rstrip())
    while stripped < end and not is_grapheme_boundary(text, stripped, start):
        stripped += 1
    return start, stripped


def _at_space(text: str, place: int) -> bool:
    return place < 0 or place >= len(text) or text[place] in _SPLITTING_SPACE


def _non_decreasing(values: list[int]) -> list[int]:
    highest = 0
    for index, value in enumerate(values):
        highest = max(highest, value)
        values[index] = highest
    return values
