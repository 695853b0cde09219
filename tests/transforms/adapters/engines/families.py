"""Small checkpoints of every family of models, and what sentence-transformers itself makes of a text with them."""

import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sentence_transformers import SentenceTransformer

from tests.checkpoints import (
    EAST,
    HIDDEN,
    POSITIONS,
    SCRIPTS,
    WORDS,
    build_checkpoint,
    build_m3,
    build_plain_checkpoint,
    build_static,
)
from transforms.adapters.encoders import Engine, TokenIds
from transforms.adapters.engines.loading import DTYPES
from transforms.adapters.models import ModelDescription
from transforms.adapters.tokenizers import open_tokenizer
from transforms.logic.vectors import Float32, unit_rows

CLS: Mapping[str, Any] = {"pooling": {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}}
LAST: Mapping[str, Any] = {"pooling": {"pooling_mode_lasttoken": True, "pooling_mode_mean_tokens": False}}
INSTRUCTION = "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery: "


class Family(NamedTuple):
    """How a family's checkpoint is written, and a prompt that its texts get."""

    build: Callable[[Path], Path]
    prompt: str


def _family(prompt: str, *arguments: Any, **settings: Any) -> Family:
    def build(directory: Path) -> Path:
        return build_checkpoint(directory, *arguments, **settings)

    return Family(build, prompt)


FAMILIES: Mapping[str, Family] = {
    "multilingual-e5-small": _family("query: ", "bert", "unigram"),
    "multilingual-e5-base": _family("passage: ", "xlm-roberta", "unigram"),
    "multilingual-e5-large-instruct": _family(INSTRUCTION, "xlm-roberta", "unigram"),
    "BGE-M3": Family(build_m3, ""),
    "paraphrase-multilingual-MiniLM-L12": _family("", "bert", "unigram", normalise=False),
    "paraphrase-multilingual-mpnet": _family("", "xlm-roberta", "unigram", normalise=False),
    "LaBSE": _family("", "bert", "wordpiece", **CLS, dense=HIDDEN),
    "mBERT": Family(build_plain_checkpoint, ""),
    "distiluse-multilingual": _family("", "distilbert", "wordpiece", dense=HIDDEN // 2, normalise=False),
    "all-mpnet": _family("", "mpnet", "unigram"),
    "gte-modernbert": _family("", "modernbert", "wordpiece", **CLS),
    "e5-mistral-instruct": _family(INSTRUCTION, "mistral", "bytes of rare letters", **LAST),
    "gte-Qwen2-instruct": _family(INSTRUCTION, "qwen2", "bytes", **LAST),
    "Qwen3-Embedding": _family(INSTRUCTION, "qwen3", "bytes", **LAST),
    "sentence-t5": _family("", "t5", "unigram", dense=HIDDEN),
    "static-similarity-multilingual": Family(build_static, ""),
    "maximum": _family("query: ", "bert", pooling={"pooling_mode": "max"}),
    "prompt left out": _family("query: ", "bert", pooling={"pooling_mode": "mean", "include_prompt": False}),
}


def texts_of(model: ModelDescription, prompt: str = "", count: int = 40) -> list[str]:
    """Texts of mixed length in many scripts, without order, among them the shortest and one as long as the model reads."""
    chance = random.Random(7)
    tokenizer = open_tokenizer(model.tokenizer_directory)
    before, after = tokenizer.frame()
    room = min(model.max_sequence_tokens, POSITIONS) - len(before) - len(after) - len(tokenizer.ids(prompt)) - 2
    texts = ["a"]
    while len(texts) < count:
        words = chance.choices([*WORDS, *SCRIPTS, *EAST], k=POSITIONS if len(texts) == 1 else chance.randint(1, 60))
        while len(tokenizer.ids(" ".join(words))) > room:
            words.pop()
        texts.append(" ".join(words))
    longest = max(len(tokenizer.ids(text)) for text in texts)
    assert room - 8 < longest <= room
    return texts


def ids_of(model: ModelDescription, texts: Sequence[str]) -> list[TokenIds]:
    tokenizer = open_tokenizer(model.tokenizer_directory)
    return [np.array(tokenizer.ids(text), np.int32) for text in texts]


def dense(engine: Engine, model: ModelDescription, texts: Sequence[str]) -> Float32:
    """The dense vectors of one pass."""
    vectors = engine.submit(texts, ids_of(model, texts))().dense
    assert vectors is not None
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(texts), model.dimensions)
    return vectors


def own_vectors(model: ModelDescription, texts: Sequence[str], prompt: str = "", dtype: str = "float32") -> Float32:
    """What the model itself says, of unit length, as float32."""
    settings: dict[str, Any] = {"dtype": DTYPES[dtype]}
    own = SentenceTransformer(model.directory, device="cpu", local_files_only=True, model_kwargs=settings)
    return unit_rows(np.asarray(own.encode(list(texts), prompt=prompt, show_progress_bar=False), np.float32))


def agreement(left: Float32, right: Float32) -> float:
    """The smallest cosine of two vectors of the same text."""
    assert left.shape == right.shape
    return float((left * right).sum(axis=1).min())
