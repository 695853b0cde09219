"""Tallies as counters of the runner."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.logic.counters import counter_of
from transforms.logic.labels import COMMON
from transforms.logic.schemas import Reason


@pytest.mark.parametrize(
    ("name", "value", "counter"),
    [
        ("tokens.encoded", 12, ("tokens_encoded", 12)),
        ("files.left_out.limit", 3, ("files_left_out_limit", 3)),
        ("stage.embed.seconds", 1.2346, ("embed_msec", 1235)),
        ("device.seconds", 0.0004, ("device_msec", 0)),
        ("language.de.tokens", 5, ("tokens_of_de", 5)),
        ("language.xx-unknown.documents", 5, ("documents_of_other", 5)),
        ("language.de.bytes", 5, None),
        ("rejects.record.empty_text", 2, ("rejects_record_empty_text", 2)),
        ("partition.lang_de", 5, None),
        ("rejected_row.lang_de.0123", 1, None),
        ("checksum.held.0", 5, None),
        ("encoding.cp1252.documents", 5, None),
    ],
)
def test_counters_are_called(name: str, value: float, counter: tuple[str, int] | None) -> None:
    assert counter_of(name, value) == counter


@given(st.lists(st.text(min_size=1, max_size=8).filter(lambda text: "." not in text)))
def test_languages_of_any_name_have_no_more_counters_than_the_common_ones(languages: list[str]) -> None:
    found = {counter_of(f"language.{language}.tokens", 1) for language in [*languages, *COMMON]} - {None}
    assert len(found) <= len(COMMON) + 1


def test_every_reason_of_a_reject_is_counted() -> None:
    for reason in Reason:
        assert counter_of(f"rejects.chunk.{reason.value}", 2) == (f"rejects_chunk_{reason.value}", 2)
