"""Files of a sentence-transformers directory, made from an `E5S1` container and a character map; no input or output."""

import base64
import json
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from deploy.local.e5s1 import Container, Header, Vocabulary

_BEGIN, _END, _PADDING, _UNKNOWN, _MASK = "<s>", "</s>", "<pad>", "<unk>", "<mask>"
_ZERO_WIDTH_JOINER: Final = "\u200d"
_SPACE_MARK: Final = "\u2581"
# Prefixes the original model was trained with.
_PROMPTS: Final = {"query": "query: ", "document": "passage: "}


def model_files(container: Container, character_map: bytes) -> dict[str, bytes]:
    """Makes every file sentence-transformers needs to load the model: Transformer, mean Pooling, Normalize.

    Args:
        container: Weights and vocabulary.
        character_map: SentencePiece's precompiled `nmt_nfkc` character map.

    Returns:
        File contents by path relative to the directory; equal arguments give equal bytes.

    Raises:
        ValueError: The container lacks a tensor or a special token, or a tensor has not the size its header says.
    """
    header, vocabulary = container.header, container.vocabulary
    documents = {
        "config.json": _bert_config(header),
        "tokenizer_config.json": _tokenizer_config(header),
        "modules.json": [
            {"idx": index, "name": str(index), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for index, (path, kind) in enumerate(
                [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
            )
        ],
        "sentence_bert_config.json": {
            "max_seq_length": header.max_tokens,
            "do_lower_case": False,
            "model_args": {"add_pooling_layer": False},
        },
        "1_Pooling/config.json": {"word_embedding_dimension": header.hidden_size, "pooling_mode_mean_tokens": True},
        "2_Normalize/config.json": {"module_input_name": "sentence_embedding"},
        "config_sentence_transformers.json": {
            "prompts": _PROMPTS,
            "default_prompt_name": None,
            "similarity_fn_name": "cosine",
        },
    }
    files = {path: _json(document) for path, document in documents.items()}
    files["tokenizer.json"] = _json(tokenizer(vocabulary, character_map), indent=None)
    files["model.safetensors"] = save(dict(_weights(container)), metadata={"format": "pt"})
    return files


def tokenizer(vocabulary: Vocabulary, character_map: bytes) -> dict[str, Any]:
    """Describes the tokenizer as the Hugging Face library `tokenizers` writes it to tokenizer.json.

    Text is normalised by the character map, split at white space, each word opened by a space mark and cut into the
    pieces of highest probability; `<s>` and `</s>` enclose the whole. The original model maps the zero width joiner to
    a space, the character map of sentencepiece 0.2.0 does not: hence the replacement before it.

    Args:
        vocabulary: Pieces in the order of their ids; the last is `<mask>`.
        character_map: SentencePiece's precompiled `nmt_nfkc` character map.

    Raises:
        ValueError: A special token is not where the vocabulary says.
    """
    special = {
        _BEGIN: vocabulary.begin_id,
        _PADDING: vocabulary.padding_id,
        _END: vocabulary.end_id,
        _UNKNOWN: vocabulary.unknown_id,
        _MASK: len(vocabulary.pieces) - 1,
    }
    for token, token_id in special.items():
        if vocabulary.pieces[token_id] != token:
            raise ValueError(
                f"piece {token_id} is {vocabulary.pieces[token_id]!r}, expected the special token {token!r}"
            )
    begin, end = ({"SpecialToken": {"id": token, "type_id": 0}} for token in (_BEGIN, _END))
    first, second = ({"Sequence": {"id": name, "type_id": 0}} for name in ("A", "B"))
    metaspace = {"type": "Metaspace", "replacement": _SPACE_MARK, "prepend_scheme": "always", "split": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": token_id,
                "content": token,
                "single_word": False,
                "lstrip": token == _MASK,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for token, token_id in sorted(special.items(), key=lambda item: item[1])
        ],
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "Replace", "pattern": {"String": _ZERO_WIDTH_JOINER}, "content": " "},
                {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(character_map).decode()},
            ],
        },
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, metaspace]},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [begin, first, end],
            "pair": [begin, first, end, end, second, end],
            "special_tokens": {
                token: {"id": token, "ids": [special[token]], "tokens": [token]} for token in (_BEGIN, _END)
            },
        },
        "decoder": metaspace,
        "model": {
            "type": "Unigram",
            "unk_id": vocabulary.unknown_id,
            "vocab": list(zip(vocabulary.pieces, vocabulary.scores.tolist(), strict=True)),
            "byte_fallback": False,
        },
    }


