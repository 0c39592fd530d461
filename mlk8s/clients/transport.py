"""One HTTP request to the API server, with bounded retries and every refusal as one of our errors."""

from __future__ import annotations

import random
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import urlencode

import orjson

from mlk8s.clients.kubeconfig import Target
from mlk8s.errors import ClusterError, Conflict, Forbidden, NotFound, Rejected, Unreachable

CONNECT_TIMEOUT = 5.0
READ_TIMEOUT = 30.0
_ATTEMPTS = 4
_RETRIED = (429, 500, 502, 503, 504)
# A refusal by policy arrives as 403 like a missing permission does; these are what the policy engines say.
_POLICY = (
    "exceeded quota",
    "violates PodSecurity",
    "admission webhook",
    "denied the request",
    "forbidden: maximum",
)

_UNTYPED = b"failed to create typed patch object"
"""What the API server says, as a 500, of an apply with a field that it does not know: no repetition helps."""


class Transport:
    """HTTP to one API server over the official client's connection pool and credentials.

    Every request has a connect and a read time-out. Reads, server-side applies and deletes are repeated
    after a lost connection, a 429 or a 5xx, at most three times, honouring Retry-After; a POST is repeated
    only where the server said that it did nothing (429, 503).
    """

    def __init__(self, target: Target, reload: Callable[[], Target] | None = None) -> None:
        from kubernetes.client import ApiClient

        self._client = ApiClient(configuration=target.configuration)
        self._target = target
        self._reload = reload
        self._sent = 0
        self._counting = Lock()

    @property
    def sent(self) -> int:
        """Requests sent so far, repetitions included."""
        return self._sent

    @property
    def authority(self) -> bytes | None:
        """Return the PEM certificates that the server is trusted by; None for the machine's own."""
        file = self._target.configuration.ssl_ca_cert
        return Path(file).read_bytes() if file else None

    @property
    def server(self) -> str:
        return str(self._target.configuration.host)

    def request(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, Any] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        timeout: float = READ_TIMEOUT,
    ) -> bytes:
        """Send one request and return the answer's body.

        Args:
            body: bytes as they are; anything else becomes JSON.
            timeout: seconds to wait for each read.

        Raises:
            Unreachable, Forbidden, NotFound, Conflict, Rejected, ClusterError: by what the server answered.
        """
        data = body if body is None or isinstance(body, bytes) else orjson.dumps(body)
        refreshed = False
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                response = self._send(method, path, query, data, content_type, accept, timeout)
                content = response.data
            except Exception as error:  # urllib3 and ssl raise a dozen kinds
                if attempt == _ATTEMPTS or method == "POST" or not _is_transient(error):
                    raise self._unreachable(error) from None
                _pause(attempt, None)
                continue
            status = int(response.status)
            if status < 400:
                return bytes(content)
            if status == 401 and not refreshed and self._reload is not None:
                refreshed = True
                self._renew()
                continue
            refused = status == 500 and _UNTYPED in bytes(content)
            repeatable = not refused and (status in (429, 503) or (status in _RETRIED and method != "POST"))
            if repeatable and attempt < _ATTEMPTS and not path.endswith("/proxy") and "/proxy/" not in path:
                _pause(attempt, response.headers.get("Retry-After"))
                continue
            raise failure(status, bytes(content), f"{method} {path}", self.server)
        raise AssertionError("unreachable")  # the last attempt returns or raises

    def open_stream(self, path: str, query: dict[str, Any], *, read_timeout: float) -> Any:
        """Return a streamed answer, urllib3's, that the caller reads and closes.

        Raises:
            Unreachable, Forbidden, NotFound, Conflict, Rejected, ClusterError: by what the server answered.
        """
        try:
            response = self._send("GET", path, query, None, "application/json", "*/*", read_timeout)
            if response.status < 400:
                return response
            content = bytes(response.data)
        except Exception as error:  # urllib3 and ssl raise a dozen kinds
            raise self._unreachable(error) from None
        raise failure(int(response.status), content, f"GET {path}", self.server)

    def websocket(self, path: str, query: list[tuple[str, str]], protocols: str) -> Any:
        """Open a WebSocket (websocket-client's) with our credentials.

        Args:
            protocols: subprotocols by preference, separated by commas.

        Raises:
            Unreachable, Forbidden, NotFound, Conflict, Rejected, ClusterError: by what the server answered.
        """
        from kubernetes.stream.ws_client import create_websocket, get_websocket_url
        from websocket import WebSocketBadStatusException

        configuration = self._client.configuration
        headers = {"sec-websocket-protocol": protocols}
        for setting in configuration.auth_settings().values():
            headers[str(setting["key"])] = str(setting["value"])
        url = get_websocket_url(self.server + path, query)
        try:
            return create_websocket(configuration, url, headers)
        except WebSocketBadStatusException as error:
            body = bytes(error.resp_body or b"")
            raise failure(int(error.status_code), body, f"GET {path}", self.server) from None
        except Exception as error:  # websocket-client, socket and ssl raise a dozen kinds
            raise self._unreachable(error) from None

    def close(self) -> None:
        self._client.close()

    def _send(
        self, method: str, path: str, query: dict[str, Any] | None, data: bytes | None, content_type: str,
        accept: str, timeout: float,
    ) -> Any:  # fmt: skip
        import urllib3

        with self._counting:
            self._sent += 1
        headers = {"Accept": accept, "User-Agent": "mlk8s"}
        for setting in self._client.configuration.auth_settings().values():
            headers[str(setting["key"])] = str(setting["value"])
        if data is not None:
            headers["Content-Type"] = content_type
        url = self.server + path + ("?" + urlencode(query) if query else "")
        return self._client.rest_client.pool_manager.request(
            method,
            url,
            body=data,
            headers=headers,
            timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT, read=timeout),
            retries=False,
            preload_content=False,
            redirect=False,
        )

    def _renew(self) -> None:
        from kubernetes.client import ApiClient

        if self._reload is not None:
            self._target = self._reload()
            self._client = ApiClient(configuration=self._target.configuration)

    def _unreachable(self, error: Exception) -> Unreachable:
        return Unreachable(
            f"the Kubernetes API server cannot be reached: {_cause(error)}",
            where=f"{self.server} (context {self._target.context!r} of {self._target.source})",
            expected="an API server that answers",
            next_step="`mlk8s status` shows the local clusters, `mlk8s up` starts or repairs one",
        )


