"""WriteRejects: what could not be processed is kept, with its reason and place."""

from collections.abc import Iterable, Iterator

import apache_beam as beam
import pyarrow as pa
from apache_beam.pvalue import PCollection

from transforms.adapters.workspace import Workspace
from transforms.group import KeyByBucket
from transforms.logic.schemas import REJECTS, concatenate, with_columns

_FILES = 4


class WriteRejects(beam.PTransform[PCollection[pa.RecordBatch], PCollection[str]]):
    """Batches of the `REJECTS` schema, from every verb, to a few Parquet files; gives their URIs."""

    def __init__(self, workspace: Workspace, run_id: str, *, keep_text: bool = False) -> None:
        """Takes the run that the rejects are of, and whether how they begin is kept; if not, it leaves no worker."""
        super().__init__()
        self._function = _WriteRejectsFn(workspace, run_id)
        self._keep_text = keep_text

    def expand(self, rejects: PCollection[pa.RecordBatch]) -> PCollection[str]:
        """Rejects in, files out."""
        kept = rejects if self._keep_text else rejects | "Drop text" >> beam.Map(_without_text)
        files: PCollection[str] = (
            kept | "By source" >> KeyByBucket("source", "text", _FILES) | beam.GroupByKey() | beam.ParDo(self._function)
        )
        return files


def _without_text(batch: pa.RecordBatch) -> pa.RecordBatch:
    return with_columns(batch.drop_columns(["text"]), REJECTS)


class _WriteRejectsFn(beam.DoFn):
    def __init__(self, workspace: Workspace, run_id: str) -> None:
        self._workspace = workspace
        self._run_id = run_id

    def process(self, element: tuple[int, Iterable[pa.RecordBatch]]) -> Iterator[str]:
        rows = concatenate(element[1], REJECTS)
        order = [(name, "ascending") for name in ("source", "locator", "stage", "reason", "document_id", "detail")]
        yield self._workspace.write_rejects(self._run_id, rows.sort_by(order))
