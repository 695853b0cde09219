"""The examples of configuration are right, alone and as their comments say to use them."""

import contextlib
import io
import json
import re
import shlex
import tomllib
from pathlib import Path

import pytest
from jsonschema import Draft7Validator

from pipelines import cli
from pipelines.configuration.schema import schema
from tests.conftest import ROOT

FILES = sorted((ROOT / "deploy" / "local" / "config").glob("*.toml"))
CONFIGURED = ("run", "launch", "calibrate")


def test_there_is_an_example_of_each_use() -> None:
    assert {path.stem for path in FILES} == {
        *("laptop", "trial", "first-load", "daily", "backfill", "publish", "mirror", "gpu-l4", "bge-m3", "binary")
    }


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_example_fits_the_schema(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    directive = re.match(r"#:schema (.+)\n", text)
    assert directive is not None
    # Editors with Taplo find the schema by this line.
    assert (path.parent / directive[1]).resolve() == ROOT / "docs" / "config.schema.json"
    values = tomllib.loads(text)
    assert [error.message for error in Draft7Validator(schema()).iter_errors(values)] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_command_of_an_example_is_right(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    commands = re.findall(r"^#   corpus-embed (\w+) (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert commands
    for name, rest in commands:
        arguments = shlex.split(rest)
        if name not in CONFIGURED:
            assert vars(cli.parser_of(name).parse_args(arguments))
            continue
        assert arguments[:2] == ["--config", str(path.relative_to(ROOT))]
        with contextlib.redirect_stdout(io.StringIO()) as said:
            code = cli.main(["config", "check", *arguments, "--json"])
        assert (code, json.loads(said.getvalue()).get("errors")) == (0, None)
