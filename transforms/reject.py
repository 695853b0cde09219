"""WriteRejects: what could not be processed is kept, with its reason and place."""

from collections.abc import Iterable, Iterator

import apache_beam as beam
import pyarrow as pa
from apache_beam.pvalue import PCollection

from transforms.adapters.workspace import Workspace
from transforms.group import KeyByBucket
from transforms.logic.schemas import REJECTS, concatenate

_FILES = 4


class WriteRejects(beam.PTransform[PCollection[pa.RecordBatch], PCollection[str]]):
    """Batches of the `REJECTS` schema, from every verb, to a few Parquet files; gives their URIs."""

    def __init__(self, workspace: Workspace, run_id: str) -> None:
        """Takes the run that the rejects are of."""
        super().__init__()
        self._function = _WriteRejectsFn(workspace, run_id)

    def expand(self, rejects: PCollection[pa.RecordBatch]) -> PCollection[str]:
        """Rejects in, files out."""
        files: PCollection[str] = (
            rejects
            | "By source" >> KeyByBucket("source", "text", _FILES)
            | beam.GroupByKey()
            | beam.ParDo(self._function)
        )
        return files


class _WriteRejectsFn(beam.DoFn):
    def __init__(self, workspace: Workspace, run_id: str) -> None:
        self._workspace = workspace
        self._run_id = run_id

    def process(self, element: tuple[int, Iterable[pa.RecordBatch]]) -> Iterator[str]:
        rows = concatenate(element[1], REJECTS)
        order = [(name, "ascending") for name in ("source", "locator", "stage", "reason", "document_id", "detail")]
        yield self._workspace.write_rejects(self._run_id, rows.sort_by(order))
