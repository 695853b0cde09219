"""How many rows repeat another one, told from a sample: a question that samples answer badly, so the interval is wide."""

import math
from collections import Counter
from collections.abc import Hashable, Sequence

from transforms.logic.forecast_intervals import Estimate, exactly, student_quantile

_GROUPS = 20
_COMMON = 10
_NORMAL = 1e9
"""Degrees of freedom of a normal distribution, nearly."""


def repeats(groups: Sequence[Sequence[Hashable]], rows: Estimate, confidence: float, *, complete: bool) -> Estimate:
    """Rows of the corpus that repeat an earlier one.

    Contents met more than ten times are taken to be all that are so common (as Chao and Lee do, "Estimating the Number of Classes via
    Sample Coverage", JASA 87, 1992). Of the others the distinct ones are estimated as Shlosser does for skewed contents (in Haas,
    Naughton, Seshadri and Stokes, "Sampling-Based Estimation of the Number of Distinct Values of an Attribute", VLDB 1995): of a share q
    of all rows, with d contents, f_i of which are met i times, d + f_1 sum (1 - q)^i f_i / sum i q (1 - q)^(i - 1) f_i.

    That is right where most contents are there once, and finds too few repeats where all are there equally often: a price that follows
    from it is too high rather than too low. No sample can tell for sure. The interval begins where each content that was met once stands
    for 1 / q that are there once (Charikar et al., "Towards Estimation Error Guarantees for Distinct Values", PODS 2000), and ends where
    all rarer contents come equally often (the first-order jackknife of Haas et al., d / (1 - (1 - q) f_1 / n) of n rows), each with
    what a delete-a-group jackknife over the pieces adds. Where no repeat was seen it ends where contents that are there twice would have
    shown one at this confidence: a pair shows with a chance of q^2.

    Args:
        groups: contents of the sampled rows, of each piece.
        rows: how many the corpus has.
        confidence: of the interval, in (0, 1).
        complete: whether the rows are all there are.
    """
    sampled = sum(map(len, groups))
    seen = sampled - len({one for group in groups for one in group})
    if complete or not sampled:
        return exactly(seen)
    if not seen:
        share = min(1.0, sampled / rows.value)
        return Estimate(0.0, 0.0, min(rows.high / 2, -math.log((1 - confidence) / 2) / share**2))
    least, value, most = _repeated(groups, rows.value)
    parts = [[group for place, group in enumerate(groups) if place % _GROUPS != part] for part in range(_GROUPS)]
    others = [_repeated(part, rows.value)[1] for part in parts if 0 < sum(map(len, part)) < sampled]
    mean = sum(others) / len(others) if others else value
    variance = sum((one - mean) ** 2 for one in others) * (len(others) - 1) / max(1, len(others))
    half = student_quantile((1 + confidence) / 2, _NORMAL) * math.sqrt(variance)
    return Estimate(
        max(seen, value), max(seen, min(least, value - half)), max(seen, value, min(rows.high, most + half))
    )


def _repeated(groups: Sequence[Sequence[Hashable]], rows: float) -> tuple[float, float, float]:
    """Repeats at least, as they are estimated, and if all rarer contents come equally often."""
    uses = Counter(one for group in groups for one in group)
    times = Counter(uses.values())
    share = min(1.0, sum(uses.values()) / rows)
    rare = {count: met for count, met in times.items() if count <= _COMMON}
    sampled, distinct, once = sum(count * met for count, met in rare.items()), sum(rare.values()), times[1]
    if not sampled:
        return (rows - len(uses),) * 3
    missed = sum((1 - share) ** count * met for count, met in rare.items())
    shown = sum(count * share * (1 - share) ** (count - 1) * met for count, met in rare.items())
    skewed = distinct + (once * missed / shown if once else 0.0)
    even = distinct / (1 - (1 - share) * once / sampled)
    common = len(uses) - distinct
    found = (distinct - once + once / share, skewed, min(even, skewed))
    least, value, most = (max(0.0, rows - common - min(sampled / share, one)) for one in found)
    return least, value, most
