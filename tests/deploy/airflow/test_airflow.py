"""The DAGs in a real Airflow: imported, run, scheduled, backfilled. Run by `make test-airflow`."""

import dataclasses
import json
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.deploy.airflow.conftest import CANARY, Airflow, Webhook, wait_until
from tests.pipelines.jobs import Job
from tests.servers import GCSFS_ENVIRONMENT, Store

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(1200)]

DAYS = ("2026-03-01", "2026-03-02", "2026-03-03")
IMPORT = """
import json, sys, warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    from airflow.dag_processing.dagbag import DagBag
    bag = DagBag(".")
own = [str(one.message) for one in caught if one.filename.startswith(sys.path[0] or ".") or "/dags/" in one.filename]
describe = lambda dag: {
    "tasks": {name: sorted(task.upstream_task_ids) for name, task in dag.task_dict.items()},
    "pools": {name: task.pool for name, task in dag.task_dict.items()},
    "retries": sorted({task.retries for task in dag.task_dict.values()}),
    "active": dag.max_active_runs,
    "catchup": dag.catchup,
    "params": dag.params.dump(),
}
print(json.dumps({
    "errors": bag.import_errors,
    "warnings": own,
    "product": sorted(name for name in sys.modules if name.split(".")[0] in {"pipelines", "transforms", "torch"}),
    "dags": {name: describe(dag) for name, dag in bag.dags.items()},
}))
"""


def test_dags_import_without_errors_warnings_or_this_project_s_packages(airflow: Airflow) -> None:
    found = airflow.python(IMPORT)
    assert (found["errors"], found["warnings"], found["product"]) == ({}, [], [])
    assert set(found["dags"]) == {"embed_corpus_daily", "embed_corpus_backfill"}
    for dag in found["dags"].values():
        assert dag["tasks"] == {
            "check": [],
            "run_here": ["check"],
            "run_on_dataflow": ["check"],
            "verify": ["check", "run_here", "run_on_dataflow"],
            "publish": ["verify"],
        }
        assert {name for name, pool in dag["pools"].items() if pool == "corpus_embed"} == {
            "run_here",
            "run_on_dataflow",
            "verify",
        }
        assert (dag["active"], dag["catchup"], dag["retries"]) == (1, False, [5])
        assert dag["params"] == {"verify": "quick", "recheck": False, "max_reject_fraction": None}


PARSE = """
import json
from airflow.cli.cli_parser import get_parser
for one in COMMANDS:
    get_parser().parse_args(one)
print(json.dumps(sorted({one[0] for one in COMMANDS})))
"""


def test_commands_on_the_pages_are_airflow_s(airflow: Airflow) -> None:
    page = (ROOT / "deploy" / "README.md").read_text(encoding="utf-8")
    own = (ROOT / "deploy" / "airflow" / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"(?:`|^ +)airflow ([a-z]+ [^`\n]+)", own, re.MULTILINE)
    commands += [
        before + after
        for before, after in re.findall(r"environments run .*\$PROJECT ([a-z ]+)-- (.+)$", page, re.MULTILINE)
    ]
    assert len(commands) >= 10
    code = PARSE.replace("COMMANDS", repr([shlex.split(one) for one in commands]))
    assert airflow.python(code) == ["backfill", "dags", "pools", "variables"]


