"""Ready pods are half of a deploy: wait until the ingress controller leads to them."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from mlk8s.assess.certificate import certificate_names, covers
from mlk8s.clients.tls import Looking
from mlk8s.errors import RolloutFailed
from mlk8s.render.facts import RenderFacts
from mlk8s.render.routing import route_path, service_url
from mlk8s.spec.route import Route, asked_host
from mlk8s.spec.service import ModelService

Say = Callable[[str], None]
_POLL = 0.05
_TIMEOUT = 20.0  # seconds that a controller may take to see ready pods
_IN_A_ROW = 10
"""Answers of a version, one after the other, after which no pod of another one is thought to be asked."""
READY = "/v2/health/ready"
_REDIRECTS = (301, 302, 307, 308)


def wait_for_entry(
    spec: ModelService,
    facts: RenderFacts,
    *,
    say: Say,
    version: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> None:
    """Ask for the service's readiness through the Ingress until it answers.

    Does nothing without a route or a known address of the Ingress, and only says so where nothing listens at
    that address as seen from here: the pods serve, whoever can reach them.

    Args:
        version: model version that is waited for, until it alone answers: pods that end are asked until the
            controller has heard of it. None takes any. That another one answers is only said: the same
            requests may be led elsewhere for a while.
        headers: further request headers, such as those that lead to a preview.

    Raises:
        RolloutFailed: the Ingress is reached, but does not lead to the ready pods.
    """
    url = service_url(spec, facts)
    if spec.route is None or url is None:
        return
    host = asked_host(spec.route.host)  # only a header, and the name in TLS: it need not resolve here
    probe = url + _probe_path(spec.route)
    end = time.monotonic() + _TIMEOUT
    right = 0
    while True:
        try:
            status, answered, shown = ask(probe, host, headers)
        except (OSError, http.client.HTTPException) as error:
            say(f"{spec.name}: {url} is not reachable from here ({error}); the pods are ready")
            return
        through = status == 200 or (not probe.endswith(READY) and answered is not None)
        wrong = _wrong_certificate(spec.route, shown)
        if through and wrong is None and (version is None or answered in (None, version)):
            right += 1
            if version is None or right == _IN_A_ROW:
                _wait_for_redirect(spec, facts, host, end, say=say)
                return
            continue
        right = 0
        late = time.monotonic() > end
        if late and wrong is not None:
            raise RolloutFailed(
                f"{spec.name}: its pods are ready, but the Ingress shows {wrong}",
                where=probe,
                expected=f"the certificate of Secret {spec.route.tls}",
                next_step="see in the controller's log why it does not take the Secret",
            )
        if late and through:
            say(f"{spec.name}: version {answered} still answers at {url} after {_TIMEOUT:g} s")
            return
        if late:
            raise RolloutFailed(
                f"{spec.name}: its pods are ready, but the Ingress answers {status} after {_TIMEOUT:g} s",
                where=probe,
                expected="200 from the model server",
                next_step="see that a controller serves the Ingress's class: `mlk8s doctor`",
            )
        time.sleep(_POLL)


def _wait_for_redirect(
    spec: ModelService, facts: RenderFacts, host: str | None, end: float, *, say: Say
) -> None:
    """Ask over HTTP until it is sent on to HTTPS or not, as the route has it; a controller may need a while.

    Which redirects a class of controllers knows is its own affair, so what stays otherwise is only said.
    """
    route = spec.route
    if route is None or route.tls is None or facts.ingress_url is None:
        return
    wanted = route.redirect is not False
    url = facts.ingress_url.rstrip("/") + route_path(spec, facts).rstrip("/") + _probe_path(route)
    while True:
        try:
            status, _, _ = ask(url, host)
        except (OSError, http.client.HTTPException) as error:
            say(f"{spec.name}: {url} is not reachable from here ({error}); HTTPS is")
            return
        if (status in _REDIRECTS) == wanted:
            return
        if time.monotonic() > end:
            is_so = "is not sent on to HTTPS" if wanted else "is sent on to HTTPS, though redirect is False"
            say(f"{spec.name}: {url} {is_so} (HTTP {status} after {_TIMEOUT:g} s)")
            return
        time.sleep(_POLL)


def _probe_path(route: Route) -> str:
    """Return a path below the service's that the route lets in: readiness, else its first rule's."""
    for rule in route.paths:
        prefix = rule.path.rstrip("/")
        if rule.path == READY or (rule.type == "Prefix" and READY.startswith(f"{prefix}/")):
            return READY
    return route.paths[0].path if route.paths else READY


def _wrong_certificate(route: Route, shown: bytes) -> str | None:
    """Say whose certificate was shown where it is not the host's."""
    if (
        route.host is None
        or not shown
        or covers(names := certificate_names(shown), asked_host(route.host) or "")
    ):
        return None
    return f"a certificate for {', '.join(names) or 'nobody'}, not for {route.host}"


def ask(
    url: str, host: str | None, headers: Mapping[str, str] | None = None
) -> tuple[int, str | None, bytes]:
    """Return the HTTP status, the model version that answered, and the certificate that was shown."""
    parts = urlsplit(url)
    address = parts.hostname or ""
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        connection = Looking(address, parts.port, host or address, 3.0)
    else:
        connection = http.client.HTTPConnection(address, parts.port, timeout=3.0)
    try:
        connection.request("GET", parts.path, headers={**(headers or {}), **({"Host": host} if host else {})})
        response = connection.getresponse()
        shown = connection.certificate if isinstance(connection, Looking) else b""
        return response.status, response.headers.get("X-Model-Version"), shown
    finally:
        connection.close()
