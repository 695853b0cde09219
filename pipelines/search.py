"""Search: a question in any language against a collection."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, cast, get_args

import numpy as np

from transforms.adapters.calibrations import reopen
from transforms.adapters.encoders import Computation, open_encoder
from transforms.adapters.milvus import Collection, CollectionSpace, Query, Target, release, served
from transforms.adapters.models import ModelDescription, describe_model
from transforms.adapters.tokenizers import open_tokenizer
from transforms.logic.errors import ConfigurationError
from transforms.logic.labels import check_code
from transforms.logic.languages import OTHER_PARTITION
from transforms.logic.normalise import is_blank, normalise_text
from transforms.logic.outputs import OUTPUTS, Output, Outputs
from transforms.logic.representations import search_vector

Mode = Literal["dense", "sparse", "multi", "hybrid"]
FIELDS = ("document_id", "ordinal", "language", "text")
MAX_TOP = 16_384
"""The most that Milvus gives for one query."""
_SHOWN_CHARACTERS = 160
_HYBRID: tuple[Output, ...] = ("dense", "sparse")


def search(
    query: str,
    target: Target,
    *,
    top: int = 10,
    mode: Mode | None = None,
    languages: Sequence[str] = (),
    labels: Sequence[str] = (),
    model: str | None = None,
    device: str = "auto",
) -> list[dict[str, Any]]:
    """The `top` best chunks for a query, best first, with score, language, document id, ordinal, text, and label if they have one.

    Where the collection holds vectors of tokens, the best 100 or more are ranked again by them (late interaction: Khattab and Zaharia
    2020, arXiv:2004.12832). The score is that of `milvus.Collection.search`.

    Args:
        query: the question; it gets the query prompt that the collection records.
        target: the collection.
        top: how many.
        mode: what finds chunks: `dense`, `sparse` or `multi` vectors, or `hybrid`, which fuses the ranks of dense and sparse
            (reciprocal rank fusion: Cormack et al. 2009); default the first of the three that the collection holds.
        languages: only documents in these; all if empty.
        labels: only chunks with one of these labels; all if empty.
        model: directory of the model, if it is not where the collection says.
        device: where the query is encoded, as in `--device` of a run.

    Raises:
        ConfigurationError: an empty query, a `top` out of bounds, an unknown collection, mode, language or label, or a model of
            another space.
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
        finding = _finding(mode, space)
        labels = [normalise_text(label) for label in labels]
        _check_labels(labels, space)
        collection.load()
        chosen = [check_code("--languages", language) for language in languages]
        partitions = _partitions(collection, chosen)
        description = describe_model(model or space.model, space.revision)
        if description.embedding_space(space.document_prompt, space.dtype, space.outputs) != space.embedding_space:
            message = (
                f"model {description.name!r} is of another space than collection {target.collection!r}, "
                f"which was embedded with {space.model!r} as it was then; name that model by --model"
            )
            raise ConfigurationError(message)
        # Vectors of tokens, where the collection holds them, rank again what the others find.
        outputs = tuple(one for one in OUTPUTS if one in finding or (one == "multi" and one in space.milvus_outputs))
        encoded = _encode(text, description, space, outputs, device)
        asked = _query(encoded, description, space, Query(None, None, None, partitions, chosen, tuple(labels)))
        fields = (*FIELDS, "label", "label_score") if space.labels else FIELDS
        # A query whose words all weigh nothing finds nothing by them.
        return collection.search(asked, top, fields) if asked.searches or finding == ("multi",) else []
    finally:
        collection.close()
        release(target.uri)


def _finding(mode: Mode | None, space: CollectionSpace) -> tuple[Output, ...]:
    """What finds chunks."""
    held = space.milvus_outputs
    wanted = _HYBRID if mode == "hybrid" else (mode or held[0],)
    missing = [output for output in wanted if output not in held]
    if missing:
        modes = [*held, *(["hybrid"] if set(_HYBRID) <= set(held) else [])]
        raise ConfigurationError(
            f"--mode {mode}: the collection holds no {' and no '.join(missing)} vectors; choose {' or '.join(modes)}"
        )
    return wanted


def _check_labels(labels: Sequence[str], space: CollectionSpace) -> None:
    unknown = [label for label in labels if label not in space.labels]
    if unknown:
        there = (
            f"there are {', '.join(space.labels)}" if space.labels else "it has none: they are given by run --labels"
        )
        raise ConfigurationError(f"--labels {', '.join(unknown)}: the collection has no such label; {there}")


def _encode(
    text: str, model: ModelDescription, space: CollectionSpace, outputs: tuple[Output, ...], device: str
) -> Outputs:
    computation = Computation(cast("Any", space.dtype), device, outputs, budget_tokens=model.max_sequence_tokens)
    encoder = open_encoder(model, space.query_prompt, computation, "query")
    ids = open_tokenizer(model.tokenizer_directory).ids(text)[: model.max_sequence_tokens // 2]
    encoded = encoder.encode([text], [np.array(ids, np.int32)])
    for reason in encoded.faults.values():
        raise ConfigurationError(f"the model makes no sound vector of the query {text!r}: {reason}; word it otherwise")
    return encoded.outputs


def _query(encoded: Outputs, model: ModelDescription, space: CollectionSpace, restriction: Query) -> Query:
    """The query as the collection holds its rows."""
    dense = sparse = None
    recorded = space.recorded
    if encoded.dense is not None and recorded is not None:
        dense = search_vector(encoded.dense[0], reopen(recorded, space.embedding_space, model.dimensions))
    if encoded.sparse is not None:
        sparse = dict(zip(encoded.sparse.indices.tolist(), encoded.sparse.values.tolist(), strict=True))
    return replace(
        restriction,
        dense=dense,
        # Milvus refuses a vector without weights.
        sparse=sparse or None,
        multi=None if encoded.multi is None else encoded.multi.vectors,
    )


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
    parser.add_argument(
        "--mode",
        choices=get_args(Mode),
        help="vectors that find chunks; hybrid fuses the ranks of dense and sparse; default the first that the collection holds",
    )
    parser.add_argument("--languages", nargs="+", default=[], help="only these languages, for example de th hi")
    parser.add_argument("--labels", nargs="+", default=[], help="only chunks with one of these labels")
    parser.add_argument("--model", help="directory of the model, if it is no longer where the collection says")
    parser.add_argument(
        "--device", default="auto", help="where the query is encoded: auto, cpu, cuda or cuda:N (default auto)"
    )
    parser.add_argument("--milvus-token-env", help="environment variable that holds the Milvus token")


def execute(parser: argparse.ArgumentParser, argv: Sequence[str]) -> int:
    """Prints the ranked chunks."""
    values = parser.parse_args(list(argv))
    target = Target(values.milvus, values.collection, values.milvus_token_env)
    hits = search(
        values.query,
        target,
        top=values.top,
        mode=values.mode,
        languages=_split(values.languages),
        labels=_split(values.labels),
        model=values.model,
        device=values.device,
    )
    for rank, hit in enumerate(hits, 1):
        text = " ".join(hit["text"].split())
        shown = text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"
        label = f"  {hit['label']} {hit['label_score']:.4f}" if hit.get("label") else ""
        sys.stdout.write(
            f"{rank:>3}  {hit['score']:.4f}  {hit['language']:<4} {hit['document_id']} #{hit['ordinal']}{label}\n     {shown}\n"
        )
    if not hits:
        sys.stdout.write("nothing found: the collection or the chosen partitions are empty\n")
    return 0


def _split(values: Sequence[str]) -> list[str]:
    return [part.strip() for value in values for part in value.split(",") if part.strip()]
