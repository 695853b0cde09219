"""Flags and a TOML file become one checked configuration and Beam's own options."""

import argparse
import os
from pathlib import Path
from typing import Any

import pytest
from apache_beam.options.pipeline_options import (
    DirectOptions,
    GoogleCloudOptions,
    PipelineOptions,
    PortableOptions,
    StandardOptions,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.configuration import options
from pipelines.configuration.config import Config
from pipelines.configuration.definitions import option_fields
from pipelines.preflight import spaces
from transforms.logic.errors import ConfigurationError

NEEDED = {"input": "a.jsonl", "workspace": "w", "milvus": "m.db", "collection": "c", "model": "m"}
FLAGS = [part for name, value in NEEDED.items() for part in (f"--{name}", value)]


def _parse(*arguments: str) -> tuple[Config, PipelineOptions]:
    parser = argparse.ArgumentParser("corpus-embed run", allow_abbrev=False)
    options.add_arguments(parser)
    return options.parse(parser, arguments)


def _toml(directory: Path, text: str) -> str:
    path = directory / "run.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def _flat(config: Config) -> dict[str, Any]:
    return {name: value for section in config.model_dump().values() for name, value in section.items()}


def test_defaults_are_those_of_the_interface() -> None:
    config, beam_options = _parse(*FLAGS)
    assert _flat(config) == {
        "input": ("a.jsonl",),
        "exclude": (),
        "format": "auto",
        "id_column": "id",
        "id_from": "column",
        "text_column": "text",
        "date_column": "date",
        "metadata_columns": None,
        "decoding": "detect",
        "max_document_bytes": 10_000_000,
        "max_record_bytes": 64 << 20,
        "max_decompressed_bytes": 1 << 40,
        "max_compression_ratio": 1000.0,
        "date_from": None,
        "date_to": None,
        "sample": 1.0,
        "limit": None,
        "partition_by": "language",
        "languages": None,
        "top_languages": None,
        "keep_languages": (),
        "detector": "cld2",
        "language_floor": 0.5,
        "max_tokens": 256,
        "min_tokens": 0,
        "overlap": 0,
        "structure": "auto",
        "max_unknown_fraction": 0.1,
        "on_unknown": "flag",
        "model": "m",
        "revision": None,
        "outputs": ("dense",),
        "threads": None,
        "device": "auto",
        "dtype": "bfloat16",
        "document_prompt": None,
        "query_prompt": None,
        "dimensions": None,
        "vector_type": "float32",
        "recall_floor": 0.98,
        "projection": None,
        "calibration": None,
        "calibration_sample": 10_000,
        "workspace": "w",
        "milvus": "m.db",
        "collection": "c",
        "milvus_outputs": None,
        "milvus_token": None,
        "milvus_ca": None,
        "milvus_client_certificate": None,
        "milvus_client_key": None,
        "allow_clear_text_milvus": False,
        "index": "auto",
        "index_parameters": (),
        "writers": 4,
        "write_path": "rows",
        "write": "upsert",
        "import_storage": None,
        "import_path": None,
        "import_endpoint": None,
        "import_file_bytes": 512 << 20,
        "import_patience_seconds": 3600.0,
        "labels": None,
        "gpu": None,
        "gpu_workers": "embedding",
        "gpu_machine_type": None,
        "max_reject_fraction": 0.01,
        "mirror": False,
        "max_delete_fraction": 0.1,
        "new_space": False,
        "publish": None,
        "keep_generations": 1,
        "verify": "quick",
        "on_busy": "refuse",
        "logical_date": None,
        "keep_rejected_text": False,
        "report": "full",
        "push_metrics": None,
        "recheck": False,
    }
    assert beam_options.view_as(StandardOptions).runner == "FnApiRunner"


def test_every_field_has_a_flag_of_its_own_name_and_says_what_it_is() -> None:
    fields = list(option_fields())
    names = [name for _, name, _ in fields]
    assert len(names) == len(set(names))
    assert all(field.description for _, _, field in fields)
    parser = argparse.ArgumentParser(allow_abbrev=False)
    options.add_arguments(parser)
    flags = {flag for action in parser._actions for flag in action.option_strings}
    assert flags == {"-h", "--help", "--config", *(f"--{name.replace('_', '-')}" for name in names)}


def test_flags_win_over_the_file(tmp_path: Path) -> None:
    path = _toml(tmp_path, 'max_tokens = 100\noverlap = 10\nlanguages = ["de", "th"]\ncollection = "of_file"\n')
    config, _ = _parse("--config", path, *FLAGS, "--max-tokens", "120")
    assert (config.chunking.max_tokens, config.chunking.overlap) == (120, 10)
    assert config.language.languages == ("de", "th")
    assert config.storage.collection == "c"


def test_a_file_alone_is_enough_and_equals_the_flags(tmp_path: Path) -> None:
    path = _toml(tmp_path, "".join(f'{name} = "{value}"\n' for name, value in NEEDED.items()) + "max-tokens = 64\n")
    assert _parse("--config", path)[0] == _parse(*FLAGS, "--max-tokens=64")[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("max_token = 3", "unknown name 'max_token'; did you mean max_tokens?"),
        ("[chunking]\nmax_tokens = 3", "unknown name 'chunking'; options stand at the top of the file, in no table"),
        ("[more]\nmax_tokens = 3", "unknown name 'more'; options stand at the top of the file, in no table"),
        ("[modell]\nname = 3", "unknown name 'modell'; did you mean model?"),
        ("max_tokens = ", "is no TOML: Invalid value (at end of document)"),
        ("input = [1]", "input needs list of text, and is a list of other things"),
        ("input = [['a']]", "input needs list of text, and is a list of other things"),
        ('max_tokens = "64"', "max_tokens needs integer (tokens), 32 or more, and is text"),
        ("limit = true", "limit needs integer, 1 or more, and is true or false"),
        ('mirror = "yes"', "mirror needs true or false, and is text"),
        ("id_column = 2026-03-01T06:00:00Z\nlabels = 06:00:00", "labels needs text, and is a date or time"),
        ('milvus_token = ["root:hunter2"]', "milvus_token needs text, and is a list"),
    ],
)
def test_a_wrong_file_is_refused_with_the_name(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        _parse("--config", _toml(tmp_path, text), *(FLAGS if "input" not in text else FLAGS[2:]))
    assert said in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = _toml(tmp_path, "\ufeffmax_tokens = 64\n")
    assert _parse("--config", path, *FLAGS)[0].chunking.max_tokens == 64


def test_a_name_stands_once_in_a_file(tmp_path: Path) -> None:
    path = _toml(tmp_path, "max-tokens = 64\nmax_tokens = 65\n")
    with pytest.raises(ConfigurationError, match="'max_tokens' stands twice"):
        _parse("--config", path, *FLAGS)


def test_what_was_given_says_where_it_is_from(tmp_path: Path) -> None:
    path = _toml(tmp_path, 'max_tokens = 100\noverlap = 10\ncollection = "of_file"\n')
    parser = argparse.ArgumentParser("corpus-embed run", allow_abbrev=False)
    options.add_arguments(parser)
    found, _ = options.read(parser, ["--config", path, "--collection", "of_flag", "--direct_num_workers=2"])
    assert found.values == {"max_tokens": 100, "overlap": 10, "collection": "of_flag"}
    assert found.origins == {"max_tokens": "file", "overlap": "file", "collection": "flag"}
    assert found.rest == ("--direct_num_workers=2",)


def test_a_missing_file_is_refused_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no_such\.toml"):
        _parse("--config", str(tmp_path / "no_such.toml"), *FLAGS)


def test_all_wrong_values_are_told_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        _parse("--input", "a", "--max-tokens", "1", "--collection", "no good")
    lines = str(caught.value).split("\n")
    assert [line.split(":")[0] for line in lines] == [
        "--max-tokens",
        "--collection",
        "--model, --workspace, --milvus are required, as flags or in a file",
    ]


def test_beam_options_pass_through() -> None:
    _, beam_options = _parse(*FLAGS, "--direct_num_workers=2", "--direct_running_mode", "multi_threading")
    assert beam_options.view_as(DirectOptions).direct_num_workers == 2
    assert beam_options.view_as(DirectOptions).direct_running_mode == "multi_threading"
    assert beam_options.view_as(StandardOptions).runner == "FnApiRunner"


@pytest.mark.parametrize(
    "label", ["airflow-version=v3-3-2", '{"goog-dataflow-flex-template": "yes", "team": "search"}', "team="]
)
def test_labels_of_a_job_are_beams(label: str) -> None:
    config, beam_options = _parse(*FLAGS, f"--labels={label}")
    assert config.labelling.labels is None
    assert beam_options.view_as(GoogleCloudOptions).labels == [label]


@pytest.mark.parametrize("path", ["names.toml", "gs://bucket/day=1/names.toml", "day=1/names.toml"])
def test_a_file_of_labels_is_ours(path: str) -> None:
    config, beam_options = _parse(*FLAGS, f"--labels={path}")
    assert config.labelling.labels == path
    assert beam_options.view_as(GoogleCloudOptions).labels is None


@pytest.mark.parametrize("flags", [["--runner=DirectRunner"], ["--runner", "DirectRunner"]])
def test_a_named_runner_stands(flags: list[str]) -> None:
    assert _parse(*FLAGS, *flags)[1].view_as(StandardOptions).runner == "DirectRunner"


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--max-token=3", "unknown option '--max-token'; did you mean --max-tokens?"),
        ("--dimension", "unknown option '--dimension'; did you mean --dimensions?"),
        ("--direct_num_worker=2", "unknown option '--direct_num_worker'; did you mean --direct_num_workers?"),
        ("--zzzzqqqq", "unknown option '--zzzzqqqq'; see corpus-embed run --help"),
        ("--vector-type=flaot16", "--vector-type: needs one of float32, float16, bfloat16"),
        ("--vector-type=flaot16", "(got 'flaot16'); did you mean float16?"),
        ("--vector-type=FLOAT16", "did you mean float16?"),
        ("--outputs=dense,sprse", "(got 'sprse'); did you mean sparse?"),
        ("--on-busy=zzz", "refuse, wait (got 'zzz')"),
    ],
)
def test_an_unknown_option_is_refused_with_a_suggestion(flag: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        _parse(*FLAGS, flag)
    assert said in str(caught.value)


def test_a_word_too_many_is_not_repeated() -> None:
    """Behind `--milvus-token= ` stands the token."""
    with pytest.raises(ConfigurationError, match=r"belongs to no option .* a space behind =") as caught:
        _parse(*FLAGS, "--direct_num_workers=2", "hunter2")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "flag",
    [
        '--environment_config={"command": "/boot", "env": {"MILVUS_TOKEN": "hunter2"}}',
        '--environment_config={\\"env\\":{\\"AWS_SECRET_ACCESS_KEY\\":\\"hunter2\\"}}',
        "--environment_options=process_variables=DB_PASSWORD=hunter2,A=b",
    ],
)
def test_no_secret_goes_to_workers_by_the_options_of_their_environment(flag: str) -> None:
    """Beam puts them into the graph."""
    with pytest.raises(
        ConfigurationError, match=r"--environment_\w+ gives workers .* set it where the workers"
    ) as caught:
        _parse(*FLAGS, flag)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "flag",
    [
        '--environment_config={"command": "/boot", "env": {"AWS_WEB_IDENTITY_TOKEN_FILE": "/run/token", "OMP_NUM_THREADS": "1"}}',
        "--environment_config=localhost:50000",
    ],
)
def test_other_variables_of_workers_are_theirs(flag: str) -> None:
    beam_options = _parse(*FLAGS, flag)[1]
    assert f"--environment_config={beam_options.view_as(PortableOptions).environment_config}" == flag


