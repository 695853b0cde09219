"""Texts that try to be more than text, and the page's server as a process of its own."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.conftest import ROOT
from tests.hostile import hostile_values

MARKUP = (
    "<script>document.title = 'broken'</script>",
    "<img src=x onerror=\"document.title = 'broken'\">",
    "<svg/onload=\"document.title='broken'\">",
    "</p></li></ol><h1 id=broken>broken</h1>",
    "<!-- ", "]]>", "&lt;b&gt;&amp;", '<iframe src="javascript:alert(1)">', "<style>*{display:none}</style>",
    "{{7*7}}", "${7*7}", "javascript:alert(1)", '<a href="//evil.example">x</a>', "<meta http-equiv=refresh content=0>",
    "<base href=//evil.example>", "\u202eabc\u202c", "<math><mtext></mtext></math>",
)  # fmt: skip
HOSTILE = [f"{one} {number}" for number, one in enumerate([*MARKUP, *hostile_values(60 - len(MARKUP), seed=5)])]
"""Sixty texts that try to be more than text."""

_COMMAND = """
import sys
from unittest import mock
from pipelines import cli
from tests import fakes

opened = lambda model, prompt, computation, _: fakes.open_fake_encoder(model, prompt, computation)
with mock.patch("pipelines.queries.open_encoder", opened):
    sys.exit(cli.main(["explore", *sys.argv[1:]]))
"""


@dataclass
class Served:
    """A command that serves its page."""

    process: subprocess.Popen[str]
    url: str

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1].rstrip("/"))

    def stop(self, by: signal.Signals = signal.SIGINT) -> tuple[int, str, str]:
        """Sends the signal; exit code, what came out since the start, and what was complained of."""
        self.process.send_signal(by)
        out, complaints = self.process.communicate(timeout=60)
        return self.process.returncode, out, complaints


@contextmanager
def serving(*flags: str) -> Iterator[Served]:
    """The command in a process of its own, with an encoder that knows texts by their digest."""
    process = subprocess.Popen(
        [sys.executable, "-c", _COMMAND, *flags, "--port", "0"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.endswith(" is ready; Ctrl-C stops it\n"), process.communicate()
        yield Served(process, line.split()[0])
    finally:
        process.kill()
        process.communicate()
