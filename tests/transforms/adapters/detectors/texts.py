"""Labelled documents for the tests of detectors."""

import json
from collections.abc import Sequence
from pathlib import Path

from transforms.adapters.detectors import Detector
from transforms.identify import identify_documents


def labelled(sample_corpus: Path) -> list[tuple[str, str]]:
    """Label and text of every document of the topics of the sample corpus, each in one language."""
    found = []
    for path in sorted(sample_corpus.glob("*.jsonl")):
        if path.stem not in {"defects", "mixed"}:
            for line in path.read_text(encoding="utf-8").splitlines():
                record = json.loads(line)
                found.append((record["lang"], record["text"]))
    return found


def decided(detector: Detector, texts: Sequence[str]) -> list[str]:
    """The language of each text as the pipeline decides it."""
    return [one.language for one in identify_documents(texts, [None] * len(texts), detector)]
