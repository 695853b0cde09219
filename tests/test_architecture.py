"""Rules of the layout that no other tool checks."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.internal import cloudpickle_pickler
from apache_beam.internal.cloudpickle import cloudpickle
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.pipeline_context import PipelineContext

from pipelines.configuration import options
from pipelines.embed_corpus import build
from pipelines.preflight.run_plan import plan_run
from tests.conftest import ROOT
from tests.pipelines.jobs import Job, document, make_model
from transforms.adapters.milvus import release
from transforms.coders import RecordBatchCoder

VERBS = sorted([*(ROOT / "transforms").glob("*.py"), *(ROOT / "pipelines").rglob("*.py")])
PRODUCT = sorted(path for folder in ("transforms", "pipelines") for path in (ROOT / folder).rglob("*.py"))
MEASURING = {
    "pipelines/preflight/run_plan.py",
    "pipelines/watching/progress.py",
    "transforms/adapters/batching.py",
    "transforms/adapters/engines/probe.py",
    "transforms/adapters/lease.py",
    "transforms/adapters/milvus/imports.py",
    "transforms/commit.py",
    "transforms/metrics.py",
}
"""Files that read a clock: to measure; what the probe decides by it is how much goes into a pass, not what comes out. A lease is watched
by it."""
MAX_LINES = 400
SECRET = "correct horse battery staple"

STEPS = [
    "Plan splits",
    "Read documents",
    "Recognise documents",
    "Identify language",
    "Split into chunks",
    "Reuse vectors",
    "Embed chunks",
    "Share vectors",
    "Store vectors",
    "Reconcile ledger",
    "Load rows",
    "Compress vectors",
    "Write to Milvus",
    "Delete from Milvus",
    "All rejects",
    "Write rejects",
    "All tallies",
    "Commit run",
]
"""Top-level labels of the main job, in order: dashboards, and updates of running jobs, rely on them."""


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _imports(tree: ast.AST) -> Iterator[str]:
    """Full names of what a module imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _is_of(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


@pytest.mark.parametrize("path", PRODUCT, ids=_name)
def test_product_file_keeps_the_rules(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    imports = set(_imports(tree))
    uses_beam = any(_is_of(name, "apache_beam") for name in imports)
    assert not uses_beam or path in VERBS, "Beam is for the verbs and the jobs"
    assert not (uses_beam and "__future__.annotations" in imports), "Beam reads annotations at run time"
    assert len(source.splitlines()) < MAX_LINES
    assert not any(_is_of(name, package) for name in imports for package in ("uuid", "random", "secrets"))
    clocks = {name for name in imports if _is_of(name, "time") or name == "datetime.datetime"}
    assert not clocks or _name(path) in MEASURING, "only measuring places read a clock"
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler):
            caught = [node.type, *(node.type.elts if isinstance(node.type, ast.Tuple) else [])]
            names = {one.id for one in caught if isinstance(one, ast.Name)}
            assert node.type is not None, f"bare except in line {node.lineno}"
            assert not names & {"Exception", "BaseException"}, f"line {node.lineno} catches everything"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id != "hash", f"line {node.lineno}: hash() differs between processes"


def test_the_measuring_places_are_still_needed() -> None:
    found = {
        _name(path) for path in PRODUCT if any(_is_of(one, "time") for one in _imports(ast.parse(path.read_text())))
    }
    assert found == MEASURING


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[beam.Pipeline]:
    """The main job as built, with a token that only the environment knows."""
    home = tmp_path_factory.mktemp("architecture")
    job = Job(home, make_model(home / "model"))
    job.write("a.jsonl", [document("d0")])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MILVUS_TOKEN_OF_TEST", SECRET)
        config = options.to_config(job.options(milvus_token="env:MILVUS_TOKEN_OF_TEST"))
        built = beam.Pipeline("FnApiRunner")
        try:
            build(built, plan_run(config))
            yield built
        finally:
            release(str(job.milvus))


@pytest.fixture(scope="module")
def graph(pipeline: beam.Pipeline) -> beam_runner_api_pb2.Pipeline:
    proto = pipeline.to_runner_api()
    assert isinstance(proto, beam_runner_api_pb2.Pipeline)
    return proto


def test_steps_of_the_main_job_are_these_in_this_order(graph: beam_runner_api_pb2.Pipeline) -> None:
    transforms = graph.components.transforms
    root = transforms[graph.root_transform_ids[0]]
    assert [transforms[one].unique_name for one in root.subtransforms] == STEPS


def test_names_of_steps_are_unique_and_free_of_chance(graph: beam_runner_api_pb2.Pipeline) -> None:
    names = [transform.unique_name for transform in graph.components.transforms.values()]
    assert len(names) == len(set(names))
    assert not any(re.search(r"0x[0-9a-f]+|\d{5,}", name) for name in names)


def _functions(pipeline: beam.Pipeline) -> dict[str, beam.DoFn]:
    found: dict[str, beam.DoFn] = {}

    class Visitor(beam.pipeline.PipelineVisitor):
        def visit_transform(self, applied: beam.pipeline.AppliedPTransform) -> None:
            if isinstance(applied.transform, beam.ParDo):
                found[applied.full_label] = applied.transform.fn

    pipeline.visit(Visitor())
    return found


def test_every_function_survives_pickling_and_holds_no_secret(pipeline: beam.Pipeline) -> None:
    functions = _functions(pipeline)
    ours = {label: one for label, one in functions.items() if type(one).__module__.startswith("transforms.")}
    assert len(ours) >= 15
    for function in ours.values():
        again = cloudpickle_pickler.loads(cloudpickle_pickler.dumps(function))
        assert type(again) is type(function)
    # What Beam makes of a pickle is compressed; these are the plain bytes.
    plain = b"".join(cloudpickle.dumps(function) for function in functions.values())
    assert b"MILVUS_TOKEN_OF_TEST" in plain
    assert SECRET.encode() not in plain


def test_batches_cross_every_shuffle_of_the_main_job_as_arrow(graph: beam_runner_api_pb2.Pipeline) -> None:
    coders = PipelineContext(graph.components).coders
    batches: set[str] = set()
    others: set[str] = set()
    for transform in graph.components.transforms.values():
        if transform.spec.urn == "beam:transform:group_by_key:v1":
            (source,) = transform.inputs.values()
            pair = coders.get_by_id(graph.components.pcollections[source].coder_id)
            found = batches if isinstance(pair.value_coder(), RecordBatchCoder) else others
            found.add(transform.unique_name.split("/")[0])
    assert batches == {
        "Reuse vectors",
        "Share vectors",
        "Reconcile ledger",
        "Load rows",
        "Write rejects",
    }
    # Besides batches, only splits, the contents that come too often, and sums of tallies are shuffled.
    assert others == {"Read documents", "Share vectors", "Commit run"}
