"""A template's parameters are the options, and say to them what flags say."""

import argparse
import re
import shlex
from typing import Any, get_args, get_origin

import pytest
from apache_beam.options.pipeline_options import DebugOptions, PipelineOptions, WorkerOptions
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.configuration import options, template
from pipelines.configuration.config import Config
from pipelines.configuration.definitions import default_of, option_fields
from transforms.logic.errors import ConfigurationError
from transforms.logic.references import parse_reference

NEEDED = {
    "input": "gs://bucket/docs/*.jsonl",
    "workspace": "gs://bucket/work",
    "milvus": "https://milvus:19530",
    "collection": "manuals",
    "sdk_container_image": "europe-docker.pkg.dev/p/r/corpus-embed@sha256:" + "0" * 64,
}
PARAMETERS: dict[str, dict[str, Any]] = {one["name"]: one for one in template.metadata()["parameters"]}
OPTIONS = {name: field for _, name, field in option_fields()}


def _parse(**parameters: str) -> tuple[Config, PipelineOptions]:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    options.add_arguments(parser)
    given_ = {"model": template.MODEL_DIRECTORY, **NEEDED, **parameters}
    return options.parse(parser, template.from_parameters([f"--{name}={value}" for name, value in given_.items()]))


def _fits(name: str, value: str) -> bool:
    one = PARAMETERS[name]
    choices = [choice["value"] for choice in one.get("enumOptions", [])]
    return all(re.search(regex, value) for regex in one.get("regexes", [])) and (not choices or value in choices)


def test_every_option_of_a_run_that_is_not_waited_for_is_a_parameter() -> None:
    assert set(OPTIONS) - set(PARAMETERS) == template.LEFT_OUT
    assert set(PARAMETERS) - set(OPTIONS) <= PipelineOptions([]).get_all_options().keys()


def test_only_what_has_no_default_is_needed() -> None:
    assert [name for name, one in PARAMETERS.items() if not one.get("isOptional")] == [
        "input",
        "workspace",
        "milvus",
        "collection",
        "sdk_container_image",
    ]
    assert list(PARAMETERS)[:5] == [name for name, one in PARAMETERS.items() if not one.get("isOptional")]


@pytest.mark.parametrize("name", sorted(set(OPTIONS) & set(PARAMETERS)))
def test_a_parameter_says_what_the_option_says(name: str) -> None:
    field, one = OPTIONS[name], PARAMETERS[name]
    assert one["helpText"].startswith(str(field.description))
    if get_origin(field.annotation) is not None and all(isinstance(value, str) for value in get_args(field.annotation)):
        assert [choice["value"] for choice in one["enumOptions"]] == list(get_args(field.annotation))
    patterns = [data.pattern for data in field.metadata if getattr(data, "pattern", None)]
    assert not patterns or one["regexes"] == patterns
    assert one.get("defaultValue", "") == ("false" if field.annotation is bool else default_of(field))


@pytest.mark.parametrize("name", ["milvus_token", "milvus_ca", "milvus_client_certificate", "milvus_client_key"])
def test_the_service_takes_references_alone(name: str) -> None:
    """Dataflow keeps and shows the parameters of a job, so that a refusal by the launcher would come too late."""
    for taken in ("file:/etc/milvus/token", "secret:projects/my-project/secrets/milvus-token/versions/latest"):
        assert _fits(name, taken)
        assert str(parse_reference(taken, name)) == taken
    for refused in (
        "root:hunter2",
        "hunter2",
        "env:TOKEN",
        "secret:hunter2",
        "file:hunter2",
        "-----BEGIN PRIVATE KEY-----",
    ):
        assert not _fits(name, refused)


def test_defaults_are_allowed_and_change_nothing() -> None:
    """A form that is filled in beforehand sends every default."""
    defaults = {name: one["defaultValue"] for name, one in PARAMETERS.items() if "defaultValue" in one}
    assert len(defaults) > 20
    assert all(_fits(name, value) for name, value in {**NEEDED, **defaults}.items())
    assert _parse(**defaults)[0] == _parse()[0]


def test_an_empty_value_is_none() -> None:
    empty = dict.fromkeys(set(OPTIONS) & set(PARAMETERS) - NEEDED.keys() - {"model"}, "")
    assert _parse(**empty)[0] == _parse()[0]


def test_values_mean_what_flags_mean() -> None:
    config, beam_options = _parse(
        max_tokens="96",
        languages="de,th",
        mirror="true",
        recheck="FALSE",
        document_prompt="passage: ",
        gpu="nvidia-l4",
        number_of_worker_harness_threads="4",
    )
    assert (config.chunking.max_tokens, config.language.languages) == (96, ("de", "th"))
    assert (config.run.mirror, config.run.recheck) == (True, False)
    assert config.encoding.document_prompt == "passage: "
    assert config.workers.gpu == "nvidia-l4"
    worker = beam_options.view_as(WorkerOptions)
    assert worker.sdk_container_image == NEEDED["sdk_container_image"]
    assert beam_options.view_as(DebugOptions).number_of_worker_harness_threads == 4


def test_what_a_launcher_adds_stays() -> None:
    added = ["--runner=DataflowRunner", "--job_name=a=b", '--labels={"team": "search"}', "--save_main_session", "stray"]
    assert template.from_parameters(added) == added
    assert template.from_parameters(["--max-tokens=96", "--mirror", "--input", "a=b"]) == [
        "--max-tokens=96",
        "--mirror",
        "--input",
        "a=b",
    ]


@settings(derandomize=True, deadline=None)
@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1), min_size=1))
def test_several_patterns_are_written_as_in_a_shell(patterns: list[str]) -> None:
    flags = template.from_parameters([f"--exclude={shlex.join(patterns)}"])
    assert flags == ["--exclude", *patterns]


@pytest.mark.parametrize(
    ("parameter", "said"),
    [
        ("--mirror=yes", "--mirror is a switch, so its parameter is true or false (got 'yes')"),
        ("--input=gs://b/'x", "--input: patterns stand apart by spaces"),
    ],
)
def test_a_wrong_parameter_is_named(parameter: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        template.from_parameters([parameter])
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("input", "gs://b/d/{date:%Y/%m/%d}/*.parquet s3://c/*", "/data/*.jsonl"),
        ("input", "'gs://b/with space/*'", "docs/*"),
        ("workspace", "s3://b/work", "work"),
        ("workspace", "gs://b/", "gs://"),
        ("milvus", "https://milvus.example:19530", "demo/milvus.db"),
        ("collection", "manuals_2", "no-good"),
        ("max_tokens", "96", "-1"),
        ("sample", "1e-3", "half"),
        ("mirror", "true", "yes"),
        ("vector_type", "int8", "int4"),
        ("gpu", "nvidia-tesla-a100:2", "A100"),
        ("sdk_container_image", "gcr.io/p/i:1.2", "gcr.io/p/i"),
    ],
)
def test_what_workers_elsewhere_cannot_use_is_refused_before_a_machine_starts(name: str, good: str, bad: str) -> None:
    assert _fits(name, good)
    assert not _fits(name, bad)
