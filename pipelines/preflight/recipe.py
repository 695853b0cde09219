"""How documents become rows, as a fingerprint: a document that was read unchanged under an unchanged recipe has unchanged rows."""

from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from transforms.adapters.detectors import Choice
from transforms.adapters.storage import current_etag
from transforms.identify import Partitioning
from transforms.logic.identity import fingerprint
from transforms.split import Splitting

# Of those that decide where a text is cut, or what its language is. A model's tokenizer is part of the embedding space.
_PACKAGES = ("corpus-embed", "icu4py", "kitoken", "langcodes", "pycld2", "regex", "tokenizers")


def recipe_of(detector: str, choice: Choice, partitioning: Partitioning, splitting: Splitting) -> str:
    """32 hexadecimal characters over everything but the document that decides its rows.

    Args:
        detector: the choice as the user wrote it.
        choice: the same, checked; a model file of a detector counts by its ETag, or by its size and time.
        partitioning: what follows from a document's language.
        splitting: how documents are cut, and the embedding space.
    """
    described: dict[str, Any] = {
        "detector": detector,
        "detector_files": {path: current_etag(path) for path in choice.model_files},
        "partitioning": asdict(partitioning),
        "splitting": asdict(splitting),
        "packages": {name: version(name) for name in _PACKAGES},
    }
    return fingerprint(described)
