"""Figures of a run pushed to where Prometheus finds them: a Pushgateway, or anything that takes its text format by PUT."""

import logging
from http.client import HTTPException, HTTPResponse
from typing import IO
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from transforms.adapters.events import report
from transforms.logic.addresses import holds_user, may_hold_secret
from transforms.logic.errors import ConfigurationError
from transforms.logic.exposition import CONTENT_TYPE

TIMEOUT_SECONDS = 10.0
_LOG = logging.getLogger(__name__)
_SAID_CHARACTERS = 200


def check_push_url(url: str) -> None:
    """Raises `ConfigurationError` for a URL that nothing can be pushed to, or that may hold a secret."""
    shown = "" if may_hold_secret(url) else f" {url!r}"
    refusal = ConfigurationError(
        f"--push-metrics{shown} must begin with http:// or https:// and name a host, "
        "as in http://127.0.0.1:9091/metrics/job/corpus_embed/collection/manuals"
    )
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise refusal from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0 or not url.isprintable() or " " in url:
        raise refusal
    # An @ in the path is of the gateway: `job@base64`.
    if holds_user(url) or not {"?", "#"}.isdisjoint(url):
        raise ConfigurationError(
            "--push-metrics holds a user, a password or a query (it is not shown, as it may be a secret), which configuration and logs "
            "would hold: leave it out"
        )


class _NoRedirects(HTTPRedirectHandler):
    """A PUT that is sent on would become a GET elsewhere."""

    def redirect_request(self, req: Request, fp: IO[bytes], code: int, msg: str, headers: object, newurl: str) -> None:
        del req, fp, code, msg, headers, newurl


def push(url: str, text: str) -> bool:
    """Puts figures to a URL, and tells whether they arrived; a failure is reported and nothing more, as the run itself is done.

    Args:
        url: as it was configured, with the grouping labels of a Pushgateway in its path.
        text: of Prometheus's text format.
    """
    request = Request(url, text.encode(), {"Content-Type": CONTENT_TYPE}, method="PUT")  # noqa: S310  `check_push_url`
    try:
        response: HTTPResponse
        with build_opener(_NoRedirects).open(request, timeout=TIMEOUT_SECONDS) as response:
            response.read()
    except HTTPError as error:
        with error:
            said = error.read(_SAID_CHARACTERS).decode(errors="replace")
        return _failed(url, f"HTTP status {error.code}: {said}")
    except (OSError, HTTPException) as error:
        return _failed(url, f"{type(error).__name__}: {error}")
    return True


def _failed(url: str, said: str) -> bool:
    report(_LOG, logging.WARNING, "metrics not pushed", url=url, error=said)
    return False
