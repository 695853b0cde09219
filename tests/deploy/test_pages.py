"""The page for operators as a whole: its variables, its make targets, the settings that it shows. `tests/docs` holds each command."""

import argparse
import datetime as dt
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from corpus_embed_plan import plan

from pipelines.cli import COMMANDS
from tests.conftest import ROOT
from tests.docs.commands import commands
from tests.docs.pages import blocks, name_of

DEPLOY = ROOT / "deploy"
PAGE = DEPLOY / "README.md"
PAGES = [PAGE, DEPLOY / "airflow" / "README.md"]
GIVEN = {"MILVUS_TOKEN", "MODEL_REVISION", "CUDA_DIGEST", "BEAM_DIGEST", "LAUNCHER_DIGEST"}
"""Variables that the reader brings: the text beside them says what they are."""
START, STOP = dt.datetime(2026, 3, 1, tzinfo=dt.UTC), dt.datetime(2026, 3, 2, tzinfo=dt.UTC)


def lines(prefix: str) -> list[str]:
    """Lines of the page's blocks that begin with a program."""
    return [one.text for one in commands(PAGE) if one.text.startswith(f"{prefix} ")]


def test_blocks_are_shell_and_name_every_variable_before_they_use_it() -> None:
    known = set(GIVEN)
    for block in blocks(PAGE, "bash"):
        assert subprocess.run(["bash", "-n"], input=block.text, text=True, check=False).returncode == 0
        for line in block.text.splitlines():
            used = set(re.findall(r"\$\{?([A-Za-z_]+)", line))
            known |= set(re.findall(r"\b([A-Z_]+)=", line)) if line.startswith("export ") else set()
            known |= set(re.findall(r"^for (\w+)", line))
            assert used <= known, line


def test_make_takes_what_the_page_gives_it() -> None:
    names = blocks(PAGE, "bash")[0].text + "".join(f"export {name}=given\n" for name in sorted(GIVEN))
    targets = lines("make")
    assert len(targets) == 3
    for command in targets:
        dry = command.replace("make ", "make --no-print-directory -n ", 1)
        done = subprocess.run(
            ["bash", "-euc", f"{names}\n{dry}"], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "gcloud" in done.stdout
        assert "my-project" in done.stdout


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_settings_are_taken_and_fit_the_template(page: Path) -> None:
    metadata = json.loads((DEPLOY / "dataflow" / "metadata.json").read_text(encoding="utf-8"))
    parameters = {one["name"]: one for one in metadata["parameters"]}
    shown = [json.loads(block.text) for block in blocks(page, "json")]
    assert shown
    for settings in shown:
        planned = plan(settings, START, STOP)
        if settings["runner"] == "dataflow":
            _fits(planned["body"]["launchParameter"], parameters)
        else:
            parser = argparse.ArgumentParser(exit_on_error=False)
            COMMANDS["run"][1]().add_arguments(parser)
            _, beam = parser.parse_known_args(planned["run"][2:])
            assert beam == [f"--{name}={value}" for name, value in settings["beam_options"].items()]
            parser = argparse.ArgumentParser(exit_on_error=False)
            COMMANDS["verify"][1]().add_arguments(parser)
            assert parser.parse_known_args(planned["verify"][2:])[1] == []


def _fits(launch: dict[str, Any], parameters: dict[str, dict[str, Any]]) -> None:
    given = launch["parameters"]
    assert set(given) <= set(parameters)
    assert {name for name, one in parameters.items() if not one.get("isOptional")} <= set(given)
    for name, value in given.items():
        for pattern in parameters[name].get("regexes", []):
            assert re.fullmatch(pattern, value), (name, value)
        choices = [one["value"] for one in parameters[name].get("enumOptions", [])]
        assert not choices or value in choices
    # https://cloud.google.com/dataflow/docs/reference/rest/v1b3/projects.locations.flexTemplates/launch
    assert set(launch["environment"]) <= {
        "numWorkers",
        "maxWorkers",
        "machineType",
        "serviceAccountEmail",
        "subnetwork",
        "ipConfiguration",
        "stagingLocation",
        "tempLocation",
        "additionalUserLabels",
    }
