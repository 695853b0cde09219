"""References to secrets: they say where a secret is, never what it is, so that they may stand in options, graphs and records."""

import re
from dataclasses import dataclass
from typing import Literal

from transforms.logic.errors import ConfigurationError

FORMS = "env:NAME, file:/PATH or secret:projects/PROJECT/secrets/NAME/versions/VERSION"
_KINDS: dict[Literal["env", "file", "secret"], re.Pattern[str]] = {
    "env": re.compile(r"[A-Za-z_][A-Za-z0-9_]*"),
    # Absolute: a worker has another working directory.
    "file": re.compile(r"/[^\0\n]+"),
    "secret": re.compile(r"projects/[a-z0-9:.-]+/secrets/[A-Za-z0-9_-]+/versions/([0-9]+|latest)"),
}
PATTERN = f"^({'|'.join(f'{kind}:{name.pattern}' for kind, name in _KINDS.items())})$"
"""What a reference looks like, as a regular expression (ECMA 262, so for JSON Schema too)."""


@dataclass(frozen=True)
class Reference:
    """A place that is read where the secret is used.

    Attributes:
        kind: `env`, an environment variable; `file`, a file; `secret`, a version of a secret of Google Cloud Secret Manager.
        name: of the variable, absolute path of the file, resource name of the version.
    """

    kind: Literal["env", "file", "secret"]
    name: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"


def parse_reference(text: str, flag: str) -> Reference:
    """Reads what a flag was given; anything but a reference raises `ConfigurationError`, which does not repeat it: it may be a secret."""
    for kind, names in _KINDS.items():
        name = text.removeprefix(f"{kind}:")
        if name != text and names.fullmatch(name):
            return Reference(kind, name)
    raise ConfigurationError(
        f"{flag} takes a reference, and what it was given is none (it is not shown, as it may be a secret); put the secret into "
        f"the environment, a file or Secret Manager, and write {FORMS}"
    )