OUTCOMES = """
import json
from types import SimpleNamespace
from airflow.sdk.exceptions import TaskDeferred
from google.auth.exceptions import DefaultCredentialsError, RefreshError
from googleapiclient.discovery import build
from googleapiclient.errors import HttpError
from googleapiclient.http import HttpMockSequence
import corpus_embed_tasks as tasks

def kind_of(act):
    try:
        return act()
    except TaskDeferred as deferred:
        return ["TaskDeferred", deferred.method_name, deferred.trigger.serialize()[1]]
    except Exception as error:
        return [type(error).__name__, str(error)]

class Hook:
    def __init__(self, state=None, messages=(), status=None, running=()):
        self.state, self.messages, self.status, self.launched = state, messages, status, []
        self.answers = [({"status": "200"}, json.dumps({"jobs": [{"id": one} for one in running]} if running else {}))]
        self.answers += [({"status": "200"}, json.dumps({"id": one, "labels": labels})) for one, labels in dict(running).items()]
    def launch_job_with_flex_template(self, *, body, location, project_id):
        if self.status == "login":
            raise DefaultCredentialsError("none")
        if self.status == "token":
            raise RefreshError("later", retryable=True)
        if self.status:
            raise HttpError(SimpleNamespace(status=self.status, reason="because"), b"")
        self.launched.append((body, location, project_id))
        return {"id": "job-1"}
    def get_job(self, *, job_id, project_id, location):
        return {"id": job_id, "currentState": self.state}
    def get_conn(self):
        return build("dataflow", "v1b3", http=HttpMockSequence(self.answers))
    def fetch_job_messages_by_id(self, *, job_id, project_id, location):
        return self.messages

pushed = {}
instance = SimpleNamespace(xcom_push=lambda key, value: pushed.__setitem__(key, value), xcom_pull=lambda task_ids, key: pushed[key])
context = {"ti": instance, "task_instance": instance, "dag": SimpleNamespace()}
environment = {"additionalUserLabels": {"corpus-embed-launch": "0a"}}
body = {"launchParameter": {"jobName": "corpus-embed-manuals-2026-03-01", "environment": environment}}
tasks.DataflowJobLink.persist = lambda **_: None

def operator(**about):
    made = tasks.RunOnDataflow(task_id="run", body=body, location="europe-west4", project_id="p")
    made.__dict__["hook"] = Hook(**about)
    return made

transient = [{"messageImportance": "JOB_MESSAGE_ERROR", "messageText": "transforms.logic.errors.TransientError: away"}]
event = {"status": "error", "message": "?"}
launched = operator()
first = kind_of(lambda: launched.execute(context))
print(json.dumps({
    "exits": {code: type(tasks.failure(code)).__name__ for code in (-9, 1, 2, 4, 5, 6, 7, 99, 143)},
    "meanings": [str(tasks.failure(code)).partition(": ")[2] for code in (-9, 99, 143)],
    "launched": [first, launched.hook.launched, dict(pushed)],
    "refused": {
        status: kind_of(lambda: operator(status=status).execute(context))[0]
        for status in (400, 403, 404, 409, 429, 503, "login", "token")
    },
    "ended": {
        state: kind_of(lambda: operator(state=f"JOB_STATE_{state}").execute_complete(context, event))
        for state in ("DONE", "FAILED", "CANCELLED", "DRAINED", "RUNNING")
    },
    "transient": kind_of(lambda: operator(state="JOB_STATE_FAILED", messages=transient).execute_complete(context, event)),
    "running": {
        label: [
            kind_of(lambda: operator(status=409, running={"job-8": {}, "job-9": {"corpus-embed-launch": label}}).execute(context)),
            pushed["job_id"],
        ]
        for label in ("0b", "0a")
    },
}, default=str))
"""


def test_only_what_another_attempt_may_mend_is_tried_again(airflow: Airflow) -> None:
    """`AirflowException` is tried again, `AirflowFailException` is not; Google's interfaces are a double here."""
    found = airflow.python(OUTCOMES)
    again = {code for code, kind in found["exits"].items() if kind == "AirflowException"}
    assert again == {"6"}
    assert {code for code, kind in found["exits"].items() if kind == "AirflowFailException"} == set(found["exits"]) - {
        "6"
    }
    assert found["meanings"] == [
        "ended by signal 9",
        "an exit code that corpus-embed does not know",
        "ended by signal 15",
    ]
    assert {status for status, kind in found["refused"].items() if kind == "AirflowException"} == {
        "409",
        "429",
        "503",
        "token",
    }
    assert set(found["refused"].values()) == {"AirflowException", "AirflowFailException"}

    # A running job of the same launch is waited for, one of another is in the way.
    assert (found["running"]["0b"][0][0], found["running"]["0b"][1]) == ("AirflowException", "job-1")
    assert (found["running"]["0a"][0][0], found["running"]["0a"][1]) == ("TaskDeferred", "job-9")
    assert found["running"]["0a"][0][2]["job_id"] == "job-9"

    (kind, method, trigger), launches, pushed = found["launched"]
    assert (kind, method, pushed) == ("TaskDeferred", "execute_complete", {"job_id": "job-1"})
    ((launch, *place),) = launches
    assert launch["launchParameter"]["jobName"] == "corpus-embed-manuals-2026-03-01"
    assert place == ["europe-west4", "p"]
    assert (trigger["job_id"], trigger["project_id"], trigger["location"]) == ("job-1", "p", "europe-west4")
    ended = found["ended"]
    assert ended["DONE"] == {"job_id": "job-1", "state": "JOB_STATE_DONE"}
    assert ended["RUNNING"][0] == "TaskDeferred"
    assert {ended[state][0] for state in ("FAILED", "CANCELLED", "DRAINED")} == {"AirflowFailException"}
    assert {"JOB_STATE_FAILED", "JOB_STATE_CANCELLED", "JOB_STATE_DONE"} <= set(trigger["expected_statuses"])
    assert found["transient"][0] == "AirflowException"


