"""Small sentence-transformers checkpoints with random weights and a real fast tokenizer: the same files for the same arguments."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import regex
import torch
from safetensors.torch import save_file
from sentence_transformers import MultiVectorEncoder, SentenceTransformer, SparseEncoder
from sentence_transformers.base.modules import Dense, Normalize, Router, Transformer
from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from sentence_transformers.sparse_encoder.modules import SparseStaticEmbedding, SpladePooling
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    PretrainedConfig,
    T5Config,
    T5EncoderModel,
)

Architecture = Literal["bert", "xlm-roberta", "distilbert", "mpnet", "modernbert", "mistral", "qwen2", "qwen3", "t5"]
Pieces = Literal["wordpiece", "unigram", "bytes", "bytes of rare letters"]

HIDDEN = 32
POSITIONS = 160
WORDS = tuple(
    regex.findall(
        r"\S+",
        """the river runs to sea mountain bird migrate every autumn light bread honey query passage der Fluss fließt zum Meer
        река течёт к морю الماء يجري إلى البحر नदी समुद्र तक बहती है 川は海へ流れる 강은 바다로 흐른다""",
    )
)
SCRIPTS = "abcdefghijklmnopqrstuvwxyzäöüßабвгдежзийклмнопрстуфхцчшщъыьэюяابتثجحخدذرزسشصضطظعغفقكلمنهويअआइईउकखगघचछजटडतदनपबमयरलवशसह"
EAST = "川海流水山日月火木金土人大小あいうえおかきくけこアイウエオ가나다라마바사강물산👩🎉𝔘"
MARKS = "0123456789.,:;!?-'\"()。、।؟"


def build_checkpoint(
    directory: Path,
    architecture: Architecture = "bert",
    pieces: Pieces = "wordpiece",
    *,
    pooling: Mapping[str, Any] | None = None,
    normalise: bool = True,
    dense: int | None = None,
    prompts: Mapping[str, str] | None = None,
    seed: int = 0,
) -> Path:
    """Writes a checkpoint of 2 layers and `HIDDEN` numbers that reads `POSITIONS` tokens, and gives its directory.

    `pooling` is the configuration of the pooling module, by default the mean; `dense` adds a linear layer to so many numbers. Byte pieces
    come with an end token and padding on the left, as embedders made of decoders have them.
    """
    directory.mkdir(parents=True)
    tokenizer = _TOKENIZERS[pieces]()
    tokenizer.save(str(directory / "tokenizer.json"))
    roles = _ROLES[pieces]
    kinds = [("", "Transformer"), ("1_Pooling", "Pooling")]
    files: dict[str, Any] = {
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": POSITIONS,
            "padding_side": "left" if pieces.startswith("bytes") else "right",
            **roles,
        },
        "sentence_bert_config.json": {"max_seq_length": POSITIONS, "do_lower_case": False},
        "config_sentence_transformers.json": {"prompts": dict(prompts or {}), "default_prompt_name": None},
        "1_Pooling/config.json": {
            "word_embedding_dimension": HIDDEN,
            **(pooling or {"pooling_mode_mean_tokens": True}),
        },
    }
    with _seeded(seed):
        config = _config(architecture, tokenizer, roles)
        model = T5EncoderModel(config) if isinstance(config, T5Config) else AutoModel.from_config(config)
        model.save_pretrained(directory)
        if dense is not None:
            kinds.append(("2_Dense", "Dense"))
            files["2_Dense/config.json"] = {
                "in_features": HIDDEN,
                "out_features": dense,
                "bias": True,
                "activation_function": "torch.nn.modules.activation.Tanh",
            }
            (directory / "2_Dense").mkdir()
            layer = torch.nn.Linear(HIDDEN, dense)
            weights = {f"linear.{name}": tensor.detach() for name, tensor in layer.named_parameters()}
            save_file(weights, directory / "2_Dense" / "model.safetensors")
    if normalise:
        kinds.append((f"{len(kinds)}_Normalize", "Normalize"))
    files["modules.json"] = [
        {"idx": index, "name": str(index), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for index, (path, kind) in enumerate(kinds)
    ]
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content), encoding="utf-8")
    return directory


def build_plain_checkpoint(directory: Path) -> Path:
    """A masked language model of transformers alone, as mBERT and XLM-R are published: no module says how to pool."""
    tokenizer = _wordpiece()
    directory.mkdir(parents=True)
    tokenizer.save(str(directory / "tokenizer.json"))
    settings = {"model_max_length": POSITIONS, "tokenizer_class": "BertTokenizer", "do_lower_case": False}
    (directory / "tokenizer_config.json").write_text(json.dumps(settings))
    with _seeded(0):
        config = _config("bert", tokenizer, _ROLES["wordpiece"])
        AutoModelForMaskedLM.from_config(config).save_pretrained(directory)
    return directory


def build_m3(directory: Path, *, colbert_dimensions: int = HIDDEN, dtype: torch.dtype = torch.float16) -> Path:
    """BGE-M3's files: XLM-R, CLS pooling, normalised, and the two heads as `.pt` files beside it."""
    build_checkpoint(directory, "xlm-roberta", "unigram", pooling={"pooling_mode_cls_token": True})
    with _seeded(1):
        heads = {
            "sparse_linear.pt": torch.nn.Linear(HIDDEN, 1),
            "colbert_linear.pt": torch.nn.Linear(HIDDEN, colbert_dimensions),
        }
    for name, head in heads.items():
        torch.save(head.to(dtype).state_dict(), directory / name)
    return directory


