"""The tasks that the DAGs share: check -> run (here, or on Dataflow) -> verify -> publish.

A task is tried again only for what another attempt may mend: exit code 6 of a command, what a Dataflow job reports as such, and a
service of Google that is busy or away. The wait in between is Airflow's own (`[core] default_task_retry_delay`, five minutes), doubled
each time.
"""

import json
import os
import urllib.request
from collections.abc import Iterator, Sequence
from http.client import HTTPException
from typing import Any, Final
from urllib.parse import urlsplit

from airflow.providers.google.cloud.hooks.dataflow import DataflowJobStatus
from airflow.providers.google.cloud.links.dataflow import DataflowJobLink
from airflow.providers.google.cloud.operators.dataflow import DataflowStartFlexTemplateOperator
from airflow.providers.google.cloud.triggers.dataflow import DataflowJobStatusTrigger
from airflow.providers.standard.hooks.subprocess import SubprocessHook
from airflow.sdk import (
    Asset,
    BaseNotifier,
    BaseOperator,
    Connection,
    Context,
    ObjectStoragePath,
    Param,
    TriggerRule,
    Variable,
    task,
)
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowNotFoundException
from corpus_embed_plan import (
    EXIT_CODES,
    EXIT_REJECTS,
    EXIT_RETRY,
    GOOD,
    LAUNCH,
    SettingsError,
    is_transient,
    newest_record,
    plan,
    summary,
)
from google.auth.exceptions import GoogleAuthError
from googleapiclient.errors import HttpError

SETTINGS: Final = "corpus_embed"
"""The Variable that holds the settings."""
POOL: Final = "corpus_embed"
"""The pool, of one slot, that lets one run at a time write to the collection, whichever DAG it is of."""
ALERTS: Final = "corpus_embed_alerts"
"""The Connection of type http that alerts are sent to; without it they are only logged."""
SERVED: Final = Asset("corpus_embed")
"""What a DAG that waits for fresh vectors is scheduled on."""

PARAMS: Final = {
    "verify": Param(
        "quick",
        enum=["quick", "full"],
        description="how deep the collection is held against its ledger: counts and a few rows, or every id and recall",
    ),
    "recheck": Param(
        default=False,
        type="boolean",
        description="take every document of the interval through the pipeline, also those that the collection holds as they are",
    ),
    "max_reject_fraction": Param(
        None,
        type=["null", "number"],
        minimum=0,
        maximum=1,
        description="share of rejects above which the run fails; empty: as the settings say",
    ),
}

_ALERT_SECONDS: Final = 30
_EXIT_CODE: Final = "exit code "
_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")
_TAKEN_STATUS: Final = 409
"""Of Google's interfaces: a job of this name, and so of this interval, is still running."""
_BUSY_STATUS: Final = frozenset({408, _TAKEN_STATUS, 429, 500, 502, 503, 504})


class Alert(BaseNotifier):
    """Says in one line what needs somebody's eyes: a failed task, or rejects.

    The line goes to the webhook of the Connection `corpus_embed_alerts` as `{"text": …}`, which Slack, Mattermost and Google Chat take; its
    password, if it has one, as a bearer token. Nothing of a document is in it, and of an error its exit code alone: the log has the rest.

    Args:
        what: happened; by default a failure.
    """

    def __init__(self, what: str = "failed") -> None:
        super().__init__()
        self.what = what

    def notify(self, context: Context) -> None:
        """Logs the line and sends it; that it cannot be sent fails nothing."""
        instance = context["ti"]
        interval = context.get("data_interval_start")
        # Of messages of errors these alone are known to be harmless.
        error = str(context.get("exception") or "")
        reason = f", {error}" if error.startswith(_EXIT_CODE) else ""
        text = (
            f"corpus-embed: {instance.dag_id} {interval.date() if interval else instance.run_id}, task {instance.task_id}: "
            f"{self.what}{reason}; {instance.log_url}"
        )
        self.log.warning("%s", text)
        try:
            connection = Connection.get(ALERTS)
        except AirflowNotFoundException:
            self.log.info("there is no connection %s, so the alert stands in this log alone", ALERTS)
            return
        try:
            _post(connection, {"text": text})
        except (OSError, HTTPException, ValueError) as error:
            # An address may hold a token, and messages of errors repeat addresses.
            self.log.error("the alert could not be sent to the connection %s: %s", ALERTS, type(error).__name__)  # noqa: TRY400


