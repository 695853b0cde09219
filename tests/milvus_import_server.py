"""A server that imports files as strictly as the real ones: by gRPC for versions before 2.4, by REST after.

It checks every file against the collection's schema, keeps every row that it imports, twice if it is imported twice, and enforces what is
documented: files of a request and their size, jobs at once, partition keys, idempotency keys and for how long they count. Jobs advance a
step each time that they are looked at. What a test asks for goes wrong, in order.
"""

# ruff: noqa: N802  the methods are named by the protocol

import http.server
import json
import threading
import time
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import grpc
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pymilvus.grpc_gen import common_pb2, milvus_pb2, milvus_pb2_grpc, schema_pb2

from benchmarks.incremental.double import OK, count_of
from tests.milvus_server import MilvusServer

Fault = Literal[
    "rate limit", "unavailable", "deadline", "auth", "refused", "lost request", "lost reply", "no answer of Milvus"
]
KEY_HOURS = 24.0
MAX_FILES = 1024
MAX_JOBS = 1024
TOKEN = "root:Milvus"
_STEPS = ("Pending", "Importing", "Importing", "Completed")
_SINCE_KEYS = ((2, 6, 24), (3, 0, 2))
_STATES = {
    "Pending": common_pb2.ImportPending,
    "Importing": common_pb2.ImportStarted,
    "Completed": common_pb2.ImportPersisted,
    "Failed": common_pb2.ImportFailed,
}
_ARROW = {
    schema_pb2.DataType.Int64: pa.int64(),
    schema_pb2.DataType.Float: pa.float32(),
    schema_pb2.DataType.VarChar: pa.string(),
    schema_pb2.DataType.JSON: pa.string(),
    schema_pb2.DataType.FloatVector: pa.list_(pa.float32()),
    schema_pb2.DataType.Float16Vector: pa.list_(pa.uint8()),
    schema_pb2.DataType.BFloat16Vector: pa.list_(pa.uint8()),
    schema_pb2.DataType.Int8Vector: pa.list_(pa.int8()),
    schema_pb2.DataType.BinaryVector: pa.list_(pa.uint8()),
    schema_pb2.DataType.SparseFloatVector: pa.string(),
}
_NUMBERS_PER_DIMENSION = {
    schema_pb2.DataType.FloatVector: 1.0,
    schema_pb2.DataType.Float16Vector: 2.0,
    schema_pb2.DataType.BFloat16Vector: 2.0,
    schema_pb2.DataType.Int8Vector: 1.0,
    schema_pb2.DataType.BinaryVector: 1 / 8,
}


class RefusedRequestError(Exception):
    """A request that is answered by a code."""

    def __init__(self, code: int, said: str) -> None:
        super().__init__(said)
        self.code = code


class RefusedFileError(Exception):
    """A file that the importer does not take."""


@dataclass
class ImportJob:
    """A job, and what went through it."""

    job_id: int
    partition: str
    path: str
    step: int = 0
    reason: str = ""
    rows: int = 0

    @property
    def state(self) -> str:
        return "Failed" if self.reason else _STEPS[min(self.step, len(_STEPS) - 1)]

    @property
    def percent(self) -> int:
        return 100 * min(self.step, len(_STEPS) - 1) // (len(_STEPS) - 1)


