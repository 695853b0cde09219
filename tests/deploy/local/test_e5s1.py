"""The container reader, on a container written by hand."""

import struct

import numpy as np
import pytest

from deploy.local.e5s1 import dequantise_q4_0, parse


def test_a_block_is_a_scale_then_low_halves_then_high_halves() -> None:
    halves = [low | (15 - low) << 4 for low in range(16)]
    block = np.frombuffer(np.float16(0.25).tobytes() + bytes(halves), dtype=np.uint8)

    weights = dequantise_q4_0(np.stack([block, block]))

    rising = [(value - 8) * 0.25 for value in range(16)]
    assert weights.dtype == np.float32
    assert weights.tolist() == [rising + rising[::-1]] * 2


def test_blocks_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(2, 17\), expected \(n, 18\)"):
        dequantise_q4_0(np.zeros((2, 17), dtype=np.uint8))


def test_header_and_vocabulary_are_read(tiny_container: bytes) -> None:
    container = parse(tiny_container)

    header, vocabulary = container.header, container.vocabulary
    assert (header.hidden_size, header.layers, header.heads, header.feed_forward_size) == (32, 1, 4, 64)
    assert (header.vocabulary_size, header.max_tokens, header.token_types) == (8, 4, 1)
    assert header.layer_norm_epsilon == pytest.approx(1e-12)
    assert vocabulary.pieces == ("<s>", "<pad>", "</s>", "<unk>", "▁a", "▁b", "<mask>")
    assert vocabulary.scores.tolist() == [0, 0, 0, 0, -1, -2, 0]
    assert (vocabulary.begin_id, vocabulary.padding_id, vocabulary.end_id, vocabulary.unknown_id) == (0, 1, 2, 3)


def test_tensors_of_both_kinds_are_read_as_float32(tiny_container: bytes) -> None:
    container = parse(memoryview(tiny_container))

    plain, quantised = container.tensor("emb.pos", (4, 32)), container.tensor("l0.fi.w", (64, 32))

    assert plain.dtype == quantised.dtype == np.float32
    assert plain[1].tolist() == list(range(32, 64))
    assert quantised.tolist() == [[0.5] * 16 + [-3.0] * 16] * 64


def test_an_unknown_tensor_is_named(tiny_container: bytes) -> None:
    with pytest.raises(ValueError, match=r"no tensor 'emb.none' .* it holds emb.ln.b, "):
        parse(tiny_container).tensor("emb.none", (1,))


def test_a_tensor_of_another_shape_is_named(tiny_container: bytes) -> None:
    with pytest.raises(ValueError, match=r"'emb.pos' has 128 elements, expected 96 for \(3, 32\)"):
        parse(tiny_container).tensor("emb.pos", (3, 32))


@pytest.mark.parametrize(
    ("position", "layout", "value", "message"),
    [
        (0, "4s", b"GGUF", "magic is b'GGUF', expected b'E5S1'"),
        (4, "I", 2, "version 2, expected 1"),
        (8, "i", -32, "hidden_size=-32"),
        (24, "i", 3, "has 3 rows, expected 7 or more"),
        (40, "i", 64, "blocks of 64 weights, expected 32"),
        (48, "i", 7, r"special token ids are \[7, 2, 1, 3\], expected ids below 7"),
        (72, "I", 1, r"pieces span bytes 1\.\."),
    ],
)
def test_a_wrong_value_is_refused_by_name(
    tiny_container: bytes, position: int, layout: str, value: bytes | int, message: str
) -> None:
    damaged = bytearray(tiny_container)
    struct.pack_into("<" + layout, damaged, position, value)

    with pytest.raises(ValueError, match=message):
        parse(bytes(damaged))


@pytest.mark.parametrize("name", ["emb.ln.w", "emb.word"])
@pytest.mark.parametrize(
    ("field", "layout", "value", "message"),
    [
        (0, "B", 7, "is of kind 7"),
        (1, "I", 31, "of 31 elements has"),
        (5, "Q", 1 << 40, "ends at byte"),
    ],
)
def test_a_wrong_directory_entry_is_refused_by_name(
    tiny_container: bytes, name: str, field: int, layout: str, value: int, message: str
) -> None:
    damaged = bytearray(tiny_container)
    struct.pack_into("<" + layout, damaged, tiny_container.index(name.encode()) + len(name) + field, value)

    with pytest.raises(ValueError, match=f"tensor '{name}' .*{message}|tensor '{name}' {message}"):
        parse(bytes(damaged))


@pytest.mark.parametrize("size", [0, 3, 6, 40, 60, 100, 150, 200, 400, -1])
def test_a_truncated_container_is_refused(tiny_container: bytes, size: int) -> None:
    with pytest.raises(ValueError, match=r"expected"):
        parse(tiny_container[:size])
