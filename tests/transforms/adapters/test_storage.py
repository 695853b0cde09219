"""Files and objects: listed once, read, and written whole or not at all; local paths and an object-storage-like `memory://` alike."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.adapters import storage
from transforms.adapters.formats import plan_splits, read_split
from transforms.adapters.storage import (
    ChangedFileError,
    check_unchanged,
    check_writable,
    join,
    list_matching,
    list_names,
    open_binary,
    read_bytes,
    remove,
    write_bytes,
)
from transforms.logic.errors import ConfigurationError, TransientError
from transforms.logic.records import Reading


@pytest.fixture(params=["local", "memory"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A directory in each kind of storage."""
    if request.param == "local":
        yield str(tmp_path)
    else:
        yield "memory://bucket/prefix"
        if fsspec.filesystem("memory").exists("/bucket"):
            fsspec.filesystem("memory").rm("/bucket", recursive=True)


def names(files: list[storage.SourceFile], root: str) -> list[str]:
    assert all(
        file.uri.startswith(root.replace("memory://", "memory:///")) or file.uri.startswith(root) for file in files
    )
    return [file.uri.split(root.removeprefix("memory://"), 1)[1] for file in files]


def test_globs_find_files_in_order_and_once(root: str) -> None:
    for name in ("b.jsonl", "a.jsonl", "sub/c.jsonl", "sub/deep/d.jsonl", "other.txt"):
        write_bytes(join(root, name), name.encode())
    assert names(list_matching([join(root, "*.jsonl")]), root) == ["/a.jsonl", "/b.jsonl"]
    assert names(list_matching([join(root, "**/*.jsonl")]), root) == [
        "/a.jsonl",
        "/b.jsonl",
        "/sub/c.jsonl",
        "/sub/deep/d.jsonl",
    ]
    several = [join(root, "sub/*.jsonl"), join(root, "b.jsonl"), join(root, "*.jsonl"), join(root, "[ab].jsonl")]
    assert names(list_matching(several), root) == ["/a.jsonl", "/b.jsonl", "/sub/c.jsonl"]
    assert [file.size_bytes for file in list_matching(several)] == [7, 7, 11]


@pytest.mark.parametrize("pattern", ["none*.jsonl", "gone.jsonl", "gone/*.jsonl", "gone/", "*.txt/"])
def test_a_pattern_without_a_file_is_named(root: str, pattern: str) -> None:
    write_bytes(join(root, "a.jsonl"), b"")
    with pytest.raises(ConfigurationError, match="no file matches the input") as caught:
        list_matching([join(root, "a.jsonl"), join(root, pattern)])
    assert repr(join(root, pattern)) in str(caught.value)


def test_an_unknown_scheme_is_named_with_the_remedy() -> None:
    with pytest.raises(ConfigurationError, match=r"'nowhere://bucket/a\.jsonl'"):
        list_matching(["nowhere://bucket/a.jsonl"])


def test_a_listed_uri_can_be_read_and_planned(root: str) -> None:
    write_bytes(join(root, "a.jsonl"), b'{"id": "d", "text": "t"}\n')
    (file,) = list_matching([join(root, "*.jsonl")])
    assert read_bytes(file.uri) == b'{"id": "d", "text": "t"}\n'
    (page,) = read_split(plan_splits([file])[0], Reading(max_document_bytes=100))
    assert [(document["document_id"], document["source"]) for document in page.documents] == [("d", file.uri)]


def test_a_relative_path_is_listed_as_an_absolute_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    assert [file.uri for file in list_matching(["*.jsonl", "./a.jsonl", str(tmp_path / "a.jsonl")])] == [
        str(tmp_path / "a.jsonl")
    ]


