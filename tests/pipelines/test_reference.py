"""The reference is made from what it describes."""

import argparse
import re
from typing import Literal

import pytest

from pipelines import cli, reference
from pipelines.command_line.exit_codes import EXIT_BELOW_FLOOR, EXIT_FAILED, MEANINGS
from pipelines.command_line.parsers import options_of, sub_parsers
from pipelines.configuration.definitions import definitions
from pipelines.configuration.reject_reasons import REASONS
from tests.conftest import ROOT
from transforms.adapters import secrets
from transforms.logic import record
from transforms.logic.schemas import Reason


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    return reference.files()


@pytest.mark.parametrize("name", [reference.PAGE, reference.SCHEMA])
def test_the_file_is_what_the_definitions_make(made: dict[str, str], name: str) -> None:
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == made[name], "run make reference"


def _rows(page: str, heading: str, level: Literal["##", "###", "####"]) -> list[list[str]]:
    """Cells of the tables below a heading, up to the next heading of its level or above, without the tables' own heads."""
    (below,) = re.findall(
        rf"^{level} {re.escape(heading)}\n(.*?)(?=^#{{2,{len(level)}}} |\Z)", page, re.MULTILINE | re.DOTALL
    )
    lines = re.findall(r"^\| (.+) \|$", below, re.MULTILINE)
    rows = [re.split(r"(?<!\\)\|", line) for line in lines]
    return [
        [cell.strip() for cell in row] for row in rows if row[0].strip() not in {"flag", "argument", "code", "reason"}
    ]


def test_every_option_has_a_row_with_all_that_its_definition_says(made: dict[str, str]) -> None:
    rows = {re.sub(r"<.*?>|`", "", row[0]): row for row in _rows(made[reference.PAGE], "Options of run", "##")}
    assert list(rows) == [option.flag for option in definitions().values()]
    for option in definitions().values():
        _, name, value, default, meaning, _ = rows[option.flag]
        assert name == f"`{option.name}`"
        assert meaning == option.description
        assert option.range in value
        assert option.unit in value
        assert all(choice in value for choice in option.choices)
        assert ("**required**" in default) == option.is_required
        assert option.default in default


def test_options_that_name_each_other_are_linked(made: dict[str, str]) -> None:
    page = made[reference.PAGE]
    targets = set(re.findall(r'<a id="([a-z-]+)">', page))
    headings = {
        re.sub(r"[^a-z0-9 -]", "", one.lower()).replace(" ", "-")
        for one in re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    }
    assert set(re.findall(r"\]\(#([a-z-]+)\)", page)) <= targets | headings
    rows = {re.sub(r"<.*?>|`", "", row[0]): row[-1] for row in _rows(page, "Options of run", "##")}
    assert "#overlap" in rows["--max-tokens"]
    assert "#max-tokens" in rows["--overlap"]


def test_every_command_and_each_of_its_flags_is_there(made: dict[str, str]) -> None:
    page = made[reference.PAGE]
    common = argparse.ArgumentParser(add_help=False)
    cli.add_common_arguments(common)
    of_every_command = {action.dest for action in options_of(common)}
    for name in cli.COMMANDS:
        parser = cli.parser_of(name)
        of_subs = {f"corpus-embed {name} {sub}": one for sub, one in sub_parsers(parser).items()}
        parts = of_subs or {f"corpus-embed {name}": parser}
        for heading, one in parts.items():
            level: Literal["###", "####"] = "####" if of_subs else "###"
            described = {cell[0] for cell in _rows(page, heading, level)}
            (text,) = re.findall(rf"^{level} {heading}\n(.*?)(?=^#|\Z)", page, re.MULTILINE | re.DOTALL)
            takes_all = "Takes all [options of run]" in text
            for action in options_of(one):
                flag = (action.option_strings or [""])[0]
                is_of_run = action.dest in {*definitions(), "config"} and takes_all
                is_access = "Takes the flags of [access]" in text and action.dest in _ACCESS
                if flag and not is_of_run and not is_access and action.dest not in of_every_command:
                    assert any(f"`{flag}`" in cell for cell in described), (heading, flag)


_ACCESS = {name for name, option in definitions().items() if option.section == "access"}


def test_every_exit_code_has_its_meaning(made: dict[str, str]) -> None:
    codes = {value for name, value in vars(record).items() if name.startswith("EXIT_")} | {
        EXIT_FAILED,
        EXIT_BELOW_FLOOR,
        129,
        130,
        143,
    }
    assert set(MEANINGS) == codes
    assert dict(_rows(made[reference.PAGE], "Exit codes", "##")) == {str(code): text for code, text in MEANINGS.items()}


def test_every_reject_reason_has_its_meaning(made: dict[str, str]) -> None:
    assert list(REASONS) == list(Reason)
    rows = dict(_rows(made[reference.PAGE], "Reject reasons", "##"))
    assert rows == {f"`{reason.value}`": text for reason, text in REASONS.items()}


def test_every_variable_that_is_read_is_named(made: dict[str, str]) -> None:
    environment = made[reference.PAGE].partition("## Environment")[2]
    read = {"AWS_SECRET_ACCESS_KEY", "HF_TOKEN"}
    assert read <= set(secrets._OF_LIBRARIES)
    sources = [
        path.read_text(encoding="utf-8")
        for folder in ("pipelines", "transforms")
        for path in (ROOT / folder).rglob("*.py")
    ]
    by_name = {name for source in sources for name in re.findall(r"environ(?:\.get\(|\[)[\"'](\w+)", source)}
    assert by_name == {"TERM"}
    assert all(
        f"`{name}`" in environment for name in [*read, *by_name, "CORPUS_EMBED_CRASH_AT", "CORPUS_EMBED_PROGRESS"]
    )


def test_the_program_writes_both_files(tmp_path: object, made: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    from pathlib import Path

    target = Path(str(tmp_path)) / "docs"
    monkeypatch.setattr(reference, "files", lambda: made)
    assert reference.main([str(target)]) == 0
    assert {path.name: path.read_text(encoding="utf-8") for path in target.iterdir()} == made
