"""The exception tree, and how it crosses process borders.

CorpusEmbedError
├── ConfigurationError   the user can mend it; raised before anything is paid for (exit code 2)
├── TransientError       worth retrying; raised after the retries at the call are used up (exit code 6)
└── CorruptDataError     something this project wrote does not read back as written (exit code 5)

A record or chunk that cannot be processed is not an exception but a reject (`schemas.Reason`).
"""

import re


class CorpusEmbedError(Exception):
    """Anything this project raises on purpose. The only argument is the message, so that every subclass survives pickling."""


class ConfigurationError(CorpusEmbedError):
    """A value is wrong; the message names the value, what is allowed and what to do."""


class TransientError(CorpusEmbedError):
    """A service failed in a way that a later attempt may not; the message names the service and the call."""


class CorruptDataError(CorpusEmbedError):
    """A file of the workspace is not what was written; the message names the file and what is wrong with it."""


_BY_NAME = {kind.__name__: kind for kind in (ConfigurationError, TransientError, CorruptDataError, CorpusEmbedError)}
_RAISED = re.compile(r"\btransforms\.logic\.errors\.(\w+): (.+?)(?=\n\n|\n\S|\Z)", re.DOTALL)


def find_in_text(text: str) -> CorpusEmbedError | None:
    """The last of this project's errors that a traceback names: runners hand a worker's error on as text only."""
    found = _RAISED.findall(text)
    if not found or found[-1][0] not in _BY_NAME:
        return None
    name, message = found[-1]
    return _BY_NAME[name](without_step(message))


def without_step(message: str) -> str:
    """A message without the step's name that Beam appends."""
    return message.split(" [while running", 1)[0].strip()
