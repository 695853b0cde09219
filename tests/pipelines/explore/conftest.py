"""Collections to look at."""

from pathlib import Path

import pytest

from tests import fakes
from tests.pipelines.explore.scene import HOSTILE
from tests.pipelines.jobs import Job, document, story


@pytest.fixture
def fake_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "pipelines.queries.open_encoder",
        lambda model, prompt, computation, _: fakes.open_fake_encoder(model, prompt, computation),
    )


@pytest.fixture(scope="session")
def hostile_job(tmp_path_factory: pytest.TempPathFactory, small_model: Path) -> Job:
    """Sixty documents with hostile texts, ids and metadata, and a long one; a second collection holds half the dimensions."""
    job = Job(tmp_path_factory.mktemp("hostile"), small_model)
    rows = [document(f"<i>{number} {one}", f"{one} {one}", note=one) for number, one in enumerate(HOSTILE)]
    # The column for the language says it, so that detection plays no part.
    job.write("a.jsonl", [*rows, document("long", story("long", 24), "de", year=2021)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.preflight.run_plan.open_encoder", fakes.open_fake_encoder)
        job.run(overlap=8)
        job.run(collection="half", dimensions=8, overlap=8)
    return job
