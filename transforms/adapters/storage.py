"""Bytes in files and objects, through fsspec: listed, read, and written so that a reader never sees half a file.

No listing is ever taken from a cache. A file may be opened as it was listed: objects are then asked for by generation (GCS) or entity tag
(S3) in the very request that reads them, other files are compared with what was listed.
"""

import datetime as dt
import glob
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from errno import EEXIST
from pathlib import Path
from typing import IO, Any, cast

import fsspec
from fsspec.implementations.local import LocalFileSystem

from transforms.adapters import stores
from transforms.adapters.crashpoints import durable
from transforms.logic.errors import ConfigurationError, TransientError
from transforms.logic.selection import PathTemplate

_PROBES = 3


class ChangedFileError(Exception):
    """A file is not, or no longer, the one that was listed; the message names it, what was listed and what is there."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file as listed: URI, size in bytes, and what changes when its content does.

    `date` is the one that the path names by the pattern's template: empty if it names none, None if the pattern has no template. `hidden`
    files were found below a directory and have, or lie below, a name that begins with a dot or an underscore: by convention no data.
    """

    uri: str
    size_bytes: int
    etag: str
    date: str | None = None
    hidden: bool = False


def filesystem_of(uri: str) -> tuple[Any, str]:
    """The fsspec filesystem and path of a URI or local path; an unknown scheme, or one without its extra, raises `ConfigurationError`."""
    try:
        filesystem, path = fsspec.core.url_to_fs(uri, use_listings_cache=False)
    except (ValueError, ImportError) as error:
        message = f"cannot open {uri!r}: {error}; {stores.remedy_for_scheme(uri)}"
        raise ConfigurationError(message) from error
    return filesystem, cast("str", path)


def list_matching(patterns: Sequence[str]) -> list[SourceFile]:
    """Every file that matches a pattern, once, ordered by URI; of several patterns for one file the first counts.

    A pattern is a glob (`**` for any depth) in which `{date:...}` may stand for a date. One that ends in `/` or in a date, or that names a
    directory without any wildcard, means everything below. Links to files are followed, links to directories are not.

    Raises:
        ConfigurationError: nothing matches a pattern, or the store does not let this user list.
        TransientError: the store failed beyond the retries at the call.
    """
    found: dict[str, SourceFile] = {}
    for pattern in patterns:
        with _planning(f"the input {pattern!r} cannot be listed", pattern):
            files = list(_matching(pattern))
        if not files:
            message = f"no file matches the input {pattern!r}; check the path, and quote globs so that the shell leaves them alone"
            raise ConfigurationError(message)
        for file in files:
            found.setdefault(file.uri, file)
    return [found[uri] for uri in sorted(found)]


def _matching(pattern: str) -> Iterator[SourceFile]:
    filesystem, path = filesystem_of(pattern)
    template = PathTemplate(path.rstrip("/") or path)
    for info, hidden in _entries(filesystem, template.glob, pattern) if pattern else ():
        name = info["name"]
        date = template.date_of(name) if template.dated else None
        yield SourceFile(_uri(filesystem, name), int(info["size"]), _etag(info), date, hidden)


def _entries(filesystem: Any, path: str, pattern: str) -> Iterator[tuple[dict[str, Any], bool]]:
    """What fsspec knows of each file that a glob means, and whether it is hidden."""
    is_local = "file" in filesystem.protocol
    if is_local:
        filesystem = _StrictLocalFileSystem()
    below = pattern.endswith(("/", "}"))
    try:
        # A file may be named like a pattern: then it is meant, as a shell that lists it names it so.
        if glob.has_magic(path) and not (is_local and Path(path).is_file()):
            entries = filesystem.glob(f"{path}/**" if below else path, detail=True).values()
        else:
            entries = [filesystem.info(path)]
            if entries[0]["type"] == "directory":
                below = True
                entries = filesystem.find(path, detail=True).values()
    except FileNotFoundError:
        return
    depth = path.count("/") + 1
    for entry in entries:
        name = entry["name"]
        found = _target(filesystem, name) if entry.get("islink") and entry["type"] != "file" else entry
        # An object whose name ends in a slash stands for a directory.
        if found["type"] == "file" and not name.endswith("/"):
            yield found, below and any(part.startswith((".", "_")) for part in name.split("/")[depth:])


