"""The command of `load_vectors`."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, get_args

from pydantic import ValidationError

from pipelines.command_line.arguments import add_on_busy
from pipelines.command_line.parsers import flags_of
from pipelines.command_line.tables import table
from pipelines.configuration import options, sections
from pipelines.configuration.access import access_of, add_access_arguments, check_workers
from pipelines.configuration.definitions import definitions, section_titles
from pipelines.load_vectors import load
from pipelines.preflight.load_plan import Loading
from transforms.adapters.milvus import Target
from transforms.adapters.verifier import Form
from transforms.logic.errors import ConfigurationError
from transforms.write import Writing

AnySection = TypeVar("AnySection", bound=sections.Section)
_SECTIONS = ("representation", "loading")
_OF_STORAGE = ("index", "index_parameters", "writers", "write_path")
"""Of the options of `run`, those that say how a collection is filled."""
_SAID_OTHERWISE = {
    "index": "index type of the dense vectors in a new collection; auto: that of --from where it fits, else as run chooses"
}


def show(record: Mapping[str, Any], source: str) -> str:
    """A load for people."""
    rows = record["rows"]
    counts = ", ".join(f"{rows[name]:,} {name}" for name in rows if name != "held")
    partitions = [{"partition": name, "rows": one["milvus"]} for name, one in record["partitions"].items()]
    collection = record["configuration"]["storage"]["collection"]
    return (
        f"{record['run_id']}: {record['status']} (exit code {record['exit_code']}), {record['seconds']:.1f} s\n"
        f"  {collection} holds {rows['held']:,} rows, as {source} does: {counts}\n"
        + table(partitions, {"partition": "partition", "rows": "rows in Milvus"})
        + "".join(f"DOES NOT BALANCE: {difference}\n" for difference in record["differences"])
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of this command; those that say how a collection is filled are those of `run`."""
    parser.add_argument("--workspace", required=True, metavar="URI", help="the workspace whose dataset has the vectors")
    parser.add_argument(
        "--from", dest="source", required=True, metavar="COLLECTION", help="the collection whose rows are taken"
    )
    parser.add_argument(
        "--from-milvus",
        metavar="ADDRESS",
        help="where that is or was, as its runs named it; it is not read from, only its ledger is",
    )
    parser.add_argument("--milvus", required=True, help="address of the Milvus to fill, or a path ending in .db")
    parser.add_argument("--collection", required=True, help="the collection to fill, created if it does not exist")
    parser.add_argument(
        "--milvus-outputs",
        nargs="+",
        metavar="VALUE",
        help="outputs of the dataset that it holds; default those of --from",
    )
    groups = {name: parser.add_argument_group(name, section_titles()[name]) for name in _SECTIONS}
    for option in definitions().values():
        if option.section in _SECTIONS or option.name in _OF_STORAGE:
            without = "; without any of these flags as --from holds them" if option.section == "representation" else ""
            said = _SAID_OTHERWISE.get(option.name, "")
            options.add_option(groups.get(option.section, parser), option, said=said, without=without)
    add_access_arguments(parser)
    parser.add_argument(
        "--verify",
        choices=("none", *get_args(Form)),
        default="quick",
        help="how deep the collection is verified at the end",
    )
    add_on_busy(parser)


def execute(parser: argparse.ArgumentParser, argv: Sequence[str]) -> int:
    """Loads, prints what came of it and gives the exit code of the record."""
    values, rest = parser.parse_known_args(list(argv))
    given = vars(values)
    storage = _section(sections.Storage, given)
    asked = Loading(
        workspace=values.workspace,
        source=values.source,
        source_milvus=values.from_milvus,
        target=Target(values.milvus, values.collection, access_of(values)),
        representation=_section(sections.Representation, given) if _names(sections.Representation, given) else None,
        milvus_outputs=storage.milvus_outputs,
        index=storage.index,
        index_parameters=storage.index_parameters,
        loading=_section(sections.Loading, given),
        writing=Writing(storage.write_path, storage.writers),
        verify=values.verify,
    )
    beam_options = options.to_pipeline_options(rest, "load", flags_of(parser))
    check_workers(asked.target.access, options.runner_of(beam_options))
    record = load(asked, beam_options, values.on_busy, sys.stdout.write)
    sys.stdout.write(show(record, values.source))
    return int(record["exit_code"])


def _names(kind: type[sections.Section], given: Mapping[str, Any]) -> dict[str, Any]:
    """What was given of a section."""
    return {name: given[name] for name in kind.model_fields if name in given}


def _section(kind: type[AnySection], given: Mapping[str, Any]) -> AnySection:
    try:
        return kind.model_validate(_names(kind, given))
    except ValidationError as error:
        raise ConfigurationError(options.explain(error.errors(), 1)) from error
