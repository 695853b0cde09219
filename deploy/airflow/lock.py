"""Writes `requirements.lock` from `requirements.in`: `python -m deploy.airflow.lock`, or `make lock-airflow`.

It stands alone: Airflow and this project want different versions of common packages, and never share an environment.
"""

import argparse
import subprocess
import sys
import tempfile
import venv
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from deploy.local.lock import OLDEST_PYTHON, UV, blocks

HERE: Final = Path(__file__).parent
LOCK: Final = HERE / "requirements.lock"
_HEAD: Final = "# Airflow for the tests of the DAGs\n# Made by `make lock-airflow`; install with pip install --no-deps --require-hashes.\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command."""
    parser = argparse.ArgumentParser(prog="python -m deploy.airflow.lock", description="Writes Airflow's lock file.")
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions instead of keeping pins")
    upgrade = parser.parse_args(argv).upgrade
    with tempfile.TemporaryDirectory() as scratch:
        venv.create(Path(scratch, "venv"), with_pip=True)
        programs = Path(scratch, "venv", "bin")
        subprocess.run([programs / "python", "-m", "pip", "install", "--quiet", "--no-deps", UV], check=True)
        output = Path(scratch, "lock.txt")
        if LOCK.exists() and not upgrade:
            output.write_text(LOCK.read_text(encoding="utf-8"), encoding="utf-8")
        command = [str(programs / "uv"), "pip", "compile", "--quiet", "--universal", "--generate-hashes", "--no-header"]
        command += ["--no-annotate", f"--python-version={OLDEST_PYTHON}", f"--output-file={output}"]
        subprocess.run([*command, str(HERE / "requirements.in")], check=True)
        text = "".join(f"{block}\n" for block in blocks(output.read_text(encoding="utf-8")))
        LOCK.write_text(_HEAD + text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
