"""The command of `load_vectors`."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from pipelines import options
from pipelines.access import access_of, add_access_arguments, check_workers
from pipelines.load_vectors import Loading, load
from pipelines.sections import Representation as Wanted
from pipelines.tables import table
from transforms.adapters.milvus import Target
from transforms.logic.errors import ConfigurationError
from transforms.logic.outputs import OUTPUTS, Output


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
    """Flags of this command; those of the representation are those of `run`."""
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
    parser.add_argument("--milvus-outputs", help="outputs of the dataset that it holds; default those of --from")
    for section, name, field in options.option_fields():
        if section == "representation":
            parser.add_argument(
                f"--{name.replace('_', '-')}",
                dest=name,
                metavar="VALUE",
                default=argparse.SUPPRESS,
                help=f"{field.description}; without any of these flags as --from holds them".replace("%", "%%"),
            )
    add_access_arguments(parser)
    parser.add_argument(
        "--verify", choices=("quick", "full"), default="quick", help="how deep the collection is verified at the end"
    )
    parser.add_argument(
        "--on-busy",
        choices=("refuse", "wait"),
        default="refuse",
        help="while a run writes: end with exit code 6, or wait",
    )


def execute(parser: argparse.ArgumentParser, argv: Sequence[str]) -> int:
    """Loads, prints what came of it and gives the exit code of the record."""
    values, rest = parser.parse_known_args(list(argv))
    asked = Loading(
        workspace=values.workspace,
        source=values.source,
        source_milvus=values.from_milvus,
        target=Target(values.milvus, values.collection, access_of(values)),
        representation=_wanted(vars(values)),
        milvus_outputs=None if values.milvus_outputs is None else _outputs(values.milvus_outputs),
        verify=values.verify,
    )
    beam_options = options.to_pipeline_options(rest)
    check_workers(asked.target.access, options.runner_of(beam_options))
    record = load(asked, beam_options, values.on_busy, sys.stdout.write)
    sys.stdout.write(show(record, values.source))
    return int(record["exit_code"])


def _wanted(values: Mapping[str, Any]) -> Wanted | None:
    given = {name: values[name] for name in Wanted.model_fields if name in values}
    try:
        return Wanted.model_validate(given) if given else None
    except ValidationError as error:
        raise ConfigurationError("\n".join(options.explain(one, 1) for one in error.errors())) from error


def _outputs(text: str) -> tuple[Output, ...]:
    names = [name.strip() for name in text.split(",")]
    unknown = [name for name in names if name not in OUTPUTS]
    if unknown or not names:
        raise ConfigurationError(f"--milvus-outputs {text!r}: choose of {', '.join(OUTPUTS)}")
    return tuple(one for one in OUTPUTS if one in names)
