"""States of an alias in the workspace.

publications/<alias>/<number>.json      a state, committed by exclusive creation; the greatest number is the current one
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from transforms.adapters.crashpoints import durable
from transforms.adapters.storage import current_etag, join, list_names, read_bytes, write_bytes
from transforms.logic.errors import CorruptDataError, TransientError
from transforms.logic.publication import FORMAT, Publication


@dataclass(frozen=True)
class Publications:
    """The states of one alias; `key` is its name and where it lives, as `workspace.collection_key` gives it."""

    uri: str
    key: str

    @property
    def lease(self) -> str:
        """Directory of the lease that whoever moves the alias holds."""
        return join(self._directory, "lease")

    def latest(self) -> Publication:
        """The current state; one that is not as it was committed raises `CorruptDataError`."""
        names = [name for name in list_names(self._directory) if name.endswith(".json")]
        number = max((int(name.removesuffix(".json")) for name in names), default=0)
        # A listing may be old, a question after one name is answered by what is there.
        while current_etag(self._uri(number + 1)) is not None:
            number += 1
        if number == 0:
            return Publication()
        uri = self._uri(number)
        try:
            values = json.loads(read_bytes(uri))
            digest = values.pop("digest")
            if values["format"] == FORMAT and digest == _digest(values):
                return Publication.from_values(values)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise CorruptDataError(f"{uri} cannot be read: {error!r}; restore it") from error
        raise CorruptDataError(f"{uri} is not a state as it was committed, or of another version; restore it")

    def commit(self, state: Publication) -> Publication:
        """Makes a state the current one and gives it; another process that was faster raises `TransientError`."""
        values = state.to_values()
        data = _bytes({**values, "digest": _digest(values)})
        uri = self._uri(state.number)
        try:
            with durable("publication"):
                write_bytes(uri, data, exclusive=True)
        except FileExistsError as error:
            if read_bytes(uri) != data:
                raise TransientError(f"another process wrote {uri} meanwhile; run again") from error
        return state

    @property
    def _directory(self) -> str:
        return join(self.uri, "publications", self.key)

    def _uri(self, number: int) -> str:
        return join(self._directory, f"{number:08d}.json")


def _bytes(values: dict[str, Any]) -> bytes:
    return json.dumps(values, indent=2, ensure_ascii=False).encode() + b"\n"


def _digest(values: dict[str, Any]) -> str:
    return hashlib.blake2b(_bytes(values), digest_size=16).hexdigest()
