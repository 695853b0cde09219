"""Object storage against real servers: listing, reading by etag, exclusive writing, and what a person is told when it fails."""

import importlib
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import fsspec
import pytest

from tests.servers import AWS_ENVIRONMENT, Answer, Store, answering_server, free_port
from transforms.adapters import stores
from transforms.adapters.storage import (
    ChangedFileError,
    check_unchanged,
    check_writable,
    current_etag,
    join,
    list_matching,
    list_names,
    open_binary,
    read_bytes,
    write_bytes,
)
from transforms.logic.errors import ConfigurationError, TransientError

S3_DENIED = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
S3_BUSY = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
GCS_DENIED = b'{"error": {"code": 403, "message": "reader does not have storage.objects.list access"}}'
GCS_UNKNOWN = b'{"error": {"code": 401, "message": "Anonymous caller does not have storage.objects.list access"}}'
GCS_BUSY = b'{"error": {"code": 503, "message": "backend error"}}'


def names(store: Store, *patterns: str) -> list[str]:
    return [file.uri.removeprefix(store.root) for file in list_matching([store.root + pattern for pattern in patterns])]


# --- listing ---


def test_globs_directories_and_everything_below_are_listed(store: Store) -> None:
    for name in ("a.jsonl", "sub/b.jsonl", "sub/deep/c.jsonl", "sub/deep/d.txt", "sub/_SUCCESS", "other/e.jsonl"):
        store.put(name, name.encode())
    assert names(store, "/*.jsonl") == ["/a.jsonl"]
    assert names(store, "/**/*.jsonl") == ["/a.jsonl", "/other/e.jsonl", "/sub/b.jsonl", "/sub/deep/c.jsonl"]
    assert names(store, "/s*/b.jsonl", "/other/*", "/a.jsonl") == ["/a.jsonl", "/other/e.jsonl", "/sub/b.jsonl"]
    below = ["/sub/_SUCCESS", "/sub/b.jsonl", "/sub/deep/c.jsonl", "/sub/deep/d.txt"]
    assert names(store, "/sub") == names(store, "/sub/") == names(store, "/s*/") == below
    assert names(store, "/s?b/d*/") == ["/sub/deep/c.jsonl", "/sub/deep/d.txt"]
    assert [file.hidden for file in list_matching([f"{store.root}/sub"])] == [True, False, False, False]
    assert [file.size_bytes for file in list_matching([f"{store.root}/sub/**/*.txt"])] == [len("sub/deep/d.txt")]
    assert len(names(store, "/", "/**/*.jsonl", "/sub")) == 6


def test_a_listing_is_never_taken_from_a_cache(store: Store) -> None:
    first = store.put("a.jsonl", b"one")
    (before,) = list_matching([f"{store.root}/*.jsonl"])
    assert list_names(store.root) == ["a.jsonl"]
    assert current_etag(first) == before.etag
    store.put("b.jsonl", b"two")
    store.put("a.jsonl", b"changed")
    after = list_matching([f"{store.root}/*.jsonl"])
    assert [(file.uri.rsplit("/", 1)[1], file.size_bytes) for file in after] == [("a.jsonl", 7), ("b.jsonl", 3)]
    assert after[0].etag != before.etag
    assert current_etag(first) == after[0].etag
    assert list_names(store.root) == ["a.jsonl", "b.jsonl"]
    store.remove("a.jsonl")
    assert names(store, "/*.jsonl") == names(store, "/") == ["/b.jsonl"]
    assert current_etag(first) is None
    assert list_names(store.root) == ["b.jsonl"]


@pytest.mark.parametrize("pattern", ["/gone/", "/gone.jsonl", "/*.jsonl", "/gone/**"])
def test_what_does_not_exist_is_named(store: Store, pattern: str) -> None:
    store.put("a.txt", b"")
    with pytest.raises(ConfigurationError, match="no file matches the input") as caught:
        names(store, pattern)
    assert repr(store.root + pattern) in str(caught.value)


def test_a_bucket_that_does_not_exist_is_named(store: Store) -> None:
    uri = f"{store.scheme}://no-such-bucket/*.jsonl"
    with pytest.raises(ConfigurationError, match=r"no-such-bucket/\*\.jsonl"):
        list_matching([uri])


# --- reading ---


def test_a_listed_object_is_read_in_one_request(store: Store) -> None:
    store.put("a.jsonl", b"line\n" * 100)
    (file,) = list_matching([f"{store.root}/a.jsonl"])
    store.requests()
    with open_binary(file.uri, file.etag) as stream:
        assert stream.read() == b"line\n" * 100
    check_unchanged(file.uri, file.etag)
    (request,) = store.requests()
    assert "GET" in request


