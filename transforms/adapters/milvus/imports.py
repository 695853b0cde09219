"""Files imported into a collection, each exactly once, however often the importing process dies.

    ledger/<collection>/imports/<ledger number>/plan.json            the files, fixed before the first is asked for
    ledger/<collection>/imports/<ledger number>/<file digest>.json   what is known of a file's job

Milvus does not remove duplicates on import (milvus #49541), so that a file must never be asked for twice. Before a job is asked for it is
written down that it will be, and its id as soon as there is one. A file that was perhaps asked for, because the process died or the answer
was lost, is first looked for in the server's list of jobs; then, once no other job runs, in the number of rows of its partition; only if it
is in neither is it asked for again, by the same idempotency key, which newer servers answer with the job that they have.
"""

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from transforms.adapters.crashpoints import durable
from transforms.adapters.milvus.import_jobs import Job, Jobs, LostReplyError
from transforms.adapters.milvus.import_storage import ImportStorage
from transforms.adapters.storage import join, list_names, read_bytes, remove, write_bytes
from transforms.logic.errors import ConfigurationError, CorpusEmbedError, CorruptDataError, TransientError
from transforms.logic.identity import digest
from transforms.logic.import_files import ImportFile, rows_by_partition

FORMAT = 1
_LOG = logging.getLogger(__name__)
_PLAN = "plan.json"
_JOBS_AT_ONCE = 64
"""Milvus queues up to 1,024 (`dataCoord.import.maxImportJobNum`); fewer leave room for others."""
_FIRST_PAUSE_SECONDS = 0.1
_ATTEMPTS = 6
_LOOKS_FOR_LOST = 3
Phase = Literal["new", "asking", "running", "completed", "failed"]


@dataclass(frozen=True)
class Timing:
    """How jobs are watched.

    Attributes:
        patience_seconds: a job that makes no progress for so long is given up.
        look_seconds: between two looks at the jobs, at most; the first come sooner.
        now: a monotonic clock.
        sleep: waits so many seconds.
        settle_seconds: rows of a job that finished so long ago that the server forgot it are loaded within so long.
        load_patience_seconds: after the jobs, rows are waited for as long as their number grows within so long.
    """

    patience_seconds: float = 3600
    look_seconds: float = 5
    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    settle_seconds: float = 5
    load_patience_seconds: float = 300


@dataclass(frozen=True)
class Entry:
    """What is known of a file's job; `attempt` counts jobs that were seen to fail, from 0, and is part of the key."""

    phase: Phase = "new"
    job_id: str = ""
    attempt: int = 0
    reason: str = ""


