"""What a detector is, and those that look at no text."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from transforms.logic.labels import UNDETERMINED, fold
from transforms.logic.languages import LANGUAGE_FLOOR, NO_GUESS, Guess, decide
from transforms.logic.scripts import count_letters


class Detector(Protocol):
    """Names the language of texts. Not picklable in general: workers open their own."""

    judges_text: bool
    """Whether answers come from the text, so that a part of a document may be asked about too."""

    def identify(self, texts: Sequence[str]) -> list[Guess]:
        """One guess for each text, in order. Texts are as `scripts.prepare` gives them: without controls, numbers and surrogates."""
        ...


class ConstantDetector:
    """Gives every text the same label with score 1; without a label, none."""

    judges_text = False

    def __init__(self, label: str = UNDETERMINED) -> None:
        """Takes any label that `labels.read_label` reads."""
        self._guess = NO_GUESS if label == UNDETERMINED else Guess(label, 1.0, is_of_text=False)

    def identify(self, texts: Sequence[str]) -> list[Guess]:
        """The same guess for each text."""
        return [self._guess] * len(texts)


class FallbackDetector:
    """Asks one detector, and another about the texts that the first leaves `und`: no answer, one below the floor, or a vetoed one."""

    judges_text = True

    def __init__(self, first: Detector, then: Detector, floor: float = LANGUAGE_FLOOR) -> None:
        """Takes both detectors and the floor that decides what counts as an answer."""
        self._first = first
        self._then = then
        self._floor = floor

    def identify(self, texts: Sequence[str]) -> list[Guess]:
        """The first detector's guesses, and the second's where the first has none."""
        guesses = self._first.identify(texts)
        decided = [
            decide(guess, letters, self._floor) for guess, letters in zip(guesses, count_letters(texts), strict=True)
        ]
        open_places = [place for place, one in enumerate(decided) if one.language == UNDETERMINED]
        if open_places:
            second = self._then.identify([texts[place] for place in open_places])
            for place, guess in zip(open_places, second, strict=True):
                if fold(guess.language) != UNDETERMINED:
                    guesses[place] = guess
        return guesses


def join_labels(labelled: Iterable[tuple[str, float]]) -> list[tuple[str, float]]:
    """Labels with the sum of the shares of all labels that fold to the same language, largest first; `und` is left out.

    Of labels that fold alike the one with the largest share stands for them.
    """
    best: dict[str, tuple[float, str]] = {}
    total: dict[str, float] = {}
    for label, share in labelled:
        language = fold(label)
        if language != UNDETERMINED:
            total[language] = total.get(language, 0.0) + share
            if language not in best or share > best[language][0]:
                best[language] = (share, label)
    ordered = sorted(total, key=lambda language: (-total[language], language))
    return [(best[language][1], min(1.0, total[language])) for language in ordered]
