"""IdentifyLanguage."""

from functools import partial

import pytest

from tests.fakes import FakeDetector
from tests.transforms.verbs import record, records, run_verb
from transforms.adapters.detectors import Cld2Detector
from transforms.identify import IdentifyLanguage, Partitioning, identify_language
from transforms.logic.schemas import DOCUMENTS


def test_a_batch_keeps_its_rows_in_order_and_gains_a_language() -> None:
    batch = records(record("a", "One text."), record("b", "Noch ein Text.", declared_language="de"))
    found = identify_language(batch, FakeDetector("en"), Partitioning())
    assert found.schema.equals(DOCUMENTS)
    assert [(row["document_id"], row["text"]) for row in found.to_pylist()] == [
        ("a", "One text."),
        ("b", "Noch ein Text."),
    ]
    assert [(row["language"], row["partition"], row["script"]) for row in found.to_pylist()] == [
        ("en", "lang_en", "Latn"),
        ("de", "lang_de", "Latn"),
    ]


@pytest.mark.parametrize(
    ("partitioning", "partitions"),
    [
        (Partitioning(), ["lang_en", "lang_de", "lang_und"]),
        (Partitioning("language", ("de",)), ["lang_other", "lang_de", "lang_und"]),
        (Partitioning("none"), ["_default"] * 3),
    ],
)
def test_partitions_follow_the_configuration(partitioning: Partitioning, partitions: list[str]) -> None:
    batch = records(record("a", "text"), record("b", "Text", declared_language="de"), record("c", "123"))
    assert identify_language(batch, FakeDetector(), partitioning).column("partition").to_pylist() == partitions


def test_a_declared_language_is_still_vetoed_by_the_script() -> None:
    batch = records(record("a", "แม่น้ำไหลผ่านเมืองเก่า", declared_language="ru"))
    assert identify_language(batch, FakeDetector(), Partitioning()).column("language").to_pylist() == ["th"]


def test_the_verb_counts_documents_by_language() -> None:
    batches = [
        records(record("a", "The river flows slowly through the old town and on to the sea.")),
        records(record("b", "Река медленно течёт через старый город и впадает в холодное море."), record("c", "12345")),
    ]
    outcome = run_verb(partial(IdentifyLanguage, Cld2Detector, Partitioning()), batches)
    assert {row["document_id"]: row["language"] for row in outcome.rows} == {"a": "en", "b": "ru", "c": "und"}
    assert outcome.counts == {f"language.{language}.documents": 1 for language in ("en", "ru", "und")}
    assert outcome.rejects == []
