"""A run that is interrupted says so, lets go of its collection, and run again ends as one that was left alone."""

import json
import random
import signal
from collections.abc import Callable
from itertools import cycle

import pytest

from tests.pipelines.faults.forking import Ended
from tests.pipelines.faults.scene import ENDED_WITH_REJECTS, Scene, State

EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}
MESSAGE = "corpus-embed run: interrupted; what was done is kept, and the same command goes on from there\n"
COUNTS = (
    "source_bytes.read",
    "chunks.looked_up",
    "vectors.encoded",
    "rows.stored",
    "chunks.reconciled",
    "rows.loaded",
    "rows.written",
    "rows.deleted",
    "phase.verify",
    "phase.commit",
)
"""What a run counts, from its beginning to its end."""


def _check_and_run_again(scene: Scene, ended: Ended, number: int, expected: State) -> None:
    assert ended.status == EXIT_CODES[signal.Signals(number)], ended.output
    assert ended.output == MESSAGE
    (lease,) = (json.loads(path.read_bytes()) for path in scene.job.workspace.glob("ledger/*/lease/*.json"))
    assert lease["released"]
    stored = scene.stored()
    scene.forker.encoded()
    scene.finish()
    scene.check_nothing_was_encoded_twice(stored, scene.forker.encoded())
    assert scene.state() == expected


@pytest.mark.parametrize(("count", "number"), list(zip(COUNTS, cycle(EXIT_CODES), strict=False)))
def test_a_run_interrupted_when_it_counts_something_and_run_again(
    next_scene: Scene, uninterrupted: Callable[[Scene], State], count: str, number: int
) -> None:
    expected = uninterrupted(next_scene)
    next_scene.put_back()
    ended = next_scene.forker.run(next_scene.flags(), kill_by=number, kill_at_count=count)
    _check_and_run_again(next_scene, ended, number, expected)


def test_interrupts_at_random_instants(next_scene: Scene, uninterrupted: Callable[[Scene], State]) -> None:
    expected = uninterrupted(next_scene)
    chance = random.Random(8)
    next_scene.put_back()
    seconds = next_scene.forker.run(next_scene.flags()).seconds
    for _ in range(6):
        next_scene.put_back()
        number = chance.choice(sorted(EXIT_CODES))
        ended = next_scene.forker.run(next_scene.flags(), kill_after_seconds=chance.uniform(0, seconds), kill_by=number)
        # Before the command has begun a signal ends it as it ends any process, and after its end it is too late.
        assert ended.status in {EXIT_CODES[number], -number, ENDED_WITH_REJECTS}, ended.output
        assert "Traceback" not in ended.output
        next_scene.finish()
        assert next_scene.state() == expected
