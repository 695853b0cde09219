"""The end of a run as one event: the figures that an operator looks at first."""

from collections.abc import Mapping
from typing import Any


def event_of(record: Mapping[str, Any], collection: str) -> dict[str, str | int | float]:
    """Fields of the event for the record of a run on a collection."""
    counted = {
        f"{of}_{what}": int(record[of][what])
        for of, all_of_it in (
            ("documents", ("read", "embedded", "reused", "unchanged", "rejected", "left_out")),
            ("vectors", ("encoded", "reused")),
            ("rows", ("held", "written", "deleted", "rejected")),
        )
        for what in all_of_it
    }
    return {
        "run_id": record["run_id"],
        "exit_code": record["exit_code"],
        "status": record["status"],
        "collection": collection,
        "seconds": record["seconds"],
        **counted,
        "tokens_encoded": record["stages"]["embed"]["tokens"],
        "rejects": sum(record["rejects"].values()),
        "differences": len(record["differences"]),
    }
