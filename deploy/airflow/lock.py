"""Writes `requirements.lock` from `requirements.in`: `python -m deploy.airflow.lock`, or `make lock-airflow`.

It stands alone: Airflow and this project want different versions of common packages, and never share an environment.
"""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from deploy.local.lock import asks_for_newest, resolve, resolver, write

HERE: Final = Path(__file__).parent
LOCK: Final = HERE / "requirements.lock"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command."""
    upgrade = asks_for_newest(argv, "python -m deploy.airflow.lock", "Writes Airflow's lock file.")
    with resolver() as (uv, scratch):
        output = scratch / "lock.txt"
        if LOCK.exists() and not upgrade:
            shutil.copyfile(LOCK, output)
        found = resolve(uv, (), output, (), str(HERE / "requirements.in"))
        write(LOCK, "Airflow for the tests of the DAGs", found, "lock-airflow")
    return 0


if __name__ == "__main__":
    sys.exit(main())
