"""Import jobs of a Milvus server: asked for, looked at, found. By gRPC before 2.4, by REST from 2.4 on; one file is one job.

REST: https://milvus.io/api-reference/restful/v2.6.x/v2/Import%20(v2)/Create.md; the `Idempotency-Key` header is read by 2.6.24, 3.0.2 and
later servers (milvus #52544), which give the same job for the same key for about 24 hours; older ones ignore it.
"""

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NoReturn, Protocol, cast

import grpc
from pymilvus import MilvusException
from pymilvus.client.types import BulkInsertState
from pymilvus.grpc_gen import milvus_pb2

from transforms.adapters.milvus.calls import CALL_TIMEOUT_SECONDS, ONE_ATTEMPT, call
from transforms.adapters.milvus.certificates import certificates, token_of
from transforms.adapters.milvus.collection import Collection
from transforms.adapters.milvus.servers import Target, is_lite_path
from transforms.adapters.secrets import redact
from transforms.logic.errors import ConfigurationError, CorpusEmbedError, TransientError

State = Literal["pending", "importing", "completed", "failed", "unknown"]
_LISTED = 10_000
_OF_GRPC: Mapping[int, State] = {
    BulkInsertState.ImportPending: "pending",
    BulkInsertState.ImportStarted: "importing",
    # Its rows are in segments; 2.3 builds indexes after that and counts the rows once these are loaded.
    BulkInsertState.ImportPersisted: "completed",
    BulkInsertState.ImportCompleted: "completed",
    BulkInsertState.ImportFailed: "failed",
    BulkInsertState.ImportFailedAndCleaned: "failed",
}
_OF_REST: Mapping[str, State] = {
    "Pending": "pending",
    "Importing": "importing",
    "Completed": "completed",
    "Failed": "failed",
}
_UNAUTHORISED = frozenset({401, 403})
_OF_STRANGERS = frozenset({grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED})
_BUSY = frozenset({429, 503})
_NEED_AUTHENTICATION = 1800
_TRANSIENT_WORDS = (
    "rate limit",
    "quota",
    "not ready",
    "unavailable",
    "too many",
    "reached the limit",
    "timeout",
    "deadline",
)
_LOADING_WORDS = ("not available", "segment lacks", "not loaded", "not fully loaded")
_UNKNOWN_JOB_WORDS = ("not found", "not exist", "cannot find", "can't find")
Answer = dict[str, Any]


class LostReplyError(Exception):
    """The server was asked for a job and did not answer: whether there is one is not known."""


@dataclass(frozen=True)
class Job:
    """A job as the server describes it; `rows` are those imported, `unknown` is one that the server does not know, or no longer."""

    job_id: str
    state: State
    percent: int = 0
    rows: int = 0
    reason: str = ""
    paths: tuple[str, ...] = ()


class Jobs(Protocol):
    """The jobs of one collection.

    Every method raises `TransientError` when the server fails beyond the retries at the call, `ConfigurationError` for a token that it does
    not take, `CorpusEmbedError` for what it refuses.
    """

    def create(self, partition: str, path: str, key: str) -> str:
        """Asks for the import of a file and gives the job's id; never asks twice by itself. No answer raises `LostReplyError`."""

    def describe(self, job_id: str) -> Job:
        """A job as it is now."""

    def find(self, path: str) -> list[Job]:
        """The jobs of a file that the server still knows and that have not failed."""


class GrpcJobs:
    """Jobs of Milvus 2.3 and older (`do_bulk_insert`)."""

    def __init__(self, collection: "ImportCollection", name: str) -> None:
        """Takes an open connection, and the collection's name."""
        self._stub = collection.stub()
        self._name = name

    def create(self, partition: str, path: str, key: str) -> str:  # noqa: ARG002  these servers know no keys
        request = milvus_pb2.ImportRequest(collection_name=self._name, partition_name=partition, files=[path])
        try:
            # Not by the client: it asks again by itself when an answer is lost, and would import the file twice.
            response = self._stub.Import(request, timeout=CALL_TIMEOUT_SECONDS)
        except grpc.RpcError as error:
            _raise_of_grpc(error, path)
        if response.status.code or response.status.error_code:
            _refuse(response.status.reason, path)
        return str(response.tasks[0])

    def describe(self, job_id: str) -> Job:
        response = self._ask("GetImportState", milvus_pb2.GetImportStateRequest(task=int(job_id)))
        if response.status.code or response.status.error_code:
            return Job(job_id, "unknown", reason=response.status.reason)
        return _job_of_grpc(response)

    def find(self, path: str) -> list[Job]:
        request = milvus_pb2.ListImportTasksRequest(collection_name=self._name, limit=_LISTED)
        jobs = [_job_of_grpc(task) for task in self._ask("ListImportTasks", request).tasks]
        return [job for job in jobs if path in job.paths and job.state != "failed"]

    def _ask(self, name: str, request: Any) -> Any:
        """What changes nothing may be asked again."""

        def once() -> Any:
            try:
                response = getattr(self._stub, name)(request, timeout=CALL_TIMEOUT_SECONDS)
            except grpc.RpcError as error:
                if cast("Any", error).code() in _OF_STRANGERS:
                    _raise_of_status(401, _details(error), name)
                raise
            status = response.status
            if (status.code or status.error_code) and not _says(status.reason, _UNKNOWN_JOB_WORDS):
                raise MilvusException(code=status.code, message=status.reason)
            return response

        return call(name, once)


