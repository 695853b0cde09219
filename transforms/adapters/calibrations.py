"""Calibrations, projections and the sample that they are measured on, in the workspace.

    calibration/<embedding space>/<number>.json             a calibration; the latest is the one for new collections
    calibration/<embedding space>/<sha256>.safetensors      a projection that a collection was made with

Neither is ever changed: a collection names what it was made with by place and SHA-256.
"""

import io

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from safetensors import SafetensorError
from safetensors.numpy import load, save

from transforms.adapters.crashpoints import durable
from transforms.adapters.storage import filesystem_of, join, list_names, read_bytes, write_bytes
from transforms.adapters.workspace import Workspace
from transforms.logic.calibration import Calibration, Projection, check_space, checked_projection
from transforms.logic.errors import ConfigurationError, CorruptDataError, TransientError
from transforms.logic.identity import key_prefixes
from transforms.logic.recall import Sample
from transforms.logic.representations import Recorded, Representation
from transforms.logic.schemas import KEY
from transforms.logic.vector_columns import from_list_array
from transforms.logic.vectors import Float32, unit_rows

_PLACES = pa.schema(
    [("content_key", KEY), ("row_key", KEY), ("language", pa.string()), ("shard", pa.string()), ("row", pa.int32())]
)


def latest_calibration(workspace: Workspace) -> str | None:
    """URI of the calibration for new collections of the workspace's embedding space; None if there is none."""
    names = [name for name in list_names(_directory(workspace)) if name.endswith(".json")]
    return join(_directory(workspace), max(names)) if names else None


def read_calibration(uri: str) -> Calibration:
    """Reads a calibration.

    Raises:
        ConfigurationError: there is none, or one of another format.
        CorruptDataError: it is not as it was written.
    """
    return Calibration.from_json(_read(uri, "the calibration"), uri)


def write_calibration(workspace: Workspace, calibration: Calibration) -> str:
    """Stores a calibration as the latest and gives its URI; one that is the latest already is not stored again.

    Raises:
        TransientError: another run stored a different one meanwhile.
    """
    latest = latest_calibration(workspace)
    if latest is not None and read_calibration(latest) == calibration:
        return latest
    number = 1 if latest is None else int(latest.rsplit("/", 1)[-1].removesuffix(".json")) + 1
    uri = join(_directory(workspace), f"{number:08d}.json")
    try:
        with durable("calibration"):
            write_bytes(uri, calibration.to_json(), exclusive=True)
    except FileExistsError as error:
        if read_calibration(uri) == calibration:
            return uri
        raise TransientError(f"another run stored the calibration {uri} meanwhile; run again to use it") from error
    return uri


def read_projection(path: str, full_dimensions: int) -> Projection:
    """Reads a matrix (.npy), or `matrix` and perhaps `mean` (.safetensors); anything else raises `ConfigurationError`."""
    data = _read(path, "--projection")
    try:
        if path.endswith(".npy"):
            arrays = {"matrix": np.load(io.BytesIO(data), allow_pickle=False)}
        elif path.endswith(".safetensors"):
            arrays = load(data)
        else:
            raise ConfigurationError(f"--projection {path!r} ends neither in .npy nor in .safetensors")
    except (ValueError, EOFError, SafetensorError, KeyError) as error:
        raise ConfigurationError(f"--projection {path!r} cannot be read: {error}") from error
    return checked_projection(arrays, full_dimensions, path)


def keep_projection(workspace: Workspace, projection: Projection) -> str:
    """Copies a projection into the workspace, where the collections that need it find it; gives its URI."""
    uri = join(_directory(workspace), f"{projection.sha256}.safetensors")
    if uri.rsplit("/", 1)[-1] not in list_names(_directory(workspace)):
        data = save({"matrix": np.array(projection.matrix), "mean": np.array(projection.mean)})
        with durable("projection"):
            write_bytes(uri, data)
    return uri