@pytest.mark.parametrize("name", ["a[1].md", "what?.md", "**.md", "[draft]/a.md"])
def test_a_local_file_that_is_named_like_a_pattern_is_itself(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    for other in (path, tmp_path / "a1.md", tmp_path / "whatx.md"):
        other.parent.mkdir(exist_ok=True)
        other.write_bytes(b"x")
    assert [file.uri for file in list_matching([str(path)])] == [str(path)]


def test_a_file_uri_names_the_same_file_as_its_path(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"x")
    assert list_matching([f"file://{tmp_path}/*.jsonl"]) == list_matching([str(tmp_path / "a.jsonl")])


def test_a_directory_means_everything_below_and_its_hidden_files_are_marked(root: str) -> None:
    for name in (
        "data/a.jsonl",
        "data/sub/b.csv",
        "data/_SUCCESS",
        "data/.part/c.jsonl",
        "other/d.jsonl",
        "data.jsonl",
    ):
        write_bytes(join(root, name), b"x")
    below = ["/data/.part/c.jsonl", "/data/_SUCCESS", "/data/a.jsonl", "/data/sub/b.csv"]
    for pattern in ("data", "data/", "d?ta/", "[d]*/"):
        files = list_matching([join(root, pattern)])
        assert names(files, root) == below
        assert [file.hidden for file in files] == [True, True, False, False]
    assert names(list_matching([join(root, "data/*")]), root) == ["/data/_SUCCESS", "/data/a.jsonl"]
    assert not any(file.hidden for file in list_matching([join(root, "data/_*"), join(root, "data/.part/c.jsonl")]))


def test_a_date_in_the_path_is_told_of_every_file(root: str) -> None:
    for name in ("2026/03/01/a.jsonl", "2026/03/02/b/c.jsonl", "2026/02/30/d.jsonl", "2026/03/x/e.jsonl"):
        write_bytes(join(root, name), b"x")
    expected = {"/2026/03/01/a.jsonl": "2026-03-01", "/2026/02/30/d.jsonl": "", "/2026/03/02/b/c.jsonl": "2026-03-02"}
    for pattern in ("{date:%Y/%m/%d}", "{date:%Y/%m/%d}/", "{date:%Y/%m/%d}/**/*.jsonl"):
        files = list_matching([join(root, pattern)])
        assert {name: file.date for name, file in zip(names(files, root), files, strict=True)} == expected
    assert [file.date for file in list_matching([join(root, "2026/03/01/")])] == [None]
    # Of several patterns for one file the first counts.
    both = [join(root, "{date:%Y}/03/01/"), join(root, "2026/03/01/a.jsonl")]
    assert [[file.date for file in list_matching(patterns)] for patterns in (both, both[::-1])] == [["2026"], [None]]


def test_links_to_files_are_followed_and_broken_ones_are_not_lost(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"content")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jsonl").symlink_to(tmp_path / "real")
    (tmp_path / "in" / "b.jsonl").symlink_to(tmp_path / "gone")
    for pattern in ("in/*.jsonl", "in/", "**/*.jsonl"):
        first, second = list_matching([f"{tmp_path}/{pattern}"])
        assert (first.uri, first.size_bytes) == (f"{tmp_path}/in/a.jsonl", 7)
        assert second.uri == f"{tmp_path}/in/b.jsonl"
        with open_binary(first.uri, first.etag) as stream:
            assert stream.read() == b"content"
        with pytest.raises(FileNotFoundError):
            read_bytes(second.uri)


@pytest.mark.parametrize("pattern", ["in/", "**/*.jsonl", "in"])
def test_a_directory_that_cannot_be_read_is_named_and_not_taken_for_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pattern: str
) -> None:
    (tmp_path / "in" / "locked").mkdir(parents=True)
    (tmp_path / "in" / "a.jsonl").write_bytes(b"x")
    scan = os.scandir

    def refuse(path: str) -> Any:
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    # Tests may run as root, whom no file mode keeps out.
    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(ConfigurationError, match=r"cannot be listed: .*Permission denied.*locked"):
        list_matching([f"{tmp_path}/{pattern}"])


def test_a_wrong_pattern_is_named(tmp_path: Path) -> None:
    for pattern in ("a**b/*.jsonl", "{date:%B}/*.jsonl"):
        with pytest.raises(ConfigurationError) as caught:
            list_matching([f"{tmp_path}/{pattern}"])
        assert repr(f"{tmp_path}/{pattern}") in str(caught.value)


def test_a_local_file_that_changed_gives_nothing(root: str) -> None:
    uri = join(root, "a.jsonl")
    write_bytes(uri, b"one")
    (file,) = list_matching([uri])
    with open_binary(file.uri, file.etag) as stream:
        assert stream.read() == b"one"
    check_unchanged(file.uri, file.etag)
    check_unchanged(file.uri, "")
    write_bytes(uri, b"two")
    for look in (lambda: check_unchanged(file.uri, file.etag), lambda: open_binary(file.uri, file.etag).__enter__()):
        with pytest.raises(ChangedFileError, match=rf"a\.jsonl was listed as {file.etag} and is 3-"):
            look()


def test_a_changed_file_has_another_etag(root: str) -> None:
    uri = join(root, "a.jsonl")
    write_bytes(uri, b"one")
    (before,) = list_matching([uri])
    assert list_matching([uri]) == [before]
    write_bytes(uri, b"other")
    (after,) = list_matching([uri])
    assert after.uri == before.uri
    assert after.etag != before.etag


def test_names_below_a_directory(root: str) -> None:
    assert list_names(join(root, "gone")) == []
    for name in ("b", "a", "sub/c"):
        write_bytes(join(root, name), b"")
    assert list_names(root) == ["a", "b"]
    assert list_names(root + "/") == ["a", "b"]


