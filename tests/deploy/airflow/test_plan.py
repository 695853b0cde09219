import argparse
import datetime as dt
import json
import re
import shlex
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import corpus_embed_plan as planning
import pytest
from corpus_embed_plan import SettingsError, is_transient, newest_record, plan, summary
from hypothesis import given
from hypothesis import strategies as st

from pipelines.command_line.exit_codes import EXIT_BELOW_FLOOR
from pipelines.configuration import options
from pipelines.configuration.definitions import option_fields
from tests import fakes
from tests.conftest import ROOT
from tests.pipelines.jobs import Job, document, make_model
from transforms.logic import record as records

FIRST, SECOND = dt.datetime(2026, 3, 1, tzinfo=dt.UTC), dt.datetime(2026, 3, 2, tzinfo=dt.UTC)
SECRET = "correct-horse-battery-staple"
OPTIONS: dict[str, Any] = {
    "input": ["gs://corpus/docs/{date:%Y/%m/%d}/*.parquet", "gs://corpus/more docs/*.jsonl"],
    "workspace": "gs://corpus/work",
    "milvus": "https://milvus.internal:19530",
    "collection": "manuals",
    "model": "/opt/corpus-embed/model",
    "languages": ["de", "en"],
    "mirror": False,
    "max_tokens": 128,
}
BEAM = {
    "direct_num_workers": 2,
    "experiments": ["one", "two"],
    "save_main_session": True,
    "allow_unsafe_triggers": False,
}
LOCAL: dict[str, Any] = {"runner": "local", "command": "/srv/bin/corpus-embed", "options": OPTIONS}
DATAFLOW: dict[str, Any] = {
    "runner": "dataflow",
    "options": OPTIONS,
    "dataflow": {
        "project": "search-prod",
        "region": "europe-west4",
        "template": "gs://corpus/templates/corpus-embed.json",
        "parameters": {"sdk_container_image": "europe-docker.pkg.dev/search-prod/images/corpus-embed@sha256:0"},
        "environment": {"maxWorkers": 8, "serviceAccountEmail": "worker@search-prod.iam.gserviceaccount.com"},
    },
}


def with_options(settings: Mapping[str, Any], **changed: Any) -> dict[str, Any]:
    merged = {**settings["options"], **changed}
    return {**settings, "options": {name: value for name, value in merged.items() if value is not None}}


def with_parameters(**parameters: Any) -> dict[str, Any]:
    return {**DATAFLOW, "dataflow": {**DATAFLOW["dataflow"], "parameters": parameters}}


def with_environment(**environment: Any) -> dict[str, Any]:
    return {**DATAFLOW, "dataflow": {**DATAFLOW["dataflow"], "environment": environment}}


def flags_of(settings: Mapping[str, Any], params: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What the command line of a local run says to the command's own parser."""
    program, command, *arguments = plan(settings, FIRST, SECOND, params)["run"]
    assert (program, command) == ("/srv/bin/corpus-embed", "run")
    return vars(_parser().parse_args(arguments))


def test_the_command_reads_back_what_the_settings_and_the_interval_say() -> None:
    config, beam_options = options.parse(
        _parser(),
        plan({**LOCAL, "beam_options": BEAM}, FIRST, SECOND, {"recheck": True})["run"][2:],
    )
    assert config.source.input == tuple(OPTIONS["input"])
    assert config.storage.collection == "manuals"
    assert config.language.languages == ("de", "en")
    assert config.chunking.max_tokens == 128
    assert (config.selection.date_from, config.selection.date_to) == ("2026-03-01", "2026-03-02")
    assert config.run.logical_date == "2026-03-01"
    assert (config.run.on_busy, config.run.verify) == ("wait", "quick")
    assert (config.run.recheck, config.run.mirror) == (True, False)
    taken = beam_options.get_all_options()
    assert (taken["direct_num_workers"], taken["experiments"]) == (2, ["one", "two"])
    assert (taken["save_main_session"], taken["allow_unsafe_triggers"]) == (True, False)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    options.add_arguments(parser)
    return parser


@given(text=st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1))
def test_no_value_of_an_option_is_ever_read_as_a_flag(text: str) -> None:
    settings = with_options(LOCAL, document_prompt=text, exclude=[text, text])
    if text.startswith("-"):
        with pytest.raises(SettingsError, match="begins with a hyphen"):
            plan(settings, FIRST, SECOND)
    elif planning._USER.match(text):
        with pytest.raises(SettingsError, match="a user or a password"):
            plan(settings, FIRST, SECOND)
    else:
        given_flags = flags_of(settings)
        assert given_flags["document_prompt"] == text
        assert given_flags["exclude"] == [text, text]
        assert given_flags["collection"] == "manuals"