def failure(status: int, body: bytes, what: str, server: str) -> ClusterError:
    """Turn a refusal (HTTP status and a Status object, or text) into the error it stands for."""
    try:
        parsed = orjson.loads(body)
        # a Status has a message; what Prometheus says through the API server's proxy stands in `error`
        message = str(parsed.get("message") or parsed.get("error") or "")
        reason = str(parsed.get("reason", ""))
    except (orjson.JSONDecodeError, AttributeError):
        message, reason = body.decode(errors="replace").strip()[:500], ""
    message = message or f"HTTP {status}"
    if status == 401:
        return Forbidden(
            "the API server does not accept these credentials (401): they are wrong or have expired",
            where=server,
            next_step="renew the kubeconfig's credentials",
        )
    if status == 403 and not any(word in message for word in _POLICY):
        return Forbidden(message, where=what, next_step="ask for this permission, or use another account")
    if status == 404:
        return NotFound(
            message if message != "404 page not found" else "the API server does not serve this", where=what
        )
    if status == 409:
        return Conflict(message, where=what)
    if status in (400, 403, 406, 413, 415, 422) or _UNTYPED in body:
        return Rejected(message, where=what)
    return ClusterError(f"{message} ({reason or status})", where=what)


def _is_transient(error: Exception) -> bool:
    """A lost connection may come back; a refused one or a wrong certificate does not within a second."""
    from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, SSLError

    return not isinstance(
        error, (NewConnectionError, ConnectTimeoutError, SSLError, ssl.SSLError, ValueError)
    )


def _pause(attempt: int, retry_after: str | None) -> None:
    asked = float(retry_after) if retry_after and retry_after.isdigit() else 0.0
    time.sleep(max(min(asked, 30.0), 0.2 * 2**attempt * random.uniform(0.5, 1.0)))


def _cause(error: BaseException) -> str:
    text = str(error)
    for known in (
        "Connection refused",
        "Network is unreachable",
        "No route to host",
        "timed out",
        "Name or service",
    ):
        if known in text:
            return known.lower()
    return (text.splitlines() or [type(error).__name__])[0][:300]