@pytest.fixture(scope="session")
def backfilled(airflow: Airflow, calls: Path) -> dict[str, Any]:
    """Three days, backfilled under a scheduler: the second day's run meets a service that is away, the third's a wrong configuration."""
    failing = calls / "fail"
    failing.mkdir()
    (failing / DAYS[1]).write_text("6\n6", encoding="utf-8")
    (failing / DAYS[2]).write_text("2", encoding="utf-8")
    create = ["backfill", "create", "--dag-id", "embed_corpus_backfill", "--from-date", DAYS[0], "--to-date", DAYS[2]]
    create += ["--max-active-runs", "1"]
    airflow.run("pools", "set", "corpus_embed", "1", "one run at a time", "--include-deferred")
    seen: dict[str, Any] = {}

    def ended(number: int) -> bool:
        states = airflow.states("embed_corpus_backfill")
        done = airflow.query("SELECT count(*) FROM backfill WHERE completed_at IS NOT NULL")[0][0]
        return len(states) == len(DAYS) and done == number and set(states.values()) <= {"success", "failed"}

    with airflow.serving():
        airflow.run("dags", "unpause", "embed_corpus_backfill")
        airflow.run(*create)
        wait_until(lambda: ended(1), 600, "the backfill")
        seen["first"] = airflow.states("embed_corpus_backfill")
        seen["tries"] = _tries(airflow)
        first_calls = len(_calls(calls))
        airflow.run(*create, "--reprocess-behavior", "failed")
        wait_until(lambda: ended(2), 300, "the backfill of what had failed")
        seen["second"] = airflow.states("embed_corpus_backfill")
        seen["again"] = _calls(calls)[first_calls:]
    seen["calls"] = _calls(calls)
    return seen


def _tries(airflow: Airflow) -> dict[str, int]:
    rows = airflow.query(
        "SELECT r.data_interval_start, t.try_number FROM task_instance t JOIN dag_run r USING (dag_id, run_id) "
        "WHERE t.task_id = 'run_here' AND dag_id = 'embed_corpus_backfill'"
    )
    return {str(start)[:10]: tries for start, tries in rows}


def _calls(calls: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (calls / "calls.jsonl").read_text(encoding="utf-8").splitlines()]


def _flag(call: Mapping[str, Any], name: str) -> str:
    (found,) = (one.partition("=")[2] for one in call["arguments"] if one.startswith(f"--{name}="))
    return str(found)


def test_a_backfill_makes_one_run_of_real_width_for_each_day_and_nothing_runs_unasked(
    airflow: Airflow, backfilled: dict[str, Any]
) -> None:
    assert backfilled["first"] == {DAYS[0]: "success", DAYS[1]: "success", DAYS[2]: "failed"}
    widths = airflow.query(
        "SELECT julianday(data_interval_end) - julianday(data_interval_start), run_type FROM dag_run "
        "WHERE dag_id = 'embed_corpus_backfill'"
    )
    assert widths == [(1.0, "backfill")] * 3
    runs = [call for call in backfilled["calls"] if call["arguments"][0] == "run"]
    windows = {(_flag(call, "date-from"), _flag(call, "date-to"), _flag(call, "logical-date")) for call in runs}
    assert windows == {
        ("2026-03-01", "2026-03-02", "2026-03-01"),
        ("2026-03-02", "2026-03-03", "2026-03-02"),
        ("2026-03-03", "2026-03-04", "2026-03-03"),
    }
    assert not any(call["seen"] for call in backfilled["calls"])


def test_exit_code_6_is_tried_again_and_2_is_not_but_told(backfilled: dict[str, Any], webhook: Webhook) -> None:
    assert backfilled["tries"] == {DAYS[0]: 1, DAYS[1]: 3, DAYS[2]: 1}
    told = [line for line in webhook.lines if "embed_corpus_backfill" in line and "failed" in line]
    failed = "failed, exit code 2: the configuration is wrong, nothing was encoded"
    assert told == [f"corpus-embed: embed_corpus_backfill {DAYS[2]}, task run_here: {failed}"]


def test_failed_intervals_are_run_again_alone(backfilled: dict[str, Any]) -> None:
    assert backfilled["second"] == dict.fromkeys(DAYS, "success")
    assert [call["arguments"][0] for call in backfilled["again"]] == ["run", "verify"]
    assert _flag(backfilled["again"][0], "logical-date") == DAYS[2]