class _StrictLocalFileSystem(LocalFileSystem):  # type: ignore[misc]
    """fsspec takes a directory below that it may not read for an empty one: it passes over any `OSError`."""

    def ls(self, path: str, detail: bool = False, **kwargs: Any) -> Any:  # noqa: FBT001, FBT002  fsspec's signature
        try:
            return super().ls(path, detail=detail, **kwargs)
        except PermissionError as error:
            raise ValueError(str(error)) from error


def _target(filesystem: Any, link: str) -> dict[str, Any]:
    try:
        return cast("dict[str, Any]", filesystem.info(link))
    except FileNotFoundError:
        # Not skipped: reading it makes the reject.
        return {"name": link, "type": "file", "size": 0}


def _uri(filesystem: Any, path: str) -> str:
    return path if "file" in filesystem.protocol else cast("str", filesystem.unstrip_protocol(path))


def _etag(info: dict[str, Any]) -> str:
    """Names the content of a file. What an object store asks for again stands first, up to the last slash."""
    for name in ("generation", "ETag", "etag", "md5Hash"):
        if info.get(name):
            return f"{info[name]}/{info['size']}"
    changed = info.get("mtime", info.get("created", ""))
    return f"{info['size']}-{changed.timestamp() if isinstance(changed, dt.datetime) else changed}"


def current_etag(uri: str) -> str | None:
    """What `SourceFile.etag` would be now; None if the file is gone."""
    return _etag_now(uri, *filesystem_of(uri))


def _etag_now(uri: str, filesystem: Any, path: str) -> str | None:
    with _service(f"looking at {uri}"):
        try:
            return _etag(filesystem.info(path))
        except FileNotFoundError:
            return None


def check_unchanged(uri: str, etag: str) -> None:
    """Raises `ChangedFileError` if a file is no longer the one that was listed with this etag; an empty etag promises nothing.

    Costs no request for objects, which `open_binary` reads by their etag.
    """
    filesystem, path = filesystem_of(uri)
    if etag and stores.opener_by_etag(filesystem) is None:
        _compare(etag, uri, filesystem, path)


def _compare(etag: str, uri: str, filesystem: Any, path: str) -> None:
    now = _etag_now(uri, filesystem, path)
    if now != etag:
        message = f"{uri} was listed as {etag} and is {'gone' if now is None else now}"
        raise ChangedFileError(message)


@contextmanager
def open_binary(uri: str, etag: str = "") -> Iterator[IO[bytes]]:
    """Opens a file for reading; with the etag it was listed with, only that content is ever read from it.

    Raises:
        ChangedFileError: an etag is given and the file has another.
        TransientError: the network or the store failed beyond the retries at the call.
        OSError: anything else.
    """
    filesystem, path = filesystem_of(uri)
    pinned = stores.opener_by_etag(filesystem) if etag else None
    try:
        with _service(f"reading {uri}"), pinned(path, etag) if pinned else filesystem.open(path, "rb") as stream:
            # No request reads an empty object.
            if etag and (pinned is None or not stream.size):
                _compare(etag, uri, filesystem, path)
            yield stream
    except OSError:
        if pinned is not None:
            _compare(etag, uri, filesystem, path)
        raise


@contextmanager
def _service(doing: str) -> Iterator[None]:
    """What a store raises in the course of a run: `TransientError` if a later attempt may succeed, else `OSError`."""
    try:
        yield
    except stores.store_errors() as error:
        if stores.is_transient(error) or stores.is_lack_of_credentials(error):
            message = f"{doing}: {_said(error)}"
            raise TransientError(message) from error
        message = f"{doing}: {_said(error)}"
        if not isinstance(error, OSError):
            raise OSError(message) from error
        if error.errno is None and type(error).__module__ == "builtins":
            raise type(error)(message) from error
        if error.filename is None:
            # "No space left on device" alone does not say on which.
            error.filename = doing
        raise


@contextmanager
def _planning(what: str, uri: str) -> Iterator[None]:
    """What a store raises before a run starts: `ConfigurationError` that says what mends it, unless it may pass by itself."""
    try:
        yield
    except stores.store_errors(ValueError, TransientError) as raised:
        error = raised.__cause__ if isinstance(raised.__cause__, stores.store_errors()) else raised
        message = f"{what}: {_said(error)}"
        if stores.is_transient(error):
            raise TransientError(message) from error
        remedy = stores.remedy(uri) if stores.is_refusal(error) else "check the name"
        message = f"{message}; {remedy}"
        raise ConfigurationError(message) from error


