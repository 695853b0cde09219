"""A container small enough to be written by hand."""

import struct

import numpy as np
import pytest
from numpy.typing import NDArray

PIECES = ("<s>", "<pad>", "</s>", "<unk>", "\u2581a", "\u2581b", "<mask>")
HIDDEN, WIDE, ROWS, TOKENS = 32, 64, 8, 4


def _float32_tensors() -> dict[str, NDArray[np.float32]]:
    """Returns what a container keeps as float32: biases and norms, positions and types."""
    vectors = {"emb.ln.w": HIDDEN, "emb.ln.b": HIDDEN, "l0.fi.b": WIDE}
    vectors |= {f"l0.{name}.b": HIDDEN for name in ("q", "k", "v", "ao", "fo", "aln", "oln")}
    vectors |= {f"l0.{name}.w": HIDDEN for name in ("aln", "oln")}
    vectors |= {"emb.pos": TOKENS * HIDDEN, "emb.type": HIDDEN}
    return {name: np.arange(size, dtype="<f4") for name, size in vectors.items()}


def _q4_0_blocks() -> dict[str, int]:
    """Returns the number of Q4_0 blocks of each quantised matrix."""
    sizes = {f"l0.{name}.w": HIDDEN * HIDDEN for name in ("q", "k", "v", "ao")}
    sizes |= {"l0.fi.w": HIDDEN * WIDE, "l0.fo.w": HIDDEN * WIDE, "emb.word": ROWS * HIDDEN}
    return {name: size // 32 for name, size in sizes.items()}


@pytest.fixture(scope="session")
def tiny_container() -> bytes:
    """An E5S1 container: one layer, 32 wide, 7 pieces; every quantised weight is (9 - 8) * 0.5 or (2 - 8) * 0.5."""
    text = "".join(PIECES).encode()
    starts = np.cumsum([0, *(len(piece.encode()) for piece in PIECES)]).astype("<u4")
    front = b"E5S1" + struct.pack("<I7ifi", 1, HIDDEN, 1, 4, WIDE, ROWS, TOKENS, 1, 1e-12, 32)
    front += struct.pack("<5iQ", len(PIECES), 0, 2, 1, 3, len(text)) + starts.tobytes()
    front += np.array([0, 0, 0, 0, -1, -2, 0], dtype="<f4").tobytes() + text
    front += struct.pack("<iI", 1, 9) + struct.pack("<IBI", 0xFF21, 1, ord("A"))
    block = np.float16(0.5).tobytes() + bytes([0x29] * 16)
    tensors = {name: (0, array.size, array.tobytes()) for name, array in _float32_tensors().items()}
    tensors |= {name: (1, 32 * count, block * count) for name, count in _q4_0_blocks().items()}
    offset = len(front) + 4 + sum(2 + len(name) + 21 for name in tensors)
    directory = struct.pack("<i", len(tensors))
    for name, (kind, elements, content) in tensors.items():
        directory += (
            struct.pack("<H", len(name)) + name.encode() + struct.pack("<BIQQ", kind, elements, offset, len(content))
        )
        offset += len(content)
    return front + directory + b"".join(content for _, _, content in tensors.values())
