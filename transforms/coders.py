"""The coder of record batches: Arrow IPC.

Pickling a slice writes the buffers of its whole parent (Arrow issue 26685); IPC writes the slice. Importing this module registers the
coder; it is used wherever a producer is typed with `pyarrow.RecordBatch`. Only shuffles encode, and they are paid by the byte, or held by
the runner: Zstandard takes half off chunks, for some 8 microseconds each; LZ4 takes a third, for 5. In a pipeline that is run inside
`adapters.spill.spilling` what is encoded waits on the disk.
"""

from typing import Any

import apache_beam as beam
import pyarrow as pa

from transforms.adapters.spill import Spill, current_spill, resolve

_OPTIONS = pa.ipc.IpcWriteOptions(compression=pa.Codec("zstd", 1), use_threads=False)


class RecordBatchCoder(beam.coders.Coder):
    """One batch as an Arrow IPC stream, or as a reference to one."""

    def __init__(self) -> None:
        """Takes where batches go now; it goes to the workers with the coder."""
        self._spill: Spill | None = current_spill()

    def encode(self, value: pa.RecordBatch) -> bytes:
        """Bytes of schema and rows."""
        stream = pa.BufferOutputStream()
        with pa.ipc.new_stream(stream, value.schema, options=_OPTIONS) as writer:
            writer.write_batch(value)
        data = bytes(stream.getvalue().to_pybytes())
        return data if self._spill is None else self._spill.put(data)

    def decode(self, encoded: bytes) -> pa.RecordBatch:
        """The batch."""
        return pa.ipc.open_stream(resolve(encoded)).read_next_batch()

    def estimate_size(self, value: pa.RecordBatch) -> int:
        """Bytes in memory: Beam asks at every step, also where nothing is encoded, and would encode the batch to see."""
        return int(value.nbytes)

    def is_deterministic(self) -> bool:
        """Never a key: equal batches may differ in bytes."""
        return False

    def to_type_hint(self) -> Any:
        """The type it is registered for."""
        return pa.RecordBatch


beam.coders.registry.register_coder(pa.RecordBatch, RecordBatchCoder)
