"""Streams recoded as they are read: the same text whatever the blocks, and what cannot be explained stays what it is."""

import io

from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.adapters.formats.recoding import recoded, with_newlines


@settings(deadline=None, derandomize=True, max_examples=100)
@given(
    st.text(st.characters(codec="utf-8")),
    st.sampled_from(["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be", "gb18030"]),
    st.integers(1, 7),
)
def test_text_survives_blocks_of_any_size(text: str, encoding: str, block_bytes: int) -> None:
    stream: io.BufferedReader = io.BufferedReader(io.BytesIO(text.encode(encoding)), block_bytes)
    assert recoded(stream, encoding).read().decode() == text


def test_unexplained_bytes_stay_and_broken_units_are_replaced() -> None:
    raw = "слова".encode("cp1251") + b"\n\x98\n" + "слова".encode("cp1251")
    assert (
        recoded(io.BufferedReader(io.BytesIO(raw)), "windows-1251").read()
        == "слова\n".encode() + b"\x98\n" + "слова".encode()
    )
    lone = "a\ud800b".encode("utf-16-le", "surrogatepass") + b"x"
    assert recoded(io.BufferedReader(io.BytesIO(lone)), "utf-16-le").read().decode() == "a\ufffdb\ufffd"


def test_carriage_returns_become_newlines() -> None:
    assert with_newlines(io.BufferedReader(io.BytesIO(b"a\rb\r"))).readlines() == [b"a\n", b"b\n"]
