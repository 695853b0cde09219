"""What may have been meant where a name is unknown: the nearest one that exists, or what there is."""

from collections.abc import Collection
from difflib import get_close_matches

_LISTED = 8


def nearest(name: str, known: Collection[str]) -> str | None:
    """The known name that is most like another one, whatever their case; None if none is like it.

    Likeness is that of `difflib.SequenceMatcher`, of at least 0.6; of several equally near ones the first in alphabetical order.
    """
    by_case = {one.casefold(): one for one in sorted(known, reverse=True)}
    found = get_close_matches(name.casefold(), list(by_case), 1)
    return by_case[found[0]] if found else None


def did_you_mean(name: str, known: Collection[str]) -> str:
    """`; did you mean …?` with the nearest known name; empty if none is near."""
    meant = nearest(name, known)
    return "" if meant is None else f"; did you mean {meant}?"


def what_there_is(name: str, known: Collection[str], what: str) -> str:
    """What an error about a name of an open list ends with: what is there, if that is little, and what may have been meant.

    Args:
        name: that is unknown.
        known: those there are; no more than eight are listed, the most alike first among more.
        what: what they are, in the plural.
    """
    if not known:
        return f"; there are no {what}"
    if len(known) <= _LISTED:
        verb = "is" if len(known) == 1 else "are"
        return f"; there {verb} {', '.join(sorted(known))}{did_you_mean(name, known)}"
    near = get_close_matches(name, sorted(known), _LISTED, 0.3) or sorted(known)[:_LISTED]
    return f"; of {len(known)} {what}, the most alike are {', '.join(near)}"
