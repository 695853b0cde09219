"""Writes metadata.json from the options of the main job: `python -m deploy.dataflow.metadata`, or `make template-metadata`."""

import json
import sys
from pathlib import Path
from typing import Final

from pipelines.configuration import template

FILE: Final = Path(__file__).with_name("metadata.json")


def text() -> str:
    """What the file holds."""
    return json.dumps(template.metadata(), indent=2, ensure_ascii=False) + "\n"


def main() -> int:
    """Writes the file."""
    FILE.write_text(text(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
