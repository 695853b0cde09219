"""Every command on a page is run, or held against the program that it names."""

import json
import tomllib
from pathlib import Path

import pytest

from pipelines.cli import COMMANDS
from pipelines.configuration import options
from tests.conftest import ROOT
from tests.docs import commands as typed
from tests.docs.commands import Command, UnknownCommandError, check, commands, commands_of, flags_of, kind_of
from tests.docs.pages import PAGES, SHELL, Block, blocks, name_of, prose, spans
from transforms.logic.zero_shot import read_labels

MANUALS = [page for page in PAGES if page.parent in {ROOT, ROOT / "docs"}]
"""Pages whose options are those of this project alone; the tests of `deploy` know those of others."""
LANGUAGES = {*SHELL, "python", "toml", "json", "text", ""}
REFERENCE = ROOT / "docs" / "reference.md"
"""Its commands are the examples of the help, which `tests/pipelines/test_cli.py` parses."""
FOREIGN = {"--help", "--version", "--no-deps", "--require-hashes", "--target", "--budget-tokens"}
"""Flags that the prose names and no command has: the program's own, then other programs', the last of `deploy.local.ask_manuals`."""


@pytest.mark.parametrize("page", [page for page in PAGES if page != REFERENCE], ids=name_of)
def test_every_command_of_a_page_is_known_and_would_work(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed.write_files(page, tmp_path)
    monkeypatch.chdir(tmp_path)
    known = typed.exported(page)
    for command in commands(page):
        if kind_of(command) != "demo":
            check(command, known)


def test_no_block_is_of_a_language_that_nobody_checks() -> None:
    assert [block.place for page in PAGES for block in blocks(page) if block.language not in LANGUAGES] == []


def _typed(text: str, language: str = "console") -> list[Command]:
    return list(commands_of(Block(ROOT / "README.md", 1, language, text)))


def _hold(text: str) -> None:
    for command in _typed(text):
        kind_of(command)
        check(command, {})


def test_a_session_is_taken_apart() -> None:
    first, second = _typed("$ make demo # exit code 3\nrun …\n\n$ corpus-embed run \\\n    --input a\n")
    assert (first.text, first.output, first.exit_code) == ("make demo # exit code 3", "run …\n\n", 3)
    assert (second.text, second.output, second.line) == ("corpus-embed run --input a", "", 4)
    assert first.parts() == [["make", "demo"]]
    assert _typed("a --b > c > d | e", "bash")[0].parts() == [["a", "--b"], ["e"]]
    assert _typed("A=b export C=d | make e &&\nf\n", "bash")[0].parts() == [["A=b", "export", "C=d"], ["make", "e"]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("$ corpus-embd run\n", "of no kind"),
        ("$ make demo | rm -rf x\n", "of no kind"),
        ("$ make demo | cat demo/x; corpus-embed runs ls demo/workspace | docker ps\n", "of no kind"),
        ("$ corpus-embed runs ls demo/workspace | docker ps\n", "stands alone"),
        ("no prompt\n", "before the first prompt"),
        ("$ corpus-embed fly\n", "no command 'fly'"),
        ("$ corpus-embed runs ls w --limt 3\n", "--limt"),
        ("$ corpus-embed runs ls\n", "URI"),
        ("$ corpus-embed search … --tpo 3\n", "--tpo"),
        ("$ corpus-embed run … --max-tokns=3\n", "--max-tokns"),
        ("$ corpus-embed run --input a --workspace w --milvus m.db --collection c\n", "--model is required"),
        (
            "$ corpus-embed run --input a --workspace w --milvus http://m:1 --collection c --model m\n",
            "allow-clear-text",
        ),
        ("$ corpus-embed run --config nowhere.toml\n", "nowhere.toml"),
        ("$ make deom\n", "deom"),
        ("$ python -m benchmarks.txt\n", "no module"),
        ("$ python -m benchmarks.text --inptu x\n", "--inptu"),
    ],
)
def test_what_would_not_work_is_found(text: str, said: str) -> None:
    with pytest.raises(UnknownCommandError, match=said):
        _hold(text)


def test_options_that_the_prose_names_are_real() -> None:
    known = {flag for name in COMMANDS for flag in flags_of(name)} | typed.beam_flags() | FOREIGN
    known |= {
        flag for path in (ROOT / "benchmarks").iterdir() for flag in typed.benchmark_flags(f"benchmarks.{path.stem}")
    }
    wrong = []
    for page in MANUALS:
        for span in spans(page):
            for word in span.split():
                flag = word.split("=")[0].rstrip("…,?")
                if flag.startswith("--") and flag not in known:
                    wrong.append(f"{name_of(page)}: {span}")
    assert wrong == []


def test_commands_that_the_prose_names_are_real() -> None:
    wrong = []
    for page in MANUALS:
        for span in spans(page):
            program, *words = span.split()
            if program == "make" and words and "=" not in words[0] and words[0] not in typed.make_targets():
                wrong.append(f"{name_of(page)}: {span}")
            if program == "corpus-embed" and words and (words[0] not in COMMANDS and words[0] != "<command>"):
                wrong.append(f"{name_of(page)}: {span}")
    assert wrong == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_configuration_files_of_a_page_are_taken(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    typed.write_files(page, tmp_path)
    monkeypatch.chdir(tmp_path)
    for block in blocks(page, "toml"):
        values = tomllib.loads(block.text)
        name = block.text.splitlines()[0].removeprefix("# ")
        assert name.endswith(".toml"), f"{block.place}: its first line names the file"
        if "labels" in values:
            read_labels(block.text.encode(), name)
        else:
            needed = {"input": "a", "workspace": "w", "milvus": "m.db", "model": "m"}
            missing = {} if {"collection", "publish"} & set(values) else {"collection": "c"}
            options.to_config({**needed, **missing, **options.read_toml(name)})
    for block in blocks(page, "json"):
        json.loads(block.text)


def test_prose_is_without_blocks() -> None:
    assert "```" not in "".join(prose(page) for page in PAGES)
