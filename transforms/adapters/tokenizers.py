"""The model's own tokenizer, through the `tokenizers` library, without special tokens, truncation or padding."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson
from tokenizers import Tokenizer, normalizers

from transforms.logic.chunking import Encoding

# With one of these first, text around white space is tokenised independently and the white space itself is dropped.
_SPLITTING_PRE_TOKENIZERS = frozenset({"WhitespaceSplit", "BertPreTokenizer", "Whitespace"})


@lru_cache(maxsize=2)
def open_tokenizer(model_directory: str) -> "ModelTokenizer":
    """The tokenizer of a model directory, read once in a process: a large vocabulary takes a second."""
    return ModelTokenizer(model_directory)


class ModelTokenizer:
    """Ids and offsets as the model sees them."""

    def __init__(self, model_directory: str) -> None:
        path = Path(model_directory, "tokenizer.json")
        self._tokenizer = Tokenizer.from_file(str(path))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        if _lowercases(Path(model_directory, "sentence_bert_config.json")):
            own = self._tokenizer.normalizer
            self._tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), *([own] if own else [])])
        self.splits_at_whitespace = _splits_at_whitespace(orjson.loads(path.read_bytes())["pre_tokenizer"])

    def encode(self, texts: Sequence[str]) -> list[Encoding]:
        """Ids of each text alone with their offsets in code points; lone surrogates raise `TypeError`, so scrub first."""
        encodings = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return [Encoding(encoding.ids, encoding.offsets) for encoding in encodings]

    def ids(self, text: str) -> list[int]:
        """Ids of one text without special tokens."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def frame(self) -> tuple[list[int], list[int]]:
        """Special tokens that the model's own template puts before and after a text."""
        with_special = self._tokenizer.encode("a", add_special_tokens=True).ids
        content = self.ids("a")
        start = next(i for i in range(len(with_special)) if with_special[i : i + len(content)] == content)
        return with_special[:start], with_special[start + len(content) :]


def _splits_at_whitespace(pre_tokenizer: dict[str, Any] | None) -> bool:
    if pre_tokenizer is None:
        return False
    steps = pre_tokenizer.get("pretokenizers", [pre_tokenizer])
    # Metaspace may mark the first word of a text only: then the ids of a word depend on what stands before it.
    first_differs = any(step.get("prepend_scheme") == "first" for step in steps)
    return bool(steps) and steps[0]["type"] in _SPLITTING_PRE_TOKENIZERS and not first_differs


def _lowercases(path: Path) -> bool:
    """Whether sentence-transformers lower-cases the text before the tokenizer sees it."""
    return path.exists() and bool(orjson.loads(path.read_bytes()).get("do_lower_case"))