def _post(connection: Connection, body: dict[str, str]) -> None:
    """Sends JSON, in clear text to this machine alone; anything but success is an `OSError`, a wrong address a `ValueError`."""
    address = connection.host or ""
    if "://" not in address:
        address = f"{connection.schema or 'https'}://{address}"
    if connection.port:
        address += f":{connection.port}"
    parts = urlsplit(address)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        message = "the connection's host must be an address that begins with https://"
        raise ValueError(message)
    url = address + str(connection.extra_dejson.get("endpoint", ""))
    headers = {"Content-Type": "application/json; charset=utf-8"}
    if connection.password:
        headers["Authorization"] = f"Bearer {connection.password}"
    request = urllib.request.Request(url, json.dumps(body).encode(), headers, method="POST")  # noqa: S310  checked above
    with urllib.request.build_opener(_NoRedirects).open(request, timeout=_ALERT_SECONDS):
        pass


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect would take the token along, to whatever place and in clear text."""

    def redirect_request(self, *_: Any) -> None:
        """Follows none, which makes an error of it."""


DEFAULTS: Final = {
    "owner": "corpus-embed",
    "retries": 5,
    "retry_exponential_backoff": 2.0,
    "max_retry_delay": 3600.0,
    "on_failure_callback": [Alert()],
}
"""Of every task."""


class RunCommand(BaseOperator):
    """Runs the command line of the local runner, in a process of its own that does not see Airflow's configuration.

    Args:
        plan: what `check` made.
    """

    template_fields: Sequence[str] = ("plan",)
    template_fields_renderers = {"plan": "json"}  # noqa: RUF012  Airflow's own attribute

    def __init__(self, *, plan: Any, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.plan = plan
        self._process = SubprocessHook()

    def execute(self, context: Context) -> Any:  # noqa: ARG002  Airflow's own signature
        """Runs it; exit code 3 is taken for success here, `verify` tells of the rejects."""
        self.call(self.plan["run"])

    def call(self, command: list[str]) -> None:
        """Runs a command.

        Raises:
            AirflowException: exit code 6; Airflow tries again.
            AirflowFailException: any other exit code that is not good.
        """
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW_", "_AIRFLOW_"))
        }
        code = self._process.run_command(command, env=inherited).exit_code
        if code not in GOOD:
            raise failure(code)

    def on_kill(self) -> None:
        """Ends the process; the next attempt goes on where it was."""
        self._process.send_sigterm()


def failure(code: int) -> AirflowException:
    """The exception for an exit code that is not good."""
    # Of a process itself, and of one that was a shell's (POSIX, exit status).
    by_signal = -code if code < 0 else code - 128
    ended = f"ended by signal {by_signal}" if by_signal > 0 else "an exit code that corpus-embed does not know"
    meaning = EXIT_CODES.get(code, ended)
    kind = AirflowException if code == EXIT_RETRY else AirflowFailException
    return kind(f"{_EXIT_CODE}{code}: {meaning}")


class RunOnDataflow(DataflowStartFlexTemplateOperator):
    """Launches the Flex template and waits, deferred, until the job has ended in whatever way.

    Google's operator waits for ever for a job that was cancelled, and has every failure tried again. Marking this task failed does not
    cancel the job: cancel it in Dataflow, and the task follows. A job of the very same launch that is running, because the answer to its
    launch or the task that waited for it was lost, is waited for.
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__(deferrable=True, append_job_name=False, **arguments)

    def execute(self, context: Context) -> None:
        """Launches the job."""
        try:
            job = self.hook.launch_job_with_flex_template(
                body=self.body, location=self.location, project_id=self.project_id
            )
        except HttpError as error:
            status = int(error.resp.status)
            found = self._running() if status == _TAKEN_STATUS else None
            if found is None:
                kind = AirflowException if status in _BUSY_STATUS else AirflowFailException
                message = f"Dataflow did not take the job: HTTP {status} {error.reason}"
                raise kind(message) from error
            self.log.info("job %s of this launch is running: waiting for it", found["id"])
            job = found
        except GoogleAuthError as error:
            kind = AirflowException if error.retryable else AirflowFailException
            message = f"Google knows no credentials of this Airflow: {type(error).__name__}"
            raise kind(message) from error
        DataflowJobLink.persist(context=context, project_id=self.project_id, region=self.location, job_id=job["id"])
        context["ti"].xcom_push(key="job_id", value=job["id"])
        self._wait(job["id"])

    def execute_complete(self, context: Context, event: dict[str, str]) -> dict[str, str]:
        """Looks at how the job ended; the event may also tell that nobody could look at it."""
        job_id = context["ti"].xcom_pull(task_ids=self.task_id, key="job_id")
        place = {"project_id": self.project_id, "location": self.location}
        state = self.hook.get_job(job_id=job_id, **place)["currentState"]
        if state == DataflowJobStatus.JOB_STATE_DONE:
            return {"job_id": job_id, "state": state}
        if state not in DataflowJobStatus.TERMINAL_STATES:
            self.log.warning("waiting again for job %s, which is %s: %s", job_id, state, event["message"])
            self._wait(job_id)
        transient = is_transient(self.hook.fetch_job_messages_by_id(job_id=job_id, **place))
        kind = AirflowException if transient else AirflowFailException
        message = f"Dataflow job {job_id} ended as {state}; its messages say more"
        raise kind(message)

    def _running(self) -> dict[str, Any] | None:
        """The running job of this very launch, if there is one: it has the name, and the label that holds a hash of the rest."""
        launch = self.body["launchParameter"]
        place = {"projectId": self.project_id, "location": self.location}
        jobs = self.hook.get_conn().projects().locations().jobs()
        for one in jobs.list(**place, filter="ACTIVE", name=launch["jobName"]).execute().get("jobs", []):
            job: dict[str, Any] = jobs.get(**place, jobId=one["id"], view="JOB_VIEW_DESCRIPTION").execute()
            if job.get("labels", {}).get(LAUNCH) == launch["environment"]["additionalUserLabels"][LAUNCH]:
                return job
        return None

    def _wait(self, job_id: str) -> None:
        trigger = DataflowJobStatusTrigger(
            job_id=job_id,
            expected_statuses=sorted(DataflowJobStatus.TERMINAL_STATES),
            project_id=self.project_id,
            location=self.location,
            gcp_conn_id=self.gcp_conn_id,
            poll_sleep=30,
        )
        self.defer(trigger=trigger, method_name="execute_complete")


