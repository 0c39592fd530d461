"""HTTP around the protocol: JSON answers, errors that say what was expected, body limits, observation."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mlk8s.server.log import log
from mlk8s.server.metrics import Metrics

ROUTE = "mlk8s.route"
"""Key in the scope: the route's template, for the metrics; absent where a request is not observed."""

Handler = Callable[[Request], Awaitable[Response]]

CLIENT_CLOSED = 499  # nginx's code for a client that did not wait; only metrics and logs see it


class HttpError(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers


def json_response(document: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer."""
    return Response(orjson.dumps(document), status, headers, media_type="application/json")


def error_response(error: HttpError) -> Response:
    """The protocol's error document."""
    return json_response({"error": error.message}, error.status, error.headers)


class Endpoint:
    """One path: a handler for each method, every other method answered with 405."""

    def __init__(self, route: str, handlers: Mapping[str, Handler], *, observed: bool = True) -> None:
        self._route, self._handlers, self._observed = route, dict(handlers), observed
        if "GET" in self._handlers:
            self._handlers["HEAD"] = self._handlers["GET"]
        self._allow = ", ".join(sorted(self._handlers))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._observed:
            scope[ROUTE] = self._route
        handler = self._handlers.get(scope["method"])
        if handler is None:
            words = f"{scope['method']} is not allowed here; expected {self._allow}"
            await error_response(HttpError(405, words, {"Allow": self._allow}))(scope, receive, send)
            return
        response = await handler(Request(scope, receive))
        await response(scope, receive, send)


async def read_body(request: Request, limit: int, timeout: float) -> bytes:
    """The whole body.

    Raises:
        HttpError: 413 above `limit` bytes, 408 when it takes longer than `timeout` seconds.
        ClientDisconnect: nobody is there any more.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise HttpError(413, f"the body has {declared} bytes; expected {limit} at most")
    pieces: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(timeout):
            async for piece in request.stream():
                size += len(piece)
                if size > limit:
                    raise HttpError(413, f"the body has more than {limit} bytes; expected {limit} at most")
                pieces.append(piece)
    except TimeoutError:
        raise HttpError(
            408, f"the body did not arrive within {timeout:g} s", {"Connection": "close"}
        ) from None
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


class Observed:
    """Outermost layer: turns exceptions into answers, adds headers, counts and times each request."""

    def __init__(
        self, app: ASGIApp, metrics: Metrics, version: str, *, closing: Callable[[], bool], access_log: bool
    ) -> None:
        self._app, self._metrics = app, metrics
        self._version_header = (b"x-model-version", version.encode("latin-1", "replace"))
        self._closing, self._access_log = closing, access_log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1000})
            return
        started, status = time.perf_counter(), 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [*message["headers"], self._version_header]
                if self._closing():
                    headers.append((b"connection", b"close"))
                message = {**message, "headers": headers}
            await send(message)

        try:
            await self._app(scope, receive, answer)
        except HttpError as error:
            await error_response(error)(scope, receive, answer)
        except ClientDisconnect:
            status = CLIENT_CLOSED
        except Exception as error:
            log(
                "error",
                path=scope["path"],
                error=f"{type(error).__name__}: {error}",
                trace=traceback.format_exc(),
            )
            if not status:
                await error_response(HttpError(500, "internal error of the model server"))(
                    scope, receive, answer
                )
            status = 500
        seconds = time.perf_counter() - started
        if route := scope.get(ROUTE):
            self._metrics.observe_request(route, status, seconds)
        if self._access_log:
            self._log(scope, status, seconds)

    def _log(self, scope: Scope, status: int, seconds: float) -> None:
        log("request", method=scope["method"], path=scope["path"], code=status, seconds=round(seconds, 6))


async def not_found(scope: Scope, receive: Receive, send: Send) -> None:
    """Any path that is none of ours."""
    scope[ROUTE] = "unknown"
    words = f"there is nothing at {scope['path'][:200]!r}; expected /v2 or /v2/models/MODEL/infer"
    await error_response(HttpError(404, words))(scope, receive, send)


def path_of(request: Request, name: str) -> Any:
    """A parameter of the path."""
    return request.path_params.get(name)
