"""Stands in for Dataflow's interface; imported by the copy of the DAGs that a test makes.

A launched job is the command itself, run to its end.

Nothing of the DAGs is replaced: check, deferral, trigger, verification and publishing are real.
"""

import json
import os
import shlex
import subprocess
from pathlib import Path
from typing import Any

from airflow.providers.google.cloud.hooks.dataflow import AsyncDataflowHook, DataflowHook
from google.cloud.dataflow_v1beta3 import JobState

LAUNCHES = Path(os.environ["DATAFLOW_DOUBLE"])


def launch(self: DataflowHook, *, body: dict[str, Any], location: str, project_id: str) -> dict[str, str]:
    """Runs the command with the parameters of the launch, as the template does."""
    del self
    with LAUNCHES.open("a", encoding="utf-8") as log:
        log.write(json.dumps({"body": body, "location": location, "project": project_id}) + "\n")
    flags: list[str] = []
    for name, value in body["launchParameter"]["parameters"].items():
        flag = f"--{name.replace('_', '-')}"
        if value in {"true", "false"}:
            flags += [flag] if value == "true" else []
        elif name == "input":
            flags += [flag, *shlex.split(value)]
        else:
            flags.append(f"{flag}={value}")
    done = subprocess.run([*json.loads(os.environ["DATAFLOW_COMMAND"]), "run", *flags], check=False)
    # Of the exit code Dataflow tells nothing.
    LAUNCHES.with_suffix(".state").write_text(
        "DONE" if done.returncode in {0, 3, 4, 5, 7} else "FAILED", encoding="utf-8"
    )
    return {"id": "job-1"}


def state() -> str:
    """How the job ended."""
    return f"JOB_STATE_{LAUNCHES.with_suffix('.state').read_text(encoding='utf-8')}"


async def get_job_status(self: AsyncDataflowHook, **about: str) -> JobState:
    """What the trigger asks."""
    del self
    assert about["job_id"] == "job-1"
    found: JobState = getattr(JobState, state())
    return found


DataflowHook.launch_job_with_flex_template = launch
DataflowHook.get_job = lambda _, **about: {"id": about["job_id"], "currentState": state()}
DataflowHook.fetch_job_messages_by_id = lambda *_, **__: []
AsyncDataflowHook.get_job_status = get_job_status