class Verify(RunCommand):
    """Reads the run's record, and holds the collection against its ledger where a command is at hand; gives a summary."""

    def execute(self, context: Context) -> dict[str, Any] | None:
        """Fails for a run that is not good, and tells of rejects.

        A full load that found nothing new leaves no record of this interval: the summary is None.
        """
        record = newest_record(self._records(), self.plan["serves"], is_alias=self.plan["is_alias"])
        found = None if record is None else summary(record)
        if found is None and self.plan["runner"] == "dataflow":
            message = f"the job wrote no record of {self.plan['interval']} below {self.plan['workspace']}"
            raise AirflowFailException(message)
        if found is not None and found["exit_code"] not in GOOD:
            raise failure(found["exit_code"])
        if self.plan["verify"]:
            self.call(self.plan["verify"])
        if found is not None and found["exit_code"] == EXIT_REJECTS:
            rejects = ", ".join(f"{reason} {count:,}" for reason, count in found["rejects"].items())
            Alert(f"complete, with rejects: {rejects}")(context)
        return found

    def _records(self) -> Iterator[dict[str, Any]]:
        """Records of the runs of this interval."""
        runs = ObjectStoragePath(self.plan["workspace"]) / "runs"
        for path in sorted(runs.glob(f"{self.plan['interval']}-*/run.json")):
            yield json.loads(path.read_text(encoding="utf-8"))


def embed_interval() -> None:
    """Adds the tasks of one interval to the DAG that is being defined."""

    @task.branch(task_id="check")
    def check(**context: Any) -> str:
        """Checks settings, parameters and interval, which takes no machine, and says where it runs."""
        try:
            settings = json.loads(Variable.get(SETTINGS, default="null"))
        except json.JSONDecodeError as error:
            message = f"the Variable {SETTINGS} is no JSON: {error.msg} in line {error.lineno}"
            raise AirflowFailException(message) from None
        start, stop = context.get("data_interval_start"), context.get("data_interval_end")
        try:
            planned = plan(settings, start, stop, context["params"])
        except SettingsError as error:
            message = f"Variable {SETTINGS}: {error}"
            raise AirflowFailException(message) from error
        for key in ("body", "project", "region"):
            if key in planned:
                context["ti"].xcom_push(key=key, value=planned.pop(key))
        context["ti"].xcom_push(key="plan", value=planned)
        return "run_here" if planned["runner"] == "local" else "run_on_dataflow"

    @task(task_id="publish", outlets=[SERVED])
    def publish(found: dict[str, Any] | None, *, outlet_events: Any) -> None:
        """Tells DAGs that wait for the asset that the collection, or what the alias means now, is verified and served."""
        if found is not None:
            outlet_events[SERVED].extra = found

    checked = check()
    here = RunCommand(task_id="run_here", plan=checked["plan"], pool=POOL)
    dataflow = RunOnDataflow(
        task_id="run_on_dataflow",
        body=checked["body"],
        location=checked["region"],
        project_id=checked["project"],
        pool=POOL,
    )
    verify = Verify(
        task_id="verify", plan=checked["plan"], pool=POOL, trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS
    )
    _ = checked >> [here, dataflow] >> verify
    publish(verify.output)
