"""What the page on access says is what the code has: flags, forms of references, roles."""

import re
import shlex

from pipelines.configuration import options
from pipelines.configuration.access import MilvusAccess
from pipelines.configuration.definitions import option_fields
from tests.conftest import ROOT
from transforms.logic.references import FORMS, parse_reference

PAGE = (ROOT / "deploy" / "access.md").read_text(encoding="utf-8")


def test_every_flag_and_file_on_the_page_exists() -> None:
    known = {f"--{name.replace('_', '-')}" for _, name, _ in option_fields()}
    for flag in set(re.findall(r"`(--[a-z][a-z0-9_-]+)", PAGE)) - known:
        if flag in options._SECRET_OPTIONS:
            continue
        # One of Beam's.
        options.to_pipeline_options([flag])
    for path in re.findall(r"`(tests/[^`]+)`", PAGE):
        assert (ROOT / path).is_file(), path
    for name in MilvusAccess.model_fields:
        assert f"--{name.replace('_', '-')}" in PAGE


def test_the_forms_of_references_are_those_that_are_read() -> None:
    shown = re.findall(r"^\| `((?:env|file|secret):[^`]+)` \|", PAGE, re.MULTILINE)
    assert shown == re.split(r", | or ", FORMS)
    for form in shown:
        text = form.replace("PROJECT", "my-project").replace("/VERSION", "/1")
        assert str(parse_reference(text, "--milvus-token")) == text


def _rows(heading: str) -> list[list[str]]:
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def test_commands_grant_roles_of_the_table_and_none_that_is_not_granted() -> None:
    granted = {
        role
        for row in _rows("Roles in Google Cloud")
        for cell in row[1:2]
        for role in re.findall(r"roles/[\w.]+", cell)
    }
    blocks = re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)
    commands = [shlex.split(line) for block in blocks for line in block.splitlines()]
    asked = {word.removeprefix("--role=") for words in commands for word in words if word.startswith("--role=")}
    assert asked
    assert asked <= granted
    # Of the whole project each account gets nothing but what a service needs.
    of_project = {
        (word.removeprefix("--member=$"), other.removeprefix("--role="))
        for words in commands
        if words[:3] == ["gcloud", "projects", "add-iam-policy-binding"]
        for word in words
        for other in words
        if word.startswith("--member=") and other.startswith("--role=")
    }
    assert of_project == {
        ("WORKER", "roles/dataflow.worker"),
        ("LAUNCHER", "roles/dataflow.developer"),
        ("BUILDER", "roles/logging.logWriter"),
    }
    never = {role for row in _rows("Deliberately not granted") for role in re.findall(r"roles/[\w.]+", row[0])}
    assert never - granted == never - {"roles/secretmanager.secretAccessor"}
    assert all(len(row) == 4 and row[3] for row in _rows("Roles in Google Cloud"))
