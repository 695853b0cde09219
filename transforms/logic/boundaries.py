"""Where a reader would cut a text: headings, paragraphs, lines, sentences, and blocks that belong together.

Sentence ends are those of Unicode Standard Annex 29 as ICU finds them, united with terminators that ICU treats otherwise. Every place is
the index of the first character after the boundary.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import regex
from icu4py.breakers import SentenceBreaker

_TERMINATOR = regex.compile(
    r"""(?:(?<![.!?…])[.!?…]++["'”’»)\]]*+(?=\s)|[。！？｡︒．]+[」』”’）)】》"]*|[।॥۔؟؞։።፨៕៖។။᠃᥄꓿܀᱾꯫᭞]+["'”’»)\]]*)\s*"""
)
# Terminators of scripts that need no space after a sentence, with a letter right behind.
_INNER_SIGNS = "。！？｡।॥۔။។៕።"
_INNER_END = regex.compile(rf"""[{_INNER_SIGNS}]["'”’»)\]」』）]*(?=\w)""")
_LINE_END = regex.compile(r"\n\s*")
_BURMESE_COMMA = "\u104a"  # ICU takes it for a full stop
_HEADING_CHARACTERS = 80
_NOT_AFTER_HEADING = frozenset(".!?…,;:。！？：；，、।॥۔؟؞։።፨៕៖។")
_MARKDOWN_HEADING = regex.compile(
    r"(?m)^(?: {0,3}#{1,6}[^\S\n][^\n]*|[^\S\n]*+\S[^\n]*+\n {0,3}(?:=+|-{2,})[^\S\n]*$)(?:\n\s*|\Z)"
)
_FENCED_CODE = regex.compile(r"(?ms)^ {0,3}(`{3,}+|~{3,}+)[^\n]*+\n.*?(?:^ {0,3}\1[`~]*[^\S\n]*$|\Z)")
_TABLE = regex.compile(r"(?m)^[^\S\n]*\|[^\n]*(?:\n[^\S\n]*\|[^\n]*)+")


@dataclass(frozen=True)
class Boundaries:
    """Places of one text in ascending order, and the blocks that are kept whole where they fit.

    Attributes:
        headings: before a heading; what follows one is no boundary.
        paragraphs: ends of paragraphs.
        lines: ends of lines.
        within: ends of lines in blocks.
        blocks: (start, end) of code and tables.
    """

    text: str
    headings: Sequence[int]
    paragraphs: Sequence[int]
    lines: Sequence[int]
    within: Sequence[int] = ()
    blocks: Sequence[tuple[int, int]] = ()
    _heading_spans: Sequence[tuple[int, int]] = ()

    @cached_property
    def sentences(self) -> Sequence[int]:
        """Ends of sentences, outside blocks; found when first asked for, as most texts are cut at lines."""
        places = sentence_ends(self.text)
        if self.blocks:
            places = [place for place in places if not _within(place, self.blocks)]
        if self._heading_spans:
            ends = {end for _, end in self._heading_spans}
            places = [place for place in places if place not in ends and not _within(place, self._heading_spans)]
        return places

    @cached_property
    def starts(self) -> Sequence[int]:
        """Every place where a heading, paragraph, line or sentence begins."""
        return sorted({*self.headings, *self.paragraphs, *self.lines, *self.sentences})


def boundaries_of(text: str, *, markdown: bool) -> Boundaries:
    """All boundaries of a text. No boundary parts a heading from what it stands over, so far as there is a choice."""
    ends = [match.span() for match in _LINE_END.finditer(text)]
    lines = [end for _, end in ends]
    # White space after a line's end with another line's end in it: a blank line.
    paragraphs = [end for start, end in ends if end - start > 1 and "\n" in text[start + 1 : end]]
    blocks: list[tuple[int, int]] = []
    within: list[int] = []
    if markdown:
        blocks = list(_blocks(text))
        within = [place for place in lines if _within(place, blocks)]
        headings = [match.span() for match in _MARKDOWN_HEADING.finditer(text) if not _within(match.start(), blocks)]
        paragraphs, lines = (
            [place for place in places if not _within(place, blocks) and not _within(place, headings)]
            for places in (paragraphs, lines)
        )
    else:
        headings = list(_plain_headings(text, paragraphs))
    below = frozenset(end for _, end in headings)
    if below:
        paragraphs, lines = ([place for place in places if place not in below] for places in (paragraphs, lines))
    return Boundaries(text, [start for start, _ in headings], paragraphs, lines, within, blocks, headings)


def sentence_ends(text: str) -> list[int]:
    """Where sentences end by either rule."""
    return sorted({*_icu_sentence_ends(text), *(match.end() for match in _TERMINATOR.finditer(text))})


def _plain_headings(text: str, paragraphs: Sequence[int]) -> Iterator[tuple[int, int]]:
    """(start, end) of paragraphs of one short line that ends like no sentence, the white space after it included."""
    for start, end in pairwise([0, *paragraphs]):
        if end - start <= _HEADING_CHARACTERS * 2:
            line = text[start:end].rstrip()
            if 0 < len(line) <= _HEADING_CHARACTERS and "\n" not in line and line[-1] not in _NOT_AFTER_HEADING:
                yield start, end


def _blocks(text: str) -> Iterator[tuple[int, int]]:
    fenced = [match.span() for match in _FENCED_CODE.finditer(text)]
    tables = [match.span() for match in _TABLE.finditer(text)]
    yield from sorted([*fenced, *(span for span in tables if not _within(span[0], fenced))])


def _within(place: int, blocks: Sequence[tuple[int, int]]) -> bool:
    """Whether a place lies strictly within one of the ordered blocks."""
    index = bisect_right(blocks, (place, -1)) - 1
    return index >= 0 and blocks[index][0] < place < blocks[index][1]


def ends_within_words(text: str) -> list[int]:
    """Where sentences end without white space behind."""
    # Most texts have none of the signs, which is told far faster than by the expression.
    if text.isascii() or not any(sign in text for sign in _INNER_SIGNS):
        return []
    return [match.end() for match in _INNER_END.finditer(text)]


def _icu_sentence_ends(text: str) -> Iterator[int]:
    position = 0
    # The breaker's own offsets count UTF-16 units; the substrings it yields are counted in code points instead.
    for sentence in SentenceBreaker(text, "en"):
        position += len(sentence)
        if not sentence.rstrip().endswith(_BURMESE_COMMA):
            yield position
