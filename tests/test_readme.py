"""What the README lists is what the code has."""

import inspect
import re
from pathlib import Path

from pipelines.options import default_of, option_fields
from pipelines.search import Retriever
from transforms.adapters.milvus import capability_table
from transforms.logic.schemas import Reason

README = Path(__file__).parent.parent / "README.md"


def test_every_option_stands_in_the_table_with_its_description() -> None:
    rows = dict(re.findall(r"^\| `(--[a-z-]+)` \| (.+) \|$", README.read_text(encoding="utf-8"), re.MULTILINE))
    wanted = {}
    for _, name, field in option_fields():
        default = f" (default `{default_of(field)}`)" if default_of(field) else ""
        required = " **required**" if field.is_required() else ""
        wanted[f"--{name.replace('_', '-')}"] = f"{field.description}{default}{required}"
    assert rows == wanted


def test_every_reject_reason_is_named() -> None:
    text = README.read_text(encoding="utf-8")
    assert [reason.value for reason in Reason if f"`{reason.value}`" not in text] == []


def test_every_make_target_it_names_exists() -> None:
    makefile = (README.parent / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    assert set(re.findall(r"(?:`|\$ )make ([a-z-]+)", README.read_text(encoding="utf-8"))) <= targets


def test_what_each_milvus_can_is_what_the_command_prints() -> None:
    assert capability_table() in README.read_text(encoding="utf-8")


def test_the_example_for_a_service_is_the_one_that_a_test_runs() -> None:
    example = re.findall(r"```python\n.*?```", inspect.getdoc(Retriever) or "", re.DOTALL)
    assert len(example) == 1
    assert example[0] in README.read_text(encoding="utf-8")
