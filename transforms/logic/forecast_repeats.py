"""How many rows repeat another one, told from a sample: a question that samples answer badly, so the interval is wide."""

from collections import Counter
from collections.abc import Hashable, Sequence

from transforms.logic.forecast_intervals import Estimate, exactly

_GROUPS = 20


def repeats(groups: Sequence[Sequence[Hashable]], rows: Estimate, normal: float, *, complete: bool) -> Estimate:
    """Rows of the corpus that repeat an earlier one.

    Distinct contents are estimated by the first-order jackknife of Haas, Naughton, Seshadri and Stokes, "Sampling-Based Estimation of the
    Number of Distinct Values of an Attribute", VLDB 1995 (`uj1`): d / (1 - (1 - q) f1 / n) for a share q of n rows, d distinct and f1 met
    once. It is right where all contents come equally often; contents that come often in few places make it too low or too high. The
    interval is a delete-a-group jackknife over the pieces, and says nothing of that.

    Args:
        groups: contents of the sampled rows, of each piece.
        rows: how many the corpus has.
        normal: the quantile of the normal distribution for half the interval.
        complete: whether the rows are all there are.
    """
    sampled = sum(map(len, groups))
    if complete or not sampled:
        return exactly(sampled - len({one for group in groups for one in group}))
    value = _repeated(groups, rows.value)
    parts = [[group for place, group in enumerate(groups) if place % _GROUPS != part] for part in range(_GROUPS)]
    others = [_repeated(part, rows.value) for part in parts if 0 < sum(map(len, part)) < sampled]
    mean = sum(others) / len(others) if others else value
    variance = sum((one - mean) ** 2 for one in others) * (len(others) - 1) / max(1, len(others))
    half = normal * variance**0.5
    seen = sampled - len({one for group in groups for one in group})
    return Estimate(max(value, seen), max(seen, value - half), min(rows.high, max(value, seen) + half))


def _repeated(groups: Sequence[Sequence[Hashable]], rows: float) -> float:
    uses = Counter(one for group in groups for one in group)
    sampled = sum(uses.values())
    once = sum(1 for count in uses.values() if count == 1)
    share = min(1.0, sampled / rows)
    return max(0.0, rows - len(uses) / (1 - (1 - share) * once / sampled))
