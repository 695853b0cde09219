"""Figures pushed at the end of a run: they arrive, or it is said why not."""

import logging
import socket

import pytest

from tests.pushgateway import GROUP, pushgateway
from transforms.adapters.events import FIELDS
from transforms.adapters.pushing import check_push_url, push
from transforms.logic.errors import ConfigurationError

TEXT = "# HELP up Whether.\n# TYPE up gauge\nup 1\n"


def test_what_is_pushed_replaces_what_was_there() -> None:
    with pushgateway() as gateway:
        assert push(gateway.url, TEXT)
        assert gateway.groups == {GROUP: {("up", ""): 1.0}}
        assert push(gateway.url, TEXT.replace("up 1", "up 0"))
        assert gateway.groups == {GROUP: {("up", ""): 0.0}}


@pytest.mark.parametrize("status", [400, 404, 500, 301, 307])
def test_a_refusal_is_reported_and_nothing_is_sent_elsewhere(status: int, caplog: pytest.LogCaptureFixture) -> None:
    with pushgateway() as gateway, caplog.at_level(logging.WARNING, "transforms"):
        gateway.status = status
        assert not push(gateway.url, TEXT)
        assert gateway.groups == {}
    (record,) = caplog.records
    fields = getattr(record, FIELDS)
    assert fields["url"] == gateway.url
    assert fields["error"].startswith(f"HTTP status {status}: ")


def test_nobody_there_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with caplog.at_level(logging.WARNING, "transforms"):
        assert not push(f"http://127.0.0.1:{port}{GROUP}", TEXT)
    assert "metrics not pushed" in caplog.text
    assert "refused" in caplog.text


@pytest.mark.parametrize(
    "url",
    [
        "",
        "gateway:9091",
        "file:///etc/passwd",
        "ftp://host/x",
        "http:///x",
        "http://[::1",
        "http://h:x/",
        "http://h/a b",
    ],
)
def test_a_url_that_nothing_can_be_pushed_to_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="--push-metrics"):
        check_push_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://me:correct-horse@gateway/metrics/job/x",
        "https://correct-horse@gateway/metrics/job/x",
        "https://me:correct/horse-correct-horse@gateway/metrics/job/x",
        "me:correct-horse@gateway:9091/metrics",
        "http:/me:correct-horse@gateway/metrics",
        "https://me:correct-horse @gateway/metrics",
        "https://gateway/metrics/job/x?token=correct-horse",
        "https://gateway/metrics/job/x#correct-horse",
    ],
)
def test_a_secret_in_the_url_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ConfigurationError, match="--push-metrics") as caught:
        check_push_url(url)
    assert "correct-horse" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9091/metrics/job/x", "https://gateway/metrics/job@base64/eA", "http://[::1]:9/x"]
)
def test_others_are_taken(url: str) -> None:
    check_push_url(url)