@dataclass
class ImportServer(MilvusServer):
    """One collection and its jobs.

    Attributes:
        root: the directory that paths of files are below, as those of a bucket.
        faults: what goes wrong with the next requests, by verb: create, describe, list.
        stuck: jobs do not advance.
        broken: names of parts of paths whose jobs fail once, with a reason.
        loses_rows: how many rows of each file are lost on the way.
        hours: what the server's clock says.
        max_file_bytes: of a file.
    """

    root: Path = Path()
    endpoint: str = ""
    token: str = ""
    jobs: dict[int, ImportJob] = field(default_factory=dict)
    keys: dict[str, tuple[int, float]] = field(default_factory=dict)
    imported: dict[str, list[str]] = field(default_factory=dict)
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    stuck: bool = False
    broken: list[str] = field(default_factory=list)
    loses_rows: int = 0
    forgotten: bool = False
    hours: float = 0.0
    max_file_bytes: int = 16 << 30
    max_jobs: int = MAX_JOBS
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    @property
    def rows(self) -> list[str]:
        """Ids of every imported row, with duplicates."""
        return [identity for of_partition in self.imported.values() for identity in of_partition]

    def _fault(self, verb: str) -> Fault | None:
        waiting = self.faults.get(verb, [])
        return waiting.pop(0) if waiting else None

    # --- What happens in the server ---

    def create(self, partition: str, paths: list[str], key: str = "") -> int:
        """Gives the job, a new one or the one of this key."""
        if self.schema is None:
            raise RefusedRequestError(100, "collection not found")
        if any(one.is_partition_key for one in self.schema.fields) and partition:
            raise RefusedRequestError(2100, "not allow to set partition name for collection with partition key")
        if partition not in self.partitions:
            raise RefusedRequestError(200, f"partition not found[partition={partition}]")
        if not paths or len(paths) > MAX_FILES:
            said = f"the max number of import files should not exceed {MAX_FILES}, but got {len(paths)}"
            raise RefusedRequestError(2100, said)
        if self._knows_keys and key:
            if len(key) > 256 or not key.isascii() or not key.isprintable():
                raise RefusedRequestError(1100, "illegal idempotency key")
            job_id, since = self.keys.get(key, (0, -KEY_HOURS))
            if self.hours - since < KEY_HOURS:
                return job_id
        if sum(job.state in {"Pending", "Importing"} for job in self.jobs.values()) >= self.max_jobs:
            raise RefusedRequestError(2100, "The number of jobs has reached the limit, please try again later")
        (path,) = paths
        job = ImportJob(1000 + len(self.jobs), partition, path)
        self.jobs[job.job_id] = job
        self.keys[key] = job.job_id, self.hours
        return job.job_id

    @property
    def _knows_keys(self) -> bool:
        major, minor, patch = (int(part) for part in self.version.split("."))
        since = _SINCE_KEYS[major >= 3]
        return (major, minor, patch) >= since

    def advance(self, job: ImportJob) -> None:
        """One step further."""
        if self.stuck or job.state in {"Completed", "Failed"}:
            return
        broken = next((part for part in self.broken if part in job.path), None)
        if broken is not None:
            self.broken.remove(broken)
            job.reason = f"the disk of the data node is full: {job.path}"
            return
        try:
            ids = self._check(self.root / job.path)
        except RefusedFileError as error:
            job.reason = str(error)
            return
        job.step += 1
        if job.state == "Completed":
            kept = ids[: len(ids) - self.loses_rows]
            job.rows = len(kept)
            self.imported.setdefault(job.partition, []).extend(kept)

    def _check(self, path: Path) -> list[str]:
        if not path.is_file():
            raise RefusedFileError(f"{path.name}: no such file")
        if path.stat().st_size > self.max_file_bytes:
            raise RefusedFileError(f"file size exceeds the limit of {self.max_file_bytes} bytes: {path.name}")
        table = pq.read_table(path)
        wanted = [one.name for one in self.schema.fields] + [one.name for one in self.schema.struct_array_fields]
        if sorted(table.column_names) != sorted(wanted):
            raise RefusedFileError(f"schema not equal, columns {table.column_names}, fields {wanted}")
        for one in self.schema.fields:
            _check_field(one, table.column(one.name).combine_chunks())
        for one in self.schema.struct_array_fields:
            _check_struct(one, table.column(one.name).combine_chunks())
        return [str(identity) for identity in table.column("id").to_pylist()]

    # --- gRPC ---

    def Upsert(self, request: Any, context: Any) -> Any:
        answer = super().Upsert(request, context)
        held = self.imported.get(request.partition_name, [])
        # Whatever had the id before is deleted, however often.
        self.imported[request.partition_name] = [one for one in held if one not in set(answer.IDs.str_id.data)]
        return answer

    def GetLoadingProgress(self, request: Any, context: Any) -> Any:
        return milvus_pb2.GetLoadingProgressResponse(status=OK, progress=100, refresh_progress=100)

    def Query(self, request: Any, context: Any) -> Any:
        return count_of(
            sum(len(self.partitions[name]) + len(self.imported.get(name, ())) for name in request.partition_names)
        )

    def Import(self, request: Any, context: Any) -> Any:
        fault = self._fault("create")
        _grpc_fault(fault, context, before=True)
        if fault in {"rate limit", "refused"}:
            return milvus_pb2.ImportResponse(status=_status(fault))
        try:
            job_id = self.create(request.partition_name, list(request.files))
        except RefusedRequestError as error:
            return milvus_pb2.ImportResponse(status=common_pb2.Status(code=error.code, reason=str(error)))
        _grpc_fault(fault, context, before=False)
        return milvus_pb2.ImportResponse(status=OK, tasks=[job_id])

    def GetImportState(self, request: Any, context: Any) -> Any:
        fault = self._fault("describe")
        _grpc_fault(fault, context, before=True)
        if fault in {"rate limit", "refused"}:
            return milvus_pb2.GetImportStateResponse(status=_status(fault))
        job = self.jobs.get(request.task)
        if job is None or self.forgotten:
            return milvus_pb2.GetImportStateResponse(status=common_pb2.Status(code=65535, reason="task not found"))
        self.advance(job)
        _grpc_fault(fault, context, before=False)
        return self._task(job)

    def ListImportTasks(self, request: Any, context: Any) -> Any:
        fault = self._fault("list")
        _grpc_fault(fault, context, before=True)
        tasks = [] if self.forgotten else [self._task(job) for job in self.jobs.values()]
        return milvus_pb2.ListImportTasksResponse(status=OK, tasks=tasks)

    def _task(self, job: ImportJob) -> Any:
        infos = {"files": job.path, "progress_percent": str(job.percent), "failed_reason": job.reason}
        return milvus_pb2.GetImportStateResponse(
            status=OK,
            id=job.job_id,
            state=_STATES[job.state],
            row_count=job.rows,
            infos=[common_pb2.KeyValuePair(key=key, value=value) for key, value in infos.items()],
        )

    # --- REST ---

    def answer(self, verb: str, body: dict[str, Any], key: str) -> dict[str, Any]:
        """The answer to a request to `/v2/vectordb/jobs/import/<verb>`."""
        if verb == "create":
            paths = [path for group in body["files"] for path in group]
            try:
                return {"code": 0, "data": {"jobId": str(self.create(body.get("partitionName", ""), paths, key))}}
            except RefusedRequestError as error:
                return {"code": error.code, "message": str(error)}
        if verb == "list":
            jobs = [] if self.forgotten else self.jobs.values()
            return {"code": 0, "data": {"records": [_described(job) for job in jobs]}}
        job = self.jobs.get(int(body["jobId"]))
        if job is None or self.forgotten:
            return {"code": 2100, "message": f"importing data failed: import job does not exist, jobID={body['jobId']}"}
        self.advance(job)
        details = {
            "fileName": f"[{job.path}]",
            "fileSize": 1,
            "progress": job.percent,
            "state": job.state,
            "importedRows": job.rows,
            "totalRows": job.rows,
        }
        return {"code": 0, "data": {**_described(job), "importedRows": job.rows, "details": [details]}}


