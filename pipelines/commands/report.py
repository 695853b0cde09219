"""Report: the record of a run, with a sample of the vectors and what evaluations found, as one HTML page."""

import argparse
import sys
from collections.abc import Sequence

from transforms.adapters.report import MOST_SAMPLED, REPORT, read_material, render_report
from transforms.adapters.run_records import LATEST, NAMES, find_record
from transforms.adapters.storage import join, write_bytes
from transforms.logic.errors import ConfigurationError

LEAST_SAMPLED, GREATEST_SAMPLED = 10, 2000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which run, where to, and of what."""
    parser.add_argument("workspace", metavar="WORKSPACE", help="the workspace")
    parser.add_argument(
        "run",
        metavar="RUN",
        nargs="?",
        default=LATEST,
        help=f"{NAMES} (default)",
    )
    parser.add_argument("--output", metavar="FILE", help=f"where to (default: {REPORT} beside the run's record)")
    parser.add_argument("--no-texts", action="store_true", help="quote no chunk")
    parser.add_argument(
        "--sample",
        type=int,
        default=MOST_SAMPLED,
        metavar="N",
        help=f"chunks on the map, {LEAST_SAMPLED} to {GREATEST_SAMPLED:,} (default {MOST_SAMPLED}); its time grows with the square",
    )


def execute(parser: argparse.ArgumentParser, argv: Sequence[str]) -> int:
    """Writes the page and says where it is."""
    arguments = parser.parse_args(list(argv))
    if not LEAST_SAMPLED <= arguments.sample <= GREATEST_SAMPLED:
        allowed = f"{LEAST_SAMPLED} to {GREATEST_SAMPLED:,}"
        raise ConfigurationError(f"--sample {arguments.sample} is not allowed; choose from {allowed}")
    uri = arguments.workspace.rstrip("/")
    record = find_record(uri, arguments.run)
    material = read_material(uri, record, arguments.sample, with_texts=not arguments.no_texts)
    target = arguments.output or join(uri, "runs", record["run_id"], REPORT)
    page = render_report(material).encode()
    try:
        write_bytes(target, page)
    except OSError as error:
        raise ConfigurationError(f"the report {target!r} cannot be written: {error}; name another --output") from error
    sys.stdout.write(f"{target}: {len(page):,} bytes\n")
    for remark in material.remarks:
        sys.stdout.write(f"it lacks: {remark}\n")
    return 0
