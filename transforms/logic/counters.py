"""Which tallies become counters of the runner, and what those are called.

A runner keeps every counter for every step, and charges or drops what is too many, so that the list is closed: reasons and stages are, and
of languages the widely used ones have counters of their own. Names say what was done to what, or the unit: `tokens_encoded`, `embed_msec`.
Counters over-count where a bundle is tried again; the run record, made of tallies, does not.
"""

import regex

from transforms.logic.labels import COMMON

OTHER = "other"
_MILLISECONDS = 1000

_COUNTED = frozenset(
    f"{noun}.{what}"
    for noun, all_of_it in (
        ("splits", "read left_out"),
        ("files", "left_out.limit"),
        ("documents", "read recognised mixed embedded reused unchanged rejected"),
        ("left_out", "date date_missing sample limit language"),
        ("chunks", "split unknown duplicates hot looked_up reconciled truncated labelled"),
        ("tokens", "split spared encoded computed padding"),
        ("vectors", "encoded reused compressed"),
        ("shards", "written"),
        ("rows", "produced stored loaded held to_write written rejected to_delete deleted"),
        ("budget", "reductions"),
        ("rejects", "total"),
        ("mirror", "held gone unread"),
    )
    for what in all_of_it.split()
)
_OF_LANGUAGE = regex.compile(r"language\.(?P<language>[^.]+)\.(?P<what>documents|tokens)")
_REJECT = regex.compile(r"rejects\.(?:record|file|chunk)\.[a-z_]+")
_SECONDS = regex.compile(r"stage\.(?P<stage>[a-z]+)\.seconds|(?P<what>[a-z_]+)\.seconds")


def counter_of(name: str, value: float) -> tuple[str, int] | None:
    """Name and increment of the counter for a tally; None for one that has none.

    Seconds become whole milliseconds, to the nearest.
    """
    seconds = _SECONDS.fullmatch(name)
    if seconds:
        return f"{seconds['stage'] or seconds['what']}_msec", round(value * _MILLISECONDS)
    language = _OF_LANGUAGE.fullmatch(name)
    if language:
        code = language["language"] if language["language"] in COMMON else OTHER
        return f"{language['what']}_of_{code}", int(value)
    return (name.replace(".", "_"), int(value)) if name in _COUNTED or _REJECT.fullmatch(name) else None