def _said(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def join(directory: str, *names: str) -> str:
    """A path below a directory URI."""
    return "/".join((directory.rstrip("/"), *names))


def list_names(directory: str) -> list[str]:
    """Names of the files directly below a directory, ordered; a directory that does not exist holds none."""
    filesystem, path = filesystem_of(directory)
    with _service(f"listing {directory}"):
        try:
            entries = filesystem.ls(path, detail=True)
        except FileNotFoundError:
            return []
    return sorted(entry["name"].rsplit("/", 1)[-1] for entry in entries if entry["type"] == "file")


def read_bytes(uri: str) -> bytes:
    """The whole content of a file.

    Raises:
        TransientError: the network or the store failed beyond the retries at the call, or less came than the file holds.
        OSError: anything else.
    """
    with open_binary(uri) as stream:
        data = stream.read()
        size_bytes = getattr(stream, "size", None)
    if size_bytes is not None and len(data) != size_bytes:
        message = f"reading {uri}: {len(data)} of {size_bytes} bytes came"
        raise TransientError(message)
    return data


def write_bytes(uri: str, data: bytes, *, exclusive: bool = False) -> None:
    """Writes a file that readers see whole or not at all.

    Locally: a temporary file, fsync, then rename, or for `exclusive` a hard link, which fails if the name is taken. On object
    storage an object appears when its upload is complete; `exclusive` makes the store itself refuse a name that is taken (GCS:
    `ifGenerationMatch=0`, S3: `If-None-Match: *`).

    Raises:
        FileExistsError: `exclusive` and the name is taken.
        TransientError: the store failed beyond the retries at the call.
        OSError: anything else.
    """
    filesystem, path = filesystem_of(uri)
    if "file" not in filesystem.protocol:
        with _service(f"writing {uri}"):
            try:
                filesystem.pipe_file(path, data, mode="create" if exclusive else "overwrite")
            except OSError as error:
                if exclusive and stores.is_failed_condition(error):
                    raise FileExistsError(EEXIST, os.strerror(EEXIST), uri) from error
                raise
        return
    with _service(f"writing {uri}"):
        _write_local(Path(path), data, exclusive=exclusive)


def _write_local(final: Path, data: bytes, *, exclusive: bool) -> None:
    temporary = final.with_name(f".{final.name}.{os.getpid()}-{threading.get_ident()}.partial")
    final.parent.mkdir(parents=True, exist_ok=True)
    try:
        with temporary.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        with durable("file name"):
            if exclusive:
                os.link(temporary, final)
            else:
                temporary.replace(final)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_directory(final.parent)


def remove(uri: str) -> None:
    """Removes a file; one that is not there is no error."""
    filesystem, path = filesystem_of(uri)
    with _service(f"removing {uri}"), suppress(FileNotFoundError):
        filesystem.rm_file(path)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_writable(directory: str) -> None:
    """Writes and removes a small file below the directory, and sees that a name is never taken twice.

    Raises:
        ConfigurationError: it cannot be written, or the store would let one run overwrite what another committed.
        TransientError: the store failed beyond the retries at the call.
    """
    probe = join(directory, ".write-probe")
    with _planning(f"the workspace {directory!r} cannot be written", directory):
        # Of two runs that start at once one may remove the other's probe, so one success proves nothing.
        with durable("workspace probe"):
            refused = any(_refuses_taken_name(probe) for _ in range(_PROBES))
        filesystem, path = filesystem_of(probe)
        with suppress(FileNotFoundError):
            filesystem.rm_file(path)
    if not refused:
        message = (
            f"the workspace {directory!r} lies in a store that overwrites a file when asked to create one, "
            "so that two runs at once would harm each other; name another store"
        )
        raise ConfigurationError(message)


def _refuses_taken_name(probe: str) -> bool:
    write_bytes(probe, b"corpus-embed")
    try:
        write_bytes(probe, b"corpus-embed", exclusive=True)
    except FileExistsError:
        return True
    return False
