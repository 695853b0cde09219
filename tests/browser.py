"""Chromium without a window, driven over a pipe in the DevTools protocol (chromedevtools.github.io/devtools-protocol).

Nothing but the standard library is needed, and nothing listens: the browser reads commands from one descriptor and answers on another.
"""

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_FLAGS = (
    *(
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-component-update",
    ),
    *(
        "--disable-default-apps",
        "--disable-sync",
        "--no-first-run",
        "--no-default-browser-check",
        "--disable-dev-shm-usage",
    ),
    *("--hide-scrollbars", "--remote-debugging-pipe"),
)
_ANSWER_SECONDS = 60
_PNG = "png"

Values = dict[str, Any]


class Page:
    """A page of the browser, and all that happened on it."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands, self._answers = commands, answers
        self._buffer = b""
        self._number = 0
        self._session: str | None = None
        self.events: list[Values] = []
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Log", "Runtime"):
            self._call(f"{domain}.enable")

    @property
    def requests(self) -> list[str]:
        """URLs that were asked for, the page's own among them."""
        return [one["params"]["request"]["url"] for one in self.events if one["method"] == "Network.requestWillBeSent"]

    @property
    def complaints(self) -> list[str]:
        """What the browser logged, such as what the policy forbade, and exceptions of scripts."""
        logged = [one["params"]["entry"]["text"] for one in self.events if one["method"] == "Log.entryAdded"]
        return logged + [str(one["params"]) for one in self.events if one["method"] == "Runtime.exceptionThrown"]

    @property
    def dialogs(self) -> list[str]:
        """Messages of alert(), confirm() and prompt()."""
        return [one["params"]["message"] for one in self.events if one["method"] == "Page.javascriptDialogOpening"]

    def open(self, path: Path, width: int = 1280, height: int = 900, **media: str) -> None:
        """Loads a file at a size in CSS pixels, with media features such as `prefers_color_scheme`, and waits until it is drawn."""
        self.events.clear()
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        features = [{"name": name.replace("_", "-"), "value": value} for name, value in media.items()]
        self._call("Emulation.setEmulatedMedia", features=features)
        self._call("Page.navigate", url=path.resolve().as_uri())
        deadline = time.monotonic() + _ANSWER_SECONDS
        while not any(one["method"] == "Page.loadEventFired" for one in self.events):
            self._read(deadline)

    def evaluate(self, expression: str) -> Any:
        """The value of an expression, as JSON carries it."""
        answer = self._call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def press(self, key: str) -> None:
        """Presses a key and lets it go."""
        for kind in ("rawKeyDown", "keyUp"):
            self._call("Input.dispatchKeyEvent", type=kind, key=key, code=key)

    def settle(self) -> None:
        """Waits for two frames, so that whatever the page would still do it has done."""
        self.evaluate(
            "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 150))))"
        )

    def picture(self, path: Path, selector: str | None = None) -> None:
        """A picture of the whole page, or of what a selector names."""
        box = self.evaluate(
            f"(() => {{ const r = document.querySelector({json.dumps(selector or 'html')}).getBoundingClientRect();"
            " return [r.x + scrollX, r.y + scrollY, r.width, r.height]; })()"
        )
        clip = {**dict(zip(("x", "y", "width", "height"), box, strict=True)), "scale": 1}
        answer = self._call("Page.captureScreenshot", format=_PNG, captureBeyondViewport=True, clip=clip)
        path.write_bytes(base64.b64decode(answer["data"]))

    def pdf(self, path: Path) -> None:
        """The page as it is printed."""
        answer = self._call("Page.printToPDF", preferCSSPageSize=True, printBackground=True)
        path.write_bytes(base64.b64decode(answer["data"]))

    def _call(self, method: str, **parameters: Any) -> Values:
        self._number += 1
        message: Values = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + _ANSWER_SECONDS
        while True:
            answer = self._read(deadline)
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer)
                return dict(answer["result"])

    def _read(self, deadline: float) -> Values:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._answers], [], [], max(0.0, deadline - time.monotonic()))
            part = os.read(self._answers, 1 << 20) if ready else b""
            assert part, "Chromium gives no answer"
            self._buffer += part
        raw, _, self._buffer = self._buffer.partition(b"\0")
        answer: Values = json.loads(raw)
        if "method" in answer:
            self.events.append(answer)
            if answer["method"] == "Page.javascriptDialogOpening":
                self._number += 1
                closing = {"id": self._number, "method": "Page.handleJavaScriptDialog", "params": {"accept": False}}
                os.write(self._commands, json.dumps({**closing, "sessionId": self._session}).encode() + b"\0")
        return answer


def chromium() -> str | None:
    """The path of an installed Chromium; None if there is none."""
    return next((found for name in _NAMES if (found := shutil.which(name))), None)


@contextmanager
def browser() -> Iterator[Page]:
    """A Chromium with a profile of its own and one page; the test is skipped where none is installed."""
    found = chromium()
    if found is None:
        pytest.skip(f"no Chromium on the path (looked for {', '.join(_NAMES)})")
    commands_in, commands = os.pipe()
    answers, answers_out = os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        # The browser expects its two pipes as descriptors 3 and 4.
        line = f'exec "$0" "$@" 3<&{commands_in} 4>&{answers_out}'
        process = subprocess.Popen(
            ["bash", "-c", line, found, *_FLAGS, f"--user-data-dir={profile}", "about:blank"],
            pass_fds=(commands_in, answers_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(commands_in)
        os.close(answers_out)
        try:
            yield Page(commands, answers)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            os.close(commands)
            os.close(answers)
