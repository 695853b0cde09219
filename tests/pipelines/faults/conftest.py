"""A job that can be killed."""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.pipelines.faults.forking import Forker, forker
from tests.pipelines.faults.scene import FIRST, NEXT, Scene, State
from tests.pipelines.jobs import Job, make_model


@pytest.fixture(scope="session")
def forking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forker]:
    with forker(tmp_path_factory.mktemp("forker")) as process:
        yield process


@pytest.fixture(scope="session")
def first_scene(tmp_path_factory: pytest.TempPathFactory, forking: Forker) -> Scene:
    """Before the first run."""
    home = tmp_path_factory.mktemp("first")
    model = make_model(home / "model")
    scene = Scene(Job(home / "job", model), forking, home / "kept")
    scene.job.write("a.jsonl", FIRST)
    scene.keep()
    return scene


@pytest.fixture(scope="session")
def next_scene(tmp_path_factory: pytest.TempPathFactory, forking: Forker) -> Scene:
    """After a run of the first edition, before one of the next."""
    home: Path = tmp_path_factory.mktemp("next")
    scene = Scene(Job(home / "job", make_model(home / "model")), forking, home / "kept")
    scene.job.write("a.jsonl", FIRST)
    scene.finish()
    scene.job.write("a.jsonl", NEXT[:9])
    scene.job.write("b.jsonl", NEXT[9:])
    scene.keep()
    return scene


@pytest.fixture(scope="module")
def uninterrupted() -> Callable[[Scene], State]:
    """The state that a scene's run leaves when nobody kills it."""

    @cache
    def of_home(home: object) -> State:
        scene = scenes[home]
        scene.put_back()
        scene.finish()
        return scene.state()

    scenes: dict[object, Scene] = {}

    def of_scene(scene: Scene) -> State:
        scenes[scene.job.home] = scene
        return of_home(scene.job.home)

    return of_scene
