"""Documents are spread over partitions by their language."""

from tests.pipelines.jobs import Job, document, row_counts

TEXTS = {
    "de": "Der Fluss fließt langsam durch die alte Stadt und mündet dann weit im Norden in das Meer.",
    "fr": "Le fleuve coule lentement à travers la vieille ville et se jette dans la mer du Nord.",
    "ru": "Река медленно течёт через старый город и впадает далеко на севере в холодное море.",
    "th": "แม่น้ำไหลผ่านเมืองเก่าและไหลลงสู่ทะเลอันหนาวเย็นทางตอนเหนือ",
    "und": "12345 67890",
}


def _partitions(job: Job) -> dict[str, str]:
    return {row["document_id"]: row["partition"] for row in job.rows().values()}


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


def test_an_allow_list_sends_the_others_to_one_partition(job: Job) -> None:
    job.write("a.jsonl", [document(name, text, lang="") for name, text in TEXTS.items()])
    record = job.run(languages="de,th")
    assert _partitions(job) == {
        "de": "lang_de",
        "fr": "lang_other",
        "ru": "lang_other",
        "th": "lang_th",
        "und": "lang_und",
    }
    languages = {row["document_id"]: row["language"] for row in job.rows().values()}
    assert languages == {name: name for name in TEXTS}
    assert record["partitions"]["lang_other"] == {"expected": 2, "milvus": 2}


def test_a_changed_allow_list_moves_rows_and_leaves_nothing_behind(job: Job) -> None:
    job.write("a.jsonl", [document(name, text, lang="") for name, text in TEXTS.items()])
    job.run(languages="de,th")
    record = job.run(languages="de,ru")
    assert _partitions(job) == {
        "de": "lang_de",
        "fr": "lang_other",
        "ru": "lang_ru",
        "th": "lang_other",
        "und": "lang_und",
    }
    assert row_counts(record) == (5, 2, 3, 2)
    assert record["vectors"] == {"encoded": 0, "reused": 2}


def test_without_partitioning_everything_is_in_the_default_partition(job: Job) -> None:
    job.write("a.jsonl", [document(name, text, lang="") for name, text in TEXTS.items()])
    record = job.run(partition_by="none")
    assert set(_partitions(job).values()) == {"_default"}
    assert record["partitions"] == {"_default": {"expected": 5, "milvus": 5}}
    assert {row["language"] for row in job.rows().values()} == set(TEXTS)
    assert row_counts(job.run(partition_by="none")) == (5, 0, 5, 0)