def _job_of_grpc(task: Any) -> Job:
    details = {pair.key: pair.value for pair in task.infos}
    percent = details.get(BulkInsertState.IMPORT_PROGRESS, "0")
    state = _OF_GRPC.get(BulkInsertState.state_2_state.get(task.state, -1), "importing")
    paths = details.get(BulkInsertState.IMPORT_FILES, "").strip("[]")
    return Job(
        str(task.id),
        state,
        int(percent) if percent.isdecimal() else 0,
        int(task.row_count),
        details.get(BulkInsertState.FAILED_REASON, ""),
        tuple(path.strip() for path in paths.split(",") if path.strip()),
    )


def _raise_of_grpc(error: grpc.RpcError, path: str) -> NoReturn:
    status = cast("Any", error).code()
    if status in _OF_STRANGERS:
        _raise_of_status(401, _details(error), path)
    if status in {grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.INVALID_ARGUMENT}:
        _refuse(_details(error), path)
    raise LostReplyError(_details(error)) from error


def _details(error: grpc.RpcError) -> str:
    return redact(str(cast("Any", error).details()))


class RestJobs:
    """Jobs of Milvus 2.4 and later (`/v2/vectordb/jobs/import`)."""

    def __init__(self, target: Target, endpoint: str | None = None) -> None:
        """Takes the collection, and the address of the REST interface where it is another one; none of http raises `ConfigurationError`."""
        address = target.uri if endpoint is None else endpoint
        if not address.startswith(("http://", "https://")):
            flag = "--milvus" if endpoint is None else "--import-endpoint"
            message = f"{flag} {address!r}: import jobs are asked for by REST; name an http:// or https:// address"
            raise ConfigurationError(message)
        if endpoint is not None:
            target.access.check(endpoint, "--import-endpoint")
        self._address = f"{address.rstrip('/')}/v2/vectordb/jobs/import/"
        self._target = target
        self._token = token_of(target.access)
        with certificates(target.access) as files:
            self._opener = urllib.request.build_opener(
                urllib.request.HTTPSHandler(context=files.context()), _NoRedirects
            )

    def create(self, partition: str, path: str, key: str) -> str:
        body = {"collectionName": self._target.collection, "partitionName": partition, "files": [[path]]}
        answer = self._post("create", body, {"Idempotency-Key": key}, path)
        job_id = answer.get("jobId")
        if not job_id:
            raise LostReplyError(f"the answer names no job: {answer}")
        return str(job_id)

    def describe(self, job_id: str) -> Job:
        found = self._ask("describe", {"jobId": job_id, "collectionName": self._target.collection})
        if found is None:
            return Job(job_id, "unknown", reason="the server does not know it")
        details = found.get("details") or []
        # Between "Importing" and "Completed" servers name states of their own.
        return Job(
            job_id,
            _OF_REST.get(str(found.get("state")), "importing"),
            int(found.get("progress") or 0),
            int(found.get("importedRows") or 0),
            str(found.get("reason") or ""),
            tuple(str(detail.get("fileName", "")).strip("[]") for detail in details),
        )

    def find(self, path: str) -> list[Job]:
        found = self._ask("list", {"collectionName": self._target.collection}) or {}
        jobs = [
            self.describe(str(record["jobId"])) for record in found.get("records", ()) if record["state"] != "Failed"
        ]
        return [job for job in jobs if path in job.paths and job.state not in {"failed", "unknown"}]

    def _ask(self, verb: str, body: Mapping[str, Any]) -> Answer | None:
        """What changes nothing may be asked again; None for a job that the server does not know."""

        def once() -> Answer | None:
            try:
                return self._post(verb, body, {}, verb)
            except LostReplyError as error:
                raise MilvusException(message=f"connection: {error}") from error
            except TransientError as error:
                raise MilvusException(message=f"unavailable: {error}") from error
            except _UnknownJobError:
                return None

        return call(f"import job {verb}", once)

    def _post(self, verb: str, body: Mapping[str, Any], headers: Mapping[str, str], what: str) -> Answer:
        authorization = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        request = urllib.request.Request(  # noqa: S310  the scheme was checked
            f"{self._address}{verb}",
            json.dumps(body).encode(),
            {"Content-Type": "application/json", "Accept": "application/json", **authorization, **headers},
            method="POST",
        )
        try:
            with self._opener.open(request, timeout=CALL_TIMEOUT_SECONDS) as response:
                answer = json.loads(redact(response.read().decode()))
        except urllib.error.HTTPError as error:
            with error:
                _raise_of_status(error.code, redact(f"{error.code} {error.reason}"), what)
        except (OSError, ValueError) as error:
            # Refused before it was sent, or cut off after: that cannot be told apart, so nothing is known.
            raise LostReplyError(str(error)) from error
        if not isinstance(answer, dict) or "code" not in answer:
            raise LostReplyError(f"no answer of Milvus: {str(answer)[:200]}")
        code, said = int(answer["code"]), str(answer.get("message", ""))
        if code == _NEED_AUTHENTICATION:
            _raise_of_status(401, said, what)
        if code and verb == "describe" and _says(said, _UNKNOWN_JOB_WORDS):
            raise _UnknownJobError(said)
        if code:
            _refuse(said, what)
        return dict(answer.get("data") or {})


