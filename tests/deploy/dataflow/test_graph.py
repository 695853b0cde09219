"""What Dataflow would get: the template's program is run with Dataflow's own runner, as far as there is no cloud."""

import copy
import dataclasses
import json
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from apache_beam.internal import cloudpickle_pickler
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.portability.fn_api_runner import translations
from apache_beam.utils import proto_utils

from tests.deploy.dataflow import staging
from tests.deploy.dataflow.staging import Staged
from tests.milvus_server import milvus_server
from tests.pipelines.jobs import document, make_model
from tests.servers import Store
from tests.test_architecture import STEPS

pytest.importorskip("google.cloud.dataflow_v1beta3", reason="needs make setup-gcp: run by make template-test")
pytestmark = pytest.mark.slow

CANARY = "correct-horse-battery-staple"
TOKEN = "MILVUS_TOKEN_OF_TEST"
IMAGE = "europe-west4-docker.pkg.dev/test-project/images/corpus-embed@sha256:" + "5" * 64
HINT = b"type:nvidia-l4;count:1;machine_type:g2-standard-8;install-nvidia-driver"
MACHINES = {
    "machine_type": "n2d-standard-2",
    "num_workers": "2",
    "max_num_workers": "40",
    "disk_size_gb": "100",
    "number_of_worker_harness_threads": "4",
    "service_account_email": "jobs@test-project.iam.gserviceaccount.com",
    "subnetwork": "regions/europe-west4/subnetworks/jobs",
    "no_use_public_ips": "",
}
RIGHT_FITTING = {"gpu": "nvidia-l4", "gpu_machine_type": "g2-standard-8"}
BEFORE_THE_SHUFFLE = {"Plan splits", "Read documents", "Recognise documents", "Identify language", "Split into chunks"}
DIFFERING = {"Commit run", "Embed chunks", "Read documents", "Reconcile ledger"}
AFTER_THE_SHUFFLES = {"Load rows", "Compress vectors", "Write to Milvus", "Delete from Milvus", "Commit run"}


@pytest.fixture(scope="module")
def store(gcs_bucket: Store) -> Store:
    store = dataclasses.replace(gcs_bucket, prefix="dataflow")
    for name in ("docs/a.jsonl", "more/b.jsonl"):
        records = [document(f"{name}-{number}", lang=("en", "de")[number % 2]) for number in range(5)]
        store.put(name, b"".join(json.dumps(record).encode() + b"\n" for record in records))
    return store


