"""The coder of record batches: Arrow IPC.

Pickling a slice writes the buffers of its whole parent (Arrow issue 26685); IPC writes the slice. Importing this module registers the
coder; it is used wherever a producer is typed with `pyarrow.RecordBatch`. Only shuffles encode, and they are paid by the byte, or held in
memory: LZ4 takes a quarter off chunks, and most off rows that repeat their source, for some 20 microseconds a chunk.
"""

from typing import Any

import apache_beam as beam
import pyarrow as pa

_OPTIONS = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)


class RecordBatchCoder(beam.coders.Coder):
    """One batch as an Arrow IPC stream."""

    def encode(self, value: pa.RecordBatch) -> bytes:
        """Bytes of schema and rows."""
        stream = pa.BufferOutputStream()
        with pa.ipc.new_stream(stream, value.schema, options=_OPTIONS) as writer:
            writer.write_batch(value)
        return bytes(stream.getvalue().to_pybytes())

    def decode(self, encoded: bytes) -> pa.RecordBatch:
        """The batch."""
        return pa.ipc.open_stream(encoded).read_next_batch()

    def is_deterministic(self) -> bool:
        """Never a key: equal batches may differ in bytes."""
        return False

    def to_type_hint(self) -> Any:
        """The type it is registered for."""
        return pa.RecordBatch


beam.coders.registry.register_coder(pa.RecordBatch, RecordBatchCoder)
