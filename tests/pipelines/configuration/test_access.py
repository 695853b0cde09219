"""Options that name secrets: which are taken, by which commands, and what is said of the others."""

import argparse

import pytest

from pipelines.configuration import options
from pipelines.configuration.access import MilvusAccess, access_of, add_access_arguments, describe_access
from transforms.logic.access import Access
from transforms.logic.errors import ConfigurationError

NEEDED = {"input": "a", "workspace": "w", "milvus": "https://milvus.example.org", "collection": "c", "model": "m"}
VERSION = "secret:projects/p/secrets/milvus/versions/3"
ALL = {
    "milvus_token": VERSION,
    "milvus_ca": "file:/ca.pem",
    "milvus_client_certificate": "file:/client.pem",
    "milvus_client_key": "env:CLIENT_KEY",
}


def _flags(**values: str) -> list[str]:
    return [part for name, value in values.items() for part in (f"--{name.replace('_', '-')}", value)]


def test_options_become_what_connects_and_are_recorded_alike() -> None:
    config = options.to_config({**NEEDED, **ALL})
    assert config.access.value == Access(VERSION, "file:/ca.pem", "file:/client.pem", "env:CLIENT_KEY")
    assert (
        describe_access(config.access.value) == config.access.model_dump() == {**ALL, "allow_clear_text_milvus": False}
    )


def test_other_commands_have_the_same_flags() -> None:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    add_access_arguments(parser)
    assert access_of(parser.parse_args([])) == Access() == MilvusAccess().value
    given = parser.parse_args([*_flags(**ALL), "--allow-clear-text-milvus"])
    assert access_of(given) == Access(VERSION, "file:/ca.pem", "file:/client.pem", "env:CLIENT_KEY", True)
    with pytest.raises(ConfigurationError, match="--milvus-token takes a reference"):
        access_of(parser.parse_args(["--milvus-token", "root:Milvus"]))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"milvus": "http://milvus.example.org"}, "--milvus 'http://milvus.example.org': rows and token would travel"),
        ({"milvus_ca": None}, "--milvus-ca belong together"),
        ({"milvus_client_key": None}, "--milvus-client-key and --milvus-ca belong together"),
        ({"milvus": "milvus.db"}, "--milvus-ca is for a server with TLS"),
        ({"milvus_token": "token"}, "--milvus-token takes a reference"),
        (
            {"write": "import", "import_storage": "s3://b/i", "import_endpoint": "http://milvus:9091"},
            "--import-endpoint 'http://milvus:9091': rows and token",
        ),
    ],
)
def test_what_does_not_go_together_is_named(changes: dict[str, str | None], said: str) -> None:
    values = {name: value for name, value in {**NEEDED, **ALL, **changes}.items() if value is not None}
    with pytest.raises(ConfigurationError) as caught:
        options.to_config(values)
    assert said in str(caught.value)


def test_all_wrong_references_are_named_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        options.to_config({**NEEDED, **dict.fromkeys(ALL, "hunter2")})
    for name in ALL:
        assert f"--{name.replace('_', '-')} takes a reference" in str(caught.value)
    assert "hunter2" not in f"{caught.value} {caught.value.__cause__}"


def test_records_of_runs_from_before_have_no_access() -> None:
    config = options.to_config(NEEDED)
    before = {name: section for name, section in config.model_dump().items() if name != "access"}
    assert type(config).model_validate(before) == config


@pytest.mark.parametrize("runner", ["DataflowRunner", "apache_beam.runners.dataflow.DataflowRunner"])
def test_dataflow_has_another_environment(runner: str) -> None:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    options.add_arguments(parser)
    flags = _flags(**NEEDED)
    refused = [*flags, "--milvus-token", "env:MILVUS_TOKEN"]
    with pytest.raises(
        ConfigurationError, match=r"--milvus-token env:MILVUS_TOKEN: workers of Dataflow .*secret:projects"
    ):
        options.parse(parser, [*refused, f"--runner={runner}"])
    options.parse(parser, refused)
    config, _ = options.parse(parser, [*flags, "--milvus-token", VERSION, f"--runner={runner}"])
    assert config.access.milvus_token == VERSION
