"""cld2 behind the protocol, with the decision that follows it."""

import json
from collections import Counter
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.adapters.detectors import Cld2Detector
from transforms.logic.languages import UNDETERMINED, Guess, decide, fold, script_shares


def decided(text: str) -> str:
    (guess,) = Cld2Detector().identify([text])
    return decide(guess, script_shares(text)).language


def labelled(sample_corpus: Path) -> list[tuple[str, str]]:
    """Label and text of every document of the topics, each in one language."""
    found = []
    for path in sorted(sample_corpus.glob("*.jsonl")):
        if path.stem not in {"defects", "mixed"}:
            for line in path.read_text(encoding="utf-8").splitlines():
                record = json.loads(line)
                found.append((record["lang"], record["text"]))
    return found


def test_the_language_of_the_sample_corpus_is_named(sample_corpus: Path) -> None:
    documents = labelled(sample_corpus)
    assert len(documents) >= 280
    assert len({label for label, _ in documents}) >= 14
    wrong = [(label, decided(text)) for label, text in documents if decided(text) != fold(label)]
    assert len(wrong) <= len(documents) / 100, Counter(wrong)


def test_a_paragraph_is_enough_in_every_language(sample_corpus: Path) -> None:
    """A short document must not fall to `und` more often than once in twenty."""
    first = [(label, text.split("\n")[0]) for label, text in labelled(sample_corpus)]
    wrong = [(label, decided(text)) for label, text in first if decided(text) != fold(label)]
    assert len(wrong) <= len(first) / 20, Counter(wrong)


def test_answers_come_in_order(sample_corpus: Path) -> None:
    texts = [text for _, text in labelled(sample_corpus)[:40]]
    detector = Cld2Detector()
    assert detector.identify(texts) == [detector.identify([text])[0] for text in texts]
    assert detector.identify(texts[::-1]) == detector.identify(texts)[::-1]
    assert detector.identify([]) == []


def test_text_without_letters_is_undetermined() -> None:
    for text in ("", " \n\t", "12345 67.89", "!?… — 🎉🎉", "https://example.org/der-fluss", "\u0000\u200b"):
        assert Cld2Detector().identify([text]) == [Guess(UNDETERMINED, 0.0)]
        assert decided(text) == UNDETERMINED


def test_every_code_point_can_stand_in_a_text() -> None:
    """cld2 refuses controls, noncharacters and surrogates; a document with one must not end the bundle."""
    block = 250
    texts = [
        "The river " + "".join(map(chr, range(start, min(start + block, 0x110000)))) + " runs to the sea"
        for start in range(0, 0x110000, block)
    ]
    guesses = Cld2Detector().identify(texts)
    assert len(guesses) == len(texts)
    assert all(0 <= guess.score <= 1 for guess in guesses)


@settings(deadline=None, derandomize=True, max_examples=200)
@given(text=st.text(max_size=200))
def test_any_text_has_an_answer(text: str) -> None:
    (guess,) = Cld2Detector().identify([text])
    assert 0 <= guess.score <= 1
    assert fold(guess.language).islower()


def test_controls_inside_a_text_do_not_hide_its_language(sample_corpus: Path) -> None:
    for label, text in labelled(sample_corpus)[:20]:
        assert decided(text.replace(" ", " \x00\ufffe\x85", 5)) == fold(label)


def test_addresses_and_numbers_do_not_decide(sample_corpus: Path) -> None:
    texts = {label: text for label, text in labelled(sample_corpus) if label in {"de", "ru", "hi", "th"}}
    noise = " https://www.example.com/the-quick-brown-fox 1234567890 someone@example.com" * 20
    assert {label: decided(text + noise) for label, text in texts.items()} == {label: label for label in texts}
