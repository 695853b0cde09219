"""Counts from workers to the process that launched them."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.conftest import ROOT
from transforms.adapters import progress
from transforms.adapters.progress import VARIABLE, open_board, tell, tell_phase

TELL = "import sys; from transforms.adapters.progress import tell; [tell({'documents.read': 2}) for _ in range(5)]"


def tell_elsewhere(program: str = TELL, **environment: str) -> None:
    subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env={**os.environ, **environment}, check=True, capture_output=True
    )


def test_what_this_process_tells_is_added_up() -> None:
    with open_board(shared=False) as board:
        assert board.read() == {}
        tell({"documents.read": 2, "rejects.total": 1, "language.de.documents": 2})
        tell({"documents.read": 3})
        tell_phase("verify")
        (counts,) = board.read().values()
    assert {name: value for name, value in counts.items() if value} == {
        "documents.read": 5,
        "rejects.total": 1,
        "phase.verify": 1,
    }


def test_other_processes_of_a_shared_board_are_told_apart() -> None:
    with open_board(shared=True) as board:
        for _ in range(2):
            tell_elsewhere()
        tell({"documents.read": 1})
        told = board.read()
    assert told.pop(os.getpid())["documents.read"] == 1
    assert [counts["documents.read"] for counts in told.values()] == [10, 10]


def test_where_no_board_is_nobody_is_told() -> None:
    tell({"documents.read": 1})
    with open_board(shared=False) as board:
        assert VARIABLE not in os.environ
        tell_elsewhere()
        assert board.read() == {}
    assert VARIABLE not in os.environ


def test_threads_lose_no_count() -> None:
    def tell_often(_: int) -> None:
        for _ in range(500):
            tell({"rows.written": 1})

    with open_board(shared=False) as board, ThreadPoolExecutor(8) as threads:
        list(threads.map(tell_often, range(8)))
        (counts,) = board.read().values()
    assert counts["rows.written"] == 4000


def test_a_worker_that_cannot_tell_works_on(tmp_path: Path) -> None:
    tell_elsewhere(**{VARIABLE: str(tmp_path / "gone")})
    assert not list(tmp_path.iterdir())


def test_nothing_is_left_of_a_board() -> None:
    with open_board(shared=True) as board:
        assert board._directory is not None
        tell_elsewhere()
        # Made, and not yet written.
        (board._directory / "1").touch()
        assert len(board.read()) == 1
    assert not board._directory.exists()
    assert progress._open is None


def test_a_board_within_a_board_takes_what_is_told_meanwhile() -> None:
    with open_board(shared=False) as outer:
        with open_board(shared=False) as inner:
            tell({"documents.read": 1})
        assert inner.read()
        assert outer.read() == {}
