"""Confidence intervals: of means over few groups (Student), of shares of which little was seen, of sums of few things (Fay and Feuer)."""

import math
from collections.abc import Callable
from dataclasses import dataclass

_HALVINGS = 80
_STEPS = 400
_TINY = 1e-300
_PRECISION = 1e-14


@dataclass(frozen=True)
class Estimate:
    """A figure that was estimated, and the interval that holds the true one at some confidence; exact where all three are equal."""

    value: float
    low: float
    high: float

    @property
    def is_exact(self) -> bool:
        """Whether nothing was estimated."""
        return self.low == self.high

    @property
    def relative_half_width(self) -> float:
        """Half the interval over the value; 0 for an exact figure, infinite for an inexact zero."""
        if self.is_exact:
            return 0.0
        return (self.high - self.low) / 2 / self.value if self.value else math.inf

    def times(self, factor: float) -> "Estimate":
        """The same of so many times the figure; `factor` is not negative."""
        return Estimate(self.value * factor, self.low * factor, self.high * factor)

    def describe(self) -> dict[str, float]:
        """Plain values, to twelve digits."""
        ends = {"estimate": self.value, "low": self.low, "high": self.high}
        return {name: float(f"{end:.12g}") for name, end in ends.items()}


def exactly(value: float) -> Estimate:
    """A figure that was counted."""
    return Estimate(value, value, value)


def student_quantile(probability: float, freedom: float) -> float:
    """The quantile of Student's distribution; `probability` in [0.5, 1), `freedom` above 0."""
    # I of DLMF 8.17 at freedom / (freedom + t^2) is the weight of both tails.
    tails = 2 * (1 - probability)
    if tails >= 1:
        return 0.0
    share = _inverse(lambda x: _beta_share(x, freedom / 2, 0.5), tails)
    return math.sqrt(freedom * (1 - share) / share)


def share_interval(seen: float, trials: float, confidence: float) -> tuple[float, float]:
    """The interval of Clopper and Pearson (1934) for a share of which `seen` of `trials` were found, neither need be whole.

    With the effective number of trials of a clustered sample it is that of Korn and Graubard, "Confidence intervals for proportions
    with small expected number of positive counts estimated from survey data", Survey Methodology 24 (1998), which holds its confidence
    where few or none were seen.

    Raises:
        ValueError: not 0 <= seen <= trials, or no trial.
    """
    if not 0 <= seen <= trials or trials <= 0:
        raise ValueError(f"{seen} of {trials} is no share; at least one trial is needed")
    tail = (1 - confidence) / 2
    low = 0.0 if seen == 0 else _inverse(lambda x: _beta_share(x, seen, trials - seen + 1), tail)
    high = 1.0 if seen == trials else _inverse(lambda x: _beta_share(x, seen + 1, trials - seen), 1 - tail)
    return low, high


def sum_interval(total: float, variance: float, share: float, one: "One", confidence: float) -> tuple[float, float]:
    """The interval of a sum to which few things of differing size add up.

    That of Fay and Feuer, "Confidence intervals for directly standardized rates: a method based on the gamma distribution", Statistics
    in Medicine 16 (1997): the lower end is a quantile of the distribution that has the mean and variance of the sum, the upper one that
    of the sum with one thing more, which was just not seen. Here the distribution is a beta one, of things that make up a share of all,
    so that with things of one size it is the interval of Clopper and Pearson.

    Args:
        total: the sum, above 0.
        variance: of it, above 0.
        share: of all things those that are summed, in (0, 1).
        one: the thing more.
        confidence: in (0, 1).
    """
    tail = (1 - confidence) / 2
    shape = total**2 / variance
    low = _inverse(lambda x: _beta_share(x, shape, shape * (1 - share) / share + 1), tail) * total / share
    more, of_more = total + one.size, one.share
    shape = more**2 / (variance + one.square)
    high = _inverse(lambda x: _beta_share(x, shape, shape * (1 - of_more) / of_more + 1), 1 - tail) * more / of_more
    return low, high


@dataclass(frozen=True)
class One:
    """A thing that could have been seen besides: its size, what its square adds to the variance, and the share of all with it."""

    size: float
    square: float
    share: float


def _inverse(rising: Callable[[float], float], wanted: float) -> float:
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if rising(middle) < wanted:
            low = middle
        else:
            high = middle
    return high


def _beta_share(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function I_x(a, b) by its continued fraction, https://dlmf.nist.gov/8.17#v."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - _beta_share(1 - x, b, a)
    front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    return math.exp(front) * _fraction(x, a, b) / a


def _fraction(x: float, a: float, b: float) -> float:
    """Lentz's algorithm for that fraction."""
    upper, lower = 1.0, 1 / _nonzero(1 - (a + b) * x / (a + 1))
    product = lower
    for m in range(1, _STEPS):
        for d in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            lower = 1 / _nonzero(1 + d * lower)
            upper = _nonzero(1 + d / upper)
            product *= lower * upper
        if abs(lower * upper - 1) < _PRECISION:
            break
    return product


def _nonzero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
