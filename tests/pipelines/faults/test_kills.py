"""A run that is killed with SIGKILL, wherever it is, and run again ends as one that was left alone."""

import random
from collections.abc import Callable

import pytest

from tests.pipelines.faults.forking import KILLED
from tests.pipelines.faults.scene import ENDED_WITH_REJECTS, Scene, State
from tests.transforms.adapters.test_crashpoints import OF_IMPORTS, OF_NO_RUN, OF_PUBLISHING
from transforms.adapters.crashpoints import POINTS

_KILLS_IN_A_ROW = 9
OF_NEW_COLLECTIONS = {"before collection", "after collection"}
ELSEWHERE = {f"{side} {step}" for side in ("before", "after") for step in (*OF_NO_RUN, *OF_IMPORTS, *OF_PUBLISHING)}
OF_RUNS = [point for point in POINTS if point not in ELSEWHERE | OF_NEW_COLLECTIONS]


def _kill_and_run_again(scene: Scene, crash_at: str, expected: State) -> bool:
    """Whether the run reached the point; then it must end, at the second attempt, as if nothing had been."""
    scene.put_back()
    ended = scene.forker.run(scene.flags(), crash_at)
    if ended.status != KILLED:
        assert ended.status == ENDED_WITH_REJECTS, ended.output
        return False
    stored = scene.stored()
    scene.forker.encoded()
    scene.finish()
    scene.check_nothing_was_encoded_twice(stored, scene.forker.encoded())
    assert scene.state() == expected
    return True


@pytest.mark.parametrize("point", OF_RUNS)
def test_a_run_killed_at_a_crash_point_and_run_again(
    next_scene: Scene, uninterrupted: Callable[[Scene], State], point: str
) -> None:
    assert _kill_and_run_again(next_scene, point, uninterrupted(next_scene))


@pytest.mark.parametrize("point", [*sorted(OF_NEW_COLLECTIONS), "after dataset shard:3", "after partition:2"])
def test_a_first_run_killed_at_a_crash_point_and_run_again(
    first_scene: Scene, uninterrupted: Callable[[Scene], State], point: str
) -> None:
    assert _kill_and_run_again(first_scene, point, uninterrupted(first_scene))


def _kill_at_random(scene: Scene, expected: State, kills: int, seed: int) -> None:
    """Kills runs one after another, each resuming what the one before left; every tenth gets through, and must be right."""
    chance = random.Random(seed)
    scene.put_back()
    seconds = scene.forker.run(scene.flags()).seconds
    done = 0
    while done < kills:
        scene.put_back()
        for _ in range(_KILLS_IN_A_ROW):
            stored = scene.stored()
            # Evenly over the whole run: the further a run comes, the less the next has to do.
            ended = scene.forker.run(scene.flags(), kill_after_seconds=chance.uniform(0, seconds))
            scene.check_nothing_was_encoded_twice(stored, scene.forker.encoded())
            if ended.status != KILLED:
                assert ended.status == ENDED_WITH_REJECTS, ended.output
                break
            done += 1
        scene.finish()
        assert scene.state() == expected


@pytest.mark.timeout(900)
def test_fifty_kills_at_random_instants(next_scene: Scene, uninterrupted: Callable[[Scene], State]) -> None:
    _kill_at_random(next_scene, uninterrupted(next_scene), 50, seed=5)


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_five_hundred_kills_at_random_instants(next_scene: Scene, uninterrupted: Callable[[Scene], State]) -> None:
    _kill_at_random(next_scene, uninterrupted(next_scene), 500, seed=55)


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("point", OF_RUNS)
def test_a_run_killed_each_time_that_it_reaches_a_crash_point(
    next_scene: Scene, uninterrupted: Callable[[Scene], State], point: str
) -> None:
    expected = uninterrupted(next_scene)
    time = 1
    while _kill_and_run_again(next_scene, f"{point}:{time}", expected):
        time += 1
    assert time > 1
