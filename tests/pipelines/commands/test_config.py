"""Config: what is wrong is said without a run, and what is right with where it is from."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines import cli
from pipelines.configuration import options
from pipelines.configuration.definitions import definitions
from pipelines.configuration.schema import schema, template
from transforms.adapters import stores
from transforms.adapters.milvus import Collection

NEEDED = 'input = "a.jsonl"\nmodel = "m"\nworkspace = "w"\nmilvus = "m.db"\ncollection = "c"\n'


@pytest.fixture(autouse=True)
def nothing_is_looked_at(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*arguments: Any, **settings: Any) -> Any:
        raise AssertionError("a check looks at nothing but the file")

    monkeypatch.setattr(Collection, "__init__", refuse)
    monkeypatch.setattr("transforms.adapters.storage.filesystem_of", refuse)
    monkeypatch.setattr(stores, "store_errors", refuse)
    monkeypatch.chdir(tmp_path)


def _file(text: str) -> str:
    Path("run.toml").write_text(text, encoding="utf-8")
    return "run.toml"


def _json(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    code = cli.main(["config", "check", *arguments, "--json"])
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return code, found


def test_every_value_is_shown_with_where_it_is_from(capsys: pytest.CaptureFixture[str]) -> None:
    path = _file(f'{NEEDED}max-tokens = 100\nlanguages = "de,th"\noverlap = 10\n')
    code, found = _json(capsys, path, "--max-tokens", "120", "--direct_num_workers=2")
    assert code == 0
    assert found["valid"] is True
    assert found["runner"] == "FnApiRunner"
    shown = {one["option"]: (one["value"], one["from"]) for one in found["options"]}
    assert list(shown) == list(definitions())
    assert shown["max_tokens"] == (120, "flag")
    assert shown["overlap"] == (10, "file")
    assert shown["languages"] == (["de", "th"], "file")
    assert shown["input"] == (["a.jsonl"], "file")
    assert shown["vector_type"] == ("float32", "default")
    assert shown["limit"] == (None, "default")
    assert list(Path().iterdir()) == [Path("run.toml")]


def test_the_configuration_is_the_one_that_a_run_has(capsys: pytest.CaptureFixture[str]) -> None:
    path = _file(f"{NEEDED}sample = 1\ndate_from = 2026-03-01\n")
    _, found = _json(capsys, path, "--exclude", "*.tmp")
    flat = {one["option"]: one["value"] for one in found["options"]}
    values = {"input": "a.jsonl", "model": "m", "workspace": "w", "milvus": "m.db", "collection": "c"}
    config = options.to_config({**values, "date_from": "2026-03-01", "exclude": "*.tmp"})
    wanted = config.model_dump(mode="json")
    assert flat == {name: value for section in wanted.values() for name, value in section.items()}


def test_flags_alone_and_config_by_its_flag_are_checked_too(capsys: pytest.CaptureFixture[str]) -> None:
    path = _file(NEEDED)
    by_flag = _json(capsys, "--config", path)
    assert by_flag == _json(capsys, path)
    flags = ["--input=a.jsonl", "--model=m", "--workspace=w", "--milvus=m.db", "--collection=c"]
    code, found = _json(capsys, *flags)
    assert code == 0
    assert {one["from"] for one in found["options"]} == {"flag", "default"}
    assert cli.main(["config", "check", path, "--config", path]) == 2
    assert "name it once" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["--milvus-tokn", "hunter2"], ["hunter2"], ["--direct_num_workers", "hunter2", "run.toml"]]
)
def test_what_is_no_file_is_not_repeated(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    _file(NEEDED)
    assert cli.main(["config", "check", *arguments]) == 2
    said = capsys.readouterr().err
    assert "write: corpus-embed config check FILE.toml" in said
    assert "hunter2" not in said


@pytest.mark.parametrize(
    ("text", "flags", "said"),
    [
        ("max_token = 3", [], "unknown name 'max_token'; did you mean max_tokens?"),
        ("max_tokens = ", [], "is no TOML: "),
        ("max_tokens = 3", [], "--max-tokens: needs integer (tokens), 32 or more (got 3)"),
        ('vector_type = "flaot16"', [], "(got 'flaot16'); did you mean float16?"),
        ('publish = "docs"', [], "--publish names its collections itself; leave out --collection"),
        ('detector = "cld3"', [], "--detector: 'cld3' is unknown"),
        ('detector = "cld3"', [], "did you mean cld2?"),
        ('languages = "germn"', [], "'germn' is no language code"),
        ('languages = "germn"', [], "did you mean de (German)?"),
        ('keep_languages = "germn"', [], "--keep-languages: 'germn' is no language code"),
        ('languages = "all"\ndetector = "column:lang"', [], "holds at most 1,024 partitions"),
        ('push_metrics = "ftp://x"', [], "--push-metrics 'ftp://x' must begin with http"),
        ('milvus_token = "env:TOKEN"', ["--runner=DataflowRunner"], "workers of Dataflow do not have this environment"),
        ("", ["--runer=DataflowRunner"], "unknown option '--runer'; did you mean --runner?"),
        ("", ["--gpu=nvidia-l4", "--device=cpu"], "--gpu asks for workers that --device cpu does not use"),
    ],
)
def test_what_is_wrong_is_said_and_the_exit_code_is_2(
    capsys: pytest.CaptureFixture[str], text: str, flags: list[str], said: str
) -> None:
    path = _file(f"{NEEDED}{text}\n")
    assert cli.main(["config", "check", path, *flags]) == 2
    assert said in capsys.readouterr().err
    code, found = _json(capsys, path, *flags)
    assert code == 2
    assert found["valid"] is False
    assert any(said in error for error in found["errors"])


def test_all_that_is_wrong_is_said_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    _, found = _json(capsys, _file('max_tokens = 3\nvector_type = "x"\n'))
    assert [error.split(":")[0] for error in found["errors"]] == [
        *("--max-tokens", "--vector-type"),
        "--input, --model, --workspace, --milvus are required, as flags or in a file",
    ]


def test_a_detector_with_a_model_file_is_left_to_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert _json(capsys, _file(f'{NEEDED}detector = "column:lang, fasttext:gs://models/lid.bin"\n'))[0] == 0


def test_the_table_names_sections_and_values(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["config", "check", _file(NEEDED), "--mirror"]) == 0
    shown = capsys.readouterr().out
    assert "\nchunking\n  option                value   from\n  max_tokens            256     default\n" in shown
    assert "  mirror               true      flag\n" in shown
    assert shown.endswith("the configuration is valid; runner FnApiRunner\n")


def test_a_template_is_written_once_and_can_be_checked(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["config", "init", "new.toml"]) == 0
    assert Path("new.toml").read_text(encoding="utf-8") == template()
    assert cli.main(["config", "check", "new.toml"]) == 0
    assert cli.main(["config", "init", "new.toml"]) == 2
    assert "'new.toml' is there already" in capsys.readouterr().err
    assert cli.main(["config", "init", "no/such/new.toml"]) == 2
    assert "cannot be written" in capsys.readouterr().err
    assert cli.main(["config", "init"]) == 0
    assert capsys.readouterr().out == template()


def test_the_schema_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["config", "schema"]) == 0
    assert json.loads(capsys.readouterr().out) == schema()


def test_flags_of_a_check_are_none_of_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["config", "schema", "--max-tokens", "3"])
    assert caught.value.code == 2
    assert "unrecognized arguments: --max-tokens" in capsys.readouterr().err
