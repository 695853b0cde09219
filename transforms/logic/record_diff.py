"""Two run records side by side: what of configuration, model, versions and figures differs, field by field."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, Literal

Group = Literal["outcome", "configuration", "model", "versions", "counts", "times", "other"]

_FIELDS: Mapping[Group, tuple[str, ...]] = MappingProxyType(
    {
        "outcome": ("status", "exit_code", "differences", "verification", "ledger"),
        "configuration": ("configuration",),
        "model": ("model", "embedding_space", "computation", "representation", "collection_space"),
        "versions": ("format", "versions"),
        "counts": (
            *(
                "documents",
                "files",
                "left_out",
                "rejects",
                "reject_fraction",
                "encodings",
                "chunks",
                "tokens",
                "vectors",
            ),
            *("budget_reductions", "rows", "partitions", "languages", "lengths", "mirror", "checksum"),
        ),
        "times": ("started_at", "seconds", "stages", "timeline", "slowest"),
    }
)
# They name the record and its files, and differ whenever the rest does.
_NAMES = ("run_id", "reject_files")
_GROUP_OF: Mapping[str, Group] = MappingProxyType({name: group for group, names in _FIELDS.items() for name in names})
GROUPS: tuple[Group, ...] = (*_FIELDS, "other")
"""Groups of fields, in the order in which they are shown."""


@dataclass(frozen=True)
class Change:
    """A field that differs; a value is None where its record has no such field."""

    group: Group
    field: str
    before: Any
    after: Any

    @property
    def ratio(self) -> float | None:
        """After divided by before, where both are numbers and the first is not zero."""
        numbers = [
            one for one in (self.before, self.after) if isinstance(one, int | float) and not isinstance(one, bool)
        ]
        return numbers[1] / numbers[0] if len(numbers) == 2 and numbers[0] else None  # noqa: PLR2004  both

    def describe(self) -> dict[str, Any]:
        """As plain values."""
        return {**asdict(self), "ratio": self.ratio}


def compare_records(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """Every field that differs, in the order of `GROUPS` and then by name; a list counts as one value.

    A field that one record lacks, because another version wrote it, is like one without a value: what it then meant nobody wrote down.
    """
    old, new = dict(_flat(before)), dict(_flat(after))
    changes = [
        Change(_GROUP_OF.get(path[0], "other"), ".".join(path), old.get(path), new.get(path))
        for path in sorted({*old, *new})
        if path[0] not in _NAMES and old.get(path) != new.get(path)
    ]
    return sorted(changes, key=lambda change: GROUPS.index(change.group))


def _flat(values: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, (*path, name))
        else:
            yield (*path, name), value
