"""A corpus and its next editions."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

CHANGED_SHARE = 0.01
EDITIONS = ("first", "unchanged", "edited", "metadata", "deleted")
MIRRORED = "deleted"
"""The edition whose run deletes what is gone."""
_INSERTED_CHARACTERS = 60

Document = dict[str, Any]
"""`id`, `text`, and `revision`, which is metadata."""


def choose(documents: Sequence[Document], purpose: str) -> set[str]:
    """Ids of 1 % of the documents, at least one, by a digest of purpose and id."""
    ids = sorted(
        (one["id"] for one in documents), key=lambda name: hashlib.sha256(f"{purpose}\0{name}".encode()).digest()
    )
    return set(ids[: max(1, round(CHANGED_SHARE * len(ids)))])


def edit_texts(documents: Sequence[Document], chosen: set[str]) -> list[Document]:
    """The chosen documents get how they begin once more in their middle, at white space if there is any, and stand last."""
    edited = [{**one, "text": _longer(one["text"])} for one in documents if one["id"] in chosen]
    return [*(one for one in documents if one["id"] not in chosen), *edited]


def _longer(text: str) -> str:
    middle = text.find(" ", len(text) // 2)
    if middle < 0:
        middle = len(text) // 2
    return f"{text[:middle]} {text[:_INSERTED_CHARACTERS]}{text[middle:]}"


def edit_metadata(documents: Sequence[Document], chosen: set[str]) -> list[Document]:
    """The chosen documents get another revision."""
    return [{**one, "revision": one["revision"] + (one["id"] in chosen)} for one in documents]


def make_editions(documents: Sequence[Document]) -> dict[str, list[Document]]:
    """Each of `EDITIONS`, made of the one before."""
    first = list(documents)
    edited = edit_texts(first, choose(first, "edited"))
    metadata = edit_metadata(edited, choose(edited, "metadata"))
    gone = choose(metadata, "deleted")
    deleted = [one for one in metadata if one["id"] not in gone]
    return {"first": first, "unchanged": first, "edited": edited, "metadata": metadata, "deleted": deleted}


def write_documents(path: Path, documents: Iterable[Document]) -> None:
    """A JSONL file, a document a line."""
    with path.open("w", encoding="utf-8") as lines:
        lines.writelines(json.dumps(one, ensure_ascii=False) + "\n" for one in documents)


def read_documents(path: Path) -> list[Document]:
    """What `write_documents` wrote."""
    # Not `splitlines`, which also parts at separators that JSON leaves as they are.
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]
