"""Commands whose output nobody takes, as processes of their own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

HELP = ("--help",)
SCHEMA = ("config", "schema")
"""Says more than is buffered."""


def run(arguments: tuple[str, ...], redirection: str) -> subprocess.CompletedProcess[str]:
    """A command, its output redirected as in a shell."""
    line = f"{sys.executable} -m pipelines.cli {' '.join(arguments)} {redirection}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(["bash", "-c", line], env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("redirection", ["| true; exit ${PIPESTATUS[0]}", ">&-", ">&- 2>&-"])
def test_a_command_whose_reader_went_away_ends_in_peace(redirection: str) -> None:
    done = run(HELP, redirection)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("arguments", [HELP, SCHEMA])
def test_output_that_is_lost_is_told_of_in_a_line(arguments: tuple[str, ...]) -> None:
    done = run(arguments, ">/dev/full")
    assert done.returncode == 1
    assert done.stderr == "corpus-embed: the output is not whole: No space left on device\n"


def test_an_error_keeps_its_exit_code_where_nobody_can_read_it(tmp_path: Path) -> None:
    assert run(("runs", "ls", str(tmp_path)), ">/dev/full 2>/dev/full").returncode == 2
