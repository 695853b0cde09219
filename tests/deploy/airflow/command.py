"""`corpus-embed` of this checkout, which notes how it was called and fails a run as often as it is told.

`command.py DIRECTORY COMMAND …`: DIRECTORY/calls.jsonl is appended to; DIRECTORY/fail/DATE holds the exit codes of the next attempts at the
run of that date, one a line.
"""

import json
import os
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def main() -> None:
    """Notes the call, then fails it or becomes the command."""
    directory, arguments = Path(sys.argv[1]), sys.argv[2:]
    with (directory / "calls.jsonl").open("a", encoding="utf-8") as log:
        seen = [name for name in os.environ if name.startswith("AIRFLOW")]
        log.write(json.dumps({"arguments": arguments, "seen": seen}) + "\n")
    dates = [one.removeprefix("--date-from=") for one in arguments if one.startswith("--date-from=")]
    failing = directory / "fail" / (dates[0] if dates else "none")
    if failing.is_file():
        code, *others = failing.read_text(encoding="utf-8").splitlines()
        if others:
            failing.write_text("\n".join(others), encoding="utf-8")
        else:
            failing.unlink()
        sys.exit(int(code))
    os.environ["PYTHONPATH"] = str(ROOT)
    os.execv(sys.executable, [sys.executable, "-m", "pipelines.cli", *arguments])


if __name__ == "__main__":
    main()
