"""Labels: read strictly, chosen as by hand, the same in any batch."""

import unicodedata
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.logic.errors import ConfigurationError
from transforms.logic.vectors import Float32, unit_rows
from transforms.logic.zero_shot import (
    MAX_LABELS,
    MAX_NAME_BYTES,
    Labels,
    choose_labels,
    label_vectors,
    read_labels,
    with_labels,
)

FILE = """
prompt = "query: "
floor = 0.25
[labels]
sports = "This text is about sports."
"arts & culture" = ["Music", "A museum", "Music"]
"""


def _read(text: str) -> Labels:
    return read_labels(text.encode(), "labels.toml")


def _unit(seed: int, count: int, dimensions: int = 8) -> Float32:
    return unit_rows(np.random.default_rng(seed).standard_normal((count, dimensions)).astype(np.float32))


# --- the file ---


def test_a_file_reads_as_labels_ordered_by_name() -> None:
    labels = _read(FILE)
    assert labels == Labels(
        {"arts & culture": ("Music", "A museum"), "sports": ("This text is about sports.",)}, "query: ", 0.25
    )
    assert labels.names == ("arts & culture", "sports")
    assert _read('[labels]\na = "b"') == Labels({"a": ("b",)}, None, -1.0)


def test_a_digest_is_of_the_meaning_alone() -> None:
    first = _read('[labels]\na = ["x", "y"]\nb = "z"').digest("passage: ")
    assert _read('prompt = "passage: "\n[labels]\nb = ["z"]\na = ["y", "x", "x"]').digest("passage: ") == first
    changed = (
        '[labels]\na = "x"\nb = "z"',
        '[labels]\na = ["x", "y"]\nc = "z"',
        'floor = 0.5\n[labels]\na = ["x", "y"]\nb = "z"',
        'prompt = ""\n[labels]\na = ["x", "y"]\nb = "z"',
    )
    digests = {_read(text).digest("passage: ") for text in changed}
    assert len(digests - {first}) == len(changed)
    assert _read('[labels]\na = ["x", "y"]\nb = "z"').digest("") != first


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[labels", "is not TOML"),
        ("", "needs a table [labels] with 1 to 256 entries"),
        ("[labels]", "needs a table [labels]"),
        ('labels = "a"', "needs a table [labels]"),
        ('[label]\na = "b"', "unknown label; there are labels, prompt, floor"),
        ('floor = "x"\n[labels]\na = "b"', "floor 'x' must be a cosine"),
        ('floor = 1.5\n[labels]\na = "b"', "floor 1.5 must be a cosine"),
        ('floor = nan\n[labels]\na = "b"', "floor nan must be a cosine"),
        ('floor = true\n[labels]\na = "b"', "floor True must be a cosine"),
        ('prompt = 3\n[labels]\na = "b"', "prompt 3 must be a text"),
        ("[labels]\na = 3", "'a' must be a text or a list of texts, got 3"),
        ("[labels]\na = []", "'a' must be a text or a list of texts, got []"),
        ('[labels]\na = ["b", 3]', "'a' must be a text or a list of texts"),
        ('[labels]\na = " \\u200b"', "a text of 'a' holds nothing"),
        ('[labels]\n"" = "b"', "the name '' must be at most 64 bytes"),
        ("[labels]\n'a\"' = 'b'", "the name 'a\"'"),
        ("[labels]\n'a\\' = 'b'", "the name 'a\\\\'"),
        ('[labels]\n"a\\n" = "b"', "the name 'a\\n'"),
        (f'[labels]\n"{"ä" * (MAX_NAME_BYTES // 2 + 1)}" = "b"', "must be at most 64 bytes"),
        ('[labels]\n"\u00e9" = "b"\n"e\u0301" = "c"', "two names are the same in NFC"),
        ("[labels]\n" + "".join(f'l{n} = "b"\n' for n in range(MAX_LABELS + 1)), "1 to 256 entries"),
    ],
)
def test_a_wrong_file_is_refused_with_what_is_allowed(text: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        _read(text)
    assert said in str(caught.value)
    assert "'labels.toml'" in str(caught.value)


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="is not TOML"):
        read_labels(b"\xff", "labels.toml")


