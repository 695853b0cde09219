"""Token, certificates and key of a connection, read from where the references say when it is made."""

import ssl
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from transforms.adapters.secrets import read, resolve
from transforms.logic.access import CA, CLIENT_CERTIFICATE, CLIENT_KEY, TOKEN, Access
from transforms.logic.errors import ConfigurationError
from transforms.logic.references import parse_reference


def token_of(access: Access) -> str:
    """The token, empty where none is needed.

    Raises:
        ConfigurationError: there is none where the reference says.
        TransientError: Secret Manager does not answer.
    """
    return "" if access.token is None else resolve(access.token, TOKEN).reveal()


class Certificates:
    """Certificates and key as files, which is how libraries want them, until `close`.

    What is no file yet is put where only this user reads. Anything that is not in PEM raises `ConfigurationError`.
    """

    def __init__(self, access: Access) -> None:
        self._directory: tempfile.TemporaryDirectory[str] | None = None
        with ExitStack() as undo:
            undo.callback(self.close)
            self.ca = self._path(access.ca, CA)
            self.certificate = self._path(access.client_certificate, CLIENT_CERTIFICATE)
            self.key = self._path(access.client_key, CLIENT_KEY)
            undo.pop_all()

    def close(self) -> None:
        """Removes what was written."""
        if self._directory is not None:
            self._directory.cleanup()
            self._directory = None

    def client_settings(self) -> dict[str, Any]:
        """Arguments of `MilvusClient`, which reads the files again when it connects again.

        It takes authorities alone as `server_pem_path`, where it would not look at certificate and key, and all three by other names.
        """
        if self.certificate is None:
            return {} if self.ca is None else {"server_pem_path": self.ca}
        return {"ca_pem_path": self.ca, "client_pem_path": self.certificate, "client_key_path": self.key}

    def context(self) -> ssl.SSLContext:
        """The same for HTTPS; what is no certificate or no key of it raises `ConfigurationError`."""
        try:
            made = ssl.create_default_context(cafile=self.ca)
            if self.certificate is not None:
                # An encrypted key would ask whoever sits at the terminal.
                made.load_cert_chain(self.certificate, self.key, password="")
        except ssl.SSLError as error:
            raise ConfigurationError(
                f"{CA}, {CLIENT_CERTIFICATE} and {CLIENT_KEY} cannot be used ({error}); name certificates and the key that "
                "belongs to them, unencrypted"
            ) from error
        return made

    def _path(self, reference: str | None, flag: str) -> str | None:
        if reference is None:
            return None
        # Read in any case: what cannot be is named now.
        content = resolve(reference, flag).reveal() if flag == CLIENT_KEY else read(reference, flag)
        if "-----BEGIN " not in content:
            raise ConfigurationError(f"{flag} {reference}: it is not in PEM, which begins with -----BEGIN")
        parsed = parse_reference(reference, flag)
        if parsed.kind == "file":
            return parsed.name
        if self._directory is None:
            self._directory = tempfile.TemporaryDirectory(prefix="corpus-embed-")
        path = Path(self._directory.name, flag.removeprefix("--"))
        path.touch(mode=0o600)
        path.write_text(content + "\n", encoding="utf-8")
        return str(path)


@contextmanager
def certificates(access: Access) -> Iterator[Certificates]:
    """The files, for as long as they are needed."""
    opened = Certificates(access)
    try:
        yield opened
    finally:
        opened.close()