@pytest.fixture(scope="module")
def parameters(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """Parameters of a launch, in the order in which a launcher may give them: any."""
    home = tmp_path_factory.mktemp("dataflow")
    model = make_model(home / "model")
    (home / TOKEN).write_text(CANARY, encoding="utf-8")
    with milvus_server("2.6.4") as milvus:
        given = {
            "input": f"{store.root}/docs/*.jsonl {store.root}/more/",
            "workspace": f"{store.root}/work",
            "milvus": milvus.uri,
            "collection": "manuals",
            "model": str(model),
            "detector": "column:lang,cld2",
            "max_tokens": "32",
            "mirror": "false",
            "sdk_container_image": IMAGE,
            "milvus_token": f"file:{home / TOKEN}",
            **MACHINES,
        }
        yield [f"--{name}={value}" if value else f"--{name}" for name, value in given.items()]


def _launch(store: Store, arguments: list[str], seed: int = 0, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {TOKEN: CANARY, "UNRELATED_SECRET": CANARY, "PYTHONHASHSEED": str(seed), **more}
    done = staging.launch(store, arguments, environment)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def launches(store: Store, parameters: list[str]) -> list[tuple[Staged, str]]:
    """The same template staged three times, each by a process of its own, and what the process said; the first made the collection."""
    found = []
    for seed in range(3):
        place = f"templates/{seed}.json"
        gpu = [f"--{name}={value}" for name, value in RIGHT_FITTING.items()]
        flags = [*parameters, *gpu, "--job_name=corpus-embed", f"--template_location={store.root}/{place}"]
        done = _launch(store, flags, seed)
        job = json.loads(staging.read_object(store, f"{store.prefix}/{place}"))
        found.append((staging.staged(store, job), done.stdout + done.stderr))
    return found


@pytest.fixture(scope="module")
def one(launches: list[tuple[Staged, str]]) -> Staged:
    return launches[-1][0]


@pytest.fixture(scope="module")
def submitted(store: Store, parameters: list[str]) -> tuple[Staged, list[str]]:
    """A job as it was sent to Dataflow's REST interface, with one pool of GPUs, and all requests."""
    pool = ["--gpu=nvidia-l4", "--gpu_workers=all", "--gpu_machine_type=g2-standard-8"]
    others = [flag for flag in parameters if not flag.startswith("--machine_type")]
    with staging.dataflow() as (address, requests):
        _launch(store, [*others, *pool, "--job_name=corpus-embed", f"--dataflow_endpoint={address}", "--no_auth"])
    return staging.staged(store, requests[0][1]), [path for path, _ in requests]


def test_the_steps_are_those_of_the_main_job(one: Staged) -> None:
    transforms = one.pipeline.components.transforms
    (root,) = one.pipeline.root_transform_ids
    assert [transforms[name].unique_name for name in transforms[root].subtransforms] == STEPS


def test_the_embedding_step_alone_asks_for_a_gpu(one: Staged) -> None:
    components = one.pipeline.components
    hinted = {name: environment for name, environment in components.environments.items() if environment.resource_hints}
    assert [dict(environment.resource_hints) for environment in hinted.values()] == [
        {"beam:resources:accelerator:v1": HINT}
    ]
    steps = {one_.unique_name.split("/")[0] for one_ in components.transforms.values() if one_.environment_id in hinted}
    assert steps == {"Embed chunks"}
    functions = [
        one_.unique_name for one_ in components.transforms.values() if one_.spec.urn == "beam:transform:pardo:v1"
    ]
    assert len([name for name in functions if name.startswith("Embed chunks/")]) == 1


@pytest.mark.parametrize("merged", [False, True], ids=["hints keep steps apart", "hints are merged"])
def test_nothing_that_reads_cuts_or_writes_rows_shares_a_stage_with_it(one: Staged, merged: bool) -> None:
    """Dataflow may fuse steps of different hints; its documentation says that a stage then has the union of them."""
    stages = _stages(one.pipeline, merged)
    (with_embedding,) = [steps for steps in stages if "Embed chunks" in steps]
    assert not with_embedding & (BEFORE_THE_SHUFFLE | AFTER_THE_SHUFFLES)
    assert with_embedding == (
        {"Embed chunks", "Reuse vectors", "Share vectors", "Store vectors"} if merged else {"Embed chunks"}
    )
    assert any("Split into chunks" in steps for steps in stages)


def _stages(pipeline: beam_runner_api_pb2.Pipeline, merged: bool) -> list[set[str]]:
    """Steps of each stage after fusion by Beam's own greedy fuser."""
    environments = pipeline.components.environments
    plain = next(name for name, environment in environments.items() if not environment.resource_hints)
    if merged:
        for transform in pipeline.components.transforms.values():
            if transform.environment_id:
                transform.environment_id = plain
    _, stages = translations.create_and_optimize_stages(
        pipeline,
        phases=[
            translations.annotate_downstream_side_inputs,
            translations.fix_side_input_pcoll_coders,
            translations.expand_gbk,
            translations.sink_flattens,
            translations.greedily_fuse,
            translations.read_to_impulse,
        ],
        known_runner_urns=frozenset({"beam:transform:flatten:v1", "beam:transform:group_by_key:v1"}),
    )
    # Stages are made of functions; what hands batches from stage to stage is the runner's.
    return [
        {one.unique_name.split("/")[0] for one in stage.transforms if one.spec.urn == "beam:transform:pardo:v1"}
        for stage in stages
    ]


def test_machines_and_image_are_those_asked_for(one: Staged) -> None:
    pool = one.pool
    assert (pool["machineType"], pool["diskSizeGb"], pool["numWorkers"]) == ("n2d-standard-2", 100, 2)
    assert pool["numThreadsPerWorker"] == 4
    assert pool["autoscalingSettings"]["maxNumWorkers"] == 40
    assert pool["subnetwork"] == MACHINES["subnetwork"]
    assert pool["ipConfiguration"] == "WORKER_IP_PRIVATE"
    assert {image["containerImage"] for image in pool["sdkHarnessContainerImages"]} == {IMAGE}
    assert {environment.urn for environment in one.pipeline.components.environments.values()} == {"beam:env:docker:v1"}
    assert one.job["environment"]["serviceAccountEmail"] == MACHINES["service_account_email"]
    assert one.job["type"] == "JOB_TYPE_BATCH"
    assert one.job["labels"] == {"goog-dataflow-provided-template-type": "flex", "team": "search"}
    assert {"no_use_multiple_sdk_containers", "use_runner_v2"} <= set(one.job["environment"]["experiments"])
    assert "worker_accelerator" not in json.dumps(one.job)


def test_the_project_is_in_the_image_and_nothing_is_staged_beside_the_graph(one: Staged, store: Store) -> None:
    packages = [package["name"] for package in one.pool["packages"]]
    # A list of what the launcher has installed, which workers compare with what they have.
    assert packages == ["submission_environment_dependencies.txt"]
    assert (one.options["sdk_location"], one.options["save_main_session"]) == ("container", False)
    for name in ("setup_file", "requirements_file", "extra_packages"):
        assert name not in one.options or not one.options[name]


def test_no_secret_is_in_anything_that_leaves_the_launcher(launches: list[tuple[Staged, str]], store: Store) -> None:
    names = staging.objects(store)
    assert len([name for name in names if name.endswith("/pipeline.pb")]) >= 3
    for name in names:
        data = staging.read_object(store, name)
        assert CANARY.encode() not in data, name
        assert not [plain for plain in staging.pickles(data) if CANARY.encode() in plain], name
    for staged, said in launches:
        assert CANARY not in said
        assert CANARY not in json.dumps(staged.job)
        # The reference is there, and workers put it into a secret.
        assert any(TOKEN.encode() in plain for plain in _pickles(staged.pipeline))


def _pickles(pipeline: beam_runner_api_pb2.Pipeline) -> list[bytes]:
    found = [plain for one in pipeline.components.transforms.values() for plain in staging.pickles(one.spec.payload)]
    assert len(found) >= 15
    return found


def test_the_graph_is_the_same_from_run_to_run(launches: list[tuple[Staged, str]]) -> None:
    """Byte for byte and whatever the hash seed, but for what must differ: see `_masked`."""
    _, first, second = (_masked(staged) for staged, _ in launches)
    assert first == second


def test_what_differs_is_only_when_where_and_under_which_lease(launches: list[tuple[Staged, str]]) -> None:
    """The masks hide no more than they say: without them these four steps differ, and no other."""
    _, first, second = (staged.pipeline.components.transforms for staged, _ in launches)
    differing = {first[name].unique_name.split("/")[0] for name in first if first[name] != second[name]}
    assert differing == DIFFERING


def _masked(staged: Staged) -> tuple[str, bytes]:
    """A job and its graph without: where this launch staged its files, and the request's id and digest of the graph; when the run began;
    the epoch of the lease it holds; and the name that threads of a worker share the model by, which Beam draws from a clock. Beam lists
    the images of a pool in the order of a set.
    """
    job, pipeline = copy.deepcopy(staged.job), staged.pipeline
    del job["clientRequestId"]
    options = job["environment"]["sdkPipelineOptions"]
    del options["options"]["pipelineProtoHash"], options["options"]["template_location"]
    options["display_data"] = [one for one in options["display_data"] if one["key"] != "template_location"]
    for pool in job["environment"]["workerPools"]:
        pool["sdkHarnessContainerImages"].sort(key=lambda image: image["environmentId"])
    for environment in pipeline.components.environments.values():
        del environment.dependencies[:]
    for transform in pipeline.components.transforms.values():
        if transform.spec.urn == "beam:transform:pardo:v1":
            payload = proto_utils.parse_Bytes(transform.spec.payload, beam_runner_api_pb2.ParDoPayload)
            if transform.unique_name.split("/")[0] in DIFFERING and payload.do_fn.payload:
                payload.do_fn.payload = _without_chance(payload.do_fn.payload)
                transform.spec.payload = payload.SerializeToString(deterministic=True)
    # Each launch has a folder of its own, named by the time.
    described = re.sub(r"corpus-embed\.[0-9]+\.[0-9]+", "corpus-embed.TIME", json.dumps(job, sort_keys=True))
    return described, pipeline.SerializeToString(deterministic=True)


def _without_chance(pickled: bytes) -> bytes:
    function, *rest = cloudpickle_pickler.loads(pickled)
    own: dict[str, Any] = vars(function)
    if "_context" in own:
        own["_context"] = dataclasses.replace(own["_context"], started_at="", started_seconds=0.0)
    if "_timeline" in own:
        own["_timeline"] = dataclasses.replace(own["_timeline"], started_seconds=0.0)
    if "_claim" in own:
        own["_claim"] = dataclasses.replace(own["_claim"], epoch=0)
    if "_held" in own:
        claim = dataclasses.replace(own["_held"].claim, epoch=0)
        own["_held"] = dataclasses.replace(own["_held"], claim=claim)
    if "_model" in own:
        own["_model"]._shared._key = ""
    return bytes(cloudpickle_pickler.dumps((function, *rest)))


def test_a_submission_is_one_request_and_nobody_waits(submitted: tuple[Staged, list[str]]) -> None:
    job, requests = submitted
    assert requests == [f"/v1b3/projects/{staging.PROJECT}/locations/{staging.REGION}/jobs"]
    assert job.job["name"] == "corpus-embed"


def test_one_pool_is_asked_for_by_the_service_option_alone(submitted: tuple[Staged, list[str]]) -> None:
    job, _ = submitted
    accelerator = "worker_accelerator=type:nvidia-l4;count:1;install-nvidia-driver"
    assert job.job["environment"]["serviceOptions"] == [accelerator]
    assert job.pool["machineType"] == "g2-standard-8"
    assert not [one for one in job.pipeline.components.environments.values() if one.resource_hints]


def test_what_is_submitted_is_what_is_staged(submitted: tuple[Staged, list[str]], one: Staged) -> None:
    """But for the machines, and what differs from launch to launch."""
    names = [
        {transform.unique_name for transform in job.pipeline.components.transforms.values()}
        for job in (submitted[0], one)
    ]
    assert names[0] == names[1]
    assert submitted[0].pool["sdkHarnessContainerImages"][0]["containerImage"] == IMAGE
    assert submitted[0].options["region"] == one.options["region"] == staging.REGION
