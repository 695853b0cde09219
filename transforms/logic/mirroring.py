"""Whether documents that are held and no longer in the source may be deleted."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

HELD = "mirror.held"
GONE = "mirror.gone"
UNREAD = "mirror.unread"

Outcome = Literal["deleted", "source not whole", "over the limit"]


@dataclass(frozen=True)
class Mirrored:
    """What mirroring came to: documents held before, those of them gone, files and records that might hold them, and what followed."""

    held: int
    gone: int
    unread: int
    outcome: Outcome

    @property
    def deleted(self) -> int:
        """Documents that are deleted."""
        return self.gone if self.outcome == "deleted" else 0

    def describe(self) -> dict[str, Any]:
        """For the run record."""
        return {**asdict(self), "deleted": self.deleted}


def mirror(counts: Mapping[str, float], max_delete_fraction: float) -> Mirrored:
    """Decides by counts over all buckets.

    A file that could not be read, or a record whose id is not known, may hold any of the documents that seem to be gone: then none is
    deleted. Nor if more than `max_delete_fraction` of the held documents are gone: an input that shrinks so much is more often a mistake.
    """
    held, gone, unread = (int(counts.get(name, 0)) for name in (HELD, GONE, UNREAD))
    if gone and unread:
        return Mirrored(held, gone, unread, "source not whole")
    return Mirrored(held, gone, unread, "over the limit" if gone > max_delete_fraction * held else "deleted")
