"""TLS: who is trusted, by whose word, and what is written down for it. The servers are real ones of gRPC and of HTTPS."""

import logging
import ssl
import stat
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from tests.guarded_server import EXPIRED, Authority, Issued, guarded_server
from transforms.adapters.milvus import Collection, Target
from transforms.adapters.milvus.certificates import Certificates, certificates
from transforms.adapters.milvus.import_jobs import LostReplyError, RestJobs
from transforms.logic.access import Access
from transforms.logic.errors import ConfigurationError, CorpusEmbedError

TOKEN = "root:correct-horse-battery"


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def here(authority: Authority) -> Issued:
    return authority.issue(["127.0.0.1", "localhost"])


@pytest.fixture
def access(authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Access:
    """A client that knows the authority, as a file, has a certificate, as a file, and its key, in the environment."""
    (tmp_path / "ca.pem").write_bytes(authority.certificate)
    client = authority.issue(["client"])
    (tmp_path / "client.pem").write_bytes(client.certificate)
    monkeypatch.setenv("TOKEN_OF_TEST", TOKEN)
    monkeypatch.setenv("KEY_OF_TEST", client.key.decode())
    return Access("env:TOKEN_OF_TEST", f"file:{tmp_path}/ca.pem", f"file:{tmp_path}/client.pem", "env:KEY_OF_TEST")


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go."""
    directory = tmp_path / "temporary"
    directory.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(directory))
    return directory


def version_of(uri: str, access: Access) -> str:
    opened = Collection(Target(uri, "corpus", access))
    opened.close()
    return opened.version


def without_client(access: Access) -> Access:
    return replace(access, client_certificate=None, client_key=None)


def test_a_server_of_a_known_authority_is_trusted(here: Issued, access: Access, temporary: Path) -> None:
    with guarded_server(TOKEN, here) as server:
        assert version_of(server.uri, without_client(access)) == server.version
        assert version_of(server.uri.replace("127.0.0.1", "localhost"), without_client(access)) == server.version
        # A certificate that the server does not ask for does no harm.
        assert version_of(server.uri, access) == server.version
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("fault", ["unknown authority", "no authority named", "another host", "expired", "clear text"])
def test_a_server_that_is_not_vouched_for_is_refused(
    authority: Authority, here: Issued, access: Access, fault: str, monkeypatch: pytest.MonkeyPatch, temporary: Path
) -> None:
    monkeypatch.setattr("transforms.adapters.milvus.collection.CONNECT_TIMEOUT_SECONDS", 1.0)
    wanted = without_client(access)
    issued: Issued | None = here
    if fault == "unknown authority":
        issued = Authority().issue(["127.0.0.1"])
    elif fault == "no authority named":
        wanted = replace(wanted, ca=None)
    elif fault == "another host":
        issued = authority.issue(["milvus.example.org"])
    elif fault == "expired":
        issued = authority.issue(["127.0.0.1"], EXPIRED)
    else:
        issued = None
    with guarded_server(TOKEN, issued) as server:
        with pytest.raises(ConfigurationError, match="does not answer within 1 seconds"):
            version_of(server.uri.replace("http:", "https:"), wanted)
        assert not server.requests
        assert server.calls("Connect") == 0
    assert list(temporary.iterdir()) == []


def test_a_server_that_asks_for_a_certificate_gets_it(
    authority: Authority, here: Issued, access: Access, monkeypatch: pytest.MonkeyPatch, temporary: Path
) -> None:
    with guarded_server(TOKEN, here, clients=authority) as server:
        assert version_of(server.uri, access) == server.version
        monkeypatch.setattr("transforms.adapters.milvus.collection.CONNECT_TIMEOUT_SECONDS", 1.0)
        with pytest.raises(ConfigurationError, match="does not answer"):
            version_of(server.uri, without_client(access))
        stranger = Authority().issue(["client"])
        monkeypatch.setenv("KEY_OF_TEST", stranger.key.decode())
        (certificate, _) = stranger.write(temporary.parent, "stranger")
        with pytest.raises(ConfigurationError, match="does not answer"):
            version_of(server.uri, replace(access, client_certificate=f"file:{certificate}"))
    assert list(temporary.iterdir()) == []


def test_a_key_that_is_no_file_lies_where_only_its_user_reads_until_the_connection_ends(
    here: Issued, access: Access, temporary: Path
) -> None:
    with guarded_server(TOKEN, here) as server:
        opened = Collection(Target(server.uri, "corpus", access))
        (directory,) = temporary.iterdir()
        (key,) = directory.iterdir()
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        opened.close()
    assert list(temporary.iterdir()) == []


def changed(access: Access, name: str, reference: str) -> Access:
    """The same with one other reference."""
    change: dict[str, Any] = {name: reference}
    return replace(access, **change)


@pytest.mark.parametrize("name", ["ca", "client_certificate", "client_key"])
def test_what_is_not_in_pem_is_refused_and_not_shown(
    access: Access, name: str, monkeypatch: pytest.MonkeyPatch, temporary: Path
) -> None:
    monkeypatch.setenv("OTHER_OF_TEST", "hunter2hunter2")
    flag = f"--milvus-{name.replace('_', '-')}"
    with pytest.raises(ConfigurationError, match=rf"{flag} env:OTHER_OF_TEST: it is not in PEM") as caught:
        Certificates(changed(access, name, "env:OTHER_OF_TEST"))
    assert "hunter2" not in str(caught.value)
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("name", ["ca", "client_certificate", "client_key"])
def test_a_certificate_that_is_not_there_is_named(
    access: Access, name: str, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One that has to be written is, before the next is not there.
    monkeypatch.setenv("CA_OF_TEST", "-----BEGIN CERTIFICATE-----")
    access = replace(access, ca="env:CA_OF_TEST")
    with pytest.raises(ConfigurationError, match=rf"--milvus-{name.replace('_', '-')} file:/no/such cannot be read"):
        Certificates(changed(access, name, "file:/no/such"))
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("fault", ["no authority", "another key", "an encrypted key"])
def test_certificates_that_do_not_work_are_refused(
    authority: Authority, access: Access, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    key = authority.issue(["other"]).key
    if fault == "no authority":
        monkeypatch.setenv("CA_OF_TEST", "-----BEGIN CERTIFICATE-----\nnothing\n-----END CERTIFICATE-----")
        access = replace(access, ca="env:CA_OF_TEST")
    elif fault == "an encrypted key":
        private = serialization.load_pem_private_key(key, None)
        encryption = serialization.BestAvailableEncryption(b"hunter2")
        key = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    monkeypatch.setenv("KEY_OF_TEST", key.decode())
    with (
        certificates(access) as opened,
        pytest.raises(
            ConfigurationError, match=r"--milvus-ca, --milvus-client-certificate and --milvus-client-key cannot"
        ),
    ):
        opened.context()


def test_nothing_is_asked_of_the_client_without_certificates() -> None:
    with certificates(Access()) as opened:
        assert opened.client_settings() == {}
        assert opened.context().verify_mode is ssl.CERT_REQUIRED
        assert opened.context().check_hostname


# --- a token that is wrong ---


def test_a_server_that_repeats_the_token_is_not_repeated(
    here: Issued, access: Access, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = "root:another-canary"
    monkeypatch.setenv("TOKEN_OF_TEST", wrong)
    with (
        caplog.at_level(logging.DEBUG),
        guarded_server(TOKEN, here) as server,
        pytest.raises(
            ConfigurationError,
            match=r"refuses the connection: auth check failure.*\[secret\]=* is \[secret\], of \[secret\]",
        ) as caught,
    ):
        version_of(server.uri, without_client(access))
    chain: list[BaseException | None] = [caught.value, caught.value.__cause__]
    assert "another-canary" not in "".join(map(repr, chain)) + caplog.text
    assert caught.value.__suppress_context__


# --- REST ---


@contextmanager
def https_server(issued: Issued, directory: Path, answers: Mapping[str, Any]) -> Iterator[tuple[str, list[Any]]]:
    """Answers every request alike, and remembers their headers."""
    seen: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen.append(dict(self.headers))
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(answers["status"])
            for name, value in answers.get("headers", {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answers["body"])))
            self.end_headers()
            self.wfile.write(answers["body"])

        do_GET = do_POST  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*issued.write(directory, "server"))
    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


MADE = {"status": 200, "body": b'{"code": 0, "data": {"jobId": "7"}}'}


def test_rest_trusts_the_same_authority(here: Issued, access: Access, tmp_path: Path, temporary: Path) -> None:
    with https_server(here, tmp_path / "server", MADE) as (uri, seen):
        assert RestJobs(Target(uri, "c", access)).create("lang_de", "a.parquet", "key") == "7"
    assert [one["Authorization"] for one in seen] == [f"Bearer {TOKEN}"]
    assert list(temporary.iterdir()) == []


def test_rest_trusts_no_other(access: Access, tmp_path: Path) -> None:
    with (
        https_server(Authority().issue(["127.0.0.1"]), tmp_path / "server", MADE) as (uri, seen),
        pytest.raises(LostReplyError, match="CERTIFICATE_VERIFY_FAILED"),
    ):
        RestJobs(Target(uri, "c", access)).create("lang_de", "a.parquet", "key")
    assert seen == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_gets_no_token(here: Issued, access: Access, tmp_path: Path, status: int) -> None:
    with https_server(here, tmp_path / "thief", MADE) as (thief, stolen):
        moved = {"status": status, "body": b"", "headers": {"Location": f"{thief}/v2"}}
        with https_server(here, tmp_path / "server", moved) as (uri, seen), pytest.raises(CorpusEmbedError):
            RestJobs(Target(uri, "c", access)).create("lang_de", "a.parquet", "key")
    assert len(seen) == 1
    assert stolen == []


def test_what_rest_answers_is_not_repeated(here: Issued, access: Access, tmp_path: Path) -> None:
    said = f'{{"code": 1, "message": "bad token {TOKEN}"}}'.encode()
    with (
        https_server(here, tmp_path / "server", {"status": 200, "body": said}) as (uri, _),
        pytest.raises(CorpusEmbedError, match=r"bad token \[secret\]"),
    ):
        RestJobs(Target(uri, "c", access)).create("lang_de", "a.parquet", "key")