def test_what_lacks_may_be_misspelt() -> None:
    with pytest.raises(ConfigurationError, match="unknown option '--milvs'; did you mean --milvus"):
        _parse(*(flag.replace("--milvus", "--milvs") for flag in FLAGS))


def test_lists_are_given_by_space_or_comma() -> None:
    config, _ = _parse(*FLAGS, "--languages", "de,th", "hi", "--exclude", "a.jsonl", "b*.parquet")
    assert config.language.languages == ("de", "th", "hi")
    assert config.source.exclude == ("a.jsonl", "b*.parquet")


def test_a_list_that_is_named_twice_goes_on(tmp_path: Path) -> None:
    """Of two inputs none is dropped; over a file the flags win with all that they say."""
    config, _ = _parse(
        "--config", _toml(tmp_path, 'languages = "fr"\nid_column = "i"'), *FLAGS, "--input", "b", "--input", "c", "d"
    )
    first = FLAGS[FLAGS.index("--input") + 1]
    assert config.source.input == (first, "b", "c", "d")
    assert config.language.languages == ("fr",)


def test_the_help_of_every_option_can_be_shown() -> None:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    options.add_arguments(parser)
    assert "{date:%Y/%m/%d}" in parser.format_help()
    assert "--runner DataflowRunner" in parser.format_help()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--date-from", "2026-02-30"], "--date-from '2026-02-30' is no date; write YYYY-MM-DD"),
        (["--date-to", "soon"], "--date-to 'soon' is no date"),
        (["--date-from", "2026-03-02", "--date-to", "2026-03-02"], "--date-to '2026-03-02' is not after --date-from"),
        (["--sample", "0"], "--sample: needs number, above 0, at most 1 (got '0')"),
        (["--sample", "1.5"], "--sample: needs number, above 0, at most 1 (got '1.5')"),
        (["--limit", "0"], "--limit: needs integer, 1 or more (got '0')"),
        (["--input", "in/{date:%B}/*"], "--input 'in/{date:%B}/*': %B cannot stand in a date; allowed are %Y %m %d"),
        (["--input", "in/{date:%m}/*"], "a date needs every part from the year down"),
        (["--input", "a", ""], "--input '' is empty"),
        (["--exclude", ""], "--exclude '' is empty"),
    ],
)
def test_a_wrong_selection_is_refused_with_the_value(flags: list[str], said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        _parse(*FLAGS, *flags)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--date-from", "2026-03-01"], "--date-from leaves out"),
        (["--date-to", "2026-03-01"], "--date-to leaves out"),
        (["--sample", "0.5", "--limit", "3"], "--sample, --limit leaves out"),
        (["--keep-languages", "de"], "--keep-languages leaves out"),
        (["--exclude", "*.tmp"], "--exclude leaves out"),
    ],
)
def test_what_is_mirrored_must_be_whole(flags: list[str], said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="--mirror deletes what the input no longer has") as caught:
        _parse(*FLAGS, "--mirror", *flags)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    _parse(*FLAGS, *flags)
    assert _parse(*FLAGS, "--mirror")[0] == _parse("--config", _toml(tmp_path, "mirror = true"), *FLAGS)[0]


