"""cld2 behind the protocol, with the decision that follows it."""

from collections import Counter
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.transforms.adapters.detectors.texts import decided, labelled
from transforms.adapters.detectors import Cld2Detector
from transforms.adapters.detectors.cld2 import cld2_languages
from transforms.identify import identify_documents
from transforms.logic.labels import UNDETERMINED, fold
from transforms.logic.languages import NO_GUESS

RUSSIAN = "Это длинный русский текст о жизни людей в старом городе у большой реки. " * 5
ENGLISH = "This is a long English text about the life of people in an old town by a large river. " * 5


def test_the_language_of_the_sample_corpus_is_named(sample_corpus: Path) -> None:
    documents = labelled(sample_corpus)
    assert len(documents) >= 280
    assert len({label for label, _ in documents}) >= 14
    found = decided(Cld2Detector(), [text for _, text in documents])
    wrong = [(label, one) for (label, _), one in zip(documents, found, strict=True) if one != fold(label)]
    assert len(wrong) <= len(documents) / 100, Counter(wrong)


def test_a_paragraph_is_enough_in_every_language(sample_corpus: Path) -> None:
    """A short document must not fall to `und` more often than once in twenty."""
    first = [(label, text.split("\n")[0]) for label, text in labelled(sample_corpus)]
    found = decided(Cld2Detector(), [text for _, text in first])
    wrong = [(label, one) for (label, _), one in zip(first, found, strict=True) if one != fold(label)]
    assert len(wrong) <= len(first) / 20, Counter(wrong)


def test_answers_come_in_order(sample_corpus: Path) -> None:
    texts = [text for _, text in labelled(sample_corpus)[:40]]
    detector = Cld2Detector()
    assert detector.identify(texts) == [detector.identify([text])[0] for text in texts]
    assert detector.identify(texts[::-1]) == detector.identify(texts)[::-1]
    assert detector.identify([]) == []


def test_vocalised_text_is_told_as_that_without_vowel_points() -> None:
    """Scripture, poems and school books are written so; cld2 alone says nothing of them."""
    texts = {
        "ar": "يُولَدُ جَمِيعُ النَّاسِ أَحْرَاراً مُتَسَاوِينَ فِي الكَرَامَةِ وَالحُقُوقِ",
        "he": "בְּרֵאשִׁית בָּרָא אֱלֹהִים אֵת הַשָּׁמַיִם וְאֵת הָאָרֶץ",
    }
    assert decided(Cld2Detector(), list(texts.values())) == list(texts)
    assert Cld2Detector().identify(list(texts.values())) == [NO_GUESS, NO_GUESS]


def test_text_without_letters_is_undetermined() -> None:
    texts = ["", " \n\t", "12345 67.89", "!?… — 🎉🎉", "https://example.org/der-fluss", "\u0000\u200b"]
    for one in identify_documents(texts, [None] * len(texts), Cld2Detector()):
        assert (one.language, one.score) == (UNDETERMINED, 0.0)
    assert Cld2Detector().identify(["", "   "]) == [NO_GUESS, NO_GUESS]


def test_every_code_point_can_stand_in_a_text() -> None:
    """cld2 refuses controls, noncharacters and surrogates; a document with one must not end the bundle."""
    block = 250
    texts = [
        "The river " + "".join(map(chr, range(start, min(start + block, 0x110000)))) + " runs to the sea"
        for start in range(0, 0x110000, block)
    ]
    found = identify_documents(texts, [None] * len(texts), Cld2Detector())
    assert len(found) == len(texts)
    assert all(0 <= one.score <= 1 for one in found)


@settings(deadline=None, derandomize=True, max_examples=200)
@given(text=st.text(st.characters() | st.sampled_from("\ud800\x00"), max_size=200))
def test_any_text_has_an_answer(text: str) -> None:
    (found,) = identify_documents([text], [None], Cld2Detector())
    assert 0 <= found.score <= 1
    assert fold(found.language) == found.language


def test_controls_inside_a_text_do_not_hide_its_language(sample_corpus: Path) -> None:
    documents = labelled(sample_corpus)[:20]
    texts = [text.replace(" ", " \x00\ufffe\x85", 5) for _, text in documents]
    assert decided(Cld2Detector(), texts) == [fold(label) for label, _ in documents]


def test_addresses_and_numbers_do_not_decide(sample_corpus: Path) -> None:
    texts = {label: text for label, text in labelled(sample_corpus) if label in {"de", "ru", "hi", "th"}}
    noise = " https://www.example.com/the-quick-brown-fox 1234567890 someone@example.com" * 20
    assert decided(Cld2Detector(), [text + noise for text in texts.values()]) == list(texts)


def test_a_second_language_has_its_share() -> None:
    alone, both = Cld2Detector().identify([RUSSIAN, RUSSIAN + ENGLISH])
    assert alone.other_share == 0
    assert both.language == "ru"
    assert 0.3 < both.other_share < 0.5
    found = identify_documents([RUSSIAN, RUSSIAN + ENGLISH], [None, None], Cld2Detector())
    assert [one.mixed for one in found] == [False, True]


def test_labels_of_one_language_are_not_a_mixture() -> None:
    bosnian = (
        "Sva ljudska bića rađaju se slobodna i jednaka u dostojanstvu i pravima. Ona su obdarena razumom i sviješću. "
    )
    serbian = (
        "Sva ljudska bića rađaju se slobodna i jednaka u dostojanstvu i pravima. Ona su obdarena razumom i svešću. "
    )
    (found,) = identify_documents([bosnian * 3 + serbian * 3], [None], Cld2Detector())
    assert (found.language, found.mixed) == ("sh", False)


def test_chinese_scripts_are_told_apart() -> None:
    simplified = "人人生而自由,在尊严和权利上一律平等。他们赋有理性和良心,并应以兄弟关系的精神相对待。"
    traditional = "人人生而自由,在尊嚴和權利上一律平等。他們賦有理性和良心,並應以兄弟關係的精神相對待。"
    found = identify_documents([simplified, traditional], [None, None], Cld2Detector())
    assert [(one.language, one.script) for one in found] == [("zh", "Hans"), ("zh", "Hant")]


def test_its_languages_are_folded_and_fewer_than_milvus_admits() -> None:
    languages = cld2_languages()
    assert {"de", "zh", "he", "sh", "no"} <= languages
    assert not {"und", "iw", "hr", "nb"} & languages
    assert 140 < len(languages) < 200
