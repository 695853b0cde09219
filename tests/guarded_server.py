"""Milvus's double behind what guards a real one: TLS, client certificates, a token; and certificates for them.

Whoever comes with another token is told so with that token in the message, plain and encoded: a server that talks too much.
"""

import base64
import ipaddress
from collections.abc import Iterator, Sequence
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pymilvus.grpc_gen import milvus_pb2_grpc

from tests.milvus_server import MilvusServer, _Answering

_BEGIN, _END = datetime(2020, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
EXPIRED = datetime(2021, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Issued:
    """A certificate with its key, both in PEM."""

    certificate: bytes
    key: bytes

    def write(self, directory: Path, name: str) -> tuple[Path, Path]:
        """Writes both, and gives their paths."""
        directory.mkdir(parents=True, exist_ok=True)
        paths = (directory / f"{name}.pem", directory / f"{name}.key")
        for path, content in zip(paths, (self.certificate, self.key), strict=True):
            path.write_bytes(content)
        return paths


class Authority:
    """Issues certificates."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Authority of tests")])
        own = self._sign(self._name, self._key.public_key(), _END, [], is_authority=True)
        self.certificate = own.public_bytes(serialization.Encoding.PEM)

    def issue(self, hosts: Sequence[str], end: datetime = _END) -> Issued:
        """A certificate for hosts, or numbers of hosts."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "one of tests")])
        signed = self._sign(name, key.public_key(), end, [_host(host) for host in hosts], is_authority=False)
        return Issued(
            signed.public_bytes(serialization.Encoding.PEM),
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ),
        )

    def _sign(self, name: x509.Name, key: Any, end: datetime, hosts: Any, *, is_authority: bool) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(_BEGIN)
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if hosts:
            builder = builder.add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        return builder.sign(self._key, hashes.SHA256())


def _host(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


class _Asking(grpc.ServerInterceptor):  # type: ignore[misc]  # grpc has no types
    def __init__(self, token: str) -> None:
        self._wanted = base64.b64encode(token.encode()).decode()

    def intercept_service(self, continuation: Any, details: Any) -> Any:
        given = next((one.value for one in details.invocation_metadata if one.key == "authorization"), "")
        if not self._wanted or given == self._wanted:
            return continuation(details)
        plain = base64.b64decode(given).decode()
        said = (
            f"auth check failure, please check username and password: {given} is {plain}, of {plain.partition(':')[2]}"
        )

        def refuse(request: Any, context: Any) -> None:
            context.abort(grpc.StatusCode.UNAUTHENTICATED, said)

        return grpc.unary_unary_rpc_method_handler(refuse)


@contextmanager
def guarded_server(
    token: str = "", issued: Issued | None = None, clients: Authority | None = None, version: str = "2.6.4"
) -> Iterator[MilvusServer]:
    """A server on 127.0.0.1 that takes one token, with TLS if it has a certificate, and only clients of an authority if one is named."""
    servicer = MilvusServer(version)
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=2), interceptors=[_Asking(token), _Answering(servicer)])
    milvus_pb2_grpc.add_MilvusServiceServicer_to_server(servicer, server)
    if issued is None:
        servicer.uri = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    else:
        credentials = grpc.ssl_server_credentials(
            [(issued.key, issued.certificate)], clients and clients.certificate, require_client_auth=clients is not None
        )
        servicer.uri = f"https://127.0.0.1:{server.add_secure_port('127.0.0.1:0', credentials)}"
    server.start()
    try:
        yield servicer
    finally:
        server.stop(grace=None).wait()
