"""What the pages list is what the code has."""

import inspect
import re

from pipelines.command_line.exit_codes import MEANINGS
from pipelines.search import Retriever
from tests.conftest import ROOT
from tests.docs.commands import make_targets
from tests.docs.pages import PAGES, README, blocks, name_of, read
from transforms.adapters.milvus import capability_table
from transforms.logic.schemas import Reason

MOST_LINES_OF_README = 200


def test_the_readme_is_for_newcomers() -> None:
    assert len(read(README).splitlines()) <= MOST_LINES_OF_README


def test_the_two_commands_and_what_integration_runs_stand_in_the_readme() -> None:
    shown = [line for block in blocks(README, "console") for line in block.text.splitlines()]
    assert [line.split("#")[0].strip() for line in shown if line.startswith("$ make ")] == [
        "$ make demo",
        "$ make test",
    ]
    integration = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    run = set(re.findall(r"^make ([a-z-]+)$", integration, re.MULTILINE))
    assert run == {"check", "test"}
    assert run <= set(re.findall(r"(?:`|\$ )make ([a-z-]+)", read(README)))


def test_every_make_target_is_named_on_a_page() -> None:
    text = "".join(map(read, PAGES))
    upkeep = {"help", "setup", "setup-gcp", "model", "lint", "type", "lock", "lock-airflow", "clean", "clean-demo"}
    assert sorted(one for one in make_targets() - upkeep if f"make {one}" not in text) == []


def test_every_reject_reason_is_named() -> None:
    text = read(ROOT / "docs" / "your-own-corpus.md")
    assert [reason.value for reason in Reason if f"`{reason.value}`" not in text] == []


def test_every_exit_code_is_explained() -> None:
    rows = re.findall(r"^\| (\d+(?:, \d+)*) \| \w+", read(ROOT / "docs" / "operate.md"), re.MULTILINE)
    assert [int(code) for row in rows for code in row.split(", ")] == sorted(MEANINGS)


def test_what_each_milvus_can_is_what_the_command_prints() -> None:
    assert capability_table() in read(ROOT / "docs" / "milvus.md")


def test_the_example_for_a_service_is_the_one_of_the_docstring() -> None:
    example = re.findall(r"```python\n.*?```", inspect.getdoc(Retriever) or "", re.DOTALL)
    assert len(example) == 1
    assert example[0] in read(ROOT / "docs" / "search.md")


def test_tests_that_the_pages_name_are_there() -> None:
    wrong = [
        f"{name_of(page)}: {name}"
        for page in PAGES
        for name in re.findall(r"`((?:tests|benchmarks|transforms|pipelines|deploy)/[\w./-]+\.\w+)`", read(page))
        if not (ROOT / name).exists()
    ]
    assert wrong == []
