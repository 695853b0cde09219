"""Errors cross process borders as themselves or as text."""

import pickle
import traceback

import pytest

from transforms.logic.errors import (
    ConfigurationError,
    CorpusEmbedError,
    CorruptDataError,
    TransientError,
    find_in_text,
)

KINDS = [CorpusEmbedError, ConfigurationError, TransientError, CorruptDataError]


def formatted(error: CorpusEmbedError) -> str:
    try:
        raise error
    except CorpusEmbedError as caught:
        return "".join(traceback.format_exception(caught))


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_survives_pickling(kind: type[CorpusEmbedError]) -> None:
    copy = pickle.loads(pickle.dumps(kind("what is wrong")))

    assert (type(copy), str(copy)) == (kind, "what is wrong")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("message", ["no such file: a.parquet", "first line\n  second line", "key: value [x]"])
def test_an_error_is_found_in_a_traceback(kind: type[CorpusEmbedError], message: str) -> None:
    text = formatted(kind(message))

    for around in (
        text,
        f"RuntimeError: worker died\n{text}\nDuring handling",
        f"{text.rstrip()} [while running 'Step']\n",
    ):
        found = find_in_text(around)
        assert (type(found), str(found)) == (kind, message)


def test_the_last_error_counts() -> None:
    text = (
        formatted(TransientError("first"))
        + "\nDuring handling of the above exception\n\n"
        + formatted(CorruptDataError("last"))
    )

    assert isinstance(find_in_text(text), CorruptDataError)


@pytest.mark.parametrize(
    "text", ["", "ValueError: x", "transforms.logic.errors.UnknownError: x", "transforms.logic.errors"]
)
def test_other_text_holds_no_error(text: str) -> None:
    assert find_in_text(text) is None
