"""Small sentence-transformers checkpoints with random weights and a real fast tokenizer: the same files for the same arguments."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import regex
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    BertConfig,
    DistilBertConfig,
    PretrainedConfig,
    T5EncoderModel,
    XLMRobertaConfig,
)

Architecture = Literal["bert", "xlm-roberta", "distilbert", "mpnet", "modernbert", "mistral", "qwen2", "qwen3", "t5"]
Pieces = Literal["wordpiece", "unigram", "bytes"]

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
            "padding_side": "left" if pieces == "bytes" else "right",
            **roles,
        },
        "sentence_bert_config.json": {"max_seq_length": POSITIONS, "do_lower_case": False},
        "config_sentence_transformers.json": {"prompts": dict(prompts or {}), "default_prompt_name": None},
        "1_Pooling/config.json": {
            "word_embedding_dimension": HIDDEN,
            **(pooling or {"pooling_mode_mean_tokens": True}),
        },
    }
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = _config(architecture, tokenizer, roles)
        model = T5EncoderModel(config) if architecture == "t5" else AutoModel.from_config(config)
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
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = _config("bert", tokenizer, _ROLES["wordpiece"])
        AutoModelForMaskedLM.from_config(config).save_pretrained(directory)
    return directory


def build_m3(directory: Path, *, colbert_dimensions: int = HIDDEN, dtype: torch.dtype = torch.float16) -> Path:
    """BGE-M3's files: XLM-R, CLS pooling, normalised, and the two heads as `.pt` files beside it."""
    build_checkpoint(directory, "xlm-roberta", "unigram", pooling={"pooling_mode_cls_token": True})
    with torch.random.fork_rng():
        torch.manual_seed(1)
        heads = {"sparse_linear.pt": torch.nn.Linear(HIDDEN, 1), "colbert_linear.pt": torch.nn.Linear(HIDDEN, colbert_dimensions)}
    for name, head in heads.items():
        torch.save(head.to(dtype).state_dict(), directory / name)
    return directory


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
}


def _config(architecture: Architecture, tokenizer: Tokenizer, roles: Mapping[str, str]) -> PretrainedConfig:
    """A configuration whose weights are large enough for attention to matter."""
    size: dict[str, Any] = {"vocab_size": tokenizer.get_vocab_size(), "initializer_range": 0.2}
    size["pad_token_id"] = tokenizer.token_to_id(roles["pad_token"])
    if architecture == "distilbert":
        narrow: dict[str, Any] = {"dim": HIDDEN, "n_layers": 2, "n_heads": 4, "hidden_dim": 2 * HIDDEN}
        return DistilBertConfig(**size, **narrow, max_position_embeddings=POSITIONS)
    size |= {"num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": HIDDEN, "intermediate_size": 2 * HIDDEN}
    if architecture == "bert":
        return BertConfig(**size, max_position_embeddings=POSITIONS)
    if architecture == "mpnet":
        return AutoConfig.for_model("mpnet", **size, max_position_embeddings=POSITIONS + 2)
    if architecture == "t5":
        of_t5 = {"d_model": HIDDEN, "d_kv": 8, "d_ff": 2 * HIDDEN, "num_layers": 2, "num_heads": 4}
        return AutoConfig.for_model("t5", vocab_size=size["vocab_size"], pad_token_id=size["pad_token_id"], **of_t5)
    if architecture == "modernbert":
        # One layer sees the whole chunk, the next one 16 tokens.
        sight = {"local_attention": 16, "global_attn_every_n_layers": 2}
        special = {f"{name}_token_id": None for name in ("bos", "eos", "cls", "sep")}
        return AutoConfig.for_model("modernbert", **size, **sight, **special, max_position_embeddings=POSITIONS)
    if architecture in {"mistral", "qwen2", "qwen3"}:
        grouped: dict[str, Any] = {"num_key_value_heads": 2, "head_dim": 8, "bos_token_id": None}
        # Rounding to bfloat16 grows with the weights, and in a decoder faster.
        grouped["initializer_range"] = 0.1
        grouped["eos_token_id"] = tokenizer.token_to_id(roles["eos_token"])
        return AutoConfig.for_model(architecture, **(size | grouped), max_position_embeddings=1 << 15)
    return XLMRobertaConfig(**size, max_position_embeddings=POSITIONS + 2, type_vocab_size=1)


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


_TOKENIZERS = {"wordpiece": _wordpiece, "unigram": _unigram, "bytes": _bytes}
