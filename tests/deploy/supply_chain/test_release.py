"""Releases: one version, a changelog that names it, a wheel with the two packages, locks with hashes, pinned workflows."""

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

from deploy.supply_chain.release import changelog_faults, main, project_version, sections, tag_faults, wheel_faults
from tests.conftest import ROOT

CHANGELOG = """# Changelog

## [1.1.0] - 2026-03-02

### Added

- Something.

## [1.0.0] - 2025-01-31

### Fixed

- Something else.
"""
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
LOCKS = [*sorted(ROOT.glob("requirements*.lock")), ROOT / "requirements-milvus.txt"]


def test_the_version_stands_in_one_place() -> None:
    named = project_version()
    assert version("corpus-embed") == named
    for package in ("pipelines", "transforms", "deploy"):
        for path in (ROOT / package).rglob("*.py"):
            assert "\n__version__" not in path.read_text(encoding="utf-8")


def test_the_changelog_is_one_and_its_newest_section_is_of_this_version() -> None:
    assert changelog_faults((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), project_version()) == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (("# Changelog", "# Changes"), "line 1: not '# Changelog'"),
        (("1.1.0", "1.2.0"), "the newest section is of 1.2.0, pyproject.toml says 1.1.0"),
        (("2026-03-02", "2026-13-02"), "1.1.0: '2026-13-02' is no date"),
        (("2025-01-31", "Unreleased"), "1.0.0: only the newest may be unreleased"),
        (
            ("### Fixed", "### Mended"),
            "line 11: '### Mended' is none of Added, Changed, Deprecated, Removed, Fixed, Security",
        ),
        (("## [1.0.0] - ", "## 1.0.0 "), "line 9: not a section as '## [1.2.3] - 2026-03-01'"),
        (("[1.0.0]", "[1.2.0]"), "sections are not in order, the newest first"),
        (("[1.0.0]", "[1.0]"), "1.0: not a version of Semantic Versioning"),
    ],
)
def test_a_changelog_that_is_none_is_refused_by_line(change: tuple[str, str], fault: str) -> None:
    assert changelog_faults(CHANGELOG, "1.1.0") == []
    assert changelog_faults(CHANGELOG.replace(*change), "1.1.0") == [fault]
    assert changelog_faults("# Changelog\n", "1.1.0") == ["there is no section"]


def test_a_tag_is_the_version_with_a_date() -> None:
    assert tag_faults("v1.1.0", "1.1.0", CHANGELOG) == []
    assert tag_faults("1.1.0", "1.1.0", CHANGELOG) == [
        "the tag is 1.1.0, that of pyproject.toml's version would be v1.1.0"
    ]
    unreleased = CHANGELOG.replace("2026-03-02", "Unreleased")
    assert sections(unreleased) == [("1.1.0", "Unreleased"), ("1.0.0", "2025-01-31")]
    assert tag_faults("v1.1.0", "1.1.0", unreleased) == ["1.1.0 has no date yet"]
    assert main(["v0.0.0"]) == 1


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree, built from a copy, as building leaves folders behind."""
    source, dist = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    for name in ("pipelines", "transforms", "deploy", "tests", "benchmarks"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "corpus"))
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--no-build-isolation",
    ]
    subprocess.run([*command, "--no-index", "--wheel-dir", str(dist), str(source)], check=True)
    (built,) = dist.glob("*.whl")
    return built


def test_the_wheel_holds_the_two_packages_and_nothing_else(wheel: Path, tmp_path: Path) -> None:
    assert wheel.name == f"corpus_embed-{project_version()}-py3-none-any.whl"
    assert wheel_faults(wheel, project_version()) == []
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        entry_points = archive.read(f"corpus_embed-{project_version()}.dist-info/entry_points.txt").decode()
    assert {name.split("/")[0] for name in names} == {
        "pipelines",
        "transforms",
        f"corpus_embed-{project_version()}.dist-info",
    }
    assert "corpus-embed = pipelines.cli:script" in entry_points
    spoilt = tmp_path / "spoilt.whl"
    with zipfile.ZipFile(wheel) as archive, zipfile.ZipFile(spoilt, "w") as copy:
        for name in names:
            if name != "pipelines/cli.py":
                copy.writestr(name, archive.read(name))
        copy.writestr("tests/test_x.py", b"")
    assert wheel_faults(spoilt, project_version()) == [
        "pipelines/cli.py is not in the wheel",
        "tests/test_x.py is in the wheel and should not be",
    ]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_every_requirement_of_a_lock_is_pinned_with_hashes(lock: Path) -> None:
    text = "".join(
        line for line in lock.read_text(encoding="utf-8").splitlines(keepends=True) if not line.startswith("#")
    )
    blocks = [block for block in re.split(r"\n(?=\S)", text.strip()) if block]
    assert blocks
    for block in blocks:
        name, *rest = block.replace("\\\n", " ").split()
        assert re.fullmatch(r"[a-z0-9][a-z0-9.-]*(\[[a-z0-9,-]+\])?==[0-9][0-9a-z.+]*", name), block[:80]
        hashes = [word for word in rest if word.startswith("--")]
        assert hashes
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", word) for word in hashes)


def steps(path: Path) -> list[dict[str, Any]]:
    jobs = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]
    return [step for job in jobs.values() for step in job["steps"]]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_use_pinned_actions_few_rights_and_targets_that_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    values = yaml.safe_load(text)
    assert values["permissions"] == {"contents": "read"}
    assert all("timeout-minutes" in job for job in values["jobs"].values())
    for action in re.findall(r"uses: (.+)", text):
        assert re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    commands = [step["run"] for step in steps(path) if "run" in step]
    assert ".ci/run" in commands
    for command in commands:
        # What others may name, as a branch, is never pasted into a command.
        assert "${{" not in command
        if command.startswith("make "):
            assert {word for word in command.split()[1:] if "=" not in word} <= targets
    for step in steps(path):
        if "checkout" in step.get("uses", ""):
            assert step["with"]["persist-credentials"] is False


def test_one_job_alone_may_write_and_runs_no_code_of_the_tree() -> None:
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8"))["jobs"]
    writing = {name: job for name, job in jobs.items() if "permissions" in job}
    assert list(writing) == ["publish"]
    # What is not named is none: `gh run download` asks for the first, `gh release create` for the second.
    assert writing["publish"]["permissions"] == {"actions": "read", "contents": "write"}
    assert writing["publish"]["needs"] == "build"
    assert not any("uses" in step for step in writing["publish"]["steps"])


def test_python_versions_of_the_workflow_are_those_of_the_project() -> None:
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))["jobs"]
    named = re.findall(
        r"Programming Language :: Python :: (3\.\d+)", (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    )
    assert jobs["test"]["strategy"]["matrix"]["python"] == named
