"""metadata.json is what the options say, and what Dataflow's own type reads."""

import json

import pytest

from deploy.dataflow import metadata
from tests.conftest import ROOT

ALLOWED = {"name", "label", "helpText", "isOptional", "regexes", "paramType", "enumOptions", "defaultValue"}
"""Fields of `ParameterMetadata` in Dataflow's REST reference (v1b3) that are used."""


def test_the_file_is_what_the_options_say() -> None:
    assert metadata.FILE == ROOT / "deploy" / "dataflow" / "metadata.json"
    assert metadata.FILE.read_text(encoding="utf-8") == metadata.text(), "run `make template-metadata`"


def test_it_has_the_fields_that_dataflow_knows() -> None:
    content = json.loads(metadata.FILE.read_text(encoding="utf-8"))
    assert content.keys() == {"name", "description", "parameters"}
    for one in content["parameters"]:
        assert one.keys() <= ALLOWED
        assert {"name", "label", "helpText"} <= one.keys()
        assert one["paramType"] in {"TEXT", "NUMBER", "BOOLEAN", "ENUM"}
    names = [one["name"] for one in content["parameters"]]
    assert len(names) == len(set(names))


def test_googles_own_type_reads_it() -> None:
    dataflow = pytest.importorskip(
        "google.cloud.dataflow_v1beta3", reason="needs make setup-gcp: run by make template-test"
    )
    text = metadata.FILE.read_text(encoding="utf-8")
    # Unknown fields and values are errors.
    read = dataflow.TemplateMetadata.from_json(text)
    content = json.loads(text)
    assert [one.name for one in read.parameters] == [one["name"] for one in content["parameters"]]
    assert [one.param_type.name for one in read.parameters] == [one["paramType"] for one in content["parameters"]]
