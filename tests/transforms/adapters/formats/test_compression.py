"""Compressed streams: every member, what stands before damage, and no more memory than promised."""

import bz2
import gzip
import io
import lzma
import tracemalloc
import zlib
from collections.abc import Callable, Mapping

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.adapters.formats.compression import FREE_OUTPUT_BYTES, Unpacked, unpacked
from transforms.adapters.formats.raw import BROKEN_FILE, RefusedFileError
from transforms.logic.records import Reading
from transforms.logic.schemas import Reason

PACKERS: Mapping[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
}
CONTENT = b"".join(b"line %d of some words\n" % (number * 7919 % 10_007) for number in range(20_000))
each_compression = pytest.mark.parametrize("compression", PACKERS)


def unpack(packed: bytes, compression: str, reading: Reading | None = None) -> tuple[bytes, Exception | None]:
    """What is given before a failure, and the failure."""
    stream = unpacked(io.BytesIO(packed), compression, reading or Reading())
    pieces = []
    try:
        while piece := stream.read1(10_000):
            pieces.append(piece)
    except (*BROKEN_FILE, RefusedFileError) as error:
        return b"".join(pieces), error
    return b"".join(pieces), None


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.sampled_from(sorted(PACKERS)), st.lists(st.binary(max_size=3000), max_size=5), st.integers(1, 5000))
def test_every_member_is_unpacked(compression: str, members: list[bytes], piece_bytes: int) -> None:
    packed = b"".join(PACKERS[compression](member) for member in members)
    stream = Unpacked(io.BytesIO(packed), compression, Reading())
    pieces = []
    while piece := stream.read(piece_bytes):
        pieces.append(piece)
    assert b"".join(pieces) == b"".join(members)


@each_compression
def test_what_stands_before_a_cut_is_given(compression: str) -> None:
    packed = PACKERS[compression](CONTENT)
    content = b""
    for cut in (1, 9, len(packed) // 2, len(packed) - 1):
        content, failure = unpack(packed[:cut], compression)
        assert isinstance(failure, EOFError)
        assert CONTENT.startswith(content)
    assert content


@each_compression
def test_what_stands_before_junk_is_given(compression: str) -> None:
    content, failure = unpack(PACKERS[compression](CONTENT) + b"no member", compression)
    assert content == CONTENT
    assert failure is not None


def test_a_wrong_checksum_is_damage() -> None:
    packed = bytearray(gzip.compress(CONTENT))
    packed[-5] ^= 1
    content, failure = unpack(bytes(packed), "gzip")
    assert CONTENT.startswith(content)
    assert isinstance(failure, zlib.error)


@pytest.mark.parametrize("compression", ["gzip", "xz"])
def test_padding_behind_and_between_members_is_nothing(compression: str) -> None:
    packed = (PACKERS[compression](b"one") + bytes(512)) * 2
    assert unpack(packed, compression) == (b"oneone", None)


def test_a_skippable_frame_is_skipped() -> None:
    skippable = b"\x50\x2a\x4d\x18\x05\x00\x00\x00hello"
    assert unpack(skippable + PACKERS["zstd"](b"text") + skippable, "zstd") == (b"text", None)


@each_compression
def test_repetition_is_free_up_to_a_size_and_then_a_bomb(compression: str) -> None:
    reading = Reading(max_compression_ratio=20)
    free = PACKERS[compression](bytes(FREE_OUTPUT_BYTES))
    assert unpack(free, compression, reading)[1] is None
    content, failure = unpack(PACKERS[compression](bytes(FREE_OUTPUT_BYTES + 1)), compression, reading)
    assert isinstance(failure, RefusedFileError)
    assert failure.reason is Reason.DECOMPRESSION_BOMB
    assert len(content) <= FREE_OUTPUT_BYTES


@each_compression
def test_output_is_capped(compression: str) -> None:
    reading = Reading(max_decompressed_bytes=100_000)
    content, failure = unpack(PACKERS[compression](CONTENT), compression, reading)
    assert isinstance(failure, RefusedFileError)
    assert "100000" in failure.detail
    assert CONTENT.startswith(content)
    assert len(content) <= 100_000


@each_compression
def test_a_bomb_costs_no_memory(compression: str) -> None:
    packed = PACKERS[compression](bytes(FREE_OUTPUT_BYTES))
    stream = unpacked(io.BytesIO(packed), compression, Reading())
    tracemalloc.start()
    while stream.read1(1 << 20):
        pass
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < FREE_OUTPUT_BYTES * 0.6


def test_memory_that_a_file_asks_for_is_capped() -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 30}]
    assert isinstance(unpack(lzma.compress(b"x", filters=filters), "xz")[1], lzma.LZMAError)
    packer = zstandard.ZstdCompressor(
        compression_params=zstandard.ZstdCompressionParameters(window_log=30)
    ).compressobj()
    assert isinstance(unpack(packer.compress(b"x") + packer.flush(), "zstd")[1], zstandard.ZstdError)
    for usual in (lzma.compress(CONTENT, preset=9), lzma.compress(CONTENT, format=lzma.FORMAT_ALONE)):
        assert unpack(usual, "xz") == (CONTENT, None)
    assert unpack(zstandard.ZstdCompressor(level=19).compress(CONTENT), "zstd") == (CONTENT, None)
