"""How a Milvus may be reached: with which token, certificates and key, all of them references, and at which addresses."""

from dataclasses import dataclass

from transforms.logic.addresses import check_address
from transforms.logic.errors import ConfigurationError
from transforms.logic.references import parse_reference

TOKEN = "--milvus-token"  # noqa: S105  a flag
CA = "--milvus-ca"
CLIENT_CERTIFICATE = "--milvus-client-certificate"
CLIENT_KEY = "--milvus-client-key"


@dataclass(frozen=True)
class Access:
    """References, see `references`, to what a connection needs; anything else raises `ConfigurationError`.

    Attributes:
        token: `user:password` or an API key.
        ca: certificates, in PEM, of the authorities that vouch for the server; by default those that the libraries know.
        client_certificate: in PEM, for servers that ask for one (mutual TLS).
        client_key: its private key, in PEM.
        allow_clear_text: connect without encryption to other machines too.
    """

    token: str | None = None
    ca: str | None = None
    client_certificate: str | None = None
    client_key: str | None = None
    allow_clear_text: bool = False

    def __post_init__(self) -> None:
        for flag, reference in (
            (TOKEN, self.token),
            (CA, self.ca),
            (CLIENT_CERTIFICATE, self.client_certificate),
            (CLIENT_KEY, self.client_key),
        ):
            if reference is not None:
                parse_reference(reference, flag)
        pair = {self.client_certificate is None, self.client_key is None}
        # Milvus's client drops a certificate that comes without authorities.
        if len(pair) > 1 or (pair == {False} and self.ca is None):
            raise ConfigurationError(
                f"{CLIENT_CERTIFICATE}, {CLIENT_KEY} and {CA} belong together; name all three, or {CA} alone"
            )

    def check(self, address: str, flag: str = "--milvus") -> None:
        """Refuses an address by `ConfigurationError`: see `addresses.check_address`; and certificates where there is no TLS."""
        check_address(address, flag, allow_clear_text=self.allow_clear_text)
        if self.ca is not None and not address.startswith("https://"):
            raise ConfigurationError(f"{CA} is for a server with TLS; name it as https://, not {flag} {address!r}")