def _tokenizer_config(header: Header) -> dict[str, Any]:
    """Names the special tokens and the maximum length for transformers."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": header.max_tokens,
        "model_input_names": ["input_ids", "attention_mask"],
        "clean_up_tokenization_spaces": False,
        "bos_token": _BEGIN,
        "eos_token": _END,
        "cls_token": _BEGIN,
        "sep_token": _END,
        "pad_token": _PADDING,
        "unk_token": _UNKNOWN,
        "mask_token": _MASK,
    }


def _bert_config(header: Header) -> dict[str, Any]:
    """Describes the encoder for transformers; `dtype` is that of computation, whatever the file stores."""
    return {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "dtype": "float32",
        "hidden_size": header.hidden_size,
        "num_hidden_layers": header.layers,
        "num_attention_heads": header.heads,
        "intermediate_size": header.feed_forward_size,
        "vocab_size": header.vocabulary_size,
        "max_position_embeddings": header.max_tokens,
        "type_vocab_size": header.token_types,
        "layer_norm_eps": round(header.layer_norm_epsilon, 15),
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "pad_token_id": 0,
        "initializer_range": 0.02,
    }


def _weights(container: Container) -> Iterator[tuple[str, NDArray[np.float16 | np.float32]]]:
    """Yields tensors by their name in transformers: float16 where they were 4-bit, else float32 as they were.

    Float16 holds a 4-bit weight to 11 of the 14 bits of scale times step: half the size of float32 for a difference
    far below that of the quantisation itself.
    """
    for name, stored_name, shape in _layout(container.header):
        tensor = container.tensor(stored_name, shape)
        yield name, tensor.astype(np.float16) if container.entries[stored_name].quantised else tensor


def _layout(header: Header) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    """Yields (name in transformers, name in the container, shape) of each tensor."""
    hidden, wide = header.hidden_size, header.feed_forward_size
    yield "embeddings.word_embeddings.weight", "emb.word", (header.vocabulary_size, hidden)
    yield "embeddings.position_embeddings.weight", "emb.pos", (header.max_tokens, hidden)
    yield "embeddings.token_type_embeddings.weight", "emb.type", (header.token_types, hidden)
    yield "embeddings.LayerNorm.weight", "emb.ln.w", (hidden,)
    yield "embeddings.LayerNorm.bias", "emb.ln.b", (hidden,)
    modules: dict[str, tuple[str, tuple[int, ...]]] = {
        "q": ("attention.self.query", (hidden, hidden)),
        "k": ("attention.self.key", (hidden, hidden)),
        "v": ("attention.self.value", (hidden, hidden)),
        "ao": ("attention.output.dense", (hidden, hidden)),
        "aln": ("attention.output.LayerNorm", (hidden,)),
        "fi": ("intermediate.dense", (wide, hidden)),
        "fo": ("output.dense", (hidden, wide)),
        "oln": ("output.LayerNorm", (hidden,)),
    }
    for layer in range(header.layers):
        for stored_name, (name, shape) in modules.items():
            yield f"encoder.layer.{layer}.{name}.weight", f"l{layer}.{stored_name}.w", shape
            yield f"encoder.layer.{layer}.{name}.bias", f"l{layer}.{stored_name}.b", shape[:1]


def _json(document: object, indent: int | None = 2) -> bytes:
    """Returns the document as UTF-8 JSON with a final newline."""
    return (json.dumps(document, ensure_ascii=False, indent=indent) + "\n").encode()