def _described(job: ImportJob) -> dict[str, Any]:
    reason = {"reason": job.reason} if job.reason else {}
    return {"jobId": str(job.job_id), "collectionName": "c", "state": job.state, "progress": job.percent, **reason}


def _status(fault: str) -> Any:
    if fault == "rate limit":
        return common_pb2.Status(code=8, reason="rate limit exceeded[rate=1]")
    return common_pb2.Status(code=1100, reason="invalid parameter: the server refuses this")


def _grpc_fault(fault: Fault | None, context: Any, *, before: bool) -> None:
    if before:
        early = {
            "unavailable": grpc.StatusCode.UNAVAILABLE,
            "lost request": grpc.StatusCode.UNAVAILABLE,
            "deadline": grpc.StatusCode.DEADLINE_EXCEEDED,
            "auth": grpc.StatusCode.UNAUTHENTICATED,
            "no answer of Milvus": grpc.StatusCode.UNKNOWN,
        }
        if fault in early:
            context.abort(early[fault], f"{fault} by the test")
    elif fault == "lost reply":
        context.abort(grpc.StatusCode.UNAVAILABLE, "connection reset by peer")


def _check_field(one: Any, column: pa.Array) -> None:
    if column.type != _ARROW[one.data_type]:
        raise RefusedFileError(f"field {one.name!r} is of {column.type} in the file, {_ARROW[one.data_type]} is wanted")
    if column.null_count:
        raise RefusedFileError(f"field {one.name!r} has nulls")
    parameters = {pair.key: pair.value for pair in one.type_params}
    if one.data_type == schema_pb2.DataType.VarChar:
        for value in column.to_pylist():
            if len(value.encode()) > int(parameters["max_length"]):
                raise RefusedFileError(
                    f"value length of field {one.name!r} exceeds max_length {parameters['max_length']}"
                )
    elif one.data_type == schema_pb2.DataType.JSON:
        if not all(isinstance(json.loads(value), dict) for value in column.to_pylist()):
            raise RefusedFileError(f"field {one.name!r} is no JSON object")
    elif one.data_type == schema_pb2.DataType.SparseFloatVector:
        for value in column.to_pylist():
            weights = json.loads(value)
            if not weights or not all(
                0 <= int(index) < (1 << 32) - 1 and weight > 0 for index, weight in weights.items()
            ):
                raise RefusedFileError(f"field {one.name!r} holds no sparse vector: {value}")
    elif one.data_type in _NUMBERS_PER_DIMENSION:
        _check_vectors(one.name, column, int(parameters["dim"]) * _NUMBERS_PER_DIMENSION[one.data_type])


