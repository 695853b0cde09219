"""What a connection needs is named by references, as a whole, and goes with its address."""

from dataclasses import fields
from typing import Any

import pytest

from transforms.logic.access import Access
from transforms.logic.errors import ConfigurationError

CA, CERTIFICATE, KEY = "file:/ca.pem", "file:/client.pem", "env:CLIENT_KEY"


def test_nothing_is_needed() -> None:
    Access().check("http://localhost:19530")
    Access().check("milvus.db")
    Access().check("https://milvus.example.org")


@pytest.mark.parametrize("name", [field.name for field in fields(Access) if field.name != "allow_clear_text"])
def test_only_references_are_taken(name: str) -> None:
    given: dict[str, Any] = {name: "hunter2"}
    with pytest.raises(ConfigurationError, match=rf"--milvus-{name.replace('_', '-')} takes a reference") as caught:
        Access(**given)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("ca", "certificate", "key"),
    [(None, CERTIFICATE, KEY), (CA, CERTIFICATE, None), (CA, None, KEY), (None, CERTIFICATE, None), (None, None, KEY)],
)
def test_half_of_a_client_certificate_is_refused(ca: str | None, certificate: str | None, key: str | None) -> None:
    with pytest.raises(
        ConfigurationError, match="--milvus-client-certificate, --milvus-client-key and --milvus-ca belong"
    ):
        Access(None, ca, certificate, key)


@pytest.mark.parametrize("access", [Access(ca=CA), Access("env:T", CA, CERTIFICATE, KEY)])
def test_certificates_are_for_tls(access: Access) -> None:
    access.check("https://milvus.example.org")
    for address in ("http://localhost:19530", "milvus.db", "tcp://127.0.0.1:19530"):
        with pytest.raises(ConfigurationError, match="--milvus-ca is for a server with TLS"):
            access.check(address)


def test_clear_text_is_refused_unless_meant() -> None:
    with pytest.raises(ConfigurationError, match="--import-endpoint 'http://milvus:9091'"):
        Access().check("http://milvus:9091", "--import-endpoint")
    Access(allow_clear_text=True).check("http://milvus:9091", "--import-endpoint")