def test_intervals_that_meet_select_windows_that_meet_and_have_names_of_their_own() -> None:
    hours = [FIRST + dt.timedelta(hours=6 * step) for step in range(9)]
    windows = []
    for start, stop in pairwise(hours):
        run = plan(LOCAL, start, stop)["run"]
        named = dict(one[2:].split("=", 1) for one in run if "=" in one)
        windows.append((named["date-from"], named["date-to"], named["logical-date"]))
    assert all(before[1] == after[0] for before, after in pairwise(windows))
    assert len({name for *_, name in windows}) == len(windows)
    assert windows[1] == ("2026-03-01T06:00:00+00:00", "2026-03-01T12:00:00+00:00", "2026-03-01T0600Z")


def test_an_interval_of_another_time_zone_is_named_in_utc() -> None:
    berlin = dt.timezone(dt.timedelta(hours=1))
    start = dt.datetime(2026, 3, 1, tzinfo=berlin)
    named = dict(one[2:].split("=", 1) for one in plan(LOCAL, start, start + dt.timedelta(days=1))["run"] if "=" in one)
    assert named["logical-date"] == "2026-02-28T2300Z"
    assert named["date-from"] == "2026-02-28T23:00:00+00:00"


@pytest.mark.parametrize(
    ("start", "stop", "said"),
    [
        (None, None, "no data interval"),
        (FIRST, FIRST, "no width"),
        (SECOND, FIRST, "no width"),
        (FIRST.replace(tzinfo=None), SECOND, "time zone"),
    ],
)
def test_what_is_no_interval_is_refused(start: dt.datetime | None, stop: dt.datetime | None, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        plan(LOCAL, start, stop)


def test_parameters_of_a_run_win_over_the_settings() -> None:
    settings = with_options(LOCAL, max_reject_fraction=0.02)
    assert flags_of(settings)["max_reject_fraction"] == "0.02"
    chosen = {"verify": "full", "recheck": False, "max_reject_fraction": 0.0}
    found = flags_of(settings, chosen)
    assert (found["max_reject_fraction"], found["verify"]) == ("0.0", "full")
    assert "recheck" not in found
    assert plan(settings, FIRST, SECOND, chosen)["verify"][-1] == "--full"


def test_verification_reaches_milvus_as_the_run_did_and_says_nothing_else() -> None:
    reached = with_options(LOCAL, milvus_token="env:MILVUS_TOKEN", milvus_outputs="dense", allow_clear_text_milvus=True)
    command = plan(reached, FIRST, SECOND)["verify"]
    assert command[:2] == ["/srv/bin/corpus-embed", "verify"]
    assert sorted(command[2:]) == sorted(
        [
            "--workspace=gs://corpus/work",
            "--collection=manuals",
            "--milvus=https://milvus.internal:19530",
            "--milvus-token=env:MILVUS_TOKEN",
            "--allow-clear-text-milvus",
            "--on-busy=wait",
            "--quick",
        ]
    )


def test_a_full_load_takes_the_whole_input_and_is_served_by_its_alias() -> None:
    settings = with_options(LOCAL, collection=None, publish="docs")
    found = flags_of(settings)
    assert found["publish"] == "docs"
    assert not {"date_from", "date_to", "collection"} & set(found)
    planned = plan(settings, FIRST, SECOND)
    assert (planned["serves"], planned["is_alias"]) == ("docs", True)
    assert "--collection=docs" in planned["verify"]


def test_a_template_is_launched_with_parameters_that_its_metadata_would_take() -> None:
    planned = plan(with_options(DATAFLOW, gpu="nvidia-l4", keep_rejected_text=True), FIRST, SECOND, {"recheck": True})
    launch = planned["body"]["launchParameter"]
    assert (planned["project"], planned["region"]) == ("search-prod", "europe-west4")
    assert planned["verify"] is None
    assert launch["jobName"] == "corpus-embed-manuals-2026-03-01"
    assert launch["containerSpecGcsPath"] == DATAFLOW["dataflow"]["template"]
    assert launch["environment"] == {**DATAFLOW["dataflow"]["environment"], "additionalUserLabels": label_of(planned)}
    parameters = launch["parameters"]
    assert all(isinstance(value, str) for value in parameters.values())
    assert shlex.split(parameters["input"]) == OPTIONS["input"]
    wanted = {
        "languages": "de,en",
        "date_from": "2026-03-01",
        "date_to": "2026-03-02",
        "logical_date": "2026-03-01",
        "verify": "quick",
        "recheck": "true",
        "mirror": "false",
        "keep_rejected_text": "true",
        "gpu": "nvidia-l4",
    }
    assert wanted.items() <= parameters.items()
    known = {name for _, name, _ in option_fields()} | {"sdk_container_image", "gpu"}
    assert set(parameters) <= known
    assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", launch["jobName"])


def label_of(planned: Mapping[str, Any]) -> dict[str, str]:
    """The label that names a launch."""
    digest = planned["body"]["launchParameter"]["environment"]["additionalUserLabels"][planning.LAUNCH]
    assert re.fullmatch("[0-9a-f]{32}", digest)
    return {planning.LAUNCH: digest}


def test_the_label_of_a_launch_tells_it_from_any_other() -> None:
    """So that a running job is waited for only if it does what was asked."""
    settings = with_options(DATAFLOW, gpu="nvidia-l4")
    again, others = (
        plan(settings, FIRST, SECOND),
        [
            plan(with_options(DATAFLOW, gpu="nvidia-tesla-a100"), FIRST, SECOND),
            plan(settings, FIRST, SECOND, {"recheck": True}),
            plan({**settings, "dataflow": {**DATAFLOW["dataflow"], "environment": {}}}, FIRST, SECOND),
        ],
    )
    assert label_of(plan(settings, FIRST, SECOND)) == label_of(again)
    assert len({label_of(one)[planning.LAUNCH] for one in [again, *others]}) == 4
    labelled = {**DATAFLOW["dataflow"], "environment": {"additionalUserLabels": {"team": "search"}}}
    launch = plan({**settings, "dataflow": labelled}, FIRST, SECOND)["body"]["launchParameter"]
    assert launch["environment"]["additionalUserLabels"].keys() == {"team", planning.LAUNCH}
    assert labelled["environment"] == {"additionalUserLabels": {"team": "search"}}


def test_a_template_s_job_of_an_interval_always_has_the_same_name() -> None:
    settings = with_options(DATAFLOW, collection="Manuals_Of_2026")
    names = {plan(settings, FIRST, SECOND)["body"]["launchParameter"]["jobName"] for _ in range(2)}
    assert names == {"corpus-embed-manuals-of-2026-2026-03-01"}
    later = plan(settings, SECOND, SECOND + dt.timedelta(hours=1))["body"]["launchParameter"]["jobName"]
    assert later == "corpus-embed-manuals-of-2026-2026-03-02t0000z"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (None, "JSON object"),
        ([], "JSON object"),
        ({**LOCAL, "dags": 1}, "'dags'; allowed are beam_options, command"),
        ({**LOCAL, "runner": "flink"}, "runner must be one of local, dataflow"),
        ({**LOCAL, "command": None}, "command"),
        ({"runner": "local", "options": OPTIONS}, "needs command"),
        ({**LOCAL, "options": []}, "options must be an object"),
        ({**LOCAL, "beam_options": []}, "beam_options must be an object"),
        ({**LOCAL, "beam_options": {"--x": 1}}, "beam_options.--x must be"),
        (
            {**LOCAL, "beam_options": {"s3_secret_access_key": SECRET}},
            "beam_options.s3_secret_access_key must be a reference",
        ),
        ({**LOCAL, "beam_options": {"s3_access_key_id": SECRET}}, "beam_options.s3_access_key_id must be a reference"),
        (with_environment(additionalPipelineOptions=[f"--s3_secret_access_key={SECRET}"]), "in s3_secret_access_key"),
        (
            with_environment(additionalPipelineOptions=[f"azure_connection_string={SECRET}"]),
            "in azure_connection_string",
        ),
        (
            with_environment(additionalUserLabels={"a": [f"https://me:{SECRET}@host"]}),
            "dataflow.environment holds a secret",
        ),
        (with_environment(additionalUserLabels=[]), "additionalUserLabels must be an object"),
        (with_options(LOCAL, push_metrics=f"https://gateway/x?token={SECRET}"), "options.push_metrics holds a query"),
        (with_options(LOCAL, input=f"s3://AKIA:a/{SECRET}@bucket/docs/"), "options.input holds a user"),
        (with_parameters(date_from="2026-03-01"), "dataflow.parameters.date_from is set by the interval"),
        (with_parameters(milvus_token=SECRET), "dataflow.parameters.milvus_token must be a reference"),
        ({**DATAFLOW, "beam_options": {"x": 1}}, "under dataflow"),
        ({**DATAFLOW, "dataflow": {}}, "dataflow.project is missing"),
        ({**DATAFLOW, "dataflow": {**DATAFLOW["dataflow"], "template": "/t.json"}}, "gs://"),
        ({**DATAFLOW, "dataflow": {**DATAFLOW["dataflow"], "zone": "a"}}, "must be an object of"),
        ({**DATAFLOW, "dataflow": {**DATAFLOW["dataflow"], "environment": 1}}, "dataflow.environment"),
        (with_options(LOCAL, input=None), "options.input is missing"),
        (with_options(LOCAL, collection=None), "either collection"),
        (with_options(LOCAL, publish="docs"), "either collection"),
        (with_options(DATAFLOW, collection=None, publish="docs"), "options.publish moves the alias"),
        (with_options(LOCAL, date_from="2026-03-01"), "options.date_from is set by the interval"),
        (with_options(LOCAL, **{"logical-date": "x"}), "options.logical_date is set by the interval"),
        (with_options(LOCAL, languages={"de": 1}), "options.languages must be"),
        (with_options(LOCAL, id_column="--mirror"), "options.id_column begins with a hyphen"),
        (with_options(LOCAL, workspace="work"), "options.workspace must be an absolute path or a URI"),
        (with_options(LOCAL, milvus="demo/milvus.db"), "options.milvus must be an absolute path or a URI"),
        (with_options(LOCAL, milvus=f"https://root:{SECRET}@milvus:19530"), "options.milvus holds a user"),
        (with_options(LOCAL, milvus_token=SECRET), "options.milvus_token must be a reference"),
        (with_options(DATAFLOW, milvus_client_key=SECRET), "options.milvus_client_key must be a reference"),
    ],
)
def test_wrong_settings_are_refused_by_name_and_no_secret_is_repeated(settings: Any, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        plan(settings, FIRST, SECOND)
    assert said in str(caught.value)
    assert SECRET not in str(caught.value)


def test_what_is_no_secret_of_an_environment_is_taken() -> None:
    environment = {
        "maxWorkers": 8,
        "kmsKeyName": "projects/p/locations/l/keyRings/r/cryptoKeys/k",
        "additionalPipelineOptions": [
            "--dataflow_kms_key=projects/p/cryptoKeys/k",
            "--milvus_token=secret:projects/p/secrets/m/versions/1",
        ],
    }
    launch = plan(with_environment(**environment), FIRST, SECOND)["body"]["launchParameter"]
    assert launch["environment"].items() >= environment.items()


def test_a_plan_is_json_and_holds_references_at_most() -> None:
    for settings in (LOCAL, DATAFLOW):
        planned = plan(with_options(settings, milvus_token="secret:projects/p/secrets/m/versions/3"), FIRST, SECOND)
        assert json.loads(json.dumps(planned)) == planned


def test_exit_codes_are_those_of_the_command() -> None:
    table = re.findall(r"^\| (\d) \| (\w+)", (ROOT / "docs" / "operate.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert {int(code) for code, _ in table} - {EXIT_BELOW_FLOOR} == set(planning.EXIT_CODES)
    assert set(records.STATUS) | {records.EXIT_CONFIGURATION, records.EXIT_RETRY, 1} == set(planning.EXIT_CODES)
    assert (planning.EXIT_COMPLETE, planning.EXIT_REJECTS) == (records.EXIT_COMPLETE, records.EXIT_REJECTS)
    assert planning.EXIT_RETRY == records.EXIT_RETRY


def test_the_summary_of_a_real_record_counts_and_tells_nothing_of_a_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.preflight.run_plan.open_encoder", fakes.open_fake_encoder)
    job = Job(tmp_path, make_model(tmp_path / "model"))
    text = "Rivers of Saxony run north."
    job.write("a.jsonl", [document("first-id", text), document("second-id", ""), document("third-id")])
    record = job.run(max_reject_fraction=0.5)
    found = summary(record)
    assert found["exit_code"] == records.EXIT_REJECTS
    assert found["documents"] == {
        "read": 3,
        "embedded": 2,
        "reused": 0,
        "unchanged": 0,
        "rejected": 1,
        "left_out": 0,
    }
    assert found["rows"]["written"] == found["rows"]["held"] == record["rows"]["held"]
    assert (sum(found["rejects"].values()), found["differences"], found["findings"]) == (1, 0, 0)
    assert found["verified"] == "quick"
    shown = json.dumps(found)
    assert len(shown) < 1000
    assert not any(told in shown for told in (text, "first-id", "second-id", str(tmp_path)))


def _record(run_id: str, collection: str, started_at: str) -> dict[str, Any]:
    return {
        "run_id": run_id,
        "started_at": started_at,
        "configuration": {"storage": {"collection": collection}},
    }


def test_of_the_records_of_an_interval_the_last_one_of_the_collection_or_its_alias_is_meant() -> None:
    found = [
        _record("2026-03-01-a", "docs", "2026-03-02T01:00:00Z"),
        _record("2026-03-01-b", "docs", "2026-03-02T02:00:00Z"),
        _record("2026-03-01-c", "docs_0002", "2026-03-02T03:00:00Z"),
        _record("2026-03-01-d", "docs_old", "2026-03-02T04:00:00Z"),
    ]
    assert newest_record(found[:2], "docs") is found[1]
    assert newest_record(found, "docs") is found[1]
    assert newest_record(found, "docs", is_alias=True) is found[2]
    assert newest_record(found, "docs_old") is found[3]
    assert newest_record(found, "manuals") is None


def _message(text: str, importance: str = "JOB_MESSAGE_ERROR") -> dict[str, str]:
    return {"messageText": text, "messageImportance": importance}


def test_only_a_job_whose_last_error_is_transient_is_worth_another_attempt() -> None:
    transient = _message("Traceback …\ntransforms.logic.errors.TransientError: Milvus does not answer")
    corrupt = _message("Traceback …\ntransforms.logic.errors.CorruptDataError: a shard is damaged")
    ended = _message("Workflow failed. Causes: S01 failed.")
    assert is_transient([transient, ended])
    assert is_transient([corrupt, transient])
    assert not is_transient([transient, corrupt, ended])
    assert not is_transient([ended])
    assert not is_transient([_message(transient["messageText"], "JOB_MESSAGE_DEBUG")])
    assert not is_transient([])