@dataclass(frozen=True)
class Journal:
    """The journal of the import that leads to one ledger of one collection; `directory` is `Workspace.imports`."""

    directory: str
    number: int

    @property
    def exists(self) -> bool:
        """Whether an import was begun."""
        return _PLAN in list_names(self._place)

    def plan(self, files: Sequence[ImportFile], storage: ImportStorage) -> list[ImportFile]:
        """Fixes the files of the import, or gives those that an earlier run fixed for the same rows.

        Raises:
            ConfigurationError: an import of other rows, or from another storage, was begun.
        """
        ordered = sorted(files, key=lambda file: file.name)
        values = {
            "format": FORMAT,
            "storage": storage.uri,
            "path": storage.path,
            "files": [asdict(one) for one in ordered],
        }
        with suppress(FileExistsError), durable("import plan"):
            write_bytes(join(self._place, _PLAN), _json_bytes(values), exclusive=True)
        found = _read(join(self._place, _PLAN))
        planned = [ImportFile(**one) for one in found["files"]]
        if _rows(planned) != _rows(ordered):
            begun, wanted = (sum(one.rows for one in some) for some in (planned, ordered))
            message = (
                f"an import of {begun:,} rows was begun and this run wants {wanted:,}, or others: drop the collection and run again; "
                "no vector is encoded again"
            )
            raise ConfigurationError(message)
        if (found["storage"], found["path"]) != (storage.uri, storage.path):
            message = (
                f"an import was begun from --import-storage {found['storage']!r}, which Milvus calls {found['path']!r}; "
                "name these to go on with it, or drop the collection and run again"
            )
            raise ConfigurationError(message)
        return planned

    def entries(self, files: Sequence[ImportFile]) -> dict[str, Entry]:
        """What is known of some files, by name."""
        # Of a billion rows there are thousands, so that they are listed once.
        known = set(list_names(self._place))
        names = {file.name: self._name(file) for file in files}
        return {
            file: Entry(**_read(join(self._place, name))["entry"]) if name in known else Entry()
            for file, name in names.items()
        }

    def write(self, file: ImportFile, entry: Entry) -> None:
        """Writes down what is known of a file."""
        with durable("import journal"):
            write_bytes(
                join(self._place, self._name(file)),
                _json_bytes({"format": FORMAT, "file": file.name, "entry": asdict(entry)}),
            )

    def forget(self) -> None:
        """Removes the journal of a collection that is gone; the plan last, so that it stands until nothing else does."""
        for name in sorted(list_names(self._place), key=lambda name: name == _PLAN):
            remove(join(self._place, name))

    @property
    def _place(self) -> str:
        return join(self.directory, f"{self.number:08d}")

    def _name(self, file: ImportFile) -> str:
        return f"{digest('import file', file.name).hex()}.json"


def _rows(files: Sequence[ImportFile]) -> tuple[Mapping[str, int], int]:
    return rows_by_partition(files), sum(file.checksum for file in files) % (1 << 128)


