"""Numbers as people read them, and ticks of axes at round ones."""

from math import ceil, floor, isfinite, log10

NONE = "–"
_THOUSAND = 1000
_UNITS = ("", "k", "M", "G", "T")
_STEPS = (1, 2, 2.5, 5, 10)


def count(value: float | None) -> str:
    """A whole number with its thousands; a dash for none."""
    return NONE if value is None else f"{round(value):,}"


def decimal(value: float | None, decimals: int) -> str:
    """A number with so many decimals; a dash for none."""
    return NONE if value is None else f"{value:,.{decimals}f}"


def share(part: float, whole: float) -> str:
    """A part of a whole in per cent; a part that is there is never shown as nothing, one that is missing never as all."""
    if not whole:
        return NONE
    fraction = 100 * part / whole
    if 0 < fraction < 0.1:  # noqa: PLR2004
        return "< 0.1 %"
    if 99.9 < fraction < 100:  # noqa: PLR2004
        return "> 99.9 %"
    return f"{fraction:.1f} %" if fraction % 1 else f"{fraction:.0f} %"


def compact(value: float) -> str:
    """At most three digits and a unit: 987, 1.23k, 65.2k, 4.2M."""
    scaled, unit = float(value), 0
    while abs(scaled) >= _THOUSAND - 0.5 and unit < len(_UNITS) - 1:
        scaled, unit = scaled / _THOUSAND, unit + 1
    if not unit and scaled == int(scaled):
        return f"{scaled:.0f}"
    decimals = max(0, 2 - floor(log10(abs(scaled)))) if scaled else 0
    text = f"{scaled:.{min(decimals, 2)}f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) + _UNITS[unit]


def counted(value: float, what: str) -> str:
    """A whole number of things: 1 reject, 2 rejects."""
    return f"{count(value)} {what}{'' if round(value) == 1 else 's'}"


def duration(seconds: float) -> str:
    """Seconds in the two largest units that they fill."""
    if seconds < 59.95:  # noqa: PLR2004  what is rounded up to 60 is a minute
        return f"{seconds:.1f} s"
    minutes, left = divmod(round(seconds), 60)
    if minutes < 60:  # noqa: PLR2004
        return f"{minutes} min {left:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes:02d} min"


def moment(text: str) -> str:
    """A time of a record, `2026-03-01T04:00:00Z`, with the words that people put into it; anything else as it is."""
    date, separator, time = text.partition("T")
    return f"{date} {time.removesuffix('Z')} UTC" if separator and time.endswith("Z") else text


def ticks(most: float, wanted: int = 4) -> list[float]:
    """Round numbers from zero on, at most `wanted` + 1 steps apart, of which the last is at least `most`."""
    if not isfinite(most) or most <= 0:
        return [0.0, 1.0]
    raw = most / wanted
    power = 10.0 ** floor(log10(raw))
    step = next(one * power for one in _STEPS if one * power >= raw * (1 - 1e-9))
    return [index * step for index in range(ceil(most / step * (1 - 1e-9)) + 1)]