def test_days_one_by_one_give_the_collection_of_one_run_over_all(
    airflow: Airflow, backfilled: dict[str, Any], tmp_path: Path, offline_model: Path
) -> None:
    options = airflow.settings["options"]
    whole = Job(tmp_path, offline_model)
    config = {name: options[name] for name in ("input", "collection", "max_reject_fraction")}
    whole.run(**config, date_from=DAYS[0], date_to="2026-03-04", max_tokens=None, detector=None)
    wanted = whole.rows("corpus")
    found = Job(airflow.home.parent, offline_model).rows("corpus")
    assert set(found) == set(wanted)
    assert len(found) > 300
    for identity, row in wanted.items():
        mine = found[identity]
        assert {name: value for name, value in mine.items() if name != "dense"} == {
            name: value for name, value in row.items() if name != "dense"
        }
        # Of the same text, packed beside others in bfloat16.
        assert float(np.dot(mine["dense"], row["dense"])) > 0.9999


def test_the_daily_dag_runs_for_real_and_twice_does_nothing_twice(
    airflow: Airflow, webhook: Webhook, tmp_path: Path
) -> None:
    places = {"workspace": str(tmp_path / "workspace"), "milvus": str(tmp_path / "milvus.db")}
    settings = {**airflow.settings, "options": {**airflow.settings["options"], **places}}
    before, found = len(webhook.lines), []
    for depth in ("full", "quick"):
        conf = json.dumps({"verify": depth})
        airflow.run("dags", "test", "embed_corpus_daily", DAYS[1], "-c", conf, settings=settings)
        records = [
            json.loads(path.read_text(encoding="utf-8")) for path in (tmp_path / "workspace" / "runs").rglob("*.json")
        ]
        found += [one for one in records if one not in found]
    first, second = found
    assert (first["exit_code"], second["exit_code"]) == (3, 3)
    assert first["vectors"]["encoded"] > 100
    assert first["rows"]["written"] == first["rows"]["held"] == second["rows"]["held"]
    assert (first["verification"]["form"], second["verification"]["form"]) == ("full", "quick")
    assert (second["vectors"]["encoded"], second["rows"]["written"], second["rows"]["deleted"]) == (0, 0, 0)
    assert second["documents"]["unchanged"] == first["documents"]["embedded"] + first["documents"]["reused"]
    lines = webhook.lines[before:]
    assert len(lines) == 2
    told = f"corpus-embed: embed_corpus_daily {DAYS[0]}, task verify: complete, with rejects: "
    assert all(line.startswith(told) for line in lines)


RECORDS = """
import json
import corpus_embed_tasks as tasks
verify = tasks.Verify(task_id="verify", plan={"interval": "2026-03-01", "workspace": "WORKSPACE"})
print(json.dumps([one["run_id"] for one in verify._records()]))
"""


def test_records_are_read_from_a_bucket(airflow: Airflow, gcs_bucket: Store) -> None:
    store = dataclasses.replace(gcs_bucket, prefix="airflow")
    for name in ("2026-03-01-a", "2026-03-01-b", "2026-03-01T0600Z-c", "2026-03-02-d"):
        store.put(f"work/runs/{name}/run.json", json.dumps({"run_id": name}).encode())
    store.put("work/runs/2026-03-01-a/other.json", b"{}")
    emulated = {**GCSFS_ENVIRONMENT, "STORAGE_EMULATOR_HOST": store.address}
    found = airflow.python(RECORDS.replace("WORKSPACE", f"{store.root}/work"), emulated)
    assert found == ["2026-03-01-a", "2026-03-01-b"]


