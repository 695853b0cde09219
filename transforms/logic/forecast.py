"""What a corpus holds, told from a sample of its pieces and of the documents in them.

The design is the textbook one of a stratified two-stage cluster sample with ratio estimation (Cochran, "Sampling Techniques", 3rd ed.
1977): pieces are put into strata in their order, so that a corpus that is sorted by language or date is met everywhere; of each stratum
a few pieces are chosen; of a large piece only some documents are looked into. Bytes are known of every piece and tokens follow them, so
that totals are estimated by the combined ratio to bytes (section 6.11) for each kind of file apart, with the variance of both stages
(11.9) and Student's distribution with Satterthwaite's degrees of freedom (5.16). What few records have gets the
interval of a sum of few things (`forecast_intervals`). A sample of everything gives exact figures.

Chance comes from digests: the same corpus, seed and size give the same sample, and a larger one contains it.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from transforms.logic.forecast_intervals import Estimate, One, exactly, share_interval, student_quantile, sum_interval
from transforms.logic.identity import digest

STRATA = 32
PER_STRATUM = 2
READ = "documents.read"
"""The figure that counts records: some kinds of files say it without being read."""
RARE = 30
"""Of so many things of one size, or more of differing size, the sum is about normal; of fewer it is not."""


@dataclass(frozen=True)
class Piece:
    """What is known of a part of the corpus before it is read.

    Attributes:
        kind: its format; ratios are estimated for each kind apart.
        name: its place, unique in the corpus.
        size_bytes: as it lies there, packed or not.
        records: how many it has, where its file says so.
    """

    kind: str
    name: str
    size_bytes: int
    records: int | None = None


@dataclass(frozen=True)
class Looked:
    """What was found in one piece.

    Attributes:
        counted: figures of the whole piece, of which each counts records.
        records: how many the piece has.
        documents: how many of them became documents.
        text_bytes: UTF-8 bytes of the texts of all documents.
        measured: figures of some documents or of all, with `text_bytes` among them.
        certain: figures of those of the others that are so long that they were looked into whatever the chance.
        whole: whether it was read to its end; else the figures are what they would be if the rest were like the beginning, and no interval
            knows that.
    """

    counted: Mapping[str, float]
    records: int
    documents: int
    text_bytes: int
    measured: Sequence[Mapping[str, float]]
    whole: bool = True
    certain: Sequence[Mapping[str, float]] = ()

    @property
    def each(self) -> Sequence[Mapping[str, float]]:
        """Figures of every document that was looked into."""
        return [*self.certain, *self.measured]

    @property
    def is_complete(self) -> bool:
        """Whether it was read to its end and every document was looked into."""
        return self.whole and len(self.certain) + len(self.measured) == self.documents


@dataclass(frozen=True)
class Stratum:
    """Pieces of one kind, by number, in the order in which they are chosen."""

    kind: str
    pieces: tuple[int, ...]


def stratify(pieces: Sequence[Piece], seed: int, most: int = STRATA) -> list[Stratum]:
    """At most about `most` strata of neighbouring pieces, each of at least two pieces where its kind has two; shared among kinds by bytes.

    A piece of more bytes than the average stratum is one of its own: whatever is chosen, such a piece is.
    """
    by_kind: dict[str, list[int]] = defaultdict(list)
    for number, piece in enumerate(pieces):
        by_kind[piece.kind].append(number)
    whole = max(1, sum(piece.size_bytes for piece in pieces))
    strata = []
    for kind in sorted(by_kind):
        large = [number for number in by_kind[kind] if pieces[number].size_bytes * most > whole]
        strata += [Stratum(kind, (number,)) for number in large]
        rest = [number for number in by_kind[kind] if pieces[number].size_bytes * most <= whole]
        share = sum(pieces[number].size_bytes for number in rest) / whole
        count = max(1, min(math.ceil(share * most), len(rest) // PER_STRATUM))
        for part in np.array_split(np.array(rest, np.int64), count) if rest else ():
            order = sorted(part.tolist(), key=lambda number: digest("plan", seed, pieces[number].name))
            strata.append(Stratum(kind, tuple(order)))
    return strata


def chosen(strata: Iterable[Stratum], per_stratum: int) -> list[int]:
    """The numbers of the first so many pieces of each stratum, ascending."""
    return sorted(number for stratum in strata for number in stratum.pieces[:per_stratum])


@dataclass(frozen=True)
class Sample:
    """Pieces that were looked into, at least two of every stratum that has two."""

    pieces: Sequence[Piece]
    strata: Sequence[Stratum]
    looked: Mapping[int, Looked]

    @property
    def is_complete(self) -> bool:
        """Whether every document of every piece was looked into."""
        return len(self.looked) == len(self.pieces) and all(one.is_complete for one in self.looked.values())

    @property
    def _is_read(self) -> bool:
        return len(self.looked) == len(self.pieces) and all(one.whole for one in self.looked.values())

    @property
    def documents(self) -> int:
        """How many documents were looked into."""
        return sum(len(one.each) for one in self.looked.values())

    def names(self) -> list[str]:
        """Every figure that some piece or document has, ordered."""
        found = {name for one in self.looked.values() for name in one.counted}
        found |= {name for one in self.looked.values() for measured in one.each for name in measured}
        return sorted(found)

    def total(self, name: str, confidence: float) -> Estimate:
        """A figure of the whole corpus, and the interval that holds it with the given confidence in (0, 1).

        It never begins below what was seen. Where few records have the figure, and clusters of records that are alike count as one, its
        interval is that of a sum over few things.
        """
        found = self._figure(name)
        is_measured = any(name in one for piece in self.looked.values() for one in piece.each)
        if self.is_complete or (self._is_read and not is_measured):
            return exactly(found.seen)
        is_counted = any(name in one.counted for one in self.looked.values())
        trials = sum(one.records for one in self.looked.values()) if is_counted else self.documents
        effect = 1.0 if is_counted else self._effect
        if found.holders < trials and found.seen > 0 and found.seen**2 < RARE * effect * found.squares:
            return self._of_few(found, trials, effect, confidence)
        if not found.variance:
            return exactly(found.value)
        freedom = found.variance**2 / found.over_freedom
        half = student_quantile((1 + confidence) / 2, max(1.0, freedom)) * math.sqrt(found.variance)
        return Estimate(found.value, max(found.seen, found.value - half), found.value + half)

    def unseen_records(self, confidence: float) -> Estimate:
        """How many records may be of a sort of which none was seen, where all records of a piece are counted."""
        return self._unseen(sum(one.records for one in self.looked.values()), confidence)

    def unseen_documents(self, confidence: float) -> Estimate:
        """How many documents may be of a sort of which none was seen, where only documents that were looked into show it."""
        return self._unseen(self.documents / self._effect, confidence)

    def _unseen(self, trials: float, confidence: float) -> Estimate:
        if self.is_complete or not trials:
            return exactly(0)
        return Estimate(0.0, 0.0, share_interval(0, trials, confidence)[1] * self._records)

    @cached_property
    def _records(self) -> float:
        """How many the corpus has, about."""
        records = {number: _Part(one.records, 0.0, 0.0, 0.0) for number, one in self.looked.items()}
        return sum(self._of_kind(strata, records).value for strata in self._kinds.values())

    def _figure(self, name: str) -> "_Figure":
        found = {number: _of_piece(one, name) for number, one in self.looked.items()}
        parts = [
            self._told(strata) if name == READ and self._tells(strata) else self._of_kind(strata, found)
            for strata in self._kinds.values()
        ]
        seen = sum(one.seen for one in found.values())
        return _Figure(
            max(seen, sum(one.value for one in parts)),
            sum(one.variance for one in parts),
            sum(one.over_freedom for one in parts),
            seen,
            sum(one.holders for one in found.values()),
            sum(one.squares for one in found.values()),
            sum(one.text_bytes for one in found.values()),
        )

    def _of_few(self, found: "_Figure", trials: int, effect: float, confidence: float) -> Estimate:
        """The interval of a figure that few of the `trials` have, of which so many as `effect` says count as one.

        Its own variance says little where little was seen, so that it is at least that of a sample of records with the average effect. What
        was just not seen is as long as documents are on the average, in clusters of the average size.
        """
        times, left = found.value / found.seen, max(0.0, 1 - trials / self._records)
        variance = max(found.variance, left * effect * times**2 * found.squares)
        if not variance:
            return exactly(found.value)
        mean, square = self._lengths
        each = found.seen / found.text_bytes if found.text_bytes else 0.0
        if found.is_of_ones or not each:
            each = mean = square = 1.0
        one = One(
            left * effect * times * each * mean,
            left * effect * times**2 * each**2 * (square + (effect - 1) * mean**2),
            min(1.0, (found.holders + effect) / trials),
        )
        low, high = sum_interval(found.value, variance, found.holders / trials, one, confidence)
        return Estimate(found.value, min(found.value, max(found.seen, low)), max(found.value, high))

    @cached_property
    def _effect(self) -> float:
        """How many times more the shares of documents vary than in a sample of single documents, on the average, at least once.

        Of a single figure that few documents have the variance is too uncertain to be used alone (Wolter, "Introduction to Variance
        Estimation", 2nd ed. 2007, chapter 7).
        """
        shares = {name for one in self.looked.values() for measured in one.each for name in measured}
        shares -= {
            name
            for one in self.looked.values()
            for measured in one.each
            for name, value in measured.items()
            if value not in {0, 1}
        }
        own = single = 0.0
        for found in map(self._figure, sorted(shares)):
            if 0 < found.seen < self.documents:
                own += found.variance
                left = max(0.0, 1 - self.documents / self._records)
                single += left * found.value**2 / found.seen * (1 - found.seen / self.documents)
        return max(1.0, own / single) if single else 1.0

    @cached_property
    def _lengths(self) -> tuple[float, float]:
        """Bytes of a document of the pieces that were read on the average, and their squares."""
        squares = 0.0
        for one in self.looked.values():
            drawn = sum(measured["text_bytes"] ** 2 for measured in one.measured)
            squares += drawn * (one.documents - len(one.certain)) / max(1, len(one.measured))
            squares += sum(measured["text_bytes"] ** 2 for measured in one.certain)
        documents = max(1, sum(one.documents for one in self.looked.values()))
        return sum(one.text_bytes for one in self.looked.values()) / documents, squares / documents

    @cached_property
    def _kinds(self) -> Mapping[str, Sequence[Stratum]]:
        kinds: dict[str, list[Stratum]] = defaultdict(list)
        for stratum in self.strata:
            kinds[stratum.kind].append(stratum)
        return kinds

    def _tells(self, strata: Sequence[Stratum]) -> bool:
        """Whether files of a kind say how many records they have."""
        return all(self.pieces[number].records is not None for stratum in strata for number in stratum.pieces)

    def _told(self, strata: Sequence[Stratum]) -> "_Total":
        return _Total(
            sum(self.pieces[number].records or 0 for stratum in strata for number in stratum.pieces), 0.0, 0.0
        )

    def _of_kind(self, strata: Sequence[Stratum], found: Mapping[int, "_Part"]) -> "_Total":
        """The combined ratio estimate over the strata of one kind, and its variance."""
        inside = [[number for number in stratum.pieces if number in found] for stratum in strata]
        of_values = of_sizes = whole = 0.0
        for stratum, numbers in zip(strata, inside, strict=True):
            weight = len(stratum.pieces) / len(numbers)
            of_values += weight * sum(found[number].value for number in numbers)
            of_sizes += weight * sum(self.pieces[number].size_bytes for number in numbers)
            whole += sum(self.pieces[number].size_bytes for number in stratum.pieces)
        ratio = of_values / of_sizes if of_sizes else 0.0
        variance = over_freedom = 0.0
        for stratum, numbers in zip(strata, inside, strict=True):
            count, weight = len(stratum.pieces), len(stratum.pieces) / len(numbers)
            for number in numbers:
                variance += weight * found[number].variance
                degrees = max(1, len(self.looked[number].measured) - 1)
                over_freedom += (weight * found[number].variance) ** 2 / degrees
            if 1 < len(numbers) < count:
                residuals = [found[number].value - ratio * self.pieces[number].size_bytes for number in numbers]
                between = count**2 * (1 - len(numbers) / count) * float(np.var(residuals, ddof=1)) / len(numbers)
                variance += between
                over_freedom += between**2 / (len(numbers) - 1)
        scale = whole / of_sizes if of_sizes else 1.0
        return _Total(ratio * whole if of_sizes else of_values, variance * scale**2, over_freedom * scale**4)


@dataclass(frozen=True)
class _Part:
    """A figure of a piece.

    Attributes:
        value: of all its records.
        variance: of that.
        seen: of the records that were looked at.
        holders: how many of those have some.
        squares: the sum of the squares of what each of those has.
        text_bytes: how much text those have.
    """

    value: float
    variance: float
    seen: float
    holders: float
    squares: float = 0.0
    text_bytes: float = 0.0


@dataclass(frozen=True)
class _Figure:
    """A figure of the corpus: its variance, the sum of the squares of that of each part over its degrees of freedom, and what was seen."""

    value: float
    variance: float
    over_freedom: float
    seen: float
    holders: float
    squares: float
    text_bytes: float

    @property
    def is_of_ones(self) -> bool:
        """Whether each record that has it has one."""
        return self.seen == self.holders == self.squares


@dataclass(frozen=True)
class _Total:
    """A figure of a kind, its variance, and the sum of the squares of that of each part over its degrees of freedom."""

    value: float
    variance: float
    over_freedom: float


def _of_piece(one: Looked, name: str) -> _Part:
    """Of a piece of which not every document was looked into, by the ratio to bytes of text; by documents for what each has once or not."""
    counted = one.counted.get(name, 0.0)
    values = np.array([measured.get(name, 0.0) for measured in one.each], np.float64)
    sizes = np.array([measured["text_bytes"] for measured in one.each], np.float64)
    seen = counted + float(values.sum())
    part = _Part(
        seen,
        0.0,
        seen,
        counted + float(np.count_nonzero(values)),
        counted + float((values**2).sum()),
        float(sizes[values != 0].sum()),
    )
    certain, size = len(one.certain), len(one.measured)
    documents, text_bytes = one.documents - certain, one.text_bytes - float(sizes[:certain].sum())
    if size == documents or not size:
        return part
    values, sizes = values[certain:], sizes[certain:]
    once = values.max() <= 1
    weights = np.ones(size) if once else sizes
    drawn = float(values.sum())
    ratio = drawn / float(weights.sum())
    spread = float(np.var(values - ratio * weights, ddof=1)) if size > 1 else drawn**2
    variance = documents**2 * (1 - size / documents) * spread / size
    return replace(part, value=seen - drawn + ratio * (documents if once else text_bytes), variance=variance)


def factor_to(estimate: Estimate, margin: float) -> float:
    """How many times larger a sample must be for half the interval to be `margin` of the figure; 1 if it is; infinite for a margin of 0."""
    if estimate.is_exact:
        return 1.0
    return (estimate.relative_half_width / margin) ** 2 if margin else math.inf
