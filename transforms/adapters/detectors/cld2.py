"""Compact Language Detector 2."""

from collections.abc import Sequence
from functools import cache

import pycld2

from transforms.adapters.detectors.base import join_labels
from transforms.logic.labels import UNDETERMINED, fold
from transforms.logic.languages import NO_GUESS, Guess

UNRELIABLE_FACTOR = 2 / 3
_SIMPLIFIED_CHINESE = "zh"


class Cld2Detector:
    """No model file, some 20,000 documents of a thousand characters a second and core; the default.

    The score is the share of the text's bytes that the label explains, lowered by a third when cld2 calls its answer unreliable: such
    an answer passes `languages.LANGUAGE_FLOOR` only if it explains three quarters of the text.
    """

    judges_text = True

    def identify(self, texts: Sequence[str]) -> list[Guess]:
        """One guess for each text, in order; text without letters is `und` with score 0."""
        return [self._identify(text) for text in texts]

    def _identify(self, text: str) -> Guess:
        reliable, _, details = pycld2.detect(text, isPlainText=True)
        found = join_labels((_label(code), percent / 100) for _, code, percent, _ in details if percent)
        if not found:
            return NO_GUESS
        label, share = found[0]
        other_share = found[1][1] if len(found) > 1 else 0.0
        return Guess(label, share if reliable else share * UNRELIABLE_FACTOR, other_share)


@cache
def cld2_languages() -> frozenset[str]:
    """The folded languages that cld2 may name."""
    return frozenset(fold(code) for _, code in pycld2.LANGUAGES) - {UNDETERMINED}


def _label(code: str) -> str:
    return "zh-Hans" if code == _SIMPLIFIED_CHINESE else code
