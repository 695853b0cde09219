"""A faster tokenizer, used only where it is proven to give the ids of the model's own.

kitoken (https://github.com/Systemcluster/kitoken) reads the same `tokenizer.json` and is about four times as fast, but it differs on some
characters, and a character may even end its process. So each tokenizer is tried once: every assigned character of Unicode, alone and
in several contexts, is given to both, in a process of its own. A text with any other character goes to the model's own tokenizer.
"""

import subprocess
import sys
import unicodedata
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

import kitoken
import numpy as np
import numpy.typing as npt
import orjson
import regex
from tokenizers import Tokenizer

from transforms.adapters.crashpoints import durable
from transforms.adapters.storage import join, list_names, read_bytes, write_bytes
from transforms.logic.errors import CorruptDataError
from transforms.logic.graphemes import joins_left
from transforms.logic.identity import digest

CONTEXTS = ("X", "XX", "aXb", "a X b", "字X字")
"""Where each character is tried, in place of X."""
Proven = tuple[tuple[int, int], ...]
"""Ranges (first, last) of code points."""
_WORDS = [len(context.split()) for context in CONTEXTS]
_BLOCK = 256
_MOST_UNPROVEN = 20_000
_NOT_ASSIGNED = frozenset({"Cn", "Co", "Cs"})


class FastTokenizer:
    """kitoken for the texts that it is proven for."""

    def __init__(self, path: Path, description: Mapping[str, Any], proven: Proven) -> None:
        """Takes a `tokenizer.json`, what it holds, and what `prove` gave for it."""
        self._tokenizer = kitoken.Kitoken.from_file(str(path))
        self._unproven = np.ones(0x110000, np.bool_)
        for first, last in proven:
            self._unproven[first : last + 1] = False
        # Only the model's own tokenizer finds its special tokens in text.
        self._special = regex.compile(
            "|".join(regex.escape(token["content"]) for token in description["added_tokens"]) or "(?!)"
        )
        self._begins_word = _begins_word(description)

    def tokenise(self, texts: Sequence[str]) -> tuple[list[bytes], list[int]]:
        """Ids of each text as the bytes of their int32, none for those that it is not proven for, and the indexes of these."""
        refused = self._refused(texts)
        served = list(texts)
        for index in refused:
            served[index] = ""
        return self._together(served) or self._apart(served), refused

    def _refused(self, texts: Sequence[str]) -> list[int]:
        together = "".join(texts)
        points = np.frombuffer(together.encode("utf-32-le"), np.uint32)
        starts = np.cumsum([0, *map(len, texts)])
        # A text that begins with a mark would share a cluster with the space before it.
        marked = np.flatnonzero(np.diff(starts) > 0)
        marked = marked[joins_left(points[starts[marked]])]
        unproven = np.searchsorted(starts, np.flatnonzero(self._unproven[points]), "right") - 1
        refused = {*marked.tolist(), *unproven.tolist()}
        if self._special.search(together):
            refused.update(index for index, text in enumerate(texts) if self._special.search(text))
        return sorted(refused)

    def _together(self, texts: Sequence[str]) -> list[bytes] | None:
        """Words encoded as one text, where every word begins with a token that only begins words; None if they are not such words."""
        if self._begins_word is None:
            return None
        words = [text for text in texts if text]
        together = " ".join(words)
        if len(together.split()) != len(words):
            return None
        ids = np.array(self._tokenizer.encode(together, encode_specials=False), np.int32)
        begins = np.flatnonzero(self._begins_word[ids]) * ids.itemsize
        if len(begins) != len(words) or (words and begins[0]):
            return None
        raw = ids.tobytes()
        pieces = iter([raw[start:end] for start, end in pairwise([*begins.tolist(), len(raw)])])
        return [next(pieces) if text else b"" for text in texts]

    def _apart(self, texts: Sequence[str]) -> list[bytes]:
        encoded = self._tokenizer.encode_all(list(texts), encode_specials=False)
        return [array("i", ids).tobytes() for ids in encoded]


def _begins_word(description: Mapping[str, Any]) -> npt.NDArray[np.bool_] | None:
    """Which ids stand only at the beginning of a word, shape (vocabulary,); None if the tokenizer does not mark words so."""
    steps = (description["pre_tokenizer"] or {}).get("pretokenizers", [])
    marks = [
        step.get("replacement") for step in steps if step["type"] == "Metaspace" and step["prepend_scheme"] == "always"
    ]
    known = [step["type"] for step in steps] == ["WhitespaceSplit", "Metaspace"]
    if description["model"]["type"] != "Unigram" or not known or not marks:
        return None
    return np.array([piece.startswith(marks[0]) for piece, _ in description["model"]["vocab"]])


