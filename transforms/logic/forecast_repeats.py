"""How many rows repeat another one, told from a sample: a question that samples answer badly, so the interval is wide."""

import math
from collections import Counter
from collections.abc import Hashable, Sequence

from transforms.logic.forecast_intervals import Estimate, exactly, student_quantile

_GROUPS = 20
_NORMAL = 1e9
"""Degrees of freedom of a normal distribution, nearly."""


def repeats(groups: Sequence[Sequence[Hashable]], rows: Estimate, confidence: float, *, complete: bool) -> Estimate:
    """Rows of the corpus that repeat an earlier one.

    Distinct contents are estimated by the first-order jackknife of Haas, Naughton, Seshadri and Stokes, "Sampling-Based Estimation of the
    Number of Distinct Values of an Attribute", VLDB 1995 (`uj1`): d / (1 - (1 - q) f1 / n) for a share q of n rows, d distinct and f1 met
    once. It is right where all contents come equally often; contents that come often in few places make it too low or too high. The
    interval is a delete-a-group jackknife over the pieces, which says nothing of that. Where no repeat was seen it ends where contents
    that come twice would have shown one at this confidence: each pair shows with a chance of q^2.

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
    value = max(seen, _repeated(groups, rows.value))
    parts = [[group for place, group in enumerate(groups) if place % _GROUPS != part] for part in range(_GROUPS)]
    others = [_repeated(part, rows.value) for part in parts if 0 < sum(map(len, part)) < sampled]
    mean = sum(others) / len(others) if others else value
    variance = sum((one - mean) ** 2 for one in others) * (len(others) - 1) / max(1, len(others))
    half = student_quantile((1 + confidence) / 2, _NORMAL) * math.sqrt(variance)
    return Estimate(value, max(seen, value - half), max(value, min(rows.high, value + half)))


def _repeated(groups: Sequence[Sequence[Hashable]], rows: float) -> float:
    uses = Counter(one for group in groups for one in group)
    sampled = sum(uses.values())
    once = sum(1 for count in uses.values() if count == 1)
    share = min(1.0, sampled / rows)
    return max(0.0, rows - len(uses) / (1 - (1 - share) * once / sampled))
