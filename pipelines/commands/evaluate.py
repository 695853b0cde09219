"""Evaluate a collection from the command line: tables for people or JSON, and floors that fail a build."""

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from pipelines.command_line.exit_codes import EXIT_BELOW_FLOOR
from pipelines.command_line.tables import as_json, table
from pipelines.configuration.access import access_of, add_access_arguments
from pipelines.evaluate import Request, evaluate_collection
from pipelines.search import Mode
from transforms.adapters.milvus import Target
from transforms.logic.errors import ConfigurationError
from transforms.logic.evaluation import below_floors, measure_names
from transforms.logic.questions import Key
from transforms.logic.record import EXIT_COMPLETE

_FLOOR = re.compile(r"([a-z0-9_]+)=([0-9]+(?:\.[0-9]*)?|\.[0-9]+)")
_MATRIX_LANGUAGES = 20
_WORST = 10
_FEW_QUERIES = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of this command."""
    parser.add_argument("--workspace", required=True, metavar="URI", help="the workspace of the collection's runs")
    parser.add_argument("--milvus", required=True, help="address of the Milvus, as the runs named it")
    parser.add_argument("--collection", required=True, help="the collection, or an alias of it")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--pairs",
        metavar="URI",
        help="questions in .jsonl, .parquet or .tsv: query, query_language, and answers (list of document ids, or of id and grade), "
        "or answer (a document id), or answer_text (exact text of a chunk), the latter two with grade or without",
    )
    source.add_argument(
        "--key-column",
        metavar="COLUMN",
        help="documents that share a key across languages ask for each other: document_id, source or metadata.NAME",
    )
    parser.add_argument(
        "--key-pattern",
        metavar="REGEX",
        help="the groups that this finds in --key-column are the key, as in '/[a-z]+/(.*)$'; default the whole value",
    )
    parser.add_argument("--mode", choices=get_args(Mode), help="what finds chunks, as in search")
    parser.add_argument(
        "--rescore", action="store_true", help="rank four times as many candidates again by full-precision vectors"
    )
    parser.add_argument("--k", type=int, default=10, help="how many documents of a ranking count (default 10)")
    parser.add_argument(
        "--max-queries", type=int, default=300, help="at most so many questions, chosen by digest (default 300)"
    )
    parser.add_argument(
        "--no-exact",
        action="store_true",
        help="leave out exact search over the dataset's vectors, which reads all of them",
    )
    for flag, what in (("--floor", "the mean over all searches"), ("--pair-floor", "any language pair")):
        parser.add_argument(
            flag,
            nargs="+",
            default=[],
            metavar="MEASURE=VALUE",
            help=f"exit code {EXIT_BELOW_FLOOR} if {what} within the answer's language is below in top_1, recall_at_K, ndcg_at_K or mrr",
        )
    parser.add_argument("--name", help="of the file in the workspace; default made of source and mode")
    parser.add_argument("--model", help="directory of the model, if it is no longer where the collection says")
    parser.add_argument(
        "--device", default="auto", help="where questions are encoded: auto, cpu, cuda or cuda:N (default auto)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_access_arguments(parser)


def execute(parser: argparse.ArgumentParser, argv: Sequence[str]) -> int:
    """Evaluates and prints what was found; exit code 8 if that is below a floor."""
    values = parser.parse_args(list(argv))
    if values.key_pattern is not None and values.key_column is None:
        raise ConfigurationError("--key-pattern is looked for in --key-column; name that too, or leave both out")
    request = Request(
        values.workspace,
        Target(values.milvus, values.collection, access_of(values)),
        values.pairs if values.key_column is None else Key(values.key_column, values.key_pattern),
        values.mode,
        values.rescore,
        values.k,
        values.max_queries,
        not values.no_exact,
        values.name,
        values.model,
        values.device,
    )
    floors, of_pairs = (
        _floors(flag, given, request.k)
        for flag, given in (("--floor", values.floor), ("--pair-floor", values.pair_floor))
    )
    found = evaluate_collection(request, sys.stderr.write)
    sys.stdout.write(as_json(found) if values.json else show(found))
    # What is served is judged, not what it was made of.
    served = found["overall"][-1]["representation"]
    within = [row for row in found["overall"] if row["pool"] == "answer language"]
    below = [*below_floors(within, served, floors), *below_floors(found["results"], served, of_pairs)]
    for line in below:
        (sys.stderr if values.json else sys.stdout).write(f"BELOW FLOOR: {line}\n")
    return EXIT_BELOW_FLOOR if below else EXIT_COMPLETE


def _floors(flag: str, given: Sequence[str], k: int) -> dict[str, float]:
    found = {}
    for one in given:
        match = _FLOOR.fullmatch(one)
        names = measure_names(k)
        if match is None or match[1] not in names or not 0 <= float(match[2]) <= 1:
            raise ConfigurationError(
                f"{flag} {one!r}: write NAME=VALUE, a NAME of {', '.join(names)} and a VALUE from 0 to 1"
            )
        found[match[1]] = float(match[2])
    return found


def show(found: Mapping[str, Any]) -> str:
    """An evaluation as a person reads it."""
    pairs, k = found["pairs"], found["k"]
    headings = {"top_1": "top-1", f"recall_at_{k}": f"recall@{k}", f"ndcg_at_{k}": f"nDCG@{k}", "mrr": "MRR"}
    held = "" if found["dimensions"] is None else f" ({found['dimensions']} dimensions)"
    title = (
        f"evaluation {found['name']} of {found['collection']}{held}: {pairs['queries']:,} queries with {pairs['answers']:,} answers, "
        f"from {pairs['source']}, among {sum(found['documents'].values()):,} documents\n{_left_out(pairs)}"
    )
    parts = [
        title,
        _overall(found["overall"], headings),
        _differences(found["differences"], headings),
        _matrix(found["results"]),
        _worst(found["results"], headings),
        _bias(found["language_bias"], k),
    ]
    return "\n".join(part for part in parts if part)


def _left_out(pairs: Mapping[str, Any]) -> str:
    lines = []
    if pairs["queries_without_answer"]:
        lines.append(f"{pairs['queries_without_answer']:,} queries have no answer in the collection and are left out")
    if pairs["unknown_answers"]:
        named = ", ".join(repr(one) for one in pairs["unknown"])
        more = ", …" if pairs["unknown_answers"] > len(pairs["unknown"]) else ""
        lines.append(f"{pairs['unknown_answers']:,} answers are not in the collection: {named}{more}")
    if pairs["sampled"]:
        lines.append("there are more queries: this is a sample, see --max-queries")
    return "".join(f"{line}\n" for line in lines)


def _figures(row: Mapping[str, Any], headings: Mapping[str, str]) -> dict[str, str]:
    return {name: f"{row[name]:.3f}" for name in headings}


def _overall(rows: Sequence[Mapping[str, Any]], headings: Mapping[str, str]) -> str:
    shown = [{**row, "queries": f"{row['queries']:,}", **_figures(row, headings)} for row in rows]
    columns = {"pool": "answers in", "representation": "vectors", "queries": "searches", **headings}
    return table(shown, columns)


def _differences(rows: Sequence[Mapping[str, Any]], headings: Mapping[str, str]) -> str:
    """What compression costs, over all pairs."""
    if not rows:
        return ""
    first = rows[0]
    shown = [
        {
            "measure": heading,
            "difference": f"{first[name]['difference']:+.4f}",
            "interval": "-"
            if first[name]["low"] is None
            else f"{first[name]['low']:+.4f} to {first[name]['high']:+.4f}",
        }
        for name, heading in headings.items()
    ]
    columns = {"measure": "measure", "difference": "difference", "interval": "95 % interval"}
    return f"{first['to']} against {first['from']}, within the answer's language\n{table(shown, columns)}"


def _matrix(rows: Sequence[Mapping[str, Any]]) -> str:
    """top-1 by pair of languages."""
    served = rows[-1]["representation"]
    by_pair = {
        (row["query_language"], row["answer_language"]): f"{row['top_1']:.2f}"
        for row in rows
        if row["representation"] == served
    }
    asking = sorted({pair[0] for pair in by_pair})
    answering = sorted({pair[1] for pair in by_pair})
    if max(len(asking), len(answering)) > _MATRIX_LANGUAGES:
        return ""
    shown = [{"": one, **{other: by_pair.get((one, other), "") for other in answering}} for one in asking]
    columns = {"": "", **{other: other for other in answering}}
    return f"top-1 by language of query (rows) and answer (columns), {served}\n{table(shown, columns)}"


def _worst(rows: Sequence[Mapping[str, Any]], headings: Mapping[str, str]) -> str:
    served = [row for row in rows if row["representation"] == rows[-1]["representation"]]
    ndcg = next(name for name in headings if name.startswith("ndcg"))
    # A pair with few queries is low by chance, so it is shown only where there are no others.
    enough = [row for row in served if row["queries"] >= _FEW_QUERIES] or served
    worst = sorted(enough, key=lambda row: (row[ndcg], row["query_language"], row["answer_language"]))[:_WORST]
    shown = [{**row, "queries": f"{row['queries']:,}", **_figures(row, headings)} for row in worst]
    columns = {"query_language": "query", "answer_language": "answer", "queries": "queries", **headings}
    few = len(served) - len(enough)
    left = f"; {few:,} with fewer than {_FEW_QUERIES} queries are left out" if few else ""
    return f"lowest {headings[ndcg]} of {len(enough):,} language pairs{left}\n{table(shown, columns)}"


def _bias(rows: Sequence[Mapping[str, Any]], k: int) -> str:
    served = [row for row in rows if row["representation"] == rows[-1]["representation"]]
    shown = [
        {
            **row,
            "queries": f"{row['queries']:,}",
            **{name: "-" if row[name] is None else f"{row[name]:.3f}" for name in ("share", "expected_share", "bias")},
        }
        for row in served
    ]
    columns = {
        "query_language": "query",
        "queries": "queries",
        "share": "own language",
        "expected_share": "if blind",
        "bias": "bias",
    }
    return (
        f"language bias among the first {k} of all languages: 0 is blind to languages, 1 finds its own alone\n"
        f"{table(shown, columns)}"
    )
