"""Extended grapheme clusters (Unicode Standard Annex 29), found without reading a whole text, and the words between loose white space."""

from functools import lru_cache

import numpy as np
import numpy.typing as npt
import regex

from transforms.logic.code_points import CODE_POINTS, runs_of

# The last place that no rule of the annex can join, whatever stands before: from it clusters are counted on.
_CERTAIN_BOUNDARY = regex.compile(
    r"(?r)(?<![\r\p{GCB=Prepend}])\s|(?<![\r\p{GCB=Prepend}\p{GCB=Extend}\p{GCB=ZWJ}\p{GCB=L}])"
    r"[^\p{GCB=Extend}\p{GCB=ZWJ}\p{GCB=SpacingMark}\p{GCB=Regional_Indicator}\p{GCB=V}\p{GCB=T}]"
)
_CLUSTER = regex.compile(r"\X")
_SPACE, _CONTROL, _JOINS_LEFT, _JOINS_RIGHT = 1, 2, 4, 8
_KINDS = (
    (_SPACE, r"\s+"),
    (_CONTROL, r"[\p{GCB=Control}\p{GCB=CR}\p{GCB=LF}]+"),
    (_JOINS_LEFT, r"[\p{GCB=Extend}\p{GCB=ZWJ}\p{GCB=SpacingMark}]+"),
    (_JOINS_RIGHT, r"\p{GCB=Prepend}+"),
)

Places = npt.NDArray[np.int64]


def is_grapheme_boundary(text: str, place: int, begin: int = 0) -> bool:
    """Whether no cluster of `text` from `begin` on, a boundary itself, spans `place`."""
    return place <= begin or place >= len(text) or grapheme_boundary_before(text, place, begin) == place


def grapheme_boundary_before(text: str, place: int, begin: int) -> int:
    """The last grapheme boundary at or before `place`, counted from `begin`, which is one."""
    certain = _CERTAIN_BOUNDARY.search(text, begin, place + 1)
    left = boundary = certain.start() if certain else begin
    # A slice, because \X counts a run of regional indicators from the start of what it is given, whatever `pos` says.
    for match in _CLUSTER.finditer(text[left : place + 1]):
        if left + match.end() > place:
            break
        boundary = left + match.end()
    return boundary


def cluster_end(text: str, start: int) -> int:
    """Where the cluster that begins at `start` ends."""
    size = 64
    while True:
        end = start + len(next(_CLUSTER.finditer(text[start : start + size]))[0])
        if end < start + size or end >= len(text):
            return end
        size *= 2


def words_of(text: str) -> tuple[Places, Places]:
    """Starts and ends, each shape (words,), int64, of the runs between loose white space, in code points.

    White space is loose if it shares no cluster with a visible sign: a space that carries a mark belongs to the word. So that text may
    be cut at every word without cutting a cluster, and a tokenizer that splits at white space sees each word alone.
    """
    kinds = _kinds()[np.frombuffer(text.encode("utf-32-le"), np.uint32)]
    space = (kinds & _SPACE) != 0
    held = space & ((kinds & _CONTROL) == 0)
    if held.any():
        space[:-1] &= ~(held[:-1] & ((kinds[1:] & _JOINS_LEFT) != 0))
        space[1:] &= ~(held[1:] & ((kinds[:-1] & _JOINS_RIGHT) != 0))
    edges = np.flatnonzero(np.diff(space, prepend=True, append=True))
    return edges[0::2], edges[1::2]


def joins_left(points: npt.NDArray[np.uint32]) -> npt.NDArray[np.bool_]:
    """Which code points belong to the cluster of whatever visible sign or space stands before them."""
    joining: npt.NDArray[np.bool_] = (_kinds()[points] & _JOINS_LEFT) != 0
    return joining


@lru_cache(maxsize=1)
def _kinds() -> npt.NDArray[np.uint8]:
    """Flags of every code point, shape (CODE_POINTS,)."""
    kinds = np.zeros(CODE_POINTS, np.uint8)
    for flag, pattern in _KINDS:
        for points in runs_of(pattern):
            kinds[points] |= flag
    return kinds
