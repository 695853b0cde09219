"""The scripts complete commands, flags, values and files in the shells themselves, and start no Python for it."""

import os
import pty
import select
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines import cli, completion
from pipelines.definitions import definitions

SETUP = {
    # As their own start-up files have it; -f and the like leave those out.
    "bash": "source {script}",
    "zsh": "autoload -Uz compinit; compinit -u -D; source {script}",
    "fish": "source {script}",
}
START = {
    "bash": ["bash", "--noprofile", "--norc", "-i"],
    "zsh": ["zsh", "-f", "-i"],
    "fish": ["fish", "--no-config", "-i"],
}
FUNCTION = {
    "bash": 'corpus-embed() {{ echo "got" "<$*>"; }}',
    "zsh": 'corpus-embed() {{ echo "got" "<$*>"; }}',
    "fish": 'function corpus-embed; echo got "<$argv>"; end',
}
PATIENCE_SECONDS = 60


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    directory = tmp_path_factory.mktemp("completion")
    for shell in completion.SHELLS:
        (directory / shell).write_text(completion.script(shell), encoding="utf-8")
    return {shell: directory / shell for shell in completion.SHELLS}


class Terminal:
    """A shell at a terminal, in which the command only prints its arguments."""

    def __init__(self, shell: str, script: Path, directory: Path) -> None:
        self._terminal, inner = pty.openpty()
        self._process = subprocess.Popen(
            START[shell],
            stdin=inner,
            stdout=inner,
            stderr=inner,
            cwd=directory,
            env={"PATH": os.environ["PATH"], "TERM": "dumb", "HOME": str(directory), "PS1": "", "LANG": "C.UTF-8"},
            start_new_session=True,
        )
        os.close(inner)
        self._seen = ""
        self.write(f"{SETUP[shell].format(script=script)}\n{FUNCTION[shell].format()}\necho rea''dy\n")
        self.read_until("ready")

    def write(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def read_until(self, wanted: str) -> str:
        """What the shell wrote up to a text."""
        while wanted not in self._seen:
            ready, _, _ = select.select([self._terminal], [], [], PATIENCE_SECONDS)
            assert ready, f"{wanted!r} did not come: {self._seen!r}"
            self._seen += os.read(self._terminal, 4096).decode(errors="replace")
        found, _, self._seen = self._seen.partition(wanted)
        return found

    def complete(self, line: str) -> str:
        """The arguments after a TAB behind the line."""
        self.write(f"{line}\t")
        self.write("\n")
        self.read_until("got <")
        return self.read_until(">").strip()

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._terminal)


@pytest.fixture(scope="module", params=completion.SHELLS)
def terminal(
    request: pytest.FixtureRequest, scripts: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Terminal]:
    shell: str = request.param
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed here")
    directory = tmp_path_factory.mktemp("home")
    (directory / "settings.toml").touch()
    (directory / "models").mkdir()
    (directory / "model.txt").touch()
    opened = Terminal(shell, scripts[shell], directory)
    yield opened
    opened.close()


@pytest.mark.parametrize(
    ("line", "arguments"),
    [
        ("corpus-embed cap", "capabilities"),
        ("corpus-embed workspace ex", "workspace export"),
        ("corpus-embed run --max-t", "run --max-tokens"),
        ("corpus-embed run --vector-type b", "run --vector-type b"),
        ("corpus-embed run --vector-type int", "run --vector-type int8"),
        ("corpus-embed run --outputs dense sp", "run --outputs dense sparse"),
        ("corpus-embed workspace export w --format pin", "workspace export w --format pinecone"),
        ("corpus-embed search q --mo", "search q --mode"),
        ("corpus-embed run --config sett", "run --config settings.toml"),
        ("corpus-embed config check sett", "config check settings.toml"),
        ("corpus-embed run --model mod", "run --model models/"),
        ("corpus-embed completion z", "completion zsh"),
        ("corpus-embed run --log-format js", "run --log-format json"),
    ],
)
def test_a_tab_completes(terminal: Terminal, line: str, arguments: str) -> None:
    assert terminal.complete(line) == arguments


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_every_command_flag_and_choice_is_in_the_script(scripts: dict[str, Path], shell: str) -> None:
    text = scripts[shell].read_text(encoding="utf-8")
    names = [option.flag.lstrip("-") for option in definitions().values()]
    choices = [choice for option in definitions().values() for choice in option.choices]
    assert [word for word in [*cli.COMMANDS, *names, *choices] if word not in text] == []


def test_the_script_is_the_same_every_time(scripts: dict[str, Path]) -> None:
    assert completion.script("bash") == scripts["bash"].read_text(encoding="utf-8")


def test_the_command_prints_the_script(scripts: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["completion", "fish"]) == 0
    assert capsys.readouterr().out == scripts["fish"].read_text(encoding="utf-8")
    with pytest.raises(SystemExit) as caught:
        cli.main(["completion", "fsh"])
    assert caught.value.code == 2
    assert "invalid choice: 'fsh' (choose from bash, zsh, fish); did you mean fish?" in capsys.readouterr().err