@pytest.mark.parametrize(("limit", "ends"), [(0.1, "success"), (0.0, "failed")])
def test_the_branch_to_dataflow_goes_from_launch_to_asset(
    airflow: Airflow, tmp_path: Path, limit: float, ends: str
) -> None:
    """All of it real but Google's interface; a job whose record says exit code 4 is done for Dataflow, and failed for us."""
    launches = tmp_path / "launches.jsonl"
    there = Airflow(
        tmp_path / "home",
        {
            "runner": "dataflow",
            "options": {
                **airflow.settings["options"],
                "workspace": str(tmp_path / "workspace"),
                "milvus": str(tmp_path / "milvus.db"),
                "max_reject_fraction": limit,
            },
            "dataflow": {"project": "search-prod", "region": "europe-west4", "template": "gs://corpus/template.json"},
        },
        {
            "AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT": '{"conn_type": "google_cloud_platform"}',
            "DATAFLOW_DOUBLE": str(launches),
            "DATAFLOW_COMMAND": json.dumps([*airflow.settings["command"][:2], str(tmp_path)]),
        },
    )
    double = Path(__file__).with_name("google_double.py").read_text(encoding="utf-8")
    (there.home / "dags" / "google_double.py").write_text(double, encoding="utf-8")
    with (there.home / "dags" / "corpus_embed_tasks.py").open("a", encoding="utf-8") as tasks:
        tasks.write("\nimport google_double\n")
    there.run("dags", "test", "embed_corpus_daily", DAYS[1], check=False)

    (launched,) = [json.loads(line) for line in launches.read_text(encoding="utf-8").splitlines()]
    assert (launched["project"], launched["location"]) == ("search-prod", "europe-west4")
    assert launched["body"]["launchParameter"]["jobName"] == "corpus-embed-corpus-2026-03-01"
    states = dict(there.query("SELECT task_id, state FROM task_instance WHERE dag_id = 'embed_corpus_daily'"))
    assert (states["check"], states["run_here"], states["run_on_dataflow"]) == ("success", "skipped", "success")
    assert (states["verify"], states["publish"]) == (ends, "success" if ends == "success" else "upstream_failed")
    summaries = there.query("SELECT value FROM xcom WHERE task_id = 'verify' AND key = 'return_value'")
    if ends == "success":
        ((summary,),) = summaries
        found = json.loads(summary) if isinstance(summary, str) else summary
        found = json.loads(found) if isinstance(found, str) else found
        assert found["exit_code"] == 3
        assert found["rows"]["written"] > 100
    else:
        assert summaries == []


def test_the_summary_of_a_run_goes_with_the_asset_and_holds_no_text(
    airflow: Airflow, backfilled: dict[str, Any]
) -> None:
    del backfilled
    events = airflow.query(
        "SELECT e.extra FROM asset_event e JOIN asset a ON a.id = e.asset_id WHERE a.name = 'corpus_embed' "
        "AND e.source_dag_id = 'embed_corpus_backfill'"
    )
    extras = [json.loads(extra) if isinstance(extra, str) else extra for (extra,) in events]
    assert len(extras) == 3
    assert {one["collection"] for one in extras} == {"corpus"}
    assert sum(one["rows"]["written"] for one in extras) > 300
    pushed = airflow.query("SELECT value FROM xcom WHERE task_id = 'verify' AND key = 'return_value'")
    assert pushed
    for (value,) in pushed:
        assert len(str(value)) < 1500
        assert "volcano" not in str(value).lower()


@pytest.mark.parametrize(
    ("conf", "said"),
    [
        ('{"verify": "deep"}', "verify"),
        ('{"max_reject_fraction": 7}', "max_reject_fraction"),
        ('{"recheck": "--mirror"}', "recheck"),
    ],
)
def test_parameters_are_checked(airflow: Airflow, conf: str, said: str) -> None:
    done = airflow.run("dags", "test", "embed_corpus_daily", DAYS[1], "-c", conf, check=False)
    assert done.returncode != 0
    assert f"Invalid input for param {said}" in done.stdout


def test_wrong_settings_end_a_run_before_anything_starts_and_somebody_hears_of_it(
    airflow: Airflow, webhook: Webhook, calls: Path
) -> None:
    before, called = len(webhook.lines), (calls / "calls.jsonl").read_bytes() if calls.exists() else b""
    options = airflow.settings["options"]
    secret = f"{CANARY}-in-the-variable"
    wrong = {**airflow.settings, "options": {**options, "milvus_token": secret}}
    done = airflow.run("dags", "test", "embed_corpus_daily", DAYS[1], settings=wrong, check=False)
    assert "options.milvus_token must be a reference" in done.stdout
    assert webhook.lines[before:] == [f"corpus-embed: embed_corpus_daily {DAYS[0]}, task check: failed"]
    assert (calls / "calls.jsonl").read_bytes() == called
    assert secret not in done.stdout
    assert airflow.files_with(secret) == []


def test_no_secret_is_rendered_logged_or_kept(airflow: Airflow, backfilled: dict[str, Any], webhook: Webhook) -> None:
    del backfilled
    rendered = airflow.query("SELECT rendered_fields FROM rendered_task_instance_fields WHERE task_id = 'run_here'")
    assert any("--collection=corpus" in str(fields) for (fields,) in rendered)
    assert {token for token, _ in webhook.received} == {f"Bearer {CANARY}"}
    assert airflow.files_with(CANARY) == []
    workspace = Path(airflow.settings["options"]["workspace"])
    assert not any(CANARY.encode() in path.read_bytes() for path in workspace.rglob("*") if path.is_file())
