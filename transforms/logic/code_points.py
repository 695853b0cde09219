"""The code points that have properties worth a look: a fifth of all, so tables of properties are made five times as fast."""

from collections.abc import Iterator
from functools import cache

import numpy as np
import numpy.typing as npt
import regex

CODE_POINTS = 0x110000
# What lies beyond is not assigned or for private use, but for the last two of each plane, which are no characters.
_ASSIGNED_PLANES = 4
_TAGS = 0xE0000, 0xE1000
_PLANE = 0x10000


@cache
def _with_properties() -> tuple[npt.NDArray[np.int64], str]:
    after = _ASSIGNED_PLANES * _PLANE
    ends = np.arange(after + _PLANE, CODE_POINTS + 1, _PLANE)
    points = np.sort(np.concatenate([np.arange(after), np.arange(*_TAGS), ends - 2, ends - 1]))
    return points, "".join(map(chr, points.tolist()))


def runs_of(pattern: str) -> Iterator[npt.NDArray[np.int64]]:
    """Code points, ascending, of each match of a regular expression in the text of all code points that have properties."""
    points, text = _with_properties()
    for match in regex.finditer(pattern, text):
        yield points[match.start() : match.end()]
