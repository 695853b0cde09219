"""Which representation a run writes: the one that is asked for, or the smallest that keeps a recall on a sample of the dataset."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.configuration.sections import Representation as Options
from transforms.adapters.calibrations import (
    keep_projection,
    latest_calibration,
    read_calibration,
    read_projection,
    read_sample,
    reopen,
    write_calibration,
)
from transforms.adapters.workspace import Workspace
from transforms.logic.calibration import Calibration, Projection, calibrate, check_space
from transforms.logic.errors import ConfigurationError
from transforms.logic.recall import MIN_SAMPLE, Measured, Sample, choose, halvings, measure, recall_table
from transforms.logic.representations import VECTOR_TYPES, Recorded, Representation, VectorType, check_whole_bytes

_SOURCE = "contents of the dataset with the smallest content keys"


@dataclass(frozen=True)
class Choice:
    """A representation, and why it was taken.

    Attributes:
        representation: how vectors are stored.
        recorded: what the collection keeps of it.
        measured: what `--vector-type auto` chose from; empty if it did not choose.
        text: the table of that for people, with a warning if nothing kept the floor.
    """

    representation: Representation
    recorded: Recorded
    measured: tuple[Measured, ...] = ()
    text: str = ""

    def describe(self) -> dict[str, Any]:
        """Plain values for the run record."""
        return {**self.representation.describe(), "measured": [one.describe() for one in self.measured]}


def choose_representation(
    wanted: Options,
    full_dimensions: int,
    workspace: Workspace,
    allowed: Collection[VectorType] = VECTOR_TYPES,
    recorded: Recorded | None = None,
) -> Choice:
    """The representation that a run writes.

    Args:
        wanted: the options.
        full_dimensions: length of the model's vectors.
        workspace: whose dataset is measured, and whose calibration is used, or made if there is none.
        allowed: types that the Milvus at hand holds; `auto` takes none but these.
        recorded: what the collection holds already. With `auto` that stands; otherwise its calibration does, if no other is named.

    Raises:
        ConfigurationError: the values do not fit the model or the collection, or the dataset has too few vectors to calibrate on.
    """
    projection, most = open_projection(wanted, full_dimensions)
    if wanted.vector_type == "auto":
        if recorded is not None:
            _check_standing(wanted, recorded, projection)
            return Choice(reopen(recorded, workspace.space, full_dimensions), recorded)
        return _choose_by_recall(wanted, workspace, full_dimensions, projection, most, allowed)
    calibration = uri = None
    dimensions = wanted.dimensions or most
    if wanted.vector_type == "binary":
        check_whole_bytes(dimensions)
        of_collection = None if recorded is None else recorded.calibration_uri
        calibration, uri = _find_calibration(wanted, workspace, full_dimensions, of_collection)
    return _record(Representation(wanted.vector_type, dimensions, calibration, projection), workspace, uri)


def open_projection(wanted: Options, full_dimensions: int) -> tuple[Projection | None, int]:
    """The projection, if one is asked for, and how many dimensions there are to choose from; more than these are refused."""
    projection = None if wanted.projection is None else read_projection(wanted.projection, full_dimensions)
    most = full_dimensions if projection is None else projection.kept_dimensions
    if wanted.dimensions is not None and wanted.dimensions > most:
        owner = "the model" if projection is None else "the projection"
        raise ConfigurationError(f"--dimensions {wanted.dimensions} is more than {owner} has; choose at most {most}")
    return projection, most


def take_sample(wanted: Options, workspace: Workspace) -> Sample:
    """The sample of the dataset, or `ConfigurationError` if it is too small to say anything."""
    sample = read_sample(workspace, wanted.calibration_sample)
    if len(sample) < MIN_SAMPLE:
        message = (
            f"a calibration needs {MIN_SAMPLE} distinct chunks embedded with this model and prompt, and {workspace.uri!r} holds "
            f"{len(sample)}; corpus-embed calibrate, with the options of this run, embeds a sample of the input first; "
            "an input that is smaller than that is best stored as float16 or float32"
        )
        raise ConfigurationError(message)
    return sample


def calibrate_sample(sample: Sample, workspace: Workspace) -> tuple[Calibration, str]:
    """The calibration of a sample, stored as the workspace's latest, and its URI."""
    made = calibrate(sample.vectors, workspace.space, _SOURCE)
    return made, write_calibration(workspace, made)