def build_static(directory: Path) -> Path:
    """A table of embeddings, saved by the library itself."""
    with _seeded(0):
        table = StaticEmbedding(_wordpiece(), embedding_dim=HIDDEN)
        SentenceTransformer(modules=[table], device="cpu").save_pretrained(str(directory))
    return directory


def build_splade(directory: Path, *, inference_free: bool = False) -> Path:
    """A SparseEncoder, saved by the library itself; an inference-free one looks the weights of a query up in a table."""
    plain = build_plain_checkpoint(directory / "of-transformers")
    with _seeded(0):
        transformer = Transformer(str(plain), transformer_task="fill-mask")
        modules = [transformer, SpladePooling()]
        if inference_free:
            table = SparseStaticEmbedding(transformer.tokenizer, torch.rand(len(transformer.tokenizer)))
            modules = [Router.for_query_document(query_modules=[table], document_modules=modules)]
        SparseEncoder(modules=modules, device="cpu").save_pretrained(str(directory / "checkpoint"))
    return directory / "checkpoint"


def build_late_interaction(directory: Path, dimensions: int = 8) -> Path:
    """A MultiVectorEncoder, saved by the library itself: full stops of documents have no vector, a query is filled up with masks."""
    plain = build_plain_checkpoint(directory / "of-transformers")
    with _seeded(0):
        of_tokens: dict[str, Any] = {"module_input_name": "token_embeddings", "module_output_name": "token_embeddings"}
        expansion = {"strategy": "fixed", "length": 24, "attend": False}
        modules = [
            Transformer(str(plain), query_expansion=expansion),
            Dense(HIDDEN, dimensions, bias=False, activation_function=torch.nn.Identity(), **of_tokens),
            MultiVectorMask(skiplist_words=["."]),
            Normalize(module_input_name="token_embeddings"),
        ]
        MultiVectorEncoder(modules=modules, device="cpu").save_pretrained(str(directory / "checkpoint"))
    return directory / "checkpoint"


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """The same weights whatever ran before, and no trace of it afterwards."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


_ROLES: Mapping[str, Mapping[str, str]] = {
    "wordpiece": {
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "mask_token": "[MASK]",
    },
    "unigram": {
        "bos_token": "<s>",
        "pad_token": "<pad>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "cls_token": "<s>",
        "sep_token": "</s>",
        "mask_token": "<mask>",
    },
    "bytes": {"pad_token": "<|pad|>", "eos_token": "<|end|>"},
    "bytes of rare letters": {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "</s>"},
}


def _config(architecture: Architecture, tokenizer: Tokenizer, roles: Mapping[str, str]) -> PretrainedConfig:
    """A configuration whose weights are large enough for attention to matter."""
    settings: dict[str, Any] = {
        "vocab_size": tokenizer.get_vocab_size(),
        "pad_token_id": tokenizer.token_to_id(roles["pad_token"]),
        "initializer_range": 0.2,
        "max_position_embeddings": POSITIONS,
    }
    usual = {"num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": HIDDEN, "intermediate_size": 2 * HIDDEN}
    if architecture == "distilbert":
        settings |= {"dim": HIDDEN, "n_layers": 2, "n_heads": 4, "hidden_dim": 2 * HIDDEN}
    elif architecture == "t5":
        del settings["max_position_embeddings"], settings["initializer_range"]
        settings |= {"d_model": HIDDEN, "d_kv": 8, "d_ff": 2 * HIDDEN, "num_layers": 2, "num_heads": 4}
    elif architecture in {"xlm-roberta", "mpnet"}:
        settings |= {**usual, "max_position_embeddings": POSITIONS + 2, "type_vocab_size": 1}
    elif architecture == "modernbert":
        # One layer sees the whole chunk, the next one 16 tokens.
        settings |= {**usual, "local_attention": 16, "global_attn_every_n_layers": 2}
        settings |= {f"{name}_token_id": None for name in ("bos", "eos", "cls", "sep")}
    elif architecture in {"mistral", "qwen2", "qwen3"}:
        # Rounding to bfloat16 grows with the weights, and in a decoder faster.
        settings |= {**usual, "num_key_value_heads": 2, "head_dim": 8, "initializer_range": 0.1}
        settings |= {"max_position_embeddings": 1 << 15, "bos_token_id": None}
        settings["eos_token_id"] = tokenizer.token_to_id(roles["eos_token"])
    else:
        settings |= usual
    return AutoConfig.for_model(architecture, **settings)


def _bytes() -> Tokenizer:
    """Qwen's tokenizer: byte-level pieces, few of them merged, and the end token after every text."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("t", "h"), ("th", "e"), ("i", "n"), ("\u0120", "r"), ("e", "r")]
    pieces = ["<|pad|>", "<|end|>", *alphabet, *("".join(merge) for merge in merges)]
    ids = {piece: index for index, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.BPE(ids, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A <|end|>", special_tokens=[("<|end|>", 1)])
    tokenizer.add_special_tokens(["<|pad|>", "<|end|>"])
    return tokenizer


def _bytes_of_rare_letters() -> Tokenizer:
    """Mistral's tokenizer: merged letters, bytes where a letter is not known, a mark for spaces, start and end tokens."""
    letters = ["\u2581", *SCRIPTS[:26]]
    merges = [("t", "h"), ("th", "e"), ("i", "n"), ("\u2581", "r"), ("e", "r")]
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *letters, *map("".join, merges)]
    ids = {piece: index for index, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.BPE(ids, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace("\u2581", "first", split=False)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    return tokenizer


def _wordpiece() -> Tokenizer:
    """BERT's tokenizer, cased, with words, characters and continuing characters."""
    letters = sorted({*SCRIPTS, *EAST, *MARKS, *SCRIPTS.upper(), *"".join(WORDS)})
    special = list(_ROLES["wordpiece"].values())
    vocabulary = dict.fromkeys((*special, *letters, *(f"##{letter}" for letter in letters), *WORDS))
    ids = {piece: index for index, piece in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", ids["[SEP]"]), ("[CLS]", ids["[CLS]"]))
    tokenizer.add_special_tokens(special)
    return tokenizer


def _unigram() -> Tokenizer:
    """XLM-R's tokenizer without its character map."""
    letters = sorted({"\u2581", *SCRIPTS, *EAST, *MARKS, *SCRIPTS.upper(), *"".join(WORDS)})
    scored: Sequence[tuple[str, float]] = [
        *((piece, 0.0) for piece in ("<s>", "<pad>", "</s>", "<unk>")),
        *((f"\u2581{word}", -4.0 - index / 100) for index, word in enumerate(dict.fromkeys(WORDS))),
        *((letter, -9.0 - index / 100) for index, letter in enumerate(letters)),
        ("<mask>", 0.0),
    ]
    tokenizer = Tokenizer(models.Unigram(list(scored), unk_id=3, byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(" {2,}", " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace("\u2581", "always", split=True)]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    return tokenizer


_TOKENIZERS: Mapping[Pieces, Callable[[], Tokenizer]] = {
    "wordpiece": _wordpiece,
    "unigram": _unigram,
    "bytes": _bytes,
    "bytes of rare letters": _bytes_of_rare_letters,
}
