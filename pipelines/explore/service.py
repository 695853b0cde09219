"""The page and its JSON over HTTP, for a browser on this machine.

| request | answer |
|---|---|
| `GET /` | the page; beside it its style, script and icon |
| `GET /api/collection` | what there is to ask: `Explorer.describe` |
| `POST /api/search` | JSON of `Question` in, ranked chunks out: `Explorer.search` |
| `GET /api/document?ranking=0&id=...&before=3&after=3` | a chunk in its document: `Explorer.document` |

What is refused is `{"error": "..."}` with status 400 (what was asked), 413 (too long), 415 (no JSON), 503 (Milvus does not answer).

A page of another origin can read nothing of it, since no answer allows that, nor make a browser search, since JSON is a type that a
browser asks leave for. One that lets its own name mean this machine's address (DNS rebinding) is refused by the Host header. Texts of the
corpus reach the page as JSON alone, and the page may run no script but its own.
"""

import json
import re
from collections.abc import Callable, Collection, Mapping
from importlib.resources import files
from types import MappingProxyType
from typing import Any, cast

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, ExceptionHandler, Message, Receive, Scope, Send

from pipelines.explore.answers import Explorer, Question
from transforms.adapters.secrets import redact
from transforms.logic.errors import ConfigurationError, CorpusEmbedError, TransientError
from transforms.logic.redaction import redacted

PAGE: Mapping[str, str] = MappingProxyType(
    {
        "index.html": "text/html",
        "explore.css": "text/css",
        "explore.js": "text/javascript",
        "view.js": "text/javascript",
        "icon.svg": "image/svg+xml",
    }
)
"""Files of the page, with their types."""
MAX_BODY_BYTES = 64 << 10
HEADERS: Mapping[str, str] = MappingProxyType(
    {
        "Content-Security-Policy": (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
            "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
        ),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cache-Control": "no-store",
    }
)
"""On every answer."""
_NUMBER = re.compile(r"[0-9]{1,3}")


def application(explorer: Explorer, hosts: Collection[str]) -> Starlette:
    """The application, which answers to these names in the Host header alone."""

    def collection(_: Request) -> Response:
        return _json(explorer.describe())

    async def search(request: Request) -> Response:
        question = _question(await _body(request))
        return _json(await run_in_threadpool(explorer.search, question))

    def document(request: Request) -> Response:
        asked = request.query_params
        ranking, before, after = (_number(asked.get(name, ""), name) for name in ("ranking", "before", "after"))
        return _json(explorer.document(ranking, asked.get("id", ""), before, after))

    routes = [
        Route("/", _file("index.html")),
        *(Route(f"/{name}", _file(name)) for name in PAGE),
        Route("/api/collection", collection),
        Route("/api/search", search, methods=["POST"]),
        Route("/api/document", document),
    ]
    handlers: dict[Any, ExceptionHandler] = {CorpusEmbedError: _refused, HTTPException: _failed}
    middleware = [
        Middleware(_WithHeaders),
        Middleware(TrustedHostMiddleware, allowed_hosts=sorted(hosts), www_redirect=False),
    ]
    return Starlette(routes=routes, middleware=middleware, exception_handlers=handlers)


class _WithHeaders:
    """Puts `HEADERS` on every answer, also on those of other middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self._app(scope, receive, send_with_headers)


def _file(name: str) -> Callable[[Request], Response]:
    content = files("pipelines.explore").joinpath("page", name).read_bytes()
    return lambda _: Response(content, media_type=PAGE[name])


async def _body(request: Request) -> bytes:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, "send application/json")
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY_BYTES:
            raise HTTPException(413, f"a question has at most {MAX_BODY_BYTES:,} bytes")
    return body


def _question(body: bytes) -> Question:
    try:
        return Question.model_validate_json(body)
    except ValidationError as error:
        said = [f"{'.'.join(map(str, one['loc'])) or 'question'}: {one['msg']}" for one in error.errors()]
        raise ConfigurationError("; ".join(said)) from error


def _number(text: str, name: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise ConfigurationError(f"{name}={text!r} is no number of at most three digits")
    return int(text)


def _refused(_: Request, error: Exception) -> Response:
    if isinstance(error, ConfigurationError):
        return _json({"error": str(error)}, 400)
    return _json({"error": str(error)}, 503 if isinstance(error, TransientError) else 500)


def _failed(_: Request, error: Exception) -> Response:
    failure = cast("HTTPException", error)
    return _json({"error": failure.detail}, failure.status_code, failure.headers)


def _json(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    content = json.dumps(redacted(value, redact), ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")
    return Response(content, status, headers, "application/json")
