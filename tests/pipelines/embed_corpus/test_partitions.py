"""Documents are spread over partitions by their language, and the list of partitions is frozen with the collection."""

import pytest

from pipelines.configuration import options
from pipelines.preflight.partitions import SAMPLED_SPLITS
from pipelines.preflight.run_plan import plan_run
from tests.pipelines.jobs import Job, document, row_counts
from transforms.adapters.milvus import release
from transforms.logic.errors import ConfigurationError
from transforms.logic.labels import COMMON

TEXTS = {
    "de": "Der Fluss fließt langsam durch die alte Stadt und mündet dann weit im Norden in das Meer.",
    "fr": "Le fleuve coule lentement à travers la vieille ville et se jette dans la mer du Nord.",
    "ru": "Река медленно течёт через старый город и впадает далеко на севере в холодное море.",
    "th": "แม่น้ำไหลผ่านเมืองเก่าและไหลลงสู่ทะเลอันหนาวเย็นทางตอนเหนือ",
    "und": "12345 67890",
}
WELSH = "Mae pawb yn cael eu geni yn rhydd ac yn gydradd mewn urddas a hawliau, gyda rheswm a chydwybod."


def _partitions(job: Job) -> dict[str, str]:
    return {row["document_id"]: row["partition"] for row in job.rows().values()}


def _languages(job: Job, **changes: object) -> tuple[str, ...] | None:
    """What the collection has, or would get."""
    try:
        return plan_run(options.to_config(job.options(**changes))).space.languages
    finally:
        release(str(job.milvus))


@pytest.fixture
def filled(job: Job) -> Job:
    """A job with a document of each language."""
    job.write("a.jsonl", [document(name, text, lang="") for name, text in TEXTS.items()])
    return job


def test_detected_languages_name_the_partitions(job: Job) -> None:
    job.write("a.jsonl", [document(name, text, lang="xx") for name, text in TEXTS.items()])
    record = job.run(detector="cld2")
    assert _partitions(job) == {name: f"lang_{name}" for name in TEXTS}
    assert record["partitions"] == {f"lang_{name}": {"expected": 1, "milvus": 1} for name in sorted(TEXTS)}
    assert {name: counts["documents"] for name, counts in record["languages"].items()} == dict.fromkeys(TEXTS, 1)


def test_a_trusted_column_wins_over_detection(job: Job) -> None:
    job.write("a.jsonl", [document("d", TEXTS["de"], lang="nl"), document("e", TEXTS["fr"], lang="")])
    job.run()
    assert _partitions(job) == {"d": "lang_nl", "e": "lang_fr"}


def test_by_default_common_languages_have_partitions_and_others_share_one(job: Job) -> None:
    assert "cy" not in COMMON
    job.write("a.jsonl", [document("cy", WELSH, lang=""), document("de", TEXTS["de"], lang="")])
    job.run()
    assert _partitions(job) == {"cy": "lang_other", "de": "lang_de"}
    assert _languages(job) == COMMON


def test_with_all_every_language_has_a_partition(job: Job) -> None:
    job.write("a.jsonl", [document("cy", WELSH), document("de", TEXTS["de"])])
    job.run(detector="cld2", languages="all")
    assert _partitions(job) == {"cy": "lang_cy", "de": "lang_de"}
    assert _languages(job, detector="cld2") is None
    assert _languages(job, detector="cld2", languages="all") is None


def test_a_list_sends_the_others_to_one_partition(filled: Job) -> None:
    record = filled.run(languages="deu,TH,iw")
    assert _partitions(filled) == {
        "de": "lang_de",
        "fr": "lang_other",
        "ru": "lang_other",
        "th": "lang_th",
        "und": "lang_und",
    }
    languages = {row["document_id"]: row["language"] for row in filled.rows().values()}
    assert languages == {name: name for name in TEXTS}
    assert record["partitions"]["lang_other"] == {"expected": 2, "milvus": 2}
    assert _languages(filled) == ("de", "he", "th")


def test_the_list_of_the_first_run_stands(filled: Job) -> None:
    filled.run(languages="de,th")
    rows = filled.rows()
    assert row_counts(filled.run()) == (5, 0, 5, 0)
    assert filled.rows() == rows
    for changes in ({}, {"languages": "th,de"}, {"top_languages": 1}):
        assert _languages(filled, **changes) == ("de", "th")


def test_another_list_is_refused_by_name(filled: Job) -> None:
    assert _languages(filled, detector="cld2", languages="de,th") == ("de", "th")
    for languages in ("de", "de,ru", "common", "all"):
        with pytest.raises(ConfigurationError) as caught:
            _languages(filled, detector="cld2", languages=languages)
        assert "languages: de,th in the collection" in str(caught.value)
    assert _languages(filled) == ("de", "th")


def test_the_commonest_languages_of_the_first_corpus_are_frozen(job: Job) -> None:
    counts = {"de": 3, "ru": 2, "fr": 1, "und": 5}
    first = [
        document(f"{name}{number}", TEXTS[name], lang="") for name, count in counts.items() for number in range(count)
    ]
    job.write("a.jsonl", first)
    assert _languages(job, top_languages=2) == ("de", "ru")
    job.write("b.jsonl", [document(f"later {number}", TEXTS["fr"], lang="") for number in range(20)])
    assert _languages(job, top_languages=2) == ("de", "ru")
    job.run(top_languages=2)
    partitions = {row["language"]: row["partition"] for row in job.rows().values()}
    assert partitions == {"de": "lang_de", "ru": "lang_ru", "fr": "lang_other", "und": "lang_und"}


def test_languages_are_counted_in_files_spread_over_the_corpus(job: Job) -> None:
    for number in range(3 * SAMPLED_SPLITS):
        name = "th" if number % 3 == 0 else "fr"
        job.write(f"{number:03}.jsonl", [document(f"{number}", TEXTS[name], lang="")] * (1 if name == "th" else 9))
    assert _languages(job, top_languages=1, collection="sampled") == ("th",)
    assert _languages(job, top_languages=2, collection="sampled_more") == ("th",)


def test_a_trusted_column_is_counted_as_trusted(job: Job) -> None:
    job.write("a.jsonl", [document(f"{number}", TEXTS["de"], lang="nl") for number in range(3)])
    assert _languages(job, top_languages=1) == ("nl",)


def test_only_languages_that_are_kept_get_partitions(job: Job) -> None:
    job.write("a.jsonl", [document("a", TEXTS["de"]), document("b", TEXTS["de"]), document("c", TEXTS["fr"])])
    assert _languages(job, detector="cld2", top_languages=5, keep_languages="fr") == ("fr",)


def test_documents_of_other_languages_are_left_out(filled: Job) -> None:
    filled.run(keep_languages="deu,ru")
    assert _partitions(filled) == {"de": "lang_de", "ru": "lang_ru"}


def test_without_partitioning_everything_is_in_the_default_partition(filled: Job) -> None:
    record = filled.run(partition_by="none")
    assert set(_partitions(filled).values()) == {"_default"}
    assert record["partitions"] == {"_default": {"expected": 5, "milvus": 5}}
    assert {row["language"] for row in filled.rows().values()} == set(TEXTS)
    assert row_counts(filled.run(partition_by="none")) == (5, 0, 5, 0)
