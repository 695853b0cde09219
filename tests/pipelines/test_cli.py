"""The console script: commands, help, exit codes."""

import shlex
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from pipelines import cli, embed_corpus
from pipelines.command_line.examples import EXAMPLES
from pipelines.command_line.parsers import sub_parsers
from pipelines.configuration import options
from tests.conftest import ROOT
from tests.pipelines.jobs import Job, document
from transforms.adapters.milvus import Collection
from transforms.adapters.workspace import Workspace
from transforms.logic.errors import CorpusEmbedError, CorruptDataError, TransientError


def _raising(error: Exception) -> Any:
    def function(*arguments: Any, **settings: Any) -> Any:
        raise error

    return function


def test_without_a_command_the_commands_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 2
    assert "run" in capsys.readouterr().err
    assert cli.main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"  {name}" in shown for name in cli.COMMANDS)
    assert cli.main(["help"]) == 0
    assert capsys.readouterr().out == shown


def test_a_wrong_command_is_answered_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["fly"]) == 2
    assert capsys.readouterr().err == "corpus-embed: there is no such command; corpus-embed --help shows all\n"


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"corpus-embed {version('corpus-embed')}\n"


@pytest.mark.parametrize(("word", "meant"), [("serach", "search"), ("Verify", "verify"), ("run-", "run")])
def test_the_nearest_command_is_named(word: str, meant: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([word, "--milvus-token", "root:secret"]) == 2
    said = capsys.readouterr().err
    assert f"no such command as {word!r}; did you mean {meant}?" in said
    assert "secret" not in said


def test_a_word_that_is_like_no_command_is_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["root:hunter2hunter2"]) == 2
    said = capsys.readouterr().err
    assert said == "corpus-embed: there is no such command; corpus-embed --help shows all\n"
    assert "hunter2" not in said


def test_the_help_of_every_command_fits_eighty_columns_and_has_an_example(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for name in cli.COMMANDS:
        parser = cli.parser_of(name)
        for one in (parser, *sub_parsers(parser).values()):
            shown = one.format_help()
            assert [line for line in shown.splitlines() if len(line) > 80] == []
            assert str(one.description).endswith(".")
        assert f"for example:\n  corpus-embed {name}" in parser.format_help()


def test_every_example_is_one_that_its_command_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(cli.COMMANDS) == set(EXAMPLES)
    monkeypatch.chdir(tmp_path)
    needed = 'input = "a"\nmodel = "m"\nworkspace = "w"\nmilvus = "m.db"\ncollection = "c"\n'
    (tmp_path / "run.toml").write_text(needed, encoding="utf-8")
    for name in cli.COMMANDS:
        commands = EXAMPLES[name].replace("\\\n", " ").strip().split("\n")
        for command in commands:
            _, called, *arguments = shlex.split(command.partition(" > ")[0])
            assert called == name
            known, rest = cli.parser_of(name).parse_known_args(arguments)
            if name in {"run", "launch", "calibrate"}:
                options.parse(cli.parser_of(name), arguments)
            else:
                assert rest == []
            assert vars(known)


def test_module_and_script_have_the_same_options(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["run", "--help"])
    assert caught.value.code == 0
    of_script = capsys.readouterr().out
    module = subprocess.run(
        [sys.executable, "-m", "pipelines.embed_corpus", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert module.stdout.split() == of_script.split()
    assert "--max-reject-fraction" in of_script


def test_a_complete_run_prints_its_figures_and_the_next_step(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    job.write("a.jsonl", [document("d0"), document("d1", lang="de")])
    assert job.main() == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert "complete (exit code 0)" in captured.out
    assert f"corpus-embed search 'your question' --milvus {job.milvus} --collection corpus" in captured.out


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (TransientError("the service is away"), 6),
        (CorruptDataError("the file is spoilt"), 5),
        (CorpusEmbedError("the server refused"), 1),
    ],
)
def test_an_error_of_a_worker_has_its_own_exit_code(
    job: Job, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: CorpusEmbedError, code: int
) -> None:
    job.write("a.jsonl", [document("d0")])
    monkeypatch.setattr(Collection, "upsert", _raising(error))
    assert job.main() == code
    assert capsys.readouterr().err == f"corpus-embed run: {error}\n"


@pytest.mark.parametrize("flags", [[], ["--direct_num_workers=2", "--direct_running_mode=multi_threading"]])
def test_an_error_of_a_worker_is_found_however_the_runner_hands_it_on(
    job: Job, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], flags: list[str]
) -> None:
    job.write("a.jsonl", [document("d0")])
    message = "Milvus upsert failed 6 times: first line\n  second line; run again"
    monkeypatch.setattr(Collection, "upsert", _raising(TransientError(message)))
    assert job.main(*flags) == 6
    # Worker threads print the traceback besides.
    assert capsys.readouterr().err.endswith(f"corpus-embed run: {message}\n")


def test_an_error_of_the_plan_has_its_own_exit_code(
    job: Job, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    job.write("a.jsonl", [document("d0")])
    monkeypatch.setattr(Workspace, "latest_ledger", _raising(TransientError("storage is away")))
    assert job.main() == 6
    assert capsys.readouterr().err == "corpus-embed run: storage is away\n"


def test_a_defect_of_the_program_is_not_disguised(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    job.write("a.jsonl", [document("d0")])
    monkeypatch.setattr(Collection, "upsert", _raising(ZeroDivisionError("a defect")))
    with pytest.raises((RuntimeError, ZeroDivisionError), match="a defect"):
        job.main()


def test_a_spoilt_shard_is_named_and_mended_by_the_next_run(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    job.write("a.jsonl", [document("d0")])
    job.run()
    shard = next((job.workspace / "dataset").rglob("*.parquet"))
    shard.write_bytes(b"spoilt")
    job.write("a.jsonl", [document("d0", lang="de")])
    assert job.main() == 5
    assert f"corpus-embed run: {shard} is gone or damaged" in capsys.readouterr().err
    shard.unlink()
    assert job.main() == 0
    assert {row["partition"] for row in job.rows().values()} == {"lang_de"}


def test_the_lite_server_is_released_when_a_run_fails(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    job.write("a.jsonl", [document("d0")])
    with monkeypatch.context() as patch:
        patch.setattr(embed_corpus, "build", _raising(TransientError("away")))
        assert job.main() == 6
    assert job.main() == 0
