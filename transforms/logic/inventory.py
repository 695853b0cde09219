"""What the files of a workspace are, told by their paths alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

import regex


class Kind(StrEnum):
    """Kinds of files; what this version does not know is `other`, and never touched."""

    SHARD = "shard"
    LEDGER = "ledger"
    LEASE = "lease"
    PART = "ledger part"
    INTENTS = "intents"
    IMPORT = "import journal"
    REJECTS = "rejects"
    RECORD = "run record"
    REPORT = "report"
    EVALUATION = "evaluation"
    CALIBRATION = "calibration"
    PROJECTION = "projection"
    TOKENIZER = "tokenizer"
    PUBLICATION = "publication"
    TEMPORARY = "temporary"
    OTHER = "other"


_PATHS = (
    (Kind.TEMPORARY, r"(?:.*/)?\.(?:[^/]+\.partial|write-probe)"),
    (Kind.SHARD, r"dataset/(?P<owner>[^/]+)/[^/.][^/]*\.parquet"),
    (Kind.LEDGER, r"ledger/(?P<owner>[^/]+)/(?P<number>\d+)\.json"),
    (Kind.LEASE, r"ledger/(?P<owner>[^/]+)/lease/\d+\.json"),
    (Kind.PART, r"ledger/(?P<owner>[^/]+)/parts/[^/.][^/]*\.parquet"),
    (Kind.INTENTS, r"ledger/(?P<owner>[^/]+)/intents/(?P<number>\d+)/[^/.][^/]*\.parquet"),
    (Kind.IMPORT, r"ledger/(?P<owner>[^/]+)/imports/(?P<number>\d+)/[^/.][^/]*\.json"),
    (Kind.REJECTS, r"rejects/(?P<owner>[^/]+)/[^/.][^/]*\.parquet"),
    (Kind.RECORD, r"runs/(?P<owner>[^/]+)/run\.json"),
    (Kind.REPORT, r"runs/(?P<owner>[^/]+)/report\.html"),
    (Kind.EVALUATION, r"evaluations/(?P<owner>[^/]+)/[^/.][^/]*\.json"),
    (Kind.CALIBRATION, r"calibration/(?P<owner>[^/]+)/\d+\.json"),
    (Kind.PROJECTION, r"calibration/(?P<owner>[^/]+)/[0-9a-f]+\.safetensors"),
    (Kind.PUBLICATION, r"publications/(?P<owner>[^/]+)/(?:lease/)?\d+\.json"),
    (Kind.TOKENIZER, r"tokenizers/[^/.][^/]*\.json"),
)
_PATTERNS = [(kind, regex.compile(pattern)) for kind, pattern in _PATHS]


@dataclass(frozen=True, slots=True)
class KeptFile:
    """A file of a workspace.

    Attributes:
        path: below the workspace.
        size_bytes: as listed.
        modified_seconds: when the store says that it was written; None if it does not say.
        kind: what it is.
        owner: the embedding space, collection, collection key or run id that it belongs to; empty for kinds without one.
        number: of the ledger that it is, or that it is an intent or import towards; 0 for other kinds.
    """

    path: str
    size_bytes: int
    modified_seconds: float | None
    kind: Kind
    owner: str = ""
    number: int = 0

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rsplit("/", 1)[-1]


def kept_file(path: str, size_bytes: int, modified_seconds: float | None) -> KeptFile:
    """A file with what its path tells."""
    for kind, pattern in _PATTERNS:
        found = pattern.fullmatch(path)
        if found:
            groups = found.groupdict()
            return KeptFile(
                path, size_bytes, modified_seconds, kind, groups.get("owner") or "", int(groups.get("number") or 0)
            )
    return KeptFile(path, size_bytes, modified_seconds, Kind.OTHER)


@dataclass(frozen=True)
class Listing:
    """Every file of a workspace, ordered by path."""

    files: Sequence[KeptFile]

    def of(self, kind: Kind, owner: str | None = None) -> list[KeptFile]:
        """The files of a kind, of one owner or of all."""
        found = self._by_kind.get(kind, [])
        return found if owner is None else [file for file in found if file.owner == owner]

    def owners(self, *kinds: Kind) -> list[str]:
        """Who has files of some kinds, ordered."""
        return sorted({file.owner for kind in kinds for file in self._by_kind.get(kind, [])})

    @cached_property
    def _by_kind(self) -> dict[Kind, list[KeptFile]]:
        found: dict[Kind, list[KeptFile]] = {}
        for file in self.files:
            found.setdefault(file.kind, []).append(file)
        return found

    def latest_ledger(self, collection_key: str) -> KeptFile | None:
        """The ledger with the greatest number; None before the first commit."""
        return max(self.of(Kind.LEDGER, collection_key), key=lambda file: file.number, default=None)

    def unsettled_intents(self, collection_key: str) -> list[KeptFile]:
        """Intents towards a ledger that was never committed: their run is under way, or died."""
        latest = self.latest_ledger(collection_key)
        number = 0 if latest is None else latest.number
        return [file for file in self.of(Kind.INTENTS, collection_key) if file.number > number]


def sizes(files: Sequence[KeptFile]) -> dict[str, Any]:
    """Number and bytes of some files."""
    return {"files": len(files), "bytes": sum(file.size_bytes for file in files)}
