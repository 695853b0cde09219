"""The command: where it listens, what it says, and how it stops."""

import http.client
import json
import signal
import socket
import sys

import pytest

from pipelines import cli
from tests.pipelines.explore.scene import Served, serving
from tests.pipelines.jobs import COLLECTION, Job
from transforms.adapters.milvus import Collection, Target, release, served


def _flags(job: Job, *more: str) -> list[str]:
    return ["--milvus", str(job.milvus), "--collection", COLLECTION, *more]


def _ask(server: Served, path: str, host: str) -> tuple[int, bytes, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    try:
        connection.request("GET", path, headers={"Host": host})
        answer = connection.getresponse()
        return answer.status, answer.read(), {name.lower(): value for name, value in answer.getheaders()}
    finally:
        connection.close()


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_this_machine_until_a_signal_and_leaves_milvus_closed(hostile_job: Job, by: signal.Signals) -> None:
    with serving(*_flags(hostile_job, "--compare", "half")) as server:
        assert server.url.startswith("http://127.0.0.1:")
        status, body, headers = _ask(server, "/api/collection", f"localhost:{server.port}")
        assert status == 200
        assert [one["collection"] for one in json.loads(body)["rankings"]] == [COLLECTION, "half"]
        assert "server" not in headers
        assert _ask(server, "/", "evil.example")[0] == 400
        # An open connection does not keep it from stopping.
        waiting = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        waiting.request("GET", "/", headers={"Host": "127.0.0.1"})
        assert waiting.getresponse().status == 200
        code, out, complaints = server.stop(by)
        waiting.close()
    assert (code, out, complaints) == (0, "stopped\n", "")
    target = Target(str(hostile_job.milvus), COLLECTION)
    try:
        collection = Collection(served(target))
        assert collection.exists()
        collection.close()
    finally:
        release(target.uri)


def test_another_host_has_to_be_allowed_and_is_warned_of(hostile_job: Job) -> None:
    with serving(*_flags(hostile_job, "--host", "127.0.0.2", "--allow-hosts", "127.0.0.2", "corpus.example")) as server:
        assert server.url.startswith("http://127.0.0.2:")
        connection = http.client.HTTPConnection("127.0.0.2", server.port, timeout=30)
        connection.request("GET", "/", headers={"Host": "corpus.example"})
        assert connection.getresponse().status == 200
        connection.close()
        code, _, complaints = server.stop()
    assert code == 0
    assert complaints.startswith(
        "warning: whoever reaches this port reads all that the collection holds, without a password"
    )


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (
            ["--host", "0.0.0.0"],
            "--host 0.0.0.0: other machines would reach the page, which asks nobody for a password",
        ),
        (["--host", "::"], "--host ::: other machines would reach the page"),
        (["--host", "corpus.example"], "--host corpus.example: other machines would reach the page"),
        (["--allow-hosts", "*"], "--allow-hosts '*': write the name or address alone, without * and /"),
        (["--allow-hosts", "http://x"], "--allow-hosts 'http://x': write the name or address alone"),
        (["--port", "70000"], "--port 70000 is out of bounds; choose 0 to 65,535"),
    ],
)
def test_where_it_may_not_be_is_refused_before_milvus_is_opened(
    flags: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.commands.explore.Explorer", lambda *_, **__: pytest.fail("it was opened"))
    assert cli.main(["explore", "--milvus", "nowhere.db", "--collection", "x", *flags]) == 2
    assert said in capsys.readouterr().err


def test_a_port_that_is_taken_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert cli.main(["explore", "--milvus", "nowhere.db", "--collection", "x", "--port", str(port)]) == 2
    said = capsys.readouterr().err
    assert f"cannot listen at --host 127.0.0.1 --port {port}: Address already in use" in said
    assert "choose others, or --port 0 for any that is free" in said


def test_without_its_extra_it_says_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "pipelines.explore.service", raising=False)
    monkeypatch.setitem(sys.modules, "starlette", None)
    monkeypatch.setitem(sys.modules, "starlette.applications", None)
    assert cli.main(["explore", "--milvus", "nowhere.db", "--collection", "x"]) == 2
    assert "explore needs its extra: pip install 'corpus-embed[explore]'" in capsys.readouterr().err
