"""How many rows repeat another one, told from a sample: a question that samples answer badly, so the interval is wide."""

import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence

from transforms.logic.forecast_intervals import Estimate, exactly, student_quantile

_GROUPS = 20
_COMMON = 10
_Z = 1.96
_NORMAL = 1e9
"""Degrees of freedom of a normal distribution, nearly."""


def repeats(groups: Sequence[Sequence[Hashable]], rows: Estimate, confidence: float, *, complete: bool) -> Estimate:
    """Rows of the corpus that repeat an earlier one.

    Contents met more than ten times are taken to be all that are so common (as Chao and Lee do, "Estimating the Number of Classes via
    Sample Coverage", JASA 87, 1992); of the others, the distinct ones are estimated as `HYBSKEW` does: Haas, Naughton, Seshadri and Stokes,
    "Sampling-Based Estimation of the Number of Distinct Values of an Attribute", VLDB 1995. With n rows, a share q of all, of d contents,
    f_i of which are met i times:

        all equally often (the first-order jackknife)    d / (1 - (1 - q) f_1 / n)
        some more often (Shlosser's)                     d + f_1 sum (1 - q)^i f_i / sum i q (1 - q)^(i - 1) f_i

    The first is right for documents that are there twice, the second for skewed contents; a chi-squared test of the sample chooses. No
    sample can tell for sure: the interval begins where each content that was met once stands for 1 / q that are there once (Charikar et
    al., "Towards Estimation Error Guarantees for Distinct Values", PODS 2000), and ends at the larger of both with what a delete-a-group
    jackknife over the pieces adds. Where no repeat was seen it ends where contents that are there twice would have shown one at this
    confidence: a pair shows with a chance of q^2.

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
    least, most, value = _repeated(groups, rows.value)
    parts = [[group for place, group in enumerate(groups) if place % _GROUPS != part] for part in range(_GROUPS)]
    others = [_repeated(part, rows.value)[2] for part in parts if 0 < sum(map(len, part)) < sampled]
    mean = sum(others) / len(others) if others else value
    variance = sum((one - mean) ** 2 for one in others) * (len(others) - 1) / max(1, len(others))
    half = student_quantile((1 + confidence) / 2, _NORMAL) * math.sqrt(variance)
    return Estimate(
        max(seen, value), max(seen, min(least, value - half)), max(seen, value, min(rows.high, most + half))
    )


def _repeated(groups: Sequence[Sequence[Hashable]], rows: float) -> tuple[float, float, float]:
    """Repeats at least, by the larger of both estimates, and by the one that the sample speaks for."""
    uses = Counter(one for group in groups for one in group)
    times = Counter(uses.values())
    share = min(1.0, sum(uses.values()) / rows)
    rare = {count: met for count, met in times.items() if count <= _COMMON}
    sampled, distinct, once = sum(count * met for count, met in rare.items()), sum(rare.values()), times[1]
    if not sampled:
        return (rows - len(uses),) * 3
    even = distinct / (1 - (1 - share) * once / sampled)
    missed = sum((1 - share) ** count * met for count, met in rare.items())
    shown = sum(count * share * (1 - share) ** (count - 1) * met for count, met in rare.items())
    skewed = distinct + (once * missed / shown if once else 0.0)
    chosen = even if _is_even(rare, sampled / distinct, distinct) else skewed
    common = len(uses) - distinct
    found = (distinct - once + once / share, min(even, skewed), chosen)
    least, most, value = (max(0.0, rows - common - min(sampled / share, one)) for one in found)
    return least, most, value


def _is_even(times: Mapping[int, int], mean: float, distinct: int) -> bool:
    """Whether contents may all come equally often, by a chi-squared test at 0.975 (Wilson and Hilferty's approximation of it)."""
    freedom = max(1, distinct - 1)
    spread = sum((count - mean) ** 2 / mean * met for count, met in times.items())
    return spread <= freedom * (1 - 2 / (9 * freedom) + _Z * math.sqrt(2 / (9 * freedom))) ** 3
