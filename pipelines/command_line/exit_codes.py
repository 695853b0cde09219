"""What every command's exit code means."""

from collections.abc import Mapping
from types import MappingProxyType

from pipelines.command_line.interruption import SIGNALS, exit_code_of
from transforms.logic.record import (
    EXIT_COMPLETE,
    EXIT_CONFIGURATION,
    EXIT_DELETES,
    EXIT_OVER_LIMIT,
    EXIT_REJECTS,
    EXIT_RETRY,
    EXIT_UNBALANCED,
)

EXIT_FAILED = 1
EXIT_BELOW_FLOOR = 8
MEANINGS: Mapping[int, str] = MappingProxyType(
    {
        EXIT_COMPLETE: "complete",
        EXIT_FAILED: "a service or library failed in a way that another attempt will not mend; the message says which",
        EXIT_CONFIGURATION: "configuration: the message names the value and what would be right; nothing was encoded",
        EXIT_REJECTS: "complete, with rejects under `--max-reject-fraction`",
        EXIT_OVER_LIMIT: "complete, but with more rejects than `--max-reject-fraction`",
        EXIT_UNBALANCED: "does not balance, a verification found a difference, or the workspace does not hold what was written",
        EXIT_RETRY: "worth retrying: a service failed beyond the retries at the call, or another run is writing to the collection; "
        "the same command resumes",
        EXIT_DELETES: "complete, but `--mirror` would have deleted more than `--max-delete-fraction` and deleted nothing, or `--publish` "
        "would have served so many fewer documents",
        EXIT_BELOW_FLOOR: "complete, but `evaluate` found less than a `--floor` or `--pair-floor`",
        **{exit_code_of(number): f"interrupted by {number.name}: the same command resumes" for number in SIGNALS},
    }
)
