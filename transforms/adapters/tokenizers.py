"""The model's own tokenizer, through the `tokenizers` library, without special tokens, truncation or padding."""

from array import array
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

import orjson
from tokenizers import Tokenizer, normalizers

from transforms.adapters.tokenizer_proof import FastTokenizer, Proven

# With one of these first, text around white space is tokenised independently and the white space itself is dropped.
_SPLITTING_PRE_TOKENIZERS = frozenset({"WhitespaceSplit", "BertPreTokenizer", "Whitespace"})


_CACHED_TEXTS = 1 << 18
_CACHED_CHARACTERS = 24


def open_tokenizer(model_directory: str, proven: Proven | None = None) -> "ModelTokenizer":
    """The tokenizer of a model directory, read once in a process: a large vocabulary takes a second."""
    return _opened(model_directory, proven)


@lru_cache(maxsize=2)
def _opened(model_directory: str, proven: Proven | None) -> "ModelTokenizer":
    return ModelTokenizer(model_directory, proven)


class ModelTokenizer:
    """Ids as the model sees them.

    Args:
        model_directory: holds `tokenizer.json`.
        proven: the verdict of `tokenizer_proof.prove`: the characters for which a faster tokenizer gives the same ids. None keeps to
            the model's own.
    """

    def __init__(self, model_directory: str, proven: Proven | None = None) -> None:
        path = Path(model_directory, "tokenizer.json")
        self._directory = model_directory
        description = orjson.loads(path.read_bytes())
        self.splits_at_whitespace = _splits_at_whitespace(description["pre_tokenizer"])
        self.unknown_id = _unknown_id(description)
        serves = proven is not None and not _lowercases(model_directory)
        self._fast = FastTokenizer(path, description, proven or ()) if serves else None
        if self._fast is None:
            _own_tokenizer(model_directory)
        self._known: dict[str, bytes] = {}
        self._lock = Lock()

    def tokenise(self, texts: Sequence[str]) -> list[bytes]:
        """Ids of each text alone, without special tokens, as the bytes of their int32; lone surrogates raise `TypeError`, so scrub first.

        Short texts are remembered: most words of a corpus are a few of its words.
        """
        known = self._known
        with self._lock:
            if len(known) > _CACHED_TEXTS:
                known.clear()
            fresh = list(set(texts).difference(known))
            known.update(zip(fresh, self._encode(fresh), strict=True))
            found = list(map(known.__getitem__, texts))
            for text in fresh:
                if len(text) > _CACHED_CHARACTERS:
                    del known[text]
        return found

    def _encode(self, texts: Sequence[str]) -> list[bytes]:
        if self._fast is None:
            return self._own(texts)
        ids, refused = self._fast.tokenise(texts)
        for index, own in zip(refused, self._own([texts[index] for index in refused]), strict=True):
            ids[index] = own
        return ids

    def _own(self, texts: Sequence[str]) -> list[bytes]:
        if not texts:
            return []
        encodings = _own_tokenizer(self._directory).encode_batch(list(texts), add_special_tokens=False)
        return [array("i", encoding.ids).tobytes() for encoding in encodings]

    def ids(self, text: str) -> list[int]:
        """Ids of one text without special tokens."""
        return list(_own_tokenizer(self._directory).encode(text, add_special_tokens=False).ids)

    def frame(self) -> tuple[list[int], list[int]]:
        """Special tokens that the model's own template puts before and after a text."""
        with_special = _own_tokenizer(self._directory).encode("a", add_special_tokens=True).ids
        content = self.ids("a")
        start = next(i for i in range(len(with_special)) if with_special[i : i + len(content)] == content)
        return with_special[:start], with_special[start + len(content) :]


@lru_cache(maxsize=2)
def _own_tokenizer(model_directory: str) -> Tokenizer:
    """Read when it is first asked: it takes a second, and a faster one serves nearly all texts where it is proven."""
    tokenizer = Tokenizer.from_file(str(Path(model_directory, "tokenizer.json")))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    if _lowercases(model_directory):
        own = tokenizer.normalizer
        tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), *([own] if own else [])])
    return tokenizer


def _unknown_id(description: Mapping[str, Any]) -> int | None:
    """The id that stands for what the vocabulary lacks; None for a vocabulary that lacks nothing, such as one of bytes."""
    model = description["model"]
    if isinstance(model.get("unk_id"), int):
        return int(model["unk_id"])
    added = {token["content"]: token["id"] for token in description["added_tokens"]}
    unknown = model.get("unk_token")
    return added.get(unknown, model["vocab"].get(unknown)) if unknown else None


def _splits_at_whitespace(pre_tokenizer: dict[str, Any] | None) -> bool:
    if pre_tokenizer is None:
        return False
    steps = pre_tokenizer.get("pretokenizers", [pre_tokenizer])
    # Metaspace may mark the first word of a text only: then the ids of a word depend on what stands before it.
    first_differs = any(step.get("prepend_scheme") == "first" for step in steps)
    return bool(steps) and steps[0]["type"] in _SPLITTING_PRE_TOKENIZERS and not first_differs


def _lowercases(model_directory: str) -> bool:
    """Whether sentence-transformers lower-cases the text before the tokenizer sees it."""
    path = Path(model_directory, "sentence_bert_config.json")
    return path.exists() and bool(orjson.loads(path.read_bytes()).get("do_lower_case"))