class _UnknownJobError(Exception):
    pass


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirected request would carry the token to wherever the answer points."""

    def redirect_request(self, *_: Any) -> None:
        """Answers with a redirect are errors."""
        return


def _raise_of_status(status: int, said: str, what: str) -> NoReturn:
    if status in _UNAUTHORISED:
        message = f"Milvus does not let this user import ({said}); check --milvus-token"
        raise ConfigurationError(message)
    if status in _BUSY:
        message = f"Milvus is too busy to import {what}: {said}"
        raise TransientError(message)
    if status < 500:  # noqa: PLR2004
        message = (
            f"there is no import by REST at this address ({said}); name it by --import-endpoint, or use --write upsert"
        )
        raise ConfigurationError(message)
    raise LostReplyError(said)


def _refuse(said: str, what: str) -> NoReturn:
    if _says(said, _TRANSIENT_WORDS):
        message = f"Milvus is too busy to import {what}: {said}"
        raise TransientError(message)
    message = f"Milvus refused to import {what}: {said}"
    raise CorpusEmbedError(message)


def _says(text: str, words: tuple[str, ...]) -> bool:
    return any(word in text.lower() for word in words)


class ImportCollection(Collection):
    """A collection, with what only an import asks of it."""

    def stub(self) -> Any:
        """The generated calls of the connection."""
        return self._client._get_connection()._stub  # noqa: SLF001  pymilvus offers these calls with its own retries only

    def create_partition(self, partition: str) -> None:
        """Creates a partition if it is not there."""
        self._ensure_partition(partition)

    def identity(self) -> str:
        """What tells this collection from an earlier one of its name."""
        described = call("describe_collection", lambda: self._client.describe_collection(self._name, **ONE_ATTEMPT))
        return str(described["collection_id"])

    def counts(self) -> dict[str, int]:
        """As of any collection; while imported segments are being loaded a count may fail, so that `TransientError` is raised."""
        try:
            return super().counts()
        except TransientError:
            raise
        except CorpusEmbedError as error:
            if _says(str(error), _LOADING_WORDS):
                raise TransientError(str(error)) from error
            raise

    def refresh(self) -> None:
        """Loads what was imported since the collection was loaded."""
        call("refresh_load", lambda: self._client.refresh_load(self._name, **ONE_ATTEMPT))


def connect_to_import(target: Target) -> ImportCollection:
    """The collection of a server that answered before: if it no longer does, that may pass, so `TransientError`."""
    try:
        return ImportCollection(target)
    except ConfigurationError as error:
        raise TransientError(str(error)) from error


def import_by(version: str) -> Literal["none", "grpc", "rest"]:
    """How a Milvus that states this version imports files; one that is no number, as of a branch, is taken for a newer server."""
    if version.startswith("milvus_lite-"):
        return "none"
    parts = version.lstrip("v").split(".")
    if len(parts) < 2 or not (parts[0].isdecimal() and parts[1].isdecimal()):  # noqa: PLR2004
        return "rest"
    return "grpc" if (int(parts[0]), int(parts[1])) < (2, 4) else "rest"


def check_can_import(version: str, target: Target) -> None:
    """Refuses Milvus Lite, which imports no files, by `ConfigurationError`."""
    if import_by(version) == "none" or is_lite_path(target.uri):
        message = "--write import: Milvus Lite imports no files; use --write upsert, or a Milvus server"
        raise ConfigurationError(message)


def open_jobs(target: Target, collection: ImportCollection, endpoint: str | None = None) -> Jobs:
    """The jobs of a collection, by the interface that its server has."""
    if import_by(collection.version) == "grpc":
        return GrpcJobs(collection, target.collection)
    return RestJobs(target, endpoint)