@settings(deadline=None, derandomize=True, max_examples=25)
@given(contents=st.lists(st.binary(max_size=200), min_size=1, max_size=3))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, contents: list[bytes]) -> None:
    for uri in (str(tmp_path_factory.mktemp("written") / "deep" / "er" / "file"), "memory://written/deep/file"):
        for content in contents:
            write_bytes(uri, content)
            assert read_bytes(uri) == content
        assert list_names(uri.rsplit("/", 1)[0]) == ["file"]


def test_exclusive_writing_keeps_the_first_content(root: str) -> None:
    uri = join(root, "deep", "file")
    write_bytes(uri, b"first", exclusive=True)
    with pytest.raises(FileExistsError):
        write_bytes(uri, b"second", exclusive=True)
    assert read_bytes(uri) == b"first"
    assert list_names(join(root, "deep")) == ["file"]
    write_bytes(uri, b"third")
    assert read_bytes(uri) == b"third"


def test_of_many_exclusive_writers_one_wins(tmp_path: Path) -> None:
    uri = str(tmp_path / "file")
    won: list[bytes] = []
    gate = threading.Barrier(8)

    def write(content: bytes) -> None:
        gate.wait()
        try:
            write_bytes(uri, content, exclusive=True)
        except FileExistsError:
            return
        won.append(content)

    threads = [threading.Thread(target=write, args=(bytes([number]) * 1000,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert won == [read_bytes(uri)]
    assert list_names(str(tmp_path)) == ["file"]


@pytest.mark.parametrize("exclusive", [False, True])
@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failing_write_leaves_nothing_and_what_stood_there_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exclusive: bool, step: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    old, new = tmp_path / "old", tmp_path / "new"
    old.write_bytes(b"old")
    with monkeypatch.context() as patch:
        if step == "fsync":
            patch.setattr(os, "fsync", full)
        else:
            patch.setattr(os, "link", full)
            patch.setattr(Path, "replace", full)
        with pytest.raises(OSError, match="No space left"):
            write_bytes(str(new), b"new", exclusive=exclusive)
        with pytest.raises(OSError, match="No space left"):
            write_bytes(str(old), b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
    assert old.read_bytes() == b"old"


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    uri = str(tmp_path / "file")
    whole = {bytes([number]) * 300_000 for number in range(2)}
    write_bytes(uri, min(whole))
    seen: set[bytes] = set()
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            seen.add(read_bytes(uri))

    reader = threading.Thread(target=look)
    reader.start()
    for _ in range(20):
        for content in whole:
            write_bytes(uri, content)
    done.set()
    reader.join()
    assert seen
    assert seen <= whole


def test_a_missing_file_is_an_os_error_that_names_it(root: str) -> None:
    with pytest.raises(FileNotFoundError, match="gone"):
        read_bytes(join(root, "gone"))


@pytest.mark.parametrize("error", [ConnectionResetError("reset by peer"), TimeoutError("too slow")])
def test_a_network_failure_while_reading_is_transient(tmp_path: Path, error: OSError) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x")

    def read() -> None:
        with open_binary(str(path)):
            raise error

    with pytest.raises(TransientError, match=str(path)):
        read()


def test_a_network_failure_in_a_split_is_transient_and_no_reject(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reject would drop the rest of a sound file; the worker is to try again."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"id": "d", "text": "t"}\n')
    splits = plan_splits(list_matching([str(path)]))

    def reset(*_: object, **__: object) -> object:
        raise ConnectionResetError("reset by peer")

    monkeypatch.setattr("fsspec.implementations.local.LocalFileSystem.open", reset)
    with pytest.raises(TransientError, match="reset by peer"):
        list(read_split(splits[0], Reading(max_document_bytes=100)))


def test_a_writable_directory_is_left_as_it_was(root: str) -> None:
    check_writable(join(root, "workspace"))
    assert list_names(join(root, "workspace")) == []


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for below in (tmp_path / "file", tmp_path / "file" / "workspace"):
        with pytest.raises(ConfigurationError) as caught:
            check_writable(str(below))
        assert repr(str(below)) in str(caught.value)


def test_an_object_store_that_refuses_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("403: no storage.objects.create")

    monkeypatch.setattr("fsspec.implementations.memory.MemoryFileSystem.pipe_file", refuse)
    with pytest.raises(ConfigurationError, match=r"'memory://bucket/workspace'.*storage\.objects\.create"):
        check_writable("memory://bucket/workspace")


def test_what_is_removed_is_gone_and_removing_it_again_is_no_error(root: str) -> None:
    for name in ("a", "b"):
        write_bytes(join(root, name), b"x")
    for _ in range(2):
        remove(join(root, "a"))
        assert list_names(root) == ["b"]
    remove(join(root, "no such directory", "a"))
