"""Ranked chunks for one question, as lines for people or as JSON."""

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any, get_args

from pipelines.configuration.access import access_of, add_access_arguments
from pipelines.search import Method, Mode, Restriction, Retriever
from transforms.adapters.milvus import Target
from transforms.logic.filters import parse_condition

_SHOWN_CHARACTERS = 160


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of this command."""
    parser.add_argument("query", help="the question, in any language")
    parser.add_argument("--milvus", required=True, help="address of a Milvus server, or a path ending in .db")
    parser.add_argument("--collection", required=True, help="the collection to search, or an alias")
    parser.add_argument("--top", type=int, default=10, help="how many chunks (default 10)")
    parser.add_argument("--by-document", action="store_true", help="only the best chunk of each document")
    parser.add_argument("--json", action="store_true", help="print an object a line: rank, score and all fields")
    _add_method(parser.add_argument_group("how chunks are found"))
    _add_restriction(parser.add_argument_group("which chunks may answer"))
    parser.add_argument("--model", help="directory of the model, if it is no longer where the collection says")
    parser.add_argument(
        "--device", default="auto", help="where the query is encoded: auto, cpu, cuda or cuda:N (default auto)"
    )
    add_access_arguments(parser)


def _add_method(group: Any) -> None:
    group.add_argument(
        "--mode",
        choices=get_args(Mode),
        help="vectors that find chunks; hybrid fuses the rankings of dense and sparse; default the first that the collection holds",
    )
    group.add_argument(
        "--weights",
        nargs=2,
        type=float,
        metavar=("DENSE", "SPARSE"),
        help="with --mode hybrid: sum scores by these weights; default fuse ranks",
    )
    group.add_argument(
        "--workspace", help="rank four times as many candidates again by the full-precision vectors of this workspace"
    )


def _add_restriction(group: Any) -> None:
    group.add_argument("--languages", nargs="+", default=[], help="only these languages, for example de th hi")
    group.add_argument("--labels", nargs="+", default=[], help="only chunks with one of these labels")
    group.add_argument("--date-from", help="only documents dated then or later, as YYYY-MM-DD")
    group.add_argument("--date-to", help="only documents dated earlier")
    group.add_argument(
        "--where",
        nargs="+",
        default=[],
        metavar="CONDITION",
        help="only chunks for which all hold: metadata.KEY or a field, = < <= > >=, and a value, or a JSON list of values",
    )


def execute(parser: argparse.ArgumentParser, argv: Sequence[str]) -> int:
    """Prints the ranked chunks."""
    values = parser.parse_args(list(argv))
    target = Target(values.milvus, values.collection, access_of(values))
    weights = None if values.weights is None else tuple(values.weights)
    method = Method(values.mode, weights, values.workspace, consistency="Strong")
    restriction = Restriction(
        _split(values.languages),
        _split(values.labels),
        values.date_from,
        values.date_to,
        [parse_condition(one) for one in values.where],
    )
    with Retriever(target, method, model=values.model, device=values.device) as retriever:
        hits = retriever.retrieve(values.query, values.top, restriction, by_document=values.by_document)
    for rank, hit in enumerate(hits, 1):
        sys.stdout.write(_as_json(rank, hit) if values.json else _as_text(rank, hit))
    if not hits and not values.json:
        sys.stdout.write("nothing found: the collection or the chosen partitions are empty, or no chunk fits\n")
    return 0


def _as_json(rank: int, hit: dict[str, Any]) -> str:
    return json.dumps({"rank": rank, "score": hit["score"], "id": hit["id"], **hit}, ensure_ascii=False) + "\n"


def _as_text(rank: int, hit: dict[str, Any]) -> str:
    text = " ".join(hit["text"].split())
    shown = text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"
    label = f"  {hit['label']} {hit['label_score']:.4f}" if hit.get("label") else ""
    return f"{rank:>3}  {hit['score']:.4f}  {hit['language']:<4} {hit['document_id']} #{hit['ordinal']}{label}\n     {shown}\n"


def _split(values: Sequence[str]) -> list[str]:
    return [part.strip() for value in values for part in value.split(",") if part.strip()]
