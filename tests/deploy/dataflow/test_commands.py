"""What the targets of the Makefile would run: only flags that gcloud has, parameters that the template has, machines that fit."""

import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT

FOLDER = ROOT / "deploy" / "dataflow"
OPTIONS = sorted((FOLDER / "options").glob("*.yaml"))
VARIABLES = {
    "PROJECT": "my-project",
    "REGION": "europe-west4",
    "IMAGE": "europe-west4-docker.pkg.dev/my-project/images/corpus-embed:1",
    "TEMPLATE": "gs://my-templates/corpus-embed.json",
    "SCRATCH": "gs://my-scratch/dataflow",
    "SERVICE_ACCOUNT": "corpus-embed@my-project.iam.gserviceaccount.com",
    "INPUT": "gs://my-corpus/docs/*.parquet gs://my-corpus/more/",
    "WORKSPACE": "gs://my-workspace/manuals",
    "MILVUS": "https://milvus.internal:19530",
    "COLLECTION": "manuals",
    "MODEL_NAME": "intfloat/multilingual-e5-small",
    "MODEL_REVISION": "0" * 40,
    "CUDA_DIGEST": "sha256:" + "1" * 64,
    "BEAM_DIGEST": "sha256:" + "2" * 64,
    "LAUNCHER_DIGEST": "sha256:" + "3" * 64,
}
GCLOUD = {
    "builds submit": {"--project", "--region", "--config", "--substitutions"},
    "dataflow flex-template build": {"--project", "--image", "--sdk-language", "--metadata-file"},
    "dataflow flex-template run": {
        "--additional-experiments",
        "--additional-pipeline-options",
        "--additional-user-labels",
        "--dataflow-kms-key",
        "--disable-public-ips",
        "--flags-file",
        "--launcher-machine-type",
        "--max-workers",
        "--network",
        "--num-workers",
        "--parameters",
        "--project",
        "--region",
        "--service-account-email",
        "--staging-location",
        "--subnetwork",
        "--temp-location",
        "--template-file-gcs-location",
        "--worker-machine-type",
        "--worker-region",
        "--worker-zone",
    },
}
"""Flags of cloud.google.com/sdk/gcloud/reference that a command here may have."""
MACHINES_OF = {"nvidia-l4": "g2-", "nvidia-tesla-a100": "a2-highgpu-", "nvidia-h100-80gb": "a3-highgpu-"}
"""Machine series that carry a type of GPU: cloud.google.com/compute/docs/gpus."""


def _printed(target: str, **changes: str) -> list[str]:
    """The words of the one command that a target would run."""
    variables = [f"{name}={value}" for name, value in {**VARIABLES, **changes}.items() if value]
    done = subprocess.run(
        ["make", "--no-print-directory", "-n", target, *variables],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return shlex.split(done.stdout.replace("\\\n", " "))


def _check(words: list[str], command: str) -> dict[str, str]:
    count = len(command.split())
    assert words[: count + 1] == ["gcloud", *command.split()]
    pairs = (word.partition("=") for word in words[count + 1 :] if word.startswith("--"))
    flags = {name: value for name, _, value in pairs}
    assert flags.keys() <= GCLOUD[command]
    assert len([word for word in words[count + 1 :] if not word.startswith("--")]) == 1
    return flags


def _parameters() -> dict[str, dict[str, Any]]:
    content = json.loads((FOLDER / "metadata.json").read_text(encoding="utf-8"))
    return {one["name"]: one for one in content["parameters"]}


def _allowed(name: str, value: str) -> bool:
    one = _parameters()[name]
    choices = [choice["value"] for choice in one.get("enumOptions", [])]
    return all(re.search(regex, value) for regex in one.get("regexes", [])) and (not choices or value in choices)


def test_the_image_is_built_with_every_substitution() -> None:
    flags = _check(_printed("template-image"), "builds submit")
    given = dict(pair.split("=", 1) for pair in flags["--substitutions"].split(","))
    build = (FOLDER / "cloudbuild.yaml").read_text(encoding="utf-8")
    assert given.keys() == set(re.findall(r"\$\{(_\w+)\}", build))
    assert given["_IMAGE"] == VARIABLES["IMAGE"]
    assert (ROOT / flags["--config"]).is_file()


def test_the_template_is_built_from_the_image_and_the_metadata() -> None:
    words = _printed("template-build")
    flags = _check(words, "dataflow flex-template build")
    assert VARIABLES["TEMPLATE"] in words
    assert flags["--image"] == VARIABLES["IMAGE"]
    assert (ROOT / flags["--metadata-file"]).is_file()


@pytest.mark.parametrize("patterns", [VARIABLES["INPUT"], "'gs://my corpus/it is/*' gs://my-corpus/more/"])
@pytest.mark.parametrize("extra", ["", "mirror=true~languages=de,th"])
def test_a_run_has_parameters_of_the_template_alone(extra: str, patterns: str) -> None:
    flags = _check(_printed("template-run", PARAMETERS=extra, INPUT=patterns), "dataflow flex-template run")
    # gcloud topic escaping: another separator, as values hold commas.
    assert flags["--parameters"].startswith("^~^")
    given = dict(pair.split("=", 1) for pair in flags["--parameters"].removeprefix("^~^").split("~"))
    assert all(_allowed(name, value) for name, value in given.items())
    assert {name for name, one in _parameters().items() if not one.get("isOptional")} <= given.keys()
    assert given["input"] == patterns
    assert given.get("languages") == ("de,th" if extra else None)
    assert (ROOT / flags["--flags-file"]).is_file()


def test_workers_in_a_network_of_ones_own_have_no_public_address() -> None:
    flags = _check(
        _printed("template-run", SUBNETWORK="regions/europe-west4/subnetworks/jobs"), "dataflow flex-template run"
    )
    assert flags["--subnetwork"] == "regions/europe-west4/subnetworks/jobs"
    assert "--disable-public-ips" in flags


@pytest.mark.parametrize(
    ("target", "name"),
    [("template-image", "CUDA_DIGEST"), ("template-build", "IMAGE"), ("template-run", "SERVICE_ACCOUNT")],
)
def test_a_target_says_what_it_needs(target: str, name: str) -> None:
    variables = [f"{one}={value}" for one, value in VARIABLES.items() if one != name]
    done = subprocess.run(["make", "-n", target, *variables], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"{target} needs {name}=" in done.stderr


@pytest.mark.parametrize("path", OPTIONS, ids=lambda path: Path(path).stem)
def test_options_of_machines_are_known_and_fit_each_other(path: Path) -> None:
    options = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert options.keys() <= GCLOUD["dataflow flex-template run"]
    assert 0 < options["--num-workers"] <= options["--max-workers"]
    given = options["--parameters"]
    assert all(isinstance(value, str) and _allowed(name, value) for name, value in given.items())
    assert int(given["disk_size_gb"]) >= 50
    if "gpu" in given:
        assert given["gpu_machine_type"].startswith(MACHINES_OF[given["gpu"]])
    in_one_pool = given.get("gpu_workers") == "all"
    # The pool's machine type is that of its GPU; beside a hint the others have one of their own.
    assert ("--worker-machine-type" in options) != in_one_pool


def test_there_is_an_example_of_every_kind() -> None:
    assert [path.stem for path in OPTIONS] == ["a100", "cpu", "h100", "l4", "one-pool"]
