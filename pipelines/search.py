"""Search: a question in any language against a collection."""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from transforms.adapters.encoders import open_encoder
from transforms.adapters.milvus import Collection, Target, release, served
from transforms.adapters.models import describe_model
from transforms.adapters.tokenizers import open_tokenizer
from transforms.logic.errors import ConfigurationError
from transforms.logic.labels import check_code
from transforms.logic.languages import OTHER_PARTITION
from transforms.logic.normalise import is_blank, normalise_text
from transforms.logic.vectors import truncate

FIELDS = ("document_id", "ordinal", "language", "text")
MAX_TOP = 16_384
"""The most that Milvus gives for one query."""
_SHOWN_CHARACTERS = 160


def search(
    query: str, target: Target, *, top: int = 10, languages: Sequence[str] = (), model: str | None = None
) -> list[dict[str, Any]]:
    """The `top` chunks nearest to a query, best first, with score (cosine), language, document id, ordinal and text.

    Args:
        query: the question; it gets the query prompt that the collection records.
        target: the collection.
        top: how many.
        languages: only documents in these; all if empty.
        model: directory of the model, if it is not where the collection says.

    Raises:
        ConfigurationError: an empty query, a `top` out of bounds, an unknown collection or language, or a model of another space.
    """
    if not 1 <= top <= MAX_TOP:
        message = f"--top {top} is out of bounds; choose 1 to {MAX_TOP:,}"
        raise ConfigurationError(message)
    text = normalise_text(query).strip()
    if is_blank(text):
        message = f"the query {query!r} holds nothing to search for"
        raise ConfigurationError(message)
    collection = Collection(served(target))
    try:
        if not collection.exists():
            message = f"there is no collection {target.collection!r} at {target.uri!r}"
            raise ConfigurationError(message)
        space = collection.space()
        collection.load()
        chosen = [check_code("--languages", language) for language in languages]
        partitions = _partitions(collection, chosen)
        description = describe_model(model or space.model, space.revision)
        if description.embedding_space(space.document_prompt, space.dtype) != space.embedding_space:
            message = (
                f"model {description.name!r} is of another space than collection {target.collection!r}, "
                f"which was embedded with {space.model!r} as it was then; name that model by --model"
            )
            raise ConfigurationError(message)
        encoder = open_encoder(description, space.query_prompt, space.dtype)
        ids = open_tokenizer(description.directory).ids(text)[: description.max_sequence_tokens // 2]
        vector = truncate(encoder.encode([text], [ids]), space.dimensions)[0]
        return collection.search(vector.tolist(), top, partitions, FIELDS, chosen)
    finally:
        collection.close()
        release(target.uri)


def _partitions(collection: Collection, languages: Sequence[str]) -> list[str] | None:
    if not languages:
        return None
    own = {name.removeprefix("lang_"): name for name in collection.partitions() if name.startswith("lang_")}
    if not own:
        return None
    unknown = [language for language in languages if language not in own]
    if unknown and OTHER_PARTITION not in own.values():
        message = (
            f"--languages {', '.join(unknown)}: the collection holds none of it; there are {', '.join(sorted(own))}"
        )
        raise ConfigurationError(message)
    return sorted({own.get(language, OTHER_PARTITION) for language in languages})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of this command."""
    parser.add_argument("query", help="the question, in any language")
    parser.add_argument("--milvus", required=True, help="address of a Milvus server, or a path ending in .db")
    parser.add_argument("--collection", required=True, help="the collection to search")
    parser.add_argument("--top", type=int, default=10, help="how many chunks (default 10)")
    parser.add_argument("--languages", nargs="+", default=[], help="only these languages, for example de th hi")
    parser.add_argument("--model", help="directory of the model, if it is no longer where the collection says")
    parser.add_argument("--milvus-token-env", help="environment variable that holds the Milvus token")


def execute(parser: argparse.ArgumentParser, argv: Sequence[str]) -> int:
    """Prints the ranked chunks."""
    values = parser.parse_args(list(argv))
    target = Target(values.milvus, values.collection, values.milvus_token_env)
    languages = [language for value in values.languages for language in value.split(",") if language]
    hits = search(values.query, target, top=values.top, languages=languages, model=values.model)
    for rank, hit in enumerate(hits, 1):
        text = " ".join(hit["text"].split())
        shown = text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"
        sys.stdout.write(
            f"{rank:>3}  {hit['score']:.4f}  {hit['language']:<4} {hit['document_id']} #{hit['ordinal']}\n     {shown}\n"
        )
    if not hits:
        sys.stdout.write("nothing found: the collection or the chosen partitions are empty\n")
    return 0