def reopen(recorded: Recorded, embedding_space: str, full_dimensions: int) -> Representation:
    """The representation that a collection records.

    Raises:
        ConfigurationError: what it was made with is gone, or belongs to another space.
        CorruptDataError: what it was made with was changed since.
    """
    calibration = projection = None
    if recorded.calibration_uri is not None:
        found = read_calibration(recorded.calibration_uri)
        _check_hash(recorded.calibration_uri, recorded.calibration, found.sha256)
        calibration = check_space(found, embedding_space, full_dimensions, recorded.calibration_uri)
    if recorded.projection_uri is not None:
        projection = read_projection(recorded.projection_uri, full_dimensions)
        _check_hash(recorded.projection_uri, recorded.projection, projection.sha256)
    return Representation(recorded.vector_type, recorded.dimensions, calibration, projection)


def read_sample(workspace: Workspace, most: int) -> Sample:
    """At most so many distinct contents of the dataset: those with the smallest content keys.

    Keys are digests, so the smallest are a uniform sample without replacement of the distinct contents (Cohen and Kaplan 2007, bottom-k
    sketches), the same however the dataset is cut into shards. Only the shards that reach down to them are read.
    """
    chosen = _PLACES.empty_table()
    for shard in sorted(workspace.shards(), key=lambda one: (one.first, one.name)):
        if len(chosen) == most and shard.first > key_prefixes(chosen.column("content_key"))[-1]:
            break
        keys = workspace.read_shard(shard.name, ["content_key", "row_key", "language"])
        places = {"shard": pa.array([shard.name] * len(keys)), "row": pa.array(np.arange(len(keys), dtype=np.int32))}
        table = pa.table([*keys.select(_PLACES.names[:3]).columns, *places.values()], schema=_PLACES)
        chosen = _smallest(pa.concat_tables([chosen, table]), most)
    return Sample(unit_rows(_vectors(workspace, chosen)), tuple(chosen.column("language").to_pylist()))


def _smallest(places: pa.Table, most: int) -> pa.Table:
    """The first row of each of the smallest content keys, in their order."""
    ordered = places.sort_by([(name, "ascending") for name in ("content_key", "row_key", "shard")]).combine_chunks()
    keys = ordered.column("content_key")
    is_new = np.ones(len(keys), np.bool_)
    is_new[1:] = pc.not_equal(keys.slice(1), keys.slice(0, len(keys) - 1)).to_numpy()
    return ordered.take(pa.array(np.flatnonzero(is_new)[:most]))


def _vectors(workspace: Workspace, chosen: pa.Table) -> Float32:
    """The stored vectors of some rows, in their order, shape (n, full); (0, 0) for none."""
    shards = np.array(chosen.column("shard").to_pylist(), object)
    numbers = chosen.column("row").to_numpy()
    vectors: Float32 = np.empty((0, 0), np.float32)
    for shard in np.unique(shards):
        of_shard = np.flatnonzero(shards == shard)
        of_shard = of_shard[np.argsort(numbers[of_shard])]
        rows = workspace.read_shard(shard, ["vector"], numbers[of_shard])
        if not rows.column_names:
            raise ConfigurationError(
                "the dataset has no dense vectors to calibrate on; a calibration needs --outputs dense"
            )
        column = rows.column("vector")
        if not len(vectors):
            vectors = np.empty((len(chosen), column.type.list_size), np.float32)
        vectors[of_shard] = from_list_array(column, column.type.list_size)
    return vectors


def _directory(workspace: Workspace) -> str:
    # Absolute, as a collection records it, and may be searched from elsewhere.
    filesystem, path = filesystem_of(workspace.uri)
    root = path if "file" in filesystem.protocol else workspace.uri
    return join(root, "calibration", workspace.space)


def _read(uri: str, what: str) -> bytes:
    try:
        return read_bytes(uri)
    except OSError as error:
        raise ConfigurationError(f"{what} {uri!r} cannot be read: {error}; check the name") from error


def _check_hash(uri: str, recorded: str | None, found: str) -> None:
    if recorded != found:
        message = f"{uri} is not what the collection was made with: its SHA-256 is {found}, {recorded} is recorded; restore it"
        raise CorruptDataError(message)