@pytest.mark.parametrize(
    ("planned", "content"),
    [(b"first", b"second"), (b"first", b"again"), (b"first", b""), (b"", b"second")],
    ids=["longer", "same size", "emptied", "filled"],
)
def test_an_object_that_changed_before_it_is_opened_gives_no_byte(store: Store, planned: bytes, content: bytes) -> None:
    uri = store.put("a.jsonl", planned)
    (file,) = list_matching([uri])
    store.put("a.jsonl", content)
    read = []
    with pytest.raises(ChangedFileError) as caught, open_binary(uri, file.etag) as stream:
        read.append(stream.read())
    assert read == []
    assert str(caught.value) == f"{uri} was listed as {file.etag} and is {current_etag(uri)}"


def test_an_object_that_changes_between_two_requests_gives_only_what_was_listed(store: Store) -> None:
    blocks = [bytes([number]) * stores._READ_BYTES for number in range(3)]
    uri = store.put("a.bin", b"".join(blocks))
    (file,) = list_matching([uri])
    read = bytearray()

    def read_on() -> None:
        with open_binary(uri, file.etag) as stream:
            while piece := stream.read(1 << 20):
                if not read:
                    store.put("a.bin", bytes(len(blocks) * stores._READ_BYTES))
                read.extend(piece)

    with pytest.raises(ChangedFileError, match=r"was listed as"):
        read_on()
    assert len(read) >= 1 << 20
    assert b"".join(blocks).startswith(read)


def test_an_object_that_is_gone_is_named(store: Store) -> None:
    uri = store.put("a.jsonl", b"x")
    (file,) = list_matching([uri])
    store.remove("a.jsonl")
    with (
        pytest.raises(ChangedFileError, match=f"{uri} was listed as .* and is gone"),
        open_binary(uri, file.etag) as one,
    ):
        one.read()
    with pytest.raises(FileNotFoundError):
        read_bytes(uri)


# --- writing ---


def test_what_is_written_is_read_listed_and_replaced(store: Store) -> None:
    uri = join(store.root, "deep", "er", "file")
    assert list_names(join(store.root, "deep")) == []
    for content in (b"first", b"", b"third" * 1000):
        write_bytes(uri, content)
        assert read_bytes(uri) == content
    assert list_names(join(store.root, "deep", "er")) == ["file"]
    assert list_names(join(store.root, "deep")) == []


def test_an_exclusive_write_is_refused_by_the_store_itself(store: Store) -> None:
    uri = join(store.root, "ledger", "00000001.json")
    write_bytes(uri, b"first", exclusive=True)
    store.requests()
    with pytest.raises(FileExistsError):
        write_bytes(uri, b"second", exclusive=True)
    asked = "".join(store.requests())
    assert "412" in asked
    assert store.scheme == "s3" or "ifGenerationMatch=0" in asked
    # The store decides: looking first whether the name is free would leave a moment in which two runs both find it so.
    assert "HEAD" not in asked
    assert "GET" not in asked
    assert read_bytes(uri) == b"first"
    assert list_names(join(store.root, "ledger")) == ["00000001.json"]


@pytest.mark.parametrize("store", ["s3"], indirect=True)
def test_an_exclusive_write_in_parts_is_refused_when_they_are_put_together(store: Store) -> None:
    uri = store.put("large", b"first")
    with pytest.raises(FileExistsError):
        write_bytes(uri, bytes(101 << 20), exclusive=True)
    assert read_bytes(uri) == b"first"


def test_a_writable_bucket_is_left_as_it_was(store: Store) -> None:
    check_writable(join(store.root, "workspace"))
    assert list_names(join(store.root, "workspace")) == []


def test_a_bucket_that_does_not_exist_is_no_workspace(store: Store) -> None:
    uri = f"{store.scheme}://no-such-bucket/workspace"
    with pytest.raises(ConfigurationError, match=f"the workspace '{uri}' cannot be written"):
        check_writable(uri)


def test_a_store_that_overwrites_what_it_shall_create_is_no_workspace(monkeypatch: pytest.MonkeyPatch) -> None:
    def overwrite(self: fsspec.AbstractFileSystem, path: str, value: bytes, **_: object) -> None:
        self.store[path] = fsspec.implementations.memory.MemoryFile(self, path, value)

    monkeypatch.setattr("fsspec.implementations.memory.MemoryFileSystem.pipe_file", overwrite)
    with pytest.raises(ConfigurationError, match="'memory://bucket/workspace' lies in a store that overwrites"):
        check_writable("memory://bucket/workspace")


# --- refusals and failures ---


@pytest.mark.parametrize(("scheme", "library", "extra"), [("gs", "gcsfs", "gcp"), ("s3", "s3fs", "s3")])
def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, scheme: str, library: str, extra: str) -> None:
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, scheme, raising=False)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ConfigurationError, match=rf"'{scheme}://bucket/a'.*pip install 'corpus-embed\[{extra}\]'"):
        list_matching([f"{scheme}://bucket/a"])


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, Answer], str]]:
    """Starts a server that gives one answer to everything, and makes it what a scheme means; gives the root of a bucket."""
    with ExitStack() as servers:

        def start(scheme: str, answer: Answer) -> str:
            address = servers.enter_context(answering_server(answer))
            for name, value in {**AWS_ENVIRONMENT, "AWS_MAX_ATTEMPTS": "1", "AWS_ENDPOINT_URL_S3": address}.items():
                monkeypatch.setenv(name, value)
            monkeypatch.setenv("STORAGE_EMULATOR_HOST", address)
            for name in ("gcsfs.core.GCSFileSystem", "s3fs.core.S3FileSystem"):
                # Instances remember their server.
                monkeypatch.setattr(f"{name}._cache", {})
            return f"{scheme}://bucket"

        yield start


