"""Arguments that several commands share, each said once."""

import argparse
from typing import get_args

from transforms.adapters.lease import OnBusy


def add_on_busy(parser: argparse.ArgumentParser, busy: str = "while a run writes") -> None:
    """Adds `--on-busy`; `busy` says when it counts."""
    parser.add_argument(
        "--on-busy", choices=get_args(OnBusy), default="refuse", help=f"{busy}: end with exit code 6, or wait"
    )
