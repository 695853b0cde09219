"""Small sentence-transformers checkpoints with random weights and a real fast tokenizer: the same files for the same arguments."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import regex
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import AutoModel, BertConfig, DistilBertConfig, PretrainedConfig, XLMRobertaConfig

Architecture = Literal["bert", "xlm-roberta", "distilbert"]
Pieces = Literal["wordpiece", "unigram"]

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

    `pooling` is the configuration of the pooling module, by default the mean; `dense` adds a linear layer to so many numbers.
    """
    directory.mkdir(parents=True)
    tokenizer = _wordpiece() if pieces == "wordpiece" else _unigram()
    tokenizer.save(str(directory / "tokenizer.json"))
    roles = _ROLES[pieces]
    kinds = [("", "Transformer"), ("1_Pooling", "Pooling")]
    files: dict[str, Any] = {
        "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": POSITIONS, **roles},
        "sentence_bert_config.json": {"max_seq_length": POSITIONS, "do_lower_case": False},
        "config_sentence_transformers.json": {"prompts": dict(prompts or {}), "default_prompt_name": None},
        "1_Pooling/config.json": {
            "word_embedding_dimension": HIDDEN,
            **(pooling or {"pooling_mode_mean_tokens": True}),
        },
    }
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModel.from_config(_config(architecture, tokenizer, roles))
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
    return XLMRobertaConfig(**size, max_position_embeddings=POSITIONS + 2, type_vocab_size=1)


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
