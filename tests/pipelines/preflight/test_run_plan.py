"""Wrong configuration fails in the first seconds, naming the value and what would be right; no model is loaded."""

import shutil
import socket
from pathlib import Path
from time import perf_counter

import numpy as np
import pytest
from safetensors.numpy import save_file

from pipelines.configuration import options
from pipelines.preflight.run_plan import plan_run
from tests.fakes import ENCODED, OPENED
from tests.milvus_server import milvus_server
from tests.pipelines.jobs import COLLECTION, DIMENSIONS, MAX_SEQUENCE_TOKENS, Job, document, story
from tests.transforms.adapters.detectors.test_fasttext import header
from transforms.adapters.formats.splits import EXTRAS
from transforms.adapters.milvus import release
from transforms.logic.errors import ConfigurationError

SECONDS = 10.0


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _refusal(job: Job, capsys: pytest.CaptureFixture[str], *flags: str, **changes: object) -> str:
    """What the console script says when it refuses a run: at once, with exit code 2, and without opening the model."""
    capsys.readouterr()
    OPENED.clear()
    ENCODED.clear()
    start = perf_counter()
    assert job.main(*flags, **changes) == 2
    assert perf_counter() - start < SECONDS
    assert (OPENED, ENCODED) == ([], [])
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("corpus-embed run: ")
    assert "Traceback" not in captured.err
    return captured.err


@pytest.fixture
def filled(job: Job) -> Job:
    """A job with a corpus."""
    job.write("a.jsonl", [document("d0"), document("d1", lang="de")])
    return job


def test_input_without_a_match_names_the_pattern(filled: Job, capsys: pytest.CaptureFixture[str]) -> None:
    pattern = f"{filled.corpus}/*.nothing"
    assert f"no file matches the input {pattern!r}" in _refusal(filled, capsys, input=pattern)


def test_file_of_a_format_without_its_extra_names_the_extra(
    filled: Job, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(EXTRAS, "pdf", ("no_such_module",))
    (filled.corpus / "letter.pdf").write_bytes(b"")
    message = _refusal(filled, capsys)
    assert f"{filled.corpus}/letter.pdf" in message
    assert "install corpus-embed[pdf]" in message
    assert filled.main(exclude="*.pdf") == 0


def test_unknown_model_directory_is_named(filled: Job, capsys: pytest.CaptureFixture[str]) -> None:
    message = _refusal(filled, capsys, model="/no/such/model")
    assert "model '/no/such/model' is not a directory here" in message
    assert "--revision" in message


@pytest.mark.parametrize(
    ("missing", "said"),
    [("tokenizer.json", "no tokenizer.json"), ("model.safetensors", "no weights")],
)
def test_incomplete_model_directory_names_the_missing_file(
    filled: Job, capsys: pytest.CaptureFixture[str], tmp_path: Path, missing: str, said: str
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(filled.model, copy)
    (copy / missing).unlink()
    message = _refusal(filled, capsys, model=copy)
    assert str(copy) in message
    assert said in message


def test_workspace_below_a_file_is_named(filled: Job, capsys: pytest.CaptureFixture[str]) -> None:
    workspace = filled.corpus / "a.jsonl" / "workspace"
    message = _refusal(filled, capsys, workspace=workspace)
    assert f"the workspace {str(workspace)!r} cannot be written" in message


def test_milvus_below_a_file_is_named(filled: Job, capsys: pytest.CaptureFixture[str]) -> None:
    milvus = filled.corpus / "a.jsonl" / "milvus.db"
    assert f"Milvus Lite cannot open {str(milvus)!r}" in _refusal(filled, capsys, milvus=milvus)


def test_milvus_that_does_not_answer_is_named(filled: Job, capsys: pytest.CaptureFixture[str]) -> None:
    address = f"http://127.0.0.1:{_free_port()}"
    message = _refusal(filled, capsys, milvus=address)
    assert f"Milvus at {address!r} does not answer within 5 seconds" in message
    assert "is it running?" in message


def test_milvus_that_is_no_address_is_named(filled: Job, capsys: pytest.CaptureFixture[str]) -> None:
    message = _refusal(filled, capsys, milvus="somewhere")
    assert "--milvus 'somewhere'" in message
    assert ".db" in message
    assert "http://" in message


def test_token_variable_that_is_not_set_is_named(filled: Job, capsys: pytest.CaptureFixture[str]) -> None:
    assert "'NO_SUCH_TOKEN'" in _refusal(filled, capsys, milvus_token="env:NO_SUCH_TOKEN")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"document_prompt": "text: "}, "embedding_space"),
        ({"dimensions": 8}, f"dimensions: {DIMENSIONS} in the collection, 8 in this run"),
        ({"dtype": "float32"}, "dtype: 'bfloat16' in the collection, 'float32' in this run"),
        ({"partition_by": "none"}, "partition_by: 'language' in the collection, 'none' in this run"),
    ],
    ids=["prompt", "dimensions", "dtype", "partitioning"],
)
def test_collection_of_another_space_is_refused_and_stays(
    filled: Job, capsys: pytest.CaptureFixture[str], changes: dict[str, object], said: str
) -> None:
    filled.run()
    rows = filled.rows()
    message = _refusal(filled, capsys, **changes)
    assert f"collection {COLLECTION!r} holds vectors of another space" in message
    assert said in message
    assert filled.rows() == rows