def test_dates_of_a_file_are_those_of_flags(tmp_path: Path) -> None:
    path = _toml(tmp_path, "date_from = 2026-03-01\ndate_to = 2026-03-01T06:00:00+02:00\n")
    flags = ["--date-from=2026-03-01", "--date-to=2026-03-01T06:00:00+02:00"]
    assert _parse("--config", path, *FLAGS)[0] == _parse(*FLAGS, *flags)[0]


def test_a_pattern_may_hold_a_comma() -> None:
    assert _parse(*FLAGS, "--exclude", "a,b.jsonl")[0].source.exclude == ("a,b.jsonl",)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(
    max_tokens=st.integers(32, 8192),
    share=st.floats(0, 0.25),
    dimensions=st.none() | st.integers(1, 4096),
    fraction=st.floats(0, 1),
    collection=st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,40}", fullmatch=True),
)
def test_values_come_out_as_they_went_in(
    max_tokens: int, share: float, dimensions: int | None, fraction: float, collection: str
) -> None:
    values: dict[str, Any] = {
        "max_tokens": max_tokens,
        "overlap": int(max_tokens // 4 * share * 4),
        "max_reject_fraction": fraction,
        **({} if dimensions is None else {"dimensions": dimensions}),
    }
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in values.items()]
    config, _ = _parse(*FLAGS, *flags, f"--collection={collection}")
    flat = _flat(config)
    assert {name: flat[name] for name in values} == values
    assert flat["collection"] == collection
    assert config == options.to_config({**NEEDED, **values, "collection": collection})