def _check_vectors(name: str, column: pa.Array, wanted: float) -> None:
    if not all(len(vector) == wanted for vector in column):
        raise RefusedFileError(f"field {name!r}: a vector without {wanted:g} numbers in the file")
    if not np.isfinite(column.flatten().to_numpy()).all():
        raise RefusedFileError(f"field {name!r} has a value that is not finite")


def _check_struct(one: Any, column: pa.Array) -> None:
    if column.type != pa.list_(pa.struct([pa.field("vector", pa.list_(pa.float32()))])):
        raise RefusedFileError(f"field {one.name!r} is of {column.type} in the file")
    dimensions = int(next(pair.value for pair in one.fields[0].type_params if pair.key == "dim"))
    for structs in column.to_pylist():
        if not all(len(struct["vector"]) == dimensions for struct in structs):
            raise RefusedFileError(f"field {one.name!r}: vectors of another dimension than {dimensions}")


@contextmanager
def import_server(version: str, root: Path) -> Iterator[ImportServer]:
    """A server of this version on 127.0.0.1; `uri` speaks gRPC, `endpoint` REST."""
    servicer = ImportServer(version, root=root)
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=2))
    milvus_pb2_grpc.add_MilvusServiceServicer_to_server(servicer, server)
    servicer.uri = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    handler = type("Handler", (_Handler,), {"servicer": servicer})
    try:
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as rest:
            thread = threading.Thread(target=rest.serve_forever, args=(0.01,))
            thread.start()
            servicer.endpoint = f"http://127.0.0.1:{rest.server_address[1]}"
            try:
                yield servicer
            finally:
                rest.shutdown()
                thread.join()
    finally:
        server.stop(grace=None).wait()


class _Handler(http.server.BaseHTTPRequestHandler):
    servicer: ImportServer
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        verb = self.path.removeprefix("/v2/vectordb/jobs/import/")
        self.servicer.bodies.append(body)
        self.servicer.headers.append(dict(self.headers))
        if self.servicer.version < "2.4" or verb not in {"create", "describe", "list"}:
            self._say(404, b"404 page not found")
            return
        if self.servicer.token and self.headers.get("Authorization") != f"Bearer {self.servicer.token}":
            self._json({"code": 1800, "message": "user hasn't authenticated"})
            return
        fault = self.servicer._fault(verb)
        if fault == "deadline":
            time.sleep(1)
            self.close_connection = True
        elif fault == "lost request":
            self.close_connection = True
        elif fault in {"unavailable", "auth", "no answer of Milvus"}:
            status = {"unavailable": 503, "auth": 401, "no answer of Milvus": 200}[fault]
            self._say(status, b"upstream connect error")
        elif fault in {"rate limit", "refused"}:
            status_of = _status(fault)
            self._json({"code": status_of.code, "message": status_of.reason})
        else:
            answer = self.servicer.answer(verb, body, self.headers.get("Idempotency-Key", ""))
            if fault == "lost reply":
                self.close_connection = True
            else:
                self._json(answer)

    def _json(self, answer: dict[str, Any]) -> None:
        self._say(200, json.dumps(answer).encode())

    def _say(self, status: int, data: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass
