"""IdentifyLanguage."""

from collections.abc import Sequence
from functools import partial

import pytest

from tests.fakes import FakeDetector
from tests.transforms.verbs import record, records, run_verb
from transforms.adapters.detectors import Cld2Detector, read_choice
from transforms.identify import (
    IdentifyLanguage,
    Partitioning,
    identify_chunks,
    identify_documents,
    identify_language,
    keep_languages,
)
from transforms.logic.languages import CHUNK_LETTERS_FLOOR, Guess, Identified
from transforms.logic.schemas import DOCUMENTS

ENGLISH = "The river flows slowly through the old town and far in the north it reaches the cold sea, as it always did. "
RUSSIAN = "Река медленно течёт через старый город и впадает далеко на севере в холодное море, как это было всегда. "
THAI = "แม่น้ำไหลผ่านเมืองเก่าและไหลลงสู่ทะเลอันหนาวเย็นทางตอนเหนือ"
PARENT = Identified("de", 0.9, "Latn")


class AskedDetector(FakeDetector):
    """Remembers what it was asked."""

    def __init__(self, language: str = "en") -> None:
        super().__init__(language)
        self.asked: list[str] = []

    def identify(self, texts: Sequence[str]) -> list[Guess]:
        self.asked.extend(texts)
        return super().identify(texts)


def test_a_batch_keeps_its_rows_in_order_and_gains_a_language() -> None:
    batch = records(record("a", "One text."), record("b", "Noch ein Text.", declared_language="de"))
    found = identify_language(batch, FakeDetector("en"), Partitioning())
    assert found.schema.equals(DOCUMENTS)
    assert [(row["document_id"], row["text"]) for row in found.to_pylist()] == [
        ("a", "One text."),
        ("b", "Noch ein Text."),
    ]
    assert [(row["language"], row["partition"], row["script"], row["language_score"]) for row in found.to_pylist()] == [
        ("en", "lang_en", "Latn", 1.0),
        ("de", "lang_de", "Latn", 1.0),
    ]


def test_an_empty_batch_stays_empty() -> None:
    found = identify_language(records(), FakeDetector(), Partitioning())
    assert (found.num_rows, found.schema.equals(DOCUMENTS)) == (0, True)


@pytest.mark.parametrize(
    ("partitioning", "partitions"),
    [
        (Partitioning(), ["lang_en", "lang_de", "lang_und"]),
        (Partitioning("language", ("de",)), ["lang_other", "lang_de", "lang_und"]),
        (Partitioning("language", ()), ["lang_other", "lang_other", "lang_und"]),
        (Partitioning("none"), ["_default"] * 3),
    ],
)
def test_partitions_follow_the_configuration(partitioning: Partitioning, partitions: list[str]) -> None:
    batch = records(record("a", "text"), record("b", "Text", declared_language="de"), record("c", "123"))
    assert identify_language(batch, FakeDetector(), partitioning).column("partition").to_pylist() == partitions


def test_a_declared_language_is_still_vetoed_by_the_script() -> None:
    batch = records(record("a", THAI, declared_language="ru"))
    assert identify_language(batch, FakeDetector(), Partitioning()).column("language").to_pylist() == ["th"]


@pytest.mark.parametrize("declared", [None, "", "xx", "unknown", "English", "ru"])
def test_the_detector_is_asked_where_the_declaration_gives_no_language(declared: str | None) -> None:
    detector = AskedDetector("de")
    found = identify_documents(["Guten Tag", "Good day"], [declared, "en"], detector)
    assert [one.language for one in found] == ["de", "en"]
    assert detector.asked == ["Guten Tag"]


def test_a_long_document_is_judged_by_its_beginning_middle_and_end() -> None:
    detector = AskedDetector()
    identify_documents(["a" * 50_000], [None], detector)
    assert [len(text) for text in detector.asked] == [3002]


def test_below_the_floor_nothing_has_a_language() -> None:
    batch = records(record("a", RUSSIAN * 3 + ENGLISH * 3))
    score = identify_language(batch, Cld2Detector(), Partitioning()).column("language_score")[0].as_py()
    assert 0.5 < score < 0.99
    for floor, language in ((score - 0.01, "ru"), (score + 0.01, "und")):
        found = identify_language(batch, Cld2Detector(), Partitioning(floor=floor))
        assert found.column("language").to_pylist() == [language]


def test_the_verb_counts_documents_by_language_and_mixed_ones() -> None:
    batches = [
        records(record("a", ENGLISH)),
        records(record("b", RUSSIAN), record("c", "12345"), record("d", RUSSIAN * 3 + ENGLISH * 3)),
    ]
    outcome = run_verb(partial(IdentifyLanguage, Cld2Detector, Partitioning()), batches)
    assert {row["document_id"]: (row["language"], row["mixed"]) for row in outcome.rows} == {
        "a": ("en", False),
        "b": ("ru", False),
        "c": ("und", False),
        "d": ("ru", True),
    }
    assert outcome.counts == {
        "language.en.documents": 1,
        "language.ru.documents": 2,
        "language.und.documents": 1,
        "language.ru.mixed": 1,
        "documents.mixed": 1,
    }
    assert outcome.rejects == []


def test_documents_of_other_languages_are_left_out_and_counted() -> None:
    batches = [
        records(record("a", ENGLISH), record("b", RUSSIAN), record("c", "12345"), record("d", THAI)),
        records(record("e", RUSSIAN)),
    ]
    partitioning = Partitioning(keep_languages=("en", "und"))
    outcome = run_verb(partial(IdentifyLanguage, Cld2Detector, partitioning), batches)
    assert [row["document_id"] for row in outcome.rows] == ["a", "c"]
    assert all(batch.num_rows for batch in outcome.main)
    assert outcome.counts == {"left_out.language": 3, "language.en.documents": 1, "language.und.documents": 1}


def test_without_languages_to_keep_all_are_kept() -> None:
    batch = identify_language(records(record("a", ENGLISH), record("b", "1")), Cld2Detector(), Partitioning())
    assert keep_languages(batch, ()) is batch
    assert keep_languages(batch, ("de",)).num_rows == 0


def test_a_chunk_in_another_language_says_so() -> None:
    texts = [RUSSIAN, ENGLISH, "short", "12 34 56 " * 50, THAI * 3]
    found = identify_chunks(texts, [PARENT] * 5, Cld2Detector())
    assert [one.language for one in found] == ["ru", "en", "de", "de", "th"]
    assert [found[place] for place in (2, 3)] == [PARENT, PARENT]
    assert all(one.score >= 0.8 for one in found)
    assert identify_chunks([], [], Cld2Detector()) == []


@pytest.mark.parametrize("specification", ["column:lang", "const:de"])
def test_a_chunk_of_a_declared_language_inherits_it(specification: str) -> None:
    detector = read_choice(specification, 0.5).detector()
    assert identify_chunks([RUSSIAN, THAI * 3], [PARENT] * 2, detector) == [PARENT] * 2


def test_a_constant_behind_a_detector_says_nothing_of_chunks() -> None:
    detector = read_choice("cld2,const:fr", 0.5).detector()
    unclear = "xq zvw " * CHUNK_LETTERS_FLOOR
    (document,) = identify_documents([unclear], [None], detector)
    assert document.language == "fr"
    assert identify_chunks([unclear, ENGLISH], [PARENT] * 2, detector) == [
        PARENT,
        *identify_chunks([ENGLISH], [PARENT], Cld2Detector()),
    ]


def test_a_long_chunk_is_judged_by_its_ends() -> None:
    detector = AskedDetector()
    identify_chunks(["a" * 50_000], [PARENT], detector)
    assert [len(text) for text in detector.asked] == [401]
