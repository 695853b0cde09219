"""Standard output and error of a command whose reader may go away: `| head`, a closed terminal, a full disk.

What a command does must not end half done because nobody reads what it says, and its exit code must tell of what it did.
"""

import os
import sys
from pathlib import Path
from typing import Any, TextIO, cast


class Stream:
    """A stream that takes what is written after it has broken, and drops it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.error: OSError | None = None
        """Why it broke; None while it has not."""

    def write(self, text: str) -> int:
        """Writes, as long as that is possible."""
        if self.error is None:
            try:
                return self._stream.write(text)
            except OSError as error:
                self._give_up(error)
        return len(text)

    def flush(self) -> None:
        """Hands on what is buffered, as long as that is possible."""
        if self.error is None:
            try:
                self._stream.flush()
            except OSError as error:
                self._give_up(error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _give_up(self, error: OSError) -> None:
        self.error = error
        # What is buffered still would fail once more when the process ends.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)


def guard_streams() -> Stream:
    """Puts such streams in place of those of the process, for its whole life; gives standard output."""
    # Python has none where the process was started with a closed one.
    output, errors = (
        Stream(stream or Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115  as long as the process lives
        for stream in (sys.stdout, sys.stderr)
    )
    sys.stdout, sys.stderr = cast("TextIO", output), cast("TextIO", errors)
    return output
