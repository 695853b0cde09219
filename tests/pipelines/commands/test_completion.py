"""The scripts complete commands, flags, values and files in the shells themselves, and start no Python for it."""

import os
import pty
import select
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines import cli
from pipelines.commands import completion
from pipelines.configuration.definitions import definitions

SETUP = {
    # What their own start-up files do, which are left out: bash finds the file by its name, zsh by its folder.
    "bash": "source {directory}/corpus-embed",
    "zsh": "fpath=({directory} $fpath); autoload -Uz compinit; compinit -u -D",
}
START = {"bash": ["bash", "--noprofile", "--norc", "-i"], "zsh": ["zsh", "-f", "-i"]}
FUNCTION = 'corpus-embed() { echo "got" "<$*>"; }'
PATIENCE_SECONDS = 60


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    directory = tmp_path_factory.mktemp("completion")
    names = {"bash": "corpus-embed", "zsh": "_corpus-embed", "fish": "corpus-embed.fish"}
    for shell, name in names.items():
        (directory / name).write_text(completion.script(shell), encoding="utf-8")
    return {shell: directory / name for shell, name in names.items()}


class Terminal:
    """A shell at a terminal, in which the command only prints its arguments; keys are pressed."""

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
        self._setup = SETUP[shell].format(directory=script.parent)

    def start(self) -> None:
        """Waits until the shell has read the script."""
        self.write(f"{self._setup}\n{FUNCTION}\necho rea''dy\n")
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


class Fish:
    """Fish answers what a TAB would offer; its line editor wants a terminal that answers questions."""

    def __init__(self, script: Path, directory: Path) -> None:
        self._script, self._directory = script, directory

    def complete(self, line: str) -> str:
        """The arguments after a TAB behind the line."""
        done = subprocess.run(
            ["fish", "--no-config", "-c", f"source {self._script}; complete -C '{line}'"],
            cwd=self._directory,
            env={"PATH": os.environ["PATH"], "HOME": str(self._directory), "LANG": "C.UTF-8"},
            capture_output=True,
            text=True,
            check=True,
        )
        offered = [one.partition("\t")[0] for one in done.stdout.splitlines()]
        words = line.split()[1:]
        return " ".join([*words[:-1], offered[0]] if len(offered) == 1 else words)

    def start(self) -> None:
        """Nothing to wait for."""

    def close(self) -> None:
        """Nothing stays."""


@pytest.fixture(scope="module", params=completion.SHELLS)
def terminal(
    request: pytest.FixtureRequest, scripts: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Terminal | Fish]:
    shell: str = request.param
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed here")
    directory = tmp_path_factory.mktemp("home")
    (directory / "settings.toml").touch()
    (directory / "models").mkdir()
    (directory / "model.txt").touch()
    script = scripts[shell]
    opened = Fish(script, directory) if shell == "fish" else Terminal(shell, script, directory)
    try:
        opened.start()
        yield opened
    finally:
        opened.close()


@pytest.mark.parametrize(
    ("line", "arguments"),
    [
        ("corpus-embed cap", "capabilities"),
        ("corpus-embed workspace ex", "workspace export"),
        ("corpus-embed run --max-t", "run --max-tokens"),
        ("corpus-embed run --vector-type b", "run --vector-type b"),
        ("corpus-embed run --vector-type int", "run --vector-type int8"),
        ("corpus-embed run --outputs sp", "run --outputs sparse"),
        ("corpus-embed workspace export w --format pin", "workspace export w --format pinecone"),
        ("corpus-embed search q --by-d", "search q --by-document"),
        ("corpus-embed run --config sett", "run --config settings.toml"),
        ("corpus-embed config check sett", "config check settings.toml"),
        ("corpus-embed run --model mod", "run --model models"),
        ("corpus-embed completion z", "completion zsh"),
        ("corpus-embed run --log-format js", "run --log-format json"),
    ],
)
def test_a_tab_completes(terminal: Terminal | Fish, line: str, arguments: str) -> None:
    # Zsh takes the slash of a directory away again.
    assert terminal.complete(line).removesuffix("/") == arguments


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
