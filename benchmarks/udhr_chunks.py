"""How well are chunks cut, beside well-known splitters? And are the ids of the faster tokenizer exact in every language?

The declarations with their paragraph breaks taken out (the hard case: nothing but sentences tells where to cut; scripts without spaces lose
them too), split at 256 tokens of the model. A figure is the share of chunks, but for a text's last, that end where a sentence or a
paragraph ends. Thai has neither full stop nor comma: there only paragraphs count, and nobody sees them.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate

import regex
from tokenizers import Tokenizer

from benchmarks.text import DEFAULT_MODEL, MAX_TOKENS
from transforms.adapters.tokenizer_proof import prove
from transforms.adapters.tokenizers import ModelTokenizer
from transforms.logic.chunking import Limits, split_texts

CODES = {
    "en": "eng", "de": "deu_1996", "ru": "rus", "ar": "arb", "he": "heb", "hi": "hin", "bn": "ben", "zh": "cmn_hans", "ja": "jpn",
    "ko": "kor", "th": "tha", "km": "khm", "lo": "lao", "my": "mya", "am": "amh", "hy": "hye", "el": "ell_monotonic",
}  # fmt: skip
"""The package's code of the text of each language."""
_WITHOUT_SPACES = frozenset({"zh", "ja", "th", "km", "lo", "my"})
_END = regex.compile(r"[.!?…。！？｡।॥۔؟։።፨៕៖။][\"'”’»)\]」』）]*$")


def splitters() -> Mapping[str, Callable[[str], list[tuple[int, int]]]]:
    """(start, end) of the chunks of a text by ours and by its peers."""
    from langchain_text_splitters import RecursiveCharacterTextSplitter  # noqa: PLC0415  peers, of the benchmark extra
    from semantic_text_splitter import TextSplitter  # noqa: PLC0415

    ours = ModelTokenizer(DEFAULT_MODEL)
    own = Tokenizer.from_file(f"{DEFAULT_MODEL}/tokenizer.json")
    own.no_truncation()
    own.no_padding()
    semantic = TextSplitter.from_huggingface_tokenizer(own, MAX_TOKENS)
    recursive = RecursiveCharacterTextSplitter(
        chunk_size=MAX_TOKENS,
        chunk_overlap=0,
        add_start_index=True,
        length_function=lambda text: len(own.encode(text, add_special_tokens=False).ids),
    )

    def by_ours(text: str) -> list[tuple[int, int]]:
        (spans,) = split_texts([text], ours.tokenise, Limits(MAX_TOKENS), splits_at_whitespace=True)
        return [(span.start, span.end) for span in spans]

    def by_recursive(text: str) -> list[tuple[int, int]]:
        documents = recursive.create_documents([text])
        return [(one.metadata["start_index"], one.metadata["start_index"] + len(one.page_content)) for one in documents]

    return {
        "corpus-embed": by_ours,
        "semantic-text-splitter": lambda text: [
            (start, start + len(chunk)) for start, chunk in semantic.chunk_indices(text)
        ],
        "langchain": by_recursive,
    }


def flatten(paragraphs: Sequence[str], language: str) -> tuple[str, set[int]]:
    """The paragraphs as one line, and where each ends in it."""
    joint = "" if language in _WITHOUT_SPACES else " "
    ends = accumulate(len(paragraph) + len(joint) for paragraph in paragraphs)
    return joint.join(paragraphs), {end - len(joint) for end in ends}


def share_of_good_ends(text: str, ends: set[int], chunks: Sequence[tuple[int, int]]) -> float:
    """Share in [0, 1] of the chunks, but for the last, that end with a sentence or a paragraph."""
    good = [end in ends or _END.search(text[:end].rstrip()[-4:]) is not None for _, end in chunks[:-1]]
    return sum(good) / max(1, len(good))


def boundary_table(texts: Mapping[str, Sequence[str]]) -> str:
    """The table for paragraphs by language."""
    contenders = splitters()
    found: dict[str, dict[str, float]] = {name: {} for name in contenders}
    for language, paragraphs in texts.items():
        text, ends = flatten(paragraphs, language)
        for name, splitter in contenders.items():
            found[name][language] = share_of_good_ends(text, ends, splitter(text))
    lines = [f"{'':<24}{'mean':>6}" + "".join(f"{language:>5}" for language in texts)]
    for name, shares in found.items():
        mean = sum(shares.values()) / len(shares)
        lines.append(f"{name:<24}{mean:>6.2f}" + "".join(f"{share:>5.2f}" for share in shares.values()))
    return "\n".join(lines) + "\n"


def exactness(texts: Sequence[str]) -> str:
    """One line: for how many texts the faster engine gives the ids of the model's own tokenizer, whole and word by word."""
    proven = prove(DEFAULT_MODEL)
    fast, own = ModelTokenizer(DEFAULT_MODEL, proven), ModelTokenizer(DEFAULT_MODEL)
    whole = sum(left == right for left, right in zip(fast.tokenise(texts), own.tokenise(texts), strict=True))
    words = sum(fast.tokenise(text.split()) == own.tokenise(text.split()) for text in texts)
    return f"ids of the faster tokenizer equal: {whole} of {len(texts)} texts whole, {words} word by word\n"