REFUSALS = [
    ("gs", Answer(403, GCS_DENIED), "storage.objects.list access", "GOOGLE_APPLICATION_CREDENTIALS"),
    ("gs", Answer(401, GCS_UNKNOWN), "Anonymous caller", "GOOGLE_APPLICATION_CREDENTIALS"),
    ("s3", Answer(403, S3_DENIED, "application/xml"), "(?i)forbidden|denied", "AWS_ACCESS_KEY_ID"),
]


@pytest.mark.parametrize(("scheme", "answer", "said", "remedy"), REFUSALS)
def test_a_refusal_at_planning_names_place_and_remedy(
    answering: Callable[[str, Answer], str], scheme: str, answer: Answer, said: str, remedy: str
) -> None:
    root = answering(scheme, answer)
    for pattern in (f"{root}/*.jsonl", f"{root}/a/"):
        with pytest.raises(ConfigurationError) as caught:
            list_matching([pattern])
        assert f"the input {pattern!r} cannot be listed" in str(caught.value)
        assert re.search(said, str(caught.value))
        assert remedy in str(caught.value)
    with pytest.raises(ConfigurationError) as caught:
        check_writable(f"{root}/workspace")
    assert f"the workspace '{root}/workspace' cannot be written" in str(caught.value)
    assert remedy in str(caught.value)


def test_missing_credentials_are_named(
    answering: Callable[[str, Answer], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = answering("s3", Answer(200, b""))
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(ConfigurationError, match=r"Unable to locate credentials; set AWS_ACCESS_KEY_ID"):
        list_matching([f"{root}/*.jsonl"])


FAILURES = [("gs", Answer(503, GCS_BUSY)), ("s3", Answer(503, S3_BUSY, "application/xml"))]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The libraries wait no time between their attempts."""

    async def no_wait(_: float) -> None:
        pass

    for module in ("gcsfs.retry", "s3fs.core"):
        monkeypatch.setattr(f"{module}.asyncio.sleep", no_wait)


@pytest.mark.parametrize(("scheme", "answer"), FAILURES)
def test_a_store_that_is_down_is_worth_another_attempt(
    answering: Callable[[str, Answer], str], impatient: None, scheme: str, answer: Answer
) -> None:
    root = answering(scheme, answer)
    with (
        pytest.raises(TransientError, match=f"reading {root}/a.jsonl"),
        open_binary(f"{root}/a.jsonl", "1/10") as stream,
    ):
        stream.read()
    for call in (
        lambda: list_matching([f"{root}/*.jsonl"]),
        lambda: read_bytes(f"{root}/a.jsonl"),
        lambda: write_bytes(f"{root}/a.jsonl", b"x"),
        lambda: list_names(f"{root}/a"),
        lambda: check_writable(f"{root}/a"),
        lambda: current_etag(f"{root}/a.jsonl"),
    ):
        with pytest.raises(TransientError, match=root):
            call()


@pytest.mark.parametrize("scheme", ["gs", "s3"])
def test_a_store_that_does_not_answer_is_worth_another_attempt(
    answering: Callable[[str, Answer], str], impatient: None, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    root = answering(scheme, Answer(200, b""))
    nobody = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", nobody)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", nobody)
    with pytest.raises(TransientError), open_binary(f"{root}/a.jsonl", "1/10") as stream:
        stream.read()


def test_an_object_that_may_not_be_read_is_no_failure_of_the_store(answering: Callable[[str, Answer], str]) -> None:
    """It costs itself: the reader makes a reject of it."""
    for scheme, answer, said, _ in (REFUSALS[0], REFUSALS[2]):
        root = answering(scheme, answer)
        with pytest.raises(OSError, match=said), open_binary(f"{root}/a.jsonl") as stream:
            stream.read()


def test_credentials_that_are_no_longer_valid_cost_no_object(answering: Callable[[str, Answer], str]) -> None:
    expired = b"<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>"
    for scheme, answer in (("gs", Answer(401, GCS_UNKNOWN)), ("s3", Answer(400, expired, "application/xml"))):
        root = answering(scheme, answer)
        with pytest.raises(TransientError, match=root), open_binary(f"{root}/a.jsonl", "1/10") as stream:
            stream.read()


def test_every_error_that_is_told_apart_exists_in_its_library() -> None:
    known = (*stores._TRANSIENT, *stores._CREDENTIALS, *stores._ANY)
    for name in known:
        importlib.import_module(name.rpartition(".")[0])
    assert len(stores._loaded(known)) == len(known)
