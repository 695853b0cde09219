"""Plan: what a run would find, do, cost and leave behind, told from a sample before anything is spent."""

import argparse
import sys
from collections.abc import Sequence

from pipelines.command_line.tables import as_json
from pipelines.configuration import options
from pipelines.plan.devices import read_devices
from pipelines.plan.forecasting import Asked, describe, forecast, read_workers
from pipelines.plan.looking import Wanted
from pipelines.plan.summary import summarise_plan
from transforms.logic.errors import ConfigurationError
from transforms.logic.record import EXIT_COMPLETE

_MOST_MARGIN = 0.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the main job, and how much of the corpus is looked into."""
    options.add_arguments(parser)
    group = parser.add_argument_group("plan")
    group.add_argument(
        "--confidence",
        type=float,
        default=0.95,
        help="share of such samples whose intervals hold the truth (default 0.95)",
    )
    group.add_argument(
        "--margin",
        type=float,
        default=0.05,
        help="half the interval of all tokens, as a share of them; 0 looks into every document (default 0.05)",
    )
    group.add_argument("--sample-size", type=int, help="so many documents at least, in place of --margin")
    group.add_argument("--seed", type=int, default=0, help="another one gives another sample (default 0)")
    group.add_argument(
        "--devices", metavar="FILE.toml", help="table of devices and prices in place of the one that comes along"
    )
    group.add_argument(
        "--workers", default="1,4,16", help="numbers of workers to give the wall time of (default 1,4,16)"
    )
    group.add_argument("--json", action="store_true", help="print JSON instead of tables")


def execute(parser: argparse.ArgumentParser, argv: Sequence[str]) -> int:
    """Prints the plan; nothing is written, so there is nothing that could be incomplete."""
    given, _ = parser.parse_known_args(list(argv))
    wanted = _wanted(given)
    devices, currency = read_devices(given.devices)
    asked = Asked(wanted, devices, currency, read_workers(given.workers))
    config, _ = options.parse(parser, argv)
    plan = forecast(config, asked)
    described = describe(config, asked, plan)
    sys.stdout.write(as_json(described) if given.json else summarise_plan(described, config))
    return EXIT_COMPLETE


def _wanted(given: argparse.Namespace) -> Wanted:
    if not 0 < given.confidence < 1:
        raise ConfigurationError(f"--confidence {given.confidence:g} is no share between 0 and 1; 0.95 is usual")
    if not 0 <= given.margin <= _MOST_MARGIN:
        raise ConfigurationError(
            f"--margin {given.margin:g}: choose from 0, which looks into everything, to {_MOST_MARGIN:g}"
        )
    if given.sample_size is not None and given.sample_size < 1:
        raise ConfigurationError(
            f"--sample-size {given.sample_size}: choose 1 or more documents, or leave it out for --margin"
        )
    return Wanted(given.confidence, given.margin, given.sample_size, given.seed)