def test_help_shows_defaults_as_they_are_written() -> None:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    options.add_arguments(parser)
    shown = {action.dest: str(action.help) for action in parser._actions}
    assert shown["outputs"].endswith("(default dense)")
    assert shown["max_tokens"].endswith("(32 or more; default 256)")
    assert shown["vector_type"].endswith("(one of float32, float16, bfloat16, int8, binary, auto; default float32)")
    assert shown["input"].endswith("(required)")
    assert "default " not in (shown["exclude"] + shown["input"]).replace("by default", "")


def test_each_section_is_a_group_of_the_help() -> None:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    options.add_arguments(parser)
    groups = {group.title: [action.dest for action in group._group_actions] for group in parser._action_groups}
    for section in Config.model_fields:
        assert groups[section] == [name for of, name, _ in option_fields() if of == section]


def test_the_usage_shows_what_must_be_given_and_a_replay_needs_nothing() -> None:
    parser = argparse.ArgumentParser("run", allow_abbrev=False)
    options.add_arguments(parser)
    needed = "run --input PATTERN ... --model MODEL --workspace URI --milvus ADDRESS --collection NAME [options]"
    assert " ".join(parser.format_usage().split()) == f"usage: {needed}"
    replay = argparse.ArgumentParser("replay", allow_abbrev=False)
    options.add_arguments(replay, needs_all=False)
    assert replay.usage is None
    assert "(required" not in replay.format_help()


