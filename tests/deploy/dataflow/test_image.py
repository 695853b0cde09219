"""The image is built from what the repository has and the locks name; it is not built here."""

import re
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub.cli.hf import app
from packaging.specifiers import SpecifierSet

from deploy.dataflow.main import OF_THE_IMAGE
from pipelines.configuration import template
from tests.conftest import ROOT
from tests.deploy.dataflow.dockerfile import Stage, read

FOLDER = ROOT / "deploy" / "dataflow"
DIGEST = "sha256:" + "1" * 64
ARGUMENTS = dict.fromkeys(("CUDA_DIGEST", "BEAM_DIGEST", "LAUNCHER_DIGEST"), DIGEST)


@pytest.fixture(scope="module")
def stages() -> dict[str, Stage]:
    return {stage.name: stage for stage in read(FOLDER / "Dockerfile", ARGUMENTS)}


def _locked(package: str) -> str:
    found = re.search(rf"^{package}==(\S+)", (ROOT / "requirements.lock").read_text(encoding="utf-8"), re.MULTILINE)
    assert found is not None
    return found[1]


def _ignored(path: str) -> bool:
    """Whether the build does not see a path: the last line of the ignore file that fits decides."""
    ignored = False
    for line in (FOLDER / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines():
        pattern = line.strip().removeprefix("!")
        if pattern and not pattern.startswith("#"):
            kept = line.startswith("!")
            whole = pattern in ("*", path) or path.startswith(f"{pattern}/")
            if whole or (pattern.startswith("**/") and pattern.removeprefix("**/") in path.split("/")):
                ignored = not kept
    return ignored


def test_every_image_it_starts_from_is_named_by_digest(stages: dict[str, Stage]) -> None:
    foreign = [stage.base for stage in stages.values() if stage.base not in stages]
    assert len(foreign) == 3
    assert all(base.endswith(f"@{DIGEST}") for base in foreign)
    # Without a digest there is no image to start from.
    without = [stage.base for stage in read(FOLDER / "Dockerfile", {}) if stage.base not in stages]
    assert all(base.endswith("@") for base in without)


def test_python_and_beam_are_those_of_the_locks(stages: dict[str, Stage]) -> None:
    found = re.fullmatch(rf"apache/beam_python(\d\.\d+)_sdk:(\S+)@{DIGEST}", stages["beam"].base)
    assert found is not None
    python, beam = found.groups()
    assert beam == _locked("apache-beam") == version("apache-beam")
    assert f"/python{python.replace('.', '')}-template-launcher-base@" in stages["launcher"].base
    wanted = re.search(
        r'^requires-python = "(.+?)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert wanted is not None
    assert python in SpecifierSet(wanted[1])
    interpreters = {
        word
        for stage in stages.values()
        for command in stage.commands
        for word in command
        if re.match(r"python\d", word)
    }
    assert interpreters == {f"python{python}", f"python{python}-venv"}


def test_cuda_is_that_of_the_locked_torch(stages: dict[str, Stage]) -> None:
    lock = (ROOT / "requirements-cuda.lock").read_text(encoding="utf-8")
    runtime = re.search(r"^nvidia-cuda-runtime==(\d+\.\d+)\.", lock, re.MULTILINE)
    assert runtime is not None
    assert stages["python"].base.startswith(f"nvidia/cuda:{runtime[1]}.")


def test_every_file_that_is_copied_exists_and_reaches_the_build(stages: dict[str, Stage]) -> None:
    copied = [
        source
        for stage in stages.values()
        for where, sources, _ in stage.copies()
        if where is None
        for source in sources
    ]
    assert {"requirements.lock", "pyproject.toml", "pipelines", "transforms"} <= set(copied)
    for source in copied:
        assert (ROOT / source).exists(), source
        assert not _ignored(source), source
    others = {where for stage in stages.values() for where, _, _ in stage.copies() if where is not None}
    assert others <= stages.keys()


@pytest.mark.parametrize(
    "path",
    [
        ".git",
        ".env",
        ".cache/models/x/model.safetensors",
        "demo",
        "tests",
        "deploy/airflow",
        "key.json",
        "pipelines/__pycache__",
    ],
)
def test_nothing_else_reaches_the_build(path: str) -> None:
    assert _ignored(path)


@pytest.mark.slow
def test_the_wheel_is_made_from_what_reaches_the_build(stages: dict[str, Stage], tmp_path: Path) -> None:
    """The command of the Dockerfile, in a folder that has what it copies and nothing else."""
    copied = [source for where, sources, _ in stages["packages"].copies() if where is None for source in sources]
    for source in copied:
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, tmp_path / source, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / source, tmp_path / source)
    (command,) = [one for one in stages["packages"].commands if one[:2] == ["pip", "wheel"]]
    words = [str(tmp_path / "dist") if word == "/build/dist" else word for word in command[1:]]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--no-input", *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = (tmp_path / "dist").glob("corpus_embed-*.whl")
    with zipfile.ZipFile(wheel) as content:
        packed = {name for name in content.namelist() if ".dist-info/" not in name}
    here = {
        path.relative_to(ROOT) for package in ("pipelines", "transforms") for path in (ROOT / package).rglob("*.py")
    }
    assert {name for name in packed if name.endswith(".py")} == {str(path) for path in here}
    assert not (ROOT / "setup.py").exists()


def test_packages_come_from_the_locks_with_hashes_and_nothing_else(stages: dict[str, Stage]) -> None:
    installs = [command for stage in stages.values() for command in stage.commands if command[:2] == ["pip", "install"]]
    assert len(installs) == 4
    locks = []
    for command in installs:
        assert "--no-deps" in command
        if "--requirement" in command:
            assert "--require-hashes" in command
            locks.append(command[command.index("--requirement") + 1])
        else:
            assert command[2:] == ["--no-deps", "/build/dist/corpus_embed-*.whl"]
    assert locks == ["requirements.lock", "requirements-cuda.lock", "requirements-gcp.lock"]
    wheels = [command for stage in stages.values() for command in stage.commands if command[:2] == ["pip", "wheel"]]
    assert wheels == [["pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", "/build/dist", "."]]
    assert ["pip", "check"] in stages["packages"].commands
    for lock in locks:
        text = (ROOT / lock).read_text(encoding="utf-8")
        assert all("--hash=sha256:" in block for block in re.split(r"\n(?=[a-z])", text)[1:]), lock


def test_nothing_is_piped_from_the_net_into_a_shell(stages: dict[str, Stage]) -> None:
    words = {word for stage in stages.values() for command in stage.commands for word in command}
    assert not words & {"curl", "wget", "sudo", "ADD", "|", "sh", "eval"}
    assert not any(kind == "ADD" for stage in stages.values() for kind, _ in stage.instructions)


def test_the_model_is_a_commit_and_lies_where_the_template_looks(stages: dict[str, Stage]) -> None:
    (download,) = [command for command in stages["model"].commands if command[:2] == ["hf", "download"]]
    assert download[download.index("--revision") + 1] == "${MODEL_REVISION}"
    assert download[download.index("--local-dir") + 1] == template.MODEL_DIRECTORY
    assert stages["model"].commands[0] == ["[[", "${MODEL_REVISION}", "=~", "^[0-9a-f]{40}$", "]]"]
    assert stages["model"].arguments == {"MODEL": None, "MODEL_REVISION": None}
    assert ("model", [template.MODEL_DIRECTORY], template.MODEL_DIRECTORY) in list(stages["template"].copies())


def test_the_model_is_downloaded_by_pattern(stages: dict[str, Stage], monkeypatch: pytest.MonkeyPatch) -> None:
    """The command as the locked program reads it: of several patterns after one `--include` it would take all but the first for files."""
    asked: list[dict[str, Any]] = []

    def download_nothing(**arguments: Any) -> str:
        asked.append(arguments)
        return "/nowhere"

    monkeypatch.setattr("huggingface_hub.cli.download.snapshot_download", download_nothing)
    (download,) = [command for command in stages["model"].commands if command[:2] == ["hf", "download"]]
    app([*download[1:], "--quiet"], standalone_mode=False)
    (one,) = asked
    assert one["allow_patterns"] == ["*.safetensors", "*.json", "*.txt", "*.model"]
    assert one["ignore_patterns"] is None
    assert one["repo_id"] == "${MODEL}"


def test_the_image_starts_the_worker_and_the_launcher_finds_the_program(stages: dict[str, Stage]) -> None:
    last = stages["template"]
    assert list(stages)[-1] == "template"
    assert last.entrypoint == ["/opt/apache/beam/boot"]
    copies = {destination: (where, sources) for where, sources, destination in last.copies()}
    assert copies["/opt/apache/beam"] == ("beam", ["/opt/apache/beam"])
    launcher = "/opt/google/dataflow/python_template_launcher"
    assert copies[launcher] == ("launcher", [launcher])
    assert copies[last.environment["FLEX_TEMPLATE_PYTHON_PY_FILE"]] == (None, ["deploy/dataflow/main.py"])
    # Boot's own environment would not see /opt/venv, and setup files or requirements would be installed once more on every worker.
    assert last.environment["RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT"] == "1"
    assert {name for name in last.environment if name.startswith("FLEX_TEMPLATE")} == {"FLEX_TEMPLATE_PYTHON_PY_FILE"}
    assert stages["python"].environment["PATH"].startswith("/opt/venv/bin:")


def test_nothing_is_fetched_at_run_time(stages: dict[str, Stage]) -> None:
    environment = stages["template"].environment
    assert {
        name: environment[name] for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY")
    } == {
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }


def test_it_is_root_only_by_an_argument_and_another_user_is_there(stages: dict[str, Stage]) -> None:
    last = stages["template"]
    assert last.arguments["RUN_AS"] == "root"
    assert last.of("USER") == ["root"]
    assert any(command[0] == "useradd" and command[-1] == "corpus-embed" for command in last.commands)


def test_no_secret_is_an_argument(stages: dict[str, Stage]) -> None:
    names = {name for stage in stages.values() for name in (*stage.arguments, *stage.environment)}
    assert not [name for name in names if re.search(r"TOKEN|SECRET|PASSWORD|KEY|CREDENTIAL", name)]


def test_cloud_build_gives_every_argument_and_no_other(stages: dict[str, Stage]) -> None:
    build = yaml.safe_load((FOLDER / "cloudbuild.yaml").read_text(encoding="utf-8"))
    (step,) = build["steps"]
    given = {word.split("=")[1]: word.split("=")[2] for word in step["args"] if word.startswith("--build-arg=")}
    needed = ARGUMENTS.keys() | {
        name for stage in stages.values() for name, default in stage.arguments.items() if default is None
    }
    assert given == {name: f"${{_{name}}}" for name in needed}
    assert "--file=deploy/dataflow/Dockerfile" in step["args"]
    assert build["images"] == ["${_IMAGE}"]
    assert (FOLDER / "Dockerfile.dockerignore").is_file(), (
        "BuildKit reads the ignore file that is named as the Dockerfile"
    )
    assert step["env"] == ["DOCKER_BUILDKIT=1"]


def test_the_program_of_the_template_runs_the_package_with_the_model_of_the_image() -> None:
    assert [f"--model={template.MODEL_DIRECTORY}", "--sdk_location=container", "--no_save_main_session"] == OF_THE_IMAGE