@settings(deadline=None, derandomize=True, max_examples=200)
@given(st.dictionaries(st.text(max_size=8), st.text(max_size=8), min_size=1, max_size=3))
def test_a_name_that_is_taken_can_stand_in_a_filter(values: dict[str, str]) -> None:
    def quoted(text: str) -> str:
        return '"' + "".join(f"\\U{ord(character):08x}" for character in text) + '"'

    surrogates = any(0xD800 <= ord(character) < 0xE000 for text in [*values, *values.values()] for character in text)
    file = "[labels]\n" + "".join(f"{quoted(name)} = {quoted(text)}\n" for name, text in values.items())
    try:
        labels = _read(file)
    except ConfigurationError:
        return
    assert not surrogates
    forbidden = [
        c for name in labels.names for c in name if c in "\"'\\" or unicodedata.category(c) in {"Cc", "Cf", "Zl"}
    ]
    assert forbidden == []
    assert all(unicodedata.is_normalized("NFC", name) for name in labels.names)


# --- the choice ---


def test_a_label_is_the_mean_of_its_texts() -> None:
    texts = np.array([[3, 0], [0, 2], [0, -5]], np.float32)
    found = label_vectors(texts, {"a": 2, "b": 1})
    np.testing.assert_allclose(found, [[0.5**0.5, 0.5**0.5], [0, -1]], atol=1e-6)


@settings(deadline=None, derandomize=True, max_examples=100)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 9), st.floats(-1, 1))
def test_labels_are_those_of_the_computation_by_hand(seed: int, rows: int, count: int, floor: float) -> None:
    vectors, of_labels = _unit(seed, rows) * 3, _unit(seed + 1, count)
    names = tuple(f"l{index}" for index in range(count))

    labels, scores = choose_labels(vectors, of_labels, names, floor)

    for vector, label, score in zip(vectors.astype(float), labels, scores, strict=True):
        cosines = [
            float(vector @ one / np.linalg.norm(vector) / np.linalg.norm(one)) for one in of_labels.astype(float)
        ]
        assert score == pytest.approx(max(cosines), abs=1e-5)
        if label:
            assert cosines[names.index(label)] == pytest.approx(max(cosines), abs=1e-5)
        assert (label == "") == (float(score) < floor)


def test_the_first_name_wins_a_tie() -> None:
    same = _unit(1, 1)
    labels, scores = choose_labels(same, np.concatenate([same, same]), ("a", "b"), -1)
    assert labels == ["a"]
    assert scores[0] == pytest.approx(1, abs=1e-6)
    assert scores[0] <= 1


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(2, 300), st.sampled_from([8, 384]), st.data())
def test_a_row_has_one_score_in_whatever_batch(seed: int, rows: int, dimensions: int, data: Any) -> None:
    start = data.draw(st.integers(0, rows - 1))
    stop = data.draw(st.integers(start + 1, rows))
    vectors, of_labels = _unit(seed, rows, dimensions), _unit(seed + 1, 7, dimensions)
    names = tuple("abcdefg")

    labels, scores = choose_labels(vectors, of_labels, names, 0)
    part_labels, part_scores = choose_labels(vectors[start:stop], of_labels, names, 0)

    assert part_labels == labels[start:stop]
    assert part_scores.tobytes() == scores[start:stop].tobytes()


def test_a_batch_gets_two_columns_more() -> None:
    batch = pa.record_batch({"id": ["x", "y"]})
    of_labels = np.eye(2, dtype=np.float32)
    labelled = with_labels(batch, np.array([[0, 2], [1, 1]], np.float32), of_labels, ("a", "b"), 0.9)
    assert labelled.to_pydict() == {
        "id": ["x", "y"],
        "label": ["b", ""],
        "label_score": [1, pytest.approx(0.5**0.5)],
    }
    assert labelled.schema.field("label_score").type == pa.float32()