@dataclass
class Import:
    """The import of some files into a collection that held no rows.

    Attributes:
        jobs: of the collection.
        journal: of the import.
        storage: where the files lie.
        counts: rows of each partition as counted in Milvus now, all that was imported loaded.
        check_lease: raises if another run took over the collection.
        timing: how jobs are watched.
    """

    jobs: Jobs
    journal: Journal
    storage: ImportStorage
    counts: Callable[[], Mapping[str, int]]
    check_lease: Callable[[], None] = lambda: None
    timing: Timing = field(default_factory=Timing)
    _entries: dict[str, Entry] = field(default_factory=dict)
    _failed_before: set[str] = field(default_factory=set)

    def run(self, files: Sequence[ImportFile]) -> None:
        """Imports the files of `Journal.plan`, each once, and waits until their rows can be counted.

        Raises:
            CorpusEmbedError: jobs failed; the message names the files and reasons. The next run asks for these files alone.
            CorruptDataError: Milvus imported another number of rows than a file has.
            TransientError: a job makes no progress, or the server does not answer; the next run goes on with the jobs that there are.
            ConfigurationError: the server does not let this user import.
        """
        self._entries = self.journal.entries(files)
        self._failed_before = {name for name, entry in self._entries.items() if entry.phase == "failed"}
        for file in files:
            if self._entries[file.name].phase == "asking":
                self._adopt(file)
        left = _ATTEMPTS
        while uncertain := self._drain(files):
            if not left:
                said = self._entries[uncertain[0].name].reason
                raise TransientError(f"Milvus answers no request to import ({said}); run again when it does")
            left -= 1
            self._settle(uncertain[0], files)
        failed = [file for file in files if self._entries[file.name].phase == "failed"]
        if failed:
            lines = "\n".join(
                f"  {self.storage.path_of(file)} (job {self._entries[file.name].job_id}): {self._entries[file.name].reason}"
                for file in failed
            )
            message = (
                f"Milvus failed to import {len(failed)} of {len(files)} files, and no reader sees their rows; "
                f"mend what it says and run again, which imports these alone:\n{lines}"
            )
            raise CorpusEmbedError(message)
        self._wait_until_counted(files)

    def _set(self, file: ImportFile, entry: Entry) -> None:
        self.journal.write(file, entry)
        self._entries[file.name] = entry

    def _drain(self, files: Sequence[ImportFile]) -> list[ImportFile]:
        """Asks for what is new or was seen to fail in an earlier run, and watches all jobs until none runs.

        Gives the files of which it is not known whether there is a job.
        """
        waiting = [
            file for file in files if self._entries[file.name].phase == "new" or file.name in self._failed_before
        ]
        self._failed_before = set()
        changed: dict[str, tuple[tuple[str, int], float]] = {}
        pause = _FIRST_PAUSE_SECONDS
        while True:
            running = [file for file in files if self._entries[file.name].phase == "running"]
            while waiting and len(running) < _JOBS_AT_ONCE:
                file = waiting.pop(0)
                self._ask(file)
                if self._entries[file.name].phase == "running":
                    running.append(file)
            if not running:
                return [file for file in files if self._entries[file.name].phase == "asking"]
            states = [self._look(file, changed) for file in running]
            if any(state in {"pending", "importing"} for state in states):
                self.timing.sleep(pause)
                pause = min(2 * pause, self.timing.look_seconds)

    def _ask(self, file: ImportFile) -> None:
        before = self._entries[file.name]
        attempt = before.attempt + (before.phase == "failed")
        self.check_lease()
        self._set(file, Entry("asking", attempt=attempt))
        try:
            with durable("import job"):
                job_id = self._create(file, attempt)
        except LostReplyError as error:
            _LOG.warning("Milvus did not answer whether it imports %s: %s", self.storage.path_of(file), error)
            self._entries[file.name] = Entry("asking", attempt=attempt, reason=str(error))
            self._adopt(file, looks=_LOOKS_FOR_LOST)
        except (ConfigurationError, TransientError):
            # The server said no, so there is no job.
            self._set(file, Entry("new", attempt=attempt))
            raise
        except CorpusEmbedError as error:
            self._set(file, Entry("failed", attempt=attempt, reason=str(error)))
        else:
            self._set(file, Entry("running", job_id, attempt))

    def _create(self, file: ImportFile, attempt: int) -> str:
        """Asks again as long as the server says that it is too busy."""
        path = self.storage.path_of(file)
        for number in range(_ATTEMPTS - 1):
            try:
                return self.jobs.create(file.partition, path, self._key(file, attempt))
            except TransientError:
                self.timing.sleep(self.timing.look_seconds * 2**number)
        return self.jobs.create(file.partition, path, self._key(file, attempt))

    def _key(self, file: ImportFile, attempt: int) -> str:
        return f"{digest('import', self.storage.path_of(file), attempt).hex()}"

    def _adopt(self, file: ImportFile, looks: int = 1) -> None:
        """Takes over the job of a file that was perhaps asked for, if the server lists it; newer jobs come last."""
        for look in range(looks):
            if look:
                self.timing.sleep(self.timing.look_seconds)
            with suppress(TransientError):
                found = self.jobs.find(self.storage.path_of(file))
                if found:
                    self._set(file, Entry("running", found[-1].job_id, self._entries[file.name].attempt))
                    return

    def _settle(self, file: ImportFile, files: Sequence[ImportFile]) -> None:
        """Decides by counting, while no job runs, whether a file that no job is known of was imported."""
        done = [
            one for one in files if self._entries[one.name].phase == "completed" and one.partition == file.partition
        ]
        expected = sum(one.rows for one in done)
        self._wait_until_counted(done)
        self.timing.sleep(self.timing.settle_seconds)
        counted = self.counts().get(file.partition, 0)
        entry = self._entries[file.name]
        if counted == expected + file.rows:
            self._set(file, Entry("completed", attempt=entry.attempt, reason="its rows were counted"))
        elif counted == expected:
            self._set(file, Entry("new", attempt=entry.attempt, reason=entry.reason))
        else:
            message = (
                f"partition {file.partition} has {counted:,} rows, {expected:,} were imported, and whether {self.storage.path_of(file)} "
                f"({file.rows:,} rows) was cannot be told; drop the collection and run again; no vector is encoded again"
            )
            raise CorruptDataError(message)

    def _look(self, file: ImportFile, changed: dict[str, tuple[tuple[str, int], float]]) -> str:
        entry = self._entries[file.name]
        job = self.jobs.describe(entry.job_id)
        now = self.timing.now()
        seen, since = changed.get(file.name, (None, now))
        if seen != (job.state, job.percent):
            since = now
            changed[file.name] = ((job.state, job.percent), now)
            _LOG.info(
                "import of %s: job %s is %s, %d %%; %d of %d files are in",
                file.name,
                job.job_id,
                job.state,
                job.percent,
                sum(one.phase == "completed" for one in self._entries.values()),
                len(self._entries),
            )
        if job.state == "completed":
            self._check_rows(file, job)
            self._set(file, replace(entry, phase="completed"))
        elif job.state == "failed":
            self._set(file, replace(entry, phase="failed", reason=job.reason or "the server names no reason"))
        elif job.state == "unknown":
            # Servers forget finished jobs after some hours; the rows tell.
            self._set(file, replace(entry, phase="asking", reason=f"job {job.job_id} is not known: {job.reason}"))
        elif now - since > self.timing.patience_seconds:
            message = (
                f"the import of {self.storage.path_of(file)} makes no progress: job {job.job_id} has been {job.state} at {job.percent} % "
                f"for {self.timing.patience_seconds:g} seconds; look at the server's data nodes, and run again to go on waiting for it"
            )
            raise TransientError(message)
        return job.state

    def _check_rows(self, file: ImportFile, job: Job) -> None:
        if job.rows != file.rows:
            message = (
                f"Milvus imported {job.rows:,} rows of {self.storage.path_of(file)} (job {job.job_id}), which has {file.rows:,}; "
                "drop the collection and run again; no vector is encoded again"
            )
            raise CorruptDataError(message)

    def _wait_until_counted(self, files: Sequence[ImportFile]) -> None:
        """Imported rows are loaded some seconds after their job; whether all are there is for the run's balance to say."""
        expected = rows_by_partition(files)
        since, before = self.timing.now(), -1
        pause = _FIRST_PAUSE_SECONDS
        while self.timing.now() - since < self.timing.load_patience_seconds:
            try:
                counted = self.counts()
            except TransientError as error:
                _LOG.info("the rows cannot be counted yet: %s", error)
                counted = {}
            total = sum(counted.values())
            if total != before:
                since, before = self.timing.now(), total
                _LOG.info("%d of %d imported rows are loaded", total, sum(expected.values()))
            if all(counted.get(partition, 0) >= rows for partition, rows in expected.items()):
                return
            self.timing.sleep(pause)
            pause = min(2 * pause, self.timing.look_seconds)


def remove_files(storage: ImportStorage, files: Sequence[ImportFile]) -> None:
    """Removes imported files; what cannot be removed is named in the log, as nothing depends on it."""
    for file in files:
        try:
            remove(storage.uri_of(file))
        except (OSError, TransientError) as error:
            _LOG.warning("%s was imported and cannot be removed: %s", storage.uri_of(file), error)


def _json_bytes(values: Mapping[str, Any]) -> bytes:
    return json.dumps(values, indent=1, sort_keys=True).encode()


def _read(uri: str) -> dict[str, Any]:
    try:
        values: dict[str, Any] = json.loads(read_bytes(uri))
    except (OSError, ValueError) as error:
        raise CorruptDataError(f"{uri} cannot be read: {error}; drop the collection and run again") from error
    if values.get("format") != FORMAT:
        message = f"{uri} has format {values.get('format')!r}, this version reads {FORMAT}; use the corpus-embed that wrote it"
        raise CorruptDataError(message)
    return values