def test_collection_of_another_program_is_refused(filled: Job, capsys: pytest.CaptureFixture[str]) -> None:
    with filled.client() as client:
        client.create_collection(COLLECTION, dimension=DIMENSIONS)
    assert f"collection {COLLECTION!r} exists but was not made by corpus-embed" in _refusal(filled, capsys)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"max_tokens": MAX_SEQUENCE_TOKENS}, f"--max-tokens {MAX_SEQUENCE_TOKENS} does not fit"),
        ({"max_tokens": 10_000}, "choose at most 126"),
        ({"dimensions": DIMENSIONS + 1}, f"choose at most {DIMENSIONS}"),
        ({"dimensions": 0}, "--dimensions: needs integer (dimensions), 1 or more (got '0')"),
        ({"max_tokens": 31}, "--max-tokens: needs integer (tokens), 32 or more (got '31')"),
        ({"overlap": 9}, "--overlap 9 is above a quarter of --max-tokens 32; choose at most 8"),
        (
            {"vector_type": "int4"},
            "--vector-type: needs one of float32, float16, bfloat16, int8, binary, auto",
        ),
        ({"vector_type": "int8"}, "does not hold vectors of type int8, Milvus servers do from version 2.6.0 on"),
        ({"vector_type": "int8"}, "use a --vector-type that it holds (float32), or such a server"),
        ({"outputs": "dense,colbert"}, "--outputs: needs some of dense, sparse, multi (got 'colbert')"),
        ({"outputs": " , "}, "--outputs: needs some of dense, sparse, multi, at least one"),
        ({"outputs": "sparse"}, "makes no sparse output; choose among dense"),
        (
            {"milvus_outputs": "dense,multi"},
            "--milvus-outputs dense,multi: the run does not make multi; choose of dense",
        ),
        ({"device": "gpu"}, "--device: needs text matching"),
        ({"dtype": "int8"}, "--dtype: needs one of bfloat16, float16, float32 (got 'int8')"),
        ({"labels": "/no/such/labels.toml"}, "--labels '/no/such/labels.toml' cannot be read"),
        ({"projection": "/no/such.npy"}, "--projection '/no/such.npy'"),
        ({"collection": "9 lives"}, "--collection: needs text matching"),
        ({"partition_by": "date"}, "--partition-by: needs one of language, none (got 'date')"),
        ({"detector": "cld3"}, "--detector: 'cld3' is unknown; allowed are cld2, lid176, fasttext:PATH"),
        ({"detector": "const:german"}, "'german' is no language code"),
        ({"detector": "fasttext:/no/such.bin"}, "'/no/such.bin' cannot be read"),
        ({"languages": "de,english"}, "--languages: 'english' is no language code"),
        ({"languages": "de,english"}, "did you mean en (English)?"),
        ({"languages": "de,all"}, "--languages: 'all' stands alone"),
        ({"languages": "all"}, "the detector 'column:lang,cld2' may name any language"),
        ({"languages": "de", "top_languages": 3}, "--languages and --top-languages exclude each other; leave one out"),
        ({"top_languages": 1022}, "--top-languages: it asks for 1,022 languages"),
        ({"top_languages": 0}, "--top-languages: needs integer, 1 or more (got '0')"),
        ({"keep_languages": "thai"}, "--keep-languages: 'thai' is no language code"),
        ({"language_floor": 1.1}, "--language-floor: needs number, 0 to 1 (got '1.1')"),
        ({"max_reject_fraction": 1.5}, "--max-reject-fraction: needs number, 0 to 1 (got '1.5')"),
        ({"model": None}, "--model is required"),
        ({"input": None}, "--input is required"),
        ({"workspace": ""}, "--workspace"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(
    filled: Job, capsys: pytest.CaptureFixture[str], changes: dict[str, object], said: str
) -> None:
    message = _refusal(filled, capsys, **changes)
    assert said in message
    assert not filled.workspace.exists() or not list(filled.workspace.rglob("*.parquet"))


def test_a_value_at_its_limit_is_admitted(filled: Job) -> None:
    # The prompt "passage: " has two tokens; the model's template adds none.
    assert filled.main(max_tokens=MAX_SEQUENCE_TOKENS - 2, dimensions=DIMENSIONS, overlap=8) == 0


def test_more_labels_than_milvus_has_partitions_are_refused_with_their_number(
    filled: Job, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    model = tmp_path / "glotlid.bin"
    model.write_bytes(header(labels=2102))
    message = _refusal(filled, capsys, detector=f"fasttext:{model}", languages="all")
    assert "--languages all: the detector" in message
    assert "may name 2,102 languages, and a Milvus collection holds at most 1,024 partitions" in message
    assert "use --top-languages" in message


def test_another_way_of_cutting_is_refused_with_the_differences_unless_it_is_wanted(
    job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    job.write("a.jsonl", [document("d0", story("d0", 8))])
    assert job.main() == 0
    rows = job.rows()
    assert len(rows) == 4
    message = _refusal(job, capsys, max_tokens=64, overlap=4)
    assert "max_tokens: 32 in the collection, 64 in this run" in message
    assert "overlap: 0 in the collection, 4 in this run" in message
    assert "--new-space" in message
    assert job.rows() == rows
    assert job.main("--new-space", max_tokens=64) == 0
    cut_anew = job.rows()
    assert 0 < len(cut_anew) < len(rows)
    # From now on that is how its documents are cut.
    assert "max_tokens: 64 in the collection, 32 in this run" in _refusal(job, capsys)
    assert job.main(max_tokens=64) == 0
    assert job.rows() == cut_anew
    assert "holds vectors of another space" in _refusal(job, capsys, "--new-space", document_prompt="text: ")


def _plan(job: Job, **changes: object) -> tuple[str, str]:
    try:
        plan = plan_run(options.to_config(job.options(**changes)))
        return plan.context.run_id, plan.space.embedding_space
    finally:
        release(str(job.milvus))


def test_names_of_run_and_space_come_from_the_configuration(filled: Job) -> None:
    same = _plan(filled)
    assert _plan(filled) == same
    other_limit = _plan(filled, max_reject_fraction=0.4)
    assert other_limit[0] != same[0]
    assert other_limit[1] == same[1]
    other_prompt = _plan(filled, collection="other", document_prompt="text: ")
    assert other_prompt[1] != same[1]


def test_a_moved_model_directory_is_the_same_space(filled: Job, tmp_path: Path) -> None:
    copy = tmp_path / "moved"
    shutil.copytree(filled.model, copy)
    assert _plan(filled, model=str(copy))[1] == _plan(filled)[1]
    save_file({"weight": np.ones(1, np.float32)}, copy / "model.safetensors")
    assert _plan(filled, model=str(copy), collection="other")[1] != _plan(filled)[1]


@pytest.mark.parametrize("device", ["cuda", "cuda:7"])
def test_a_device_that_is_not_here_is_refused_where_the_workers_are_here(
    filled: Job, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    message = _refusal(filled, capsys, device=device)
    assert f"--device {device!r} needs a GPU" in message
    assert "--device cpu" in message


def test_a_device_of_other_machines_is_left_to_them(filled: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert plan_run(options.to_config(filled.options(device="cuda"))).device == "cuda"


def test_every_output_is_named_with_what_holds_it(filled: Job, heads: Path) -> None:
    with milvus_server("v2.6.3") as server:
        changes = {"model": str(heads), "milvus": server.uri, "outputs": "multi,dense,sparse", "vector_type": "int8"}
        with pytest.raises(ConfigurationError) as caught:
            plan_run(options.to_config(filled.options(**changes)))
        assert "Milvus v2.6.3 does not hold the output 'multi', Milvus servers do from version 2.6.4 on" in str(
            caught.value
        )
        assert "--milvus-outputs dense,sparse" in str(caught.value)
        assert server.schema is None
        plan = plan_run(options.to_config(filled.options(**changes, milvus_outputs="dense,sparse")))
        assert (plan.space.outputs, plan.space.milvus_outputs) == (("dense", "sparse", "multi"), ("dense", "sparse"))
        assert (plan.space.vector_type, plan.space.multi_dimensions) == ("int8", None)
        assert plan.loaded_outputs == ("dense", "sparse")


def test_more_vectors_of_tokens_than_milvus_holds_in_a_row_are_refused(
    filled: Job, heads: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.preflight.run_plan.MAX_TOKEN_VECTORS", 64)
    with milvus_server("v2.6.4") as server:
        changes = {"model": str(heads), "milvus": server.uri, "outputs": "dense,multi"}
        # The prompt "passage: " has two tokens.
        with pytest.raises(
            ConfigurationError, match=r"--max-tokens 63: Milvus holds at most 64 .* choose at most 62, or"
        ):
            plan_run(options.to_config(filled.options(**changes, max_tokens=63)))
        assert (
            plan_run(options.to_config(filled.options(**changes, max_tokens=62))).space.multi_dimensions == DIMENSIONS
        )
        # A server without the collection.
        server.schema = None
        plan_run(options.to_config(filled.options(**changes, max_tokens=63, milvus_outputs="dense")))


def test_labels_longer_than_the_model_reads_are_refused(
    filled: Job, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "labels.toml"
    path.write_text(f'[labels]\nshort = "word"\nlong = "{"word " * MAX_SEQUENCE_TOKENS}"\n', encoding="utf-8")
    message = _refusal(filled, capsys, labels=path)
    assert f"--labels: a text of 'long' has {MAX_SEQUENCE_TOKENS} tokens, and 126 remain" in message


def test_labels_need_dense_vectors(
    filled: Job, capsys: pytest.CaptureFixture[str], heads: Path, tmp_path: Path
) -> None:
    path = tmp_path / "labels.toml"
    path.write_text('[labels]\na = "b"\n', encoding="utf-8")
    message = _refusal(filled, capsys, labels=path, model=heads, outputs="sparse")
    assert "compares dense vectors; add dense to --outputs" in message


def test_figures_are_pushed_only_where_no_password_is_shown(filled: Job, capsys: pytest.CaptureFixture[str]) -> None:
    assert "must begin with http" in _refusal(filled, capsys, push_metrics="gateway:9091")
    assert "hunter2" not in _refusal(filled, capsys, push_metrics="http://me:hunter2@gateway/metrics/job/x")
