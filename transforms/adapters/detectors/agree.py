"""Two detectors that must agree."""

from collections.abc import Sequence

from transforms.adapters.detectors.base import Detector
from transforms.adapters.detectors.fasttext import FasttextDetector
from transforms.logic.labels import fold
from transforms.logic.languages import NO_GUESS, Guess

SURE = 0.9


class AgreeingDetector:
    """cld2 with a fastText model: the same answer, or none.

    Where cld2 is sure (`SURE`) of a language that the model does not know, agreement cannot be had, and its answer stands. On pieces
    of 300 characters (`benchmarks/udhr.py`), over the languages that either knows, that names .73 rightly and .03 wrongly; agreement
    alone names .51 and .02; taking the model's own sure answers too, .74 and .04.
    """

    judges_text = True

    def __init__(self, cld2: Detector, model: FasttextDetector) -> None:
        """Takes both detectors."""
        self._cld2 = cld2
        self._model = model
        self._languages = model.languages()

    def identify(self, texts: Sequence[str]) -> list[Guess]:
        """One guess for each text, in order."""
        pairs = zip(self._cld2.identify(texts), self._model.identify(texts), strict=True)
        return [self._join(one, other) for one, other in pairs]

    def _join(self, one: Guess, other: Guess) -> Guess:
        language = fold(one.language)
        if language == fold(other.language):
            return Guess(one.language, max(one.score, other.score), one.other_share)
        if language not in self._languages and one.score >= SURE:
            return one
        return NO_GUESS