@pytest.mark.parametrize(
    ("flags", "here"),
    [
        ([], True),
        (["--runner=DirectRunner"], True),
        (["--runner", "apache_beam.runners.direct.direct_runner.BundleBasedDirectRunner"], True),
        (["--runner=DataflowRunner", "--project=p", "--region=r", "--temp_location=gs://b/t"], False),
        (["--runner=FlinkRunner"], False),
    ],
)
def test_workers_are_here_with_the_runners_of_one_machine(flags: list[str], here: bool) -> None:
    assert options.workers_are_here(_parse(*FLAGS, *flags)[1]) == here


@pytest.mark.parametrize(
    ("flags", "processes"),
    [
        ([], 1),
        (["--direct_num_workers=4"], 1),
        (["--direct_num_workers=4", "--direct_running_mode=multi_threading"], 1),
        (["--direct_num_workers=4", "--direct_running_mode=multi_processing"], 4),
        (["--runner=DataflowRunner", "--direct_num_workers=4", "--direct_running_mode=multi_processing"], 1),
    ],
)
def test_processes_of_one_machine_are_counted(flags: list[str], processes: int) -> None:
    assert options.worker_processes(_parse(*FLAGS, *flags)[1]) == processes


def test_every_core_is_a_process_when_their_number_is_left_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    flags = ["--direct_num_workers=0", "--direct_running_mode=multi_processing"]
    assert options.worker_processes(_parse(*FLAGS, *flags)[1]) == 6


@pytest.mark.parametrize(
    ("flags", "processes", "threads"), [([], 1, None), ([], 2, 3), ([], 9, 1), (["--threads=5"], 2, 5)]
)
def test_processes_share_the_cores(
    monkeypatch: pytest.MonkeyPatch, flags: list[str], processes: int, threads: int | None
) -> None:
    monkeypatch.setattr(spaces, "usable_cores", lambda: 6)
    assert spaces.computation(_parse(*FLAGS, *flags)[0], processes).threads == threads
