"""Crash points: listed, named exactly, and without any effect unless a test asks."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.pipelines.jobs import make_model
from transforms.adapters.crashpoints import POINTS, VARIABLE, durable, parse
from transforms.logic.errors import ConfigurationError

OF_NO_RUN = ("tokenizer proof", "projection", "calibration")
"""Steps beside the runs of `tests/pipelines/faults`."""
OF_IMPORTS = ("import file", "import plan", "import journal", "import job")
"""Steps of runs that import, which `tests/pipelines/faults/test_import_kills.py` kills."""
OF_PUBLISHING = ("alias", "publication", "drop")
"""Steps that only `run --publish` takes."""

_STEP = """
import sys
from transforms.adapters.crashpoints import durable

for number in range(3):
    with durable("ledger"):
        print(number, flush=True)
"""


@pytest.fixture(scope="module")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("models") / "small")


def _run(*arguments: str, crash_at: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=ROOT, env={VARIABLE: crash_at}, capture_output=True, text=True, check=False)


def test_the_points_are_listed_by_a_command() -> None:
    listed = _run("-m", "transforms.adapters.crashpoints").stdout.splitlines()
    assert listed == list(POINTS)
    assert len(listed) == len(set(listed)) >= 20


@pytest.mark.parametrize(
    ("crash_at", "printed", "status"),
    [
        ("", "012", 0),
        ("before ledger", "", -9),
        ("after ledger", "0", -9),
        ("before ledger:3", "01", -9),
        ("after ledger:3", "012", -9),
        ("after ledger:4", "012", 0),
        ("after intents", "012", 0),
    ],
)
def test_the_process_dies_where_it_is_told_to(crash_at: str, printed: str, status: int) -> None:
    finished = _run("-c", _STEP, crash_at=crash_at)
    assert (finished.stdout.replace("\n", ""), finished.returncode) == (printed, status)


@pytest.mark.parametrize("value", ["ledger", "before", "before nothing", "before ledger:0", "before ledger:x", ":1"])
def test_a_point_that_does_not_exist_is_refused_and_not_passed_over(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, value)
    with pytest.raises(ConfigurationError, match=r"names no crash point.*before ledger") as caught, durable("ledger"):
        pass
    assert repr(value) in str(caught.value)


def test_a_step_that_fails_does_not_reach_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "after intents")
    with pytest.raises(OSError, match="full"), durable("intents"):
        raise OSError("full")


_KEEP = """
import sys
import numpy as np
from transforms.adapters import tokenizer_proof
from transforms.adapters.calibrations import keep_projection, write_calibration
from transforms.adapters.workspace import Workspace
from transforms.logic.calibration import Calibration, Projection

tokenizer_proof.prove = lambda directory: ((65, 90),)
tokenizer_proof.known_proof(sys.argv[2], sys.argv[1], worth_proving=True)
workspace = Workspace(sys.argv[1], "space", "key")
keep_projection(workspace, Projection(np.eye(4, 2, dtype=np.float32), np.zeros(4, np.float32)))
write_calibration(workspace, Calibration("space", np.full(4, 0.5, np.float32), 3, "test"))
"""


def _kept(directory: Path) -> dict[str, bytes]:
    files = [path for path in directory.rglob("*") if path.is_file() and not path.name.endswith(".partial")]
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}


@pytest.mark.parametrize(
    "point", [f"{side} {step}" for side in ("before", "after") for step in (*OF_NO_RUN, "file name", "file name:2")]
)
def test_what_is_written_beside_the_runs_survives_a_kill(tmp_path: Path, small_model: Path, point: str) -> None:
    clean, killed = tmp_path / "clean", tmp_path / "killed"
    assert _run("-c", _KEEP, str(clean), str(small_model)).returncode == 0
    assert _run("-c", _KEEP, str(killed), str(small_model), crash_at=point).returncode == -9
    assert _kept(killed).items() <= _kept(clean).items()
    assert _run("-c", _KEEP, str(killed), str(small_model)).returncode == 0
    assert _kept(killed) == _kept(clean)
    assert len(_kept(clean)) == 3


def test_parse_gives_the_time() -> None:
    assert parse("before ledger") == ("before ledger", 1)
    assert parse("before ledger:12") == ("before ledger", 12)
