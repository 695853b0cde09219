"""A publication that is killed anywhere leaves readers on the old collection or the new one, whole, and the next one finishes it."""

from pathlib import Path
from typing import NamedTuple

import pytest

from tests.pipelines.faults.forking import KILLED, Forker
from tests.pipelines.faults.scene import ENDED_WITH_REJECTS, FIRST, NEXT, Row, Scene
from tests.pipelines.jobs import Job, make_model
from tests.transforms.adapters.test_crashpoints import OF_NO_RUN
from transforms.adapters.crashpoints import POINTS
from transforms.adapters.publications import Publications
from transforms.adapters.workspace import collection_key
from transforms.logic.publication import Publication

ALIAS = "docs"
OLD, NEW = "docs_0001", "docs_0002"
OF_PUBLISHING = [
    "after publication:1",
    "before alias",
    "after alias",
    "after publication:2",
    "before drop",
    "after drop",
    "after ledger:2",
    "before publication:3",
]
"""The steps of a publication that no run has; the run's own are tried too, but take minutes."""
ELSEWHERE = {f"{side} {step}" for side in ("before", "after") for step in OF_NO_RUN}
# The new collection holds nothing before, so that nothing is deleted.
OF_RUNS = [point for point in POINTS if point not in {*ELSEWHERE, "before delete", "after delete"}]


class Seen(NamedTuple):
    """What readers see: the collection that the alias means, its rows, and which collections there are."""

    meant: str
    rows: dict[str, Row]
    collections: list[str]


class Stage:
    """A scene whose runs publish, keeping nothing of what was served before."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene

    def publish(self, crash_at: str = "") -> int:
        flags = self.scene.flags(collection=None, publish=ALIAS, keep_generations=0)
        return self.scene.forker.run(flags, crash_at).status

    def seen(self) -> Seen:
        with self.scene.job.client() as client:
            meant = client.describe_alias(ALIAS)["collection_name"]
            collections = sorted(client.list_collections())
        return Seen(meant, self.scene.job.rows(meant), collections)

    def state(self) -> Publication:
        job = self.scene.job
        return Publications(str(job.workspace), collection_key(str(job.milvus), ALIAS)).latest()


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, forking: Forker) -> Stage:
    """The first edition is served, the next one is there to be published."""
    home: Path = tmp_path_factory.mktemp("publish")
    made = Stage(Scene(Job(home / "job", make_model(home / "model")), forking, home / "kept"))
    made.scene.job.write("a.jsonl", FIRST)
    assert made.publish() == ENDED_WITH_REJECTS
    made.scene.job.write("a.jsonl", NEXT[:9])
    made.scene.job.write("b.jsonl", NEXT[9:])
    made.scene.keep()
    return made


@pytest.fixture(scope="module")
def before_and_after(stage: Stage) -> tuple[Seen, Seen]:
    """What readers see before, and after a publication that nobody kills."""
    stage.scene.put_back()
    before = stage.seen()
    assert (before.meant, before.collections) == (OLD, [OLD])
    assert stage.publish() == ENDED_WITH_REJECTS
    after = stage.seen()
    assert (after.meant, after.collections) == (NEW, [NEW])
    assert after.rows != before.rows
    return before, after


def _kill_and_publish_again(stage: Stage, crash_at: str, before: Seen, after: Seen) -> bool:
    """Whether the publication reached the point; readers are asked right after it died."""
    scene = stage.scene
    scene.put_back()
    status = stage.publish(crash_at)
    if status != KILLED:
        assert status == ENDED_WITH_REJECTS
        return False
    seen = stage.seen()
    assert seen[:2] in (before[:2], after[:2])
    stored = scene.stored()
    scene.forker.encoded()
    assert stage.publish() == ENDED_WITH_REJECTS
    scene.check_nothing_was_encoded_twice(stored, scene.forker.encoded())
    assert stage.seen() == after
    state = stage.state()
    assert ([one.collection for one in state.generations], state.building) == ([NEW], None)
    return True


@pytest.mark.parametrize("point", OF_PUBLISHING)
def test_a_publication_killed_between_its_steps(stage: Stage, before_and_after: tuple[Seen, Seen], point: str) -> None:
    assert _kill_and_publish_again(stage, point, *before_and_after)


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("point", OF_RUNS)
def test_a_publication_killed_each_time_that_it_reaches_a_crash_point(
    stage: Stage, before_and_after: tuple[Seen, Seen], point: str
) -> None:
    time = 1
    while _kill_and_publish_again(stage, f"{point}:{time}", *before_and_after):
        time += 1
    assert time > 1
