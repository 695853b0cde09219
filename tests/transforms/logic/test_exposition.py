"""Figures of a record in Prometheus's text format."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.pushgateway import parse
from transforms.logic.exposition import MOST_LANGUAGES, PREFIX, exposition, metric_names

RECORD: dict[str, Any] = {
    "run_id": "run-1",
    "exit_code": 3,
    "status": "complete",
    "differences": ["a != b"],
    "started_at": "1970-01-02T00:00:00Z",
    "seconds": 12.5,
    "embedding_space": "abc",
    "versions": {"corpus-embed": "0.1.0"},
    "documents": {"read": 10, "embedded": 8, "rejected": 2},
    "chunks": {"split": 20, "duplicates": 1},
    "vectors": {"encoded": 15, "reused": 5},
    "rows": {"held": 20, "written": 18},
    "partitions": {"lang_de": {"expected": 20, "milvus": 19}},
    "rejects": {"record.empty_text": 2},
    "reject_fraction": 0.2,
    "tokens": 500,
    "budget_reductions": 1,
    "stages": {
        "read": {"seconds": 0.5, "tokens": 0},
        "embed": {"seconds": 4.0, "tokens": 400, "device_seconds": 3.5, "computed_tokens": 480, "padding_tokens": 30},
    },
    "languages": {"de": {"documents": 8, "chunks": 20, "tokens": 500}},
}


def test_every_figure_stands_with_its_labels() -> None:
    found = parse(exposition(RECORD, "manuals"))
    info = '{run_id="run-1",collection="manuals",embedding_space="abc",version="0.1.0",status="complete"}'
    assert {name.removeprefix(PREFIX) + labels: value for (name, labels), value in found.items()} == {
        f"run_info{info}": 1,
        "run_exit_code": 3,
        "run_differences": 1,
        "run_started_timestamp_seconds": 86400,
        "run_seconds": 12.5,
        'documents{outcome="read"}': 10,
        'documents{outcome="embedded"}': 8,
        'documents{outcome="rejected"}': 2,
        'chunks{kind="split"}': 20,
        'chunks{kind="duplicates"}': 1,
        'vectors{origin="encoded"}': 15,
        'vectors{origin="reused"}': 5,
        'rows{outcome="held"}': 20,
        'rows{outcome="written"}': 18,
        'partition_rows{partition="lang_de"}': 19,
        'rejects{level="record",reason="empty_text"}': 2,
        "reject_ratio": 0.2,
        "tokens": 500,
        "encoded_tokens": 400,
        "computed_tokens": 480,
        "padding_tokens": 30,
        "device_seconds": 3.5,
        "budget_reductions": 1,
        'stage_seconds{stage="read"}': 0.5,
        'stage_seconds{stage="embed"}': 4.0,
        'language_documents{language="de"}': 8,
        'language_chunks{language="de"}': 20,
        'language_tokens{language="de"}': 500,
    }
    assert metric_names(RECORD) == list(dict.fromkeys(name for name, _ in found))


@given(st.text(max_size=20), st.text(max_size=20))
def test_text_of_any_kind_is_one_label(status: str, language: str) -> None:
    record = {**RECORD, "status": status, "languages": {language: RECORD["languages"]["de"]}}
    assert len(parse(exposition(record, "manuals"))) == len(parse(exposition(RECORD, "manuals")))


@given(st.dictionaries(st.text(max_size=4), st.integers(0, 9), min_size=MOST_LANGUAGES, max_size=2 * MOST_LANGUAGES))
def test_languages_are_bounded_and_their_sum_stands(tokens: dict[str, int]) -> None:
    languages = {name: {"documents": 1, "chunks": 2, "tokens": count} for name, count in tokens.items()}
    found = parse(exposition({**RECORD, "languages": languages}, "manuals"))
    shown = {labels: value for (name, labels), value in found.items() if name == f"{PREFIX}language_tokens"}
    assert len(shown) <= MOST_LANGUAGES + 1
    assert sum(shown.values()) == sum(tokens.values())
