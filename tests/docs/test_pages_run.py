"""What the pages show on the sample corpus is run, from top to bottom, each page from what `make demo` left.

Commands run in this process, with the offline model and Milvus Lite; `make demo` is the command of its recipe. Their output is compared
with what the page shows, but for times, rates, sizes, scores and ids (`masked`); `…` stands for the rest of a line, and alone on a
line for any lines. Python blocks of a page run in order too, and share their names.
"""

import io
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipelines import cli
from tests.conftest import ROOT
from tests.docs import commands as typed
from tests.docs.commands import MORE, Command, commands_of, kind_of
from tests.docs.pages import PAGES, Block, blocks, name_of
from transforms.adapters.milvus import release

NOT_RUN = {"http://localhost:19530": "a server that is not there; tests/pipelines/test_search.py runs the same calls"}
"""What in a block of Python keeps it from being run, and where the same is run; such a block is compiled."""
_MASKS = (
    (r"\brun-[0-9a-f]{16}\b", "<run>"),
    (r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\dZ?", "<time>"),
    (r"[\d,]+(\.\d+)? (?=tokens/s\b)", "<rate> "),
    (r"\b[\d,]+(\.\d+)? s\b", "<seconds>"),
    (r"\b[\d,.]+ (bytes|kB|MB|GB|KiB|MiB|GiB)\b", "<size>"),
    (r"\b0\.\d{4,}\b", "<score>"),
    (r"\b[0-9a-f]{16,64}\b", "<hash>"),
    (r"[ \t]+", " "),
)


@dataclass(frozen=True)
class Demo:
    """A directory with the corpus, the model, and what `make demo` left and printed."""

    home: Path
    printed: str

    @property
    def left(self) -> Path:
        return self.home / "demo"

    def begin(self) -> None:
        """Puts everything back to how `make demo` left it."""
        release("demo/milvus.db")
        shutil.rmtree(self.left)
        shutil.copytree(self.home / "kept", self.left)


def _recipe() -> list[str]:
    """The arguments of the command of corpus-embed in the recipe of `make demo`."""
    dry = ["make", "--no-print-directory", "-n", "demo"]
    printed = subprocess.run(dry, cwd=ROOT, capture_output=True, text=True, check=True).stdout.replace("\\\n", " ")
    (line,) = [line for line in printed.splitlines() if line.startswith(".venv/bin/corpus-embed run")]
    (_, *arguments), *_ = Command(Block(ROOT / "Makefile", 1, "bash", ""), 1, line).parts()
    return arguments


def _run(arguments: Sequence[str], capfd: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """The exit code, and what was printed; of a failure what was said."""
    capfd.readouterr()
    try:
        code = cli.main(arguments)
    except SystemExit as stop:
        code = int(str(stop.code))
    captured = capfd.readouterr()
    return code, captured.out if code != 2 else captured.err


@pytest.fixture(scope="module")
def demo(offline_model: Path, sample_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    home = tmp_path_factory.mktemp("demo")
    (home / "deploy" / "local").mkdir(parents=True)
    (home / "deploy" / "local" / "corpus").symlink_to(sample_corpus)
    (home / ".cache").mkdir()
    (home / ".cache" / "models").symlink_to(offline_model.parent)
    before = Path.cwd()
    os.chdir(home)
    try:
        with redirect_stdout(io.StringIO()) as printed:
            assert cli.main(_recipe()) == 3
        release("demo/milvus.db")
        shutil.copytree(home / "demo", home / "kept")
        yield Demo(home, printed.getvalue())
        release("demo/milvus.db")
    finally:
        os.chdir(before)


def _story(page: Path) -> list[Command | Block]:
    """The commands and blocks of a page that run, in order."""
    found: list[Command | Block] = []
    for block in blocks(page, "console", "bash", "python"):
        if block.language == "python":
            found.append(block)
        else:
            found += [one for one in commands_of(block) if kind_of(one) == "demo"]
    return found


STORIES = [page for page in PAGES if _story(page)]


@pytest.mark.slow
@pytest.mark.parametrize("page", STORIES, ids=name_of)
def test_a_page_does_what_it_shows(page: Path, demo: Demo, capfd: pytest.CaptureFixture[str]) -> None:
    demo.begin()
    typed.write_files(page, demo.home)
    names: dict[str, object] = {"__name__": page.stem}
    for one in _story(page):
        if isinstance(one, Block):
            code = compile(one.text, one.place, "exec")
            if not any(sign in one.text for sign in NOT_RUN):
                exec(code, names)
        elif one.parts() == [["make", "demo"]]:
            _compare(one, demo.printed)
        else:
            ((_, *arguments),) = one.parts()
            exit_code, printed = _run(arguments, capfd)
            assert exit_code == one.exit_code, f"{one.place}: {printed}"
            _compare(one, printed)


def _compare(command: Command, printed: str) -> None:
    if command.output.strip():
        pattern = "\n".join(_patterns(command.output))
        assert re.fullmatch(pattern, _flat(printed)), f"{command.place}: {command.text}\n{_flat(printed)}"


def masked(line: str) -> str:
    """A line without what differs from run to run and from machine to machine."""
    for pattern, instead in _MASKS:
        line = re.sub(pattern, instead, line)
    return line.strip()


def _flat(text: str) -> str:
    return "\n".join(line for line in map(masked, text.splitlines()) if line)


def _patterns(output: str) -> Iterator[str]:
    for line in filter(None, map(masked, output.splitlines())):
        if line == MORE:
            yield r"(?:.*\n)*?.*"
        else:
            yield "[^\n]*".join(map(re.escape, line.split(MORE)))


def test_masks_hide_what_differs_and_nothing_else() -> None:
    assert masked("run run-1bcfd408d4c5b0de: 12.3 s,  1,234 tokens/s of 5 chunks") == (
        "run <run>: <seconds>, <rate> tokens/s of 5 chunks"
    )
    assert masked("  1  0.8026  th   volcanoes-th #0") == "1 <score> th volcanoes-th #0"
    assert masked("ar  20  3,794  189.7  0.332  0.93") == "ar 20 3,794 189.7 0.332 0.93"


@pytest.mark.parametrize(
    ("output", "printed", "equal"),
    [
        ("a b\n…\nd\n", "a   b\nc\nc\n\nd\n", True),
        ("a …\n", "a long line\n", True),
        ("a\n", "a\nb\n", False),
        ("a\n…\n", "b\na\n", False),
        ("5 rows\n", "6 rows\n", False),
    ],
)
def test_output_is_compared_whole(output: str, printed: str, equal: bool) -> None:
    command = Command(Block(ROOT / "README.md", 1, "console", ""), 1, "corpus-embed", output)
    if equal:
        _compare(command, printed)
    else:
        with pytest.raises(AssertionError):
            _compare(command, printed)
