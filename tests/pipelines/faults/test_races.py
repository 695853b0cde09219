"""A thousand times, several runs commit the same ledger at once: each time exactly one does, and all others are told."""

import subprocess
import sys
import threading
from pathlib import Path

from tests.conftest import ROOT
from transforms.adapters.workspace import Ledger, Workspace
from transforms.logic.errors import TransientError

_COMMITTER = """
import sys
from transforms.adapters.workspace import Ledger, Workspace
from transforms.logic.errors import TransientError

workspace = Workspace(sys.argv[1], "space", "key")
for line in sys.stdin:
    try:
        workspace.commit_ledger(Ledger(int(line), (sys.argv[2],), {}), sys.argv[2])
        print("won", flush=True)
    except TransientError:
        print("lost", flush=True)
"""


def _parts(workspace: Workspace, number: int) -> tuple[str, ...]:
    """What the ledger of a number says, whichever is the newest by now."""
    Path(workspace.uri, "ledger", "key", f"{number + 1:08d}.json").unlink(missing_ok=True)
    latest = workspace.latest_ledger()
    assert latest.number == number
    return latest.parts


def test_of_processes_one_wins_each_of_500_races(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path), "space", "key")
    command = [sys.executable, "-c", _COMMITTER, str(tmp_path)]
    processes = [
        subprocess.Popen([*command, f"run{number}"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for number in range(3)
    ]
    winners = []
    for number in range(1, 501):
        for process in processes:
            assert process.stdin
            process.stdin.write(f"{number}\n")
            process.stdin.flush()
        answers = [process.stdout.readline().strip() for process in processes if process.stdout]
        assert sorted(answers) == ["lost", "lost", "won"]
        winners.append(answers.index("won"))
        assert _parts(workspace, number) == (f"run{winners[-1]}",)
    for process in processes:
        process.communicate(timeout=60)
    assert len(set(winners)) > 1


def test_of_threads_one_wins_each_of_500_races(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path), "space", "key")
    threads_each = 4
    gate = threading.Barrier(threads_each)
    won: list[list[str]] = [[] for _ in range(501)]
    lost: list[list[str]] = [[] for _ in range(501)]

    def commit(run: str) -> None:
        for number in range(1, 501):
            gate.wait()
            try:
                workspace.commit_ledger(Ledger(number, (run,), {}), run)
                won[number].append(run)
            except TransientError:
                lost[number].append(run)

    threads = [threading.Thread(target=commit, args=(f"run{number}",)) for number in range(threads_each)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(500, 0, -1):
        assert (len(won[number]), len(lost[number])) == (1, threads_each - 1)
        assert _parts(workspace, number) == tuple(won[number])
