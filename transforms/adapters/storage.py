"""Bytes in files and objects, through fsspec: listed, read, and written so that a reader never sees half a file."""

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import fsspec

from transforms.logic.errors import ConfigurationError, TransientError


@dataclass(frozen=True)
class SourceFile:
    """A file as listed: URI, size in bytes, and what changes when its content does."""

    uri: str
    size_bytes: int
    etag: str


def filesystem_of(uri: str) -> tuple[Any, str]:
    """The fsspec filesystem and path of a URI or local path; an unknown scheme raises `ConfigurationError`."""
    try:
        filesystem, path = fsspec.core.url_to_fs(uri)
    except (ValueError, ImportError) as error:
        message = f"cannot open {uri!r}: {error}; use a local path, or install the extra for its scheme (gs:// needs corpus-embed[gcp])"
        raise ConfigurationError(message) from error
    return filesystem, cast("str", path)


def list_matching(patterns: Sequence[str]) -> list[SourceFile]:
    """Every file that matches a pattern, once, ordered by URI; a pattern without a match raises `ConfigurationError`."""
    found: dict[str, SourceFile] = {}
    for pattern in patterns:
        filesystem, path = filesystem_of(pattern)
        filesystem.invalidate_cache()
        matches = filesystem.glob(path, detail=True)
        files = [info for info in matches.values() if info["type"] == "file"]
        if not files:
            message = f"no file matches the input {pattern!r}; check the path, and quote globs so that the shell leaves them alone"
            raise ConfigurationError(message)
        for info in files:
            uri = _uri(filesystem, info["name"])
            found[uri] = SourceFile(uri, int(info["size"]), _etag(info))
    return [found[uri] for uri in sorted(found)]


def _uri(filesystem: Any, path: str) -> str:
    return path if "file" in filesystem.protocol else cast("str", filesystem.unstrip_protocol(path))


def _etag(info: dict[str, Any]) -> str:
    for name in ("generation", "ETag", "etag", "md5Hash"):
        if info.get(name):
            return str(info[name])
    return f"{info['size']}-{info.get('mtime', info.get('created', ''))}"


@contextmanager
def open_binary(uri: str) -> Iterator[IO[bytes]]:
    """Opens a file for reading; a network failure raises `TransientError`, anything else of the file system `OSError`."""
    filesystem, path = filesystem_of(uri)
    try:
        with filesystem.open(path, "rb") as stream:
            yield stream
    except (TimeoutError, ConnectionError) as error:
        message = f"reading {uri}: {error}"
        raise TransientError(message) from error


def join(directory: str, *names: str) -> str:
    """A path below a directory URI."""
    return "/".join((directory.rstrip("/"), *names))


def list_names(directory: str) -> list[str]:
    """Names of the files directly below a directory, ordered; a directory that does not exist holds none."""
    filesystem, path = filesystem_of(directory)
    filesystem.invalidate_cache()
    try:
        entries = filesystem.ls(path, detail=True)
    except FileNotFoundError:
        return []
    return sorted(entry["name"].rsplit("/", 1)[-1] for entry in entries if entry["type"] == "file")


def read_bytes(uri: str) -> bytes:
    """The whole content of a file."""
    with open_binary(uri) as stream:
        return stream.read()


def write_bytes(uri: str, data: bytes, *, exclusive: bool = False) -> None:
    """Writes a file that readers see whole or not at all.

    Locally: a temporary file, fsync, then rename, or for `exclusive` a hard link, which fails if the name is taken. On object
    storage an object appears when its upload is complete; `exclusive` asks for creation only (`ifGenerationMatch=0` on GCS).

    Raises:
        FileExistsError: `exclusive` and the name is taken.
    """
    filesystem, path = filesystem_of(uri)
    if "file" not in filesystem.protocol:
        filesystem.pipe_file(path, data, mode="create" if exclusive else "overwrite")
        return
    final = Path(path)
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = final.with_name(f".{final.name}.{os.getpid()}-{threading.get_ident()}.partial")
    try:
        with temporary.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        if exclusive:
            os.link(temporary, final)
        else:
            temporary.replace(final)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_directory(final.parent)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_writable(directory: str) -> None:
    """Writes and removes a small file below the directory; a failure raises `ConfigurationError` that names it."""
    probe = join(directory, ".write-probe")
    try:
        write_bytes(probe, b"corpus-embed")
        filesystem, path = filesystem_of(probe)
        filesystem.rm_file(path)
    except OSError as error:
        message = f"the workspace {directory!r} cannot be written: {error}; name a directory or bucket prefix this user may write to"
        raise ConfigurationError(message) from error
