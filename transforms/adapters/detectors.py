"""Language detectors behind one protocol."""

from collections.abc import Sequence
from typing import Protocol

import pycld2
import regex

from transforms.logic.languages import UNDETERMINED, Guess, sample_for_detection

# cld2 raises on controls and noncharacters (pycld2 issue 53); they are taken out for detection only.
_UNFIT = regex.compile(r"\p{Cc}|\p{Cs}|\p{Noncharacter_Code_Point}")


class Detector(Protocol):
    """Names the language of texts."""

    def identify(self, texts: Sequence[str]) -> list[Guess]:
        """One guess for each text, in order."""
        ...


class Cld2Detector:
    """Compact Language Detector 2: 183 labels, no model file, some 20,000 documents a second and core.

    The score is the share of the text's bytes that the label explains, lowered by a third when cld2 calls its answer unreliable: such
    an answer passes `languages.SCORE_FLOOR` only if it explains three quarters of the text.
    """

    def identify(self, texts: Sequence[str]) -> list[Guess]:
        """One guess for each text, in order; text without letters is `und` with score 0."""
        return [self._identify(text) for text in texts]

    def _identify(self, text: str) -> Guess:
        sample = _UNFIT.sub(" ", sample_for_detection(text))
        reliable, _, details = pycld2.detect(sample, isPlainText=True)
        _, code, percent, _ = details[0]
        if code == "un":
            return Guess(UNDETERMINED, 0.0)
        return Guess(code, percent / (100 if reliable else 150))


def language_column(specification: str) -> str | None:
    """The column that a specification such as `column:lang,cld2` trusts; None if it names none."""
    for part in specification.split(","):
        kind, _, name = part.strip().partition(":")
        if kind == "column" and name:
            return name
    return None
