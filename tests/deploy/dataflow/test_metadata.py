"""metadata.json is what the options say, and what Dataflow's own type reads."""

import json

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