def fingerprint(model_directory: str) -> str:
    """Names what a proof is about: the tokenizer's file, both libraries, and the Unicode version; 32 hexadecimal characters."""
    raw = Path(model_directory, "tokenizer.json").read_bytes()
    return digest(raw, version("kitoken"), version("tokenizers"), unicodedata.unidata_version, *CONTEXTS).hex()


def known_proof(model_directory: str, workspace: str, *, worth_proving: bool) -> Proven | None:
    """What `prove` gave for this tokenizer, kept in the workspace; without it None, unless it is worth proving now.

    The workspace is a URI; a file there that is not of this project raises `CorruptDataError`.
    """
    name = f"{fingerprint(model_directory)}.json"
    directory = join(workspace, "tokenizers")
    if name in list_names(directory):
        uri = join(directory, name)
        try:
            kept = orjson.loads(read_bytes(uri))
            proven = kept["proven"]
            return None if proven is None else tuple((int(first), int(last)) for first, last in proven)
        except (ValueError, KeyError, TypeError) as error:
            message = f"{uri} is not a tokenizer's proof: {error}; delete it, and it is made again"
            raise CorruptDataError(message) from error
    if not worth_proving:
        return None
    proven = prove(model_directory)
    with durable("tokenizer proof"):
        write_bytes(join(directory, name), orjson.dumps({"format": 1, "proven": proven}))
    return proven


def prove(model_directory: str) -> Proven | None:
    """Tries every assigned character; some ten seconds.

    Returns:
        Ranges of the code points that are proven. None if the fast tokenizer cannot read the file, or differs too much to be of use.
    """
    path = Path(model_directory, "tokenizer.json")
    blocks = [start for start in range(0, 0x110000, _BLOCK) if _assigned(start)]
    unproven: set[int] = set()
    while blocks:
        tried, differing = _try(path, blocks)
        unproven.update(differing)
        if len(tried) < len(blocks):
            if not tried and blocks[0] == 0:
                return None
            # The process ended within this block.
            unproven.update(_assigned(blocks[len(tried)]))
        blocks = blocks[len(tried) + 1 :]
        if len(unproven) > _MOST_UNPROVEN:
            return None
    return _ranges(code for block in range(0, 0x110000, _BLOCK) for code in _assigned(block) if code not in unproven)


def _assigned(start: int) -> list[int]:
    """The assigned code points of a block."""
    return [code for code in range(start, start + _BLOCK) if unicodedata.category(chr(code)) not in _NOT_ASSIGNED]


def _try(path: Path, blocks: Sequence[int]) -> tuple[list[int], set[int]]:
    """Blocks that were tried to their end, and the code points in them that differ."""
    command = [sys.executable, "-m", "transforms.adapters.tokenizer_proof", str(path)]
    finished = subprocess.run(command, input=" ".join(map(str, blocks)), capture_output=True, text=True, check=False)
    lines = [line.split() for line in finished.stdout.splitlines()]
    return [int(line[0]) for line in lines], {int(code) for line in lines for code in line[1:]}


def _ranges(codes: Iterable[int]) -> Proven:
    """Ascending code points as ranges."""
    ranges: list[tuple[int, int]] = []
    for code in codes:
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1] = (ranges[-1][0], code)
        else:
            ranges.append((code, code))
    return tuple(ranges)


def _compare(path: str, blocks: Iterable[int]) -> Iterator[str]:
    """A line for each block: its start, and the code points that differ in any context."""
    fast = kitoken.Kitoken.from_file(path)
    own = Tokenizer.from_file(path)
    own.no_truncation()
    own.no_padding()
    begins = _begins_word(orjson.loads(Path(path).read_bytes()))
    for start in blocks:
        characters = [chr(code) for code in _assigned(start)]
        texts = [context.replace("X", character) for character in characters for context in CONTEXTS]
        ids = fast.encode_all(texts, encode_specials=False)
        expected = own.encode_batch(texts, add_special_tokens=False)
        differing = {
            ord(characters[index // len(CONTEXTS)])
            for index, (found, encoding) in enumerate(zip(ids, expected, strict=True))
            if list(found) != encoding.ids
            or (begins is not None and begins[found].sum() != _WORDS[index % len(CONTEXTS)])
        }
        yield " ".join(map(str, (start, *sorted(differing))))


if __name__ == "__main__":
    for line in _compare(sys.argv[1], map(int, sys.stdin.read().split())):
        print(line, flush=True)  # noqa: T201  read by `_try`, which must see every block that was tried to its end