def compare(
    wanted: Options,
    sample: Sample,
    projection: Projection | None,
    calibration: Calibration | None,
    most: int,
    allowed: Collection[VectorType],
) -> tuple[list[Measured], Measured, str]:
    """What every allowed type keeps of recall; the one to take; and the table, with a warning if none keeps the floor.

    Dimensions are those asked for, or `most` and its halvings. Binary is compared where there is a calibration and bytes are full.
    """
    every = halvings(most) if wanted.dimensions is None else (wanted.dimensions,)
    candidates = [
        Representation(vector_type, dimensions, calibration if vector_type == "binary" else None, projection)
        for dimensions in every
        for vector_type in VECTOR_TYPES
        if vector_type in allowed and (vector_type != "binary" or (calibration is not None and dimensions % 8 == 0))
    ]
    measured = measure(sample, candidates)
    chosen, is_kept = choose(measured, wanted.recall_floor)
    table = (
        f"recall@10 against full precision, on {len(sample):,} chunks of the dataset\n{recall_table(measured, chosen)}"
    )
    if not is_kept:
        taken = chosen.representation
        table += (
            f"none keeps {wanted.recall_floor:g} overall and in every language: "
            f"{taken.vector_type} with {taken.dimensions} dimensions keeps most\n"
        )
    return measured, chosen, table


def _choose_by_recall(
    wanted: Options,
    workspace: Workspace,
    full_dimensions: int,
    projection: Projection | None,
    most: int,
    allowed: Collection[VectorType],
) -> Choice:
    sample = take_sample(wanted, workspace)
    calibration = uri = None
    if "binary" in allowed:
        calibration, uri = _find_calibration(wanted, workspace, full_dimensions, sample=sample)
    measured, chosen, table = compare(wanted, sample, projection, calibration, most, allowed)
    return _record(chosen.representation, workspace, uri, measured, table)


def _find_calibration(
    wanted: Options,
    workspace: Workspace,
    full_dimensions: int,
    of_collection: str | None = None,
    sample: Sample | None = None,
) -> tuple[Calibration, str]:
    """The calibration that is named, else the collection's, else the workspace's latest, else a new one; and its URI."""
    uri = wanted.calibration or of_collection or latest_calibration(workspace)
    if uri is None:
        return calibrate_sample(take_sample(wanted, workspace) if sample is None else sample, workspace)
    return check_space(read_calibration(uri), workspace.space, full_dimensions, uri), uri


def _record(
    representation: Representation,
    workspace: Workspace,
    calibration_uri: str | None,
    measured: Sequence[Measured] = (),
    text: str = "",
) -> Choice:
    calibration, projection = representation.calibration, representation.projection
    recorded = Recorded(
        representation.vector_type,
        representation.dimensions,
        None if calibration is None else calibration.sha256,
        None if calibration is None else calibration_uri,
        None if projection is None else projection.sha256,
        None if projection is None else keep_projection(workspace, projection),
    )
    return Choice(representation, recorded, tuple(measured), text)


def _check_standing(wanted: Options, recorded: Recorded, projection: Projection | None) -> None:
    """Refuses what is asked for by name and differs from what the collection holds."""
    asked = {
        "dimensions": wanted.dimensions,
        "projection": None if projection is None else projection.sha256,
        "calibration": None if wanted.calibration is None else read_calibration(wanted.calibration).sha256,
    }
    for name, value in asked.items():
        held = getattr(recorded, name)
        if value is not None and value != held:
            message = f"--{name} asks for {value}, the collection was made with {held}; leave --{name} out, or use another --collection"
            raise ConfigurationError(message)
