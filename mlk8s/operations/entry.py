"""Ready pods are half of a deploy: wait until the ingress controller leads to them."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from mlk8s.errors import RolloutFailed
from mlk8s.render.facts import RenderFacts
from mlk8s.render.routing import service_url
from mlk8s.spec.service import ModelService

Say = Callable[[str], None]
_POLL = 0.05
_TIMEOUT = 20.0  # seconds that a controller may take to see ready pods
_READY = "/v2/health/ready"


def wait_for_entry(spec: ModelService, facts: RenderFacts, *, say: Say, version: str | None = None) -> None:
    """Ask for the service's readiness through the Ingress until it answers.

    Does nothing without a route or a known address of the Ingress, and only says so where nothing listens at
    that address as seen from here: the pods serve, whoever can reach them.

    Args:
        version: model version that is waited for; None takes any. That another one answers is only said: the
            same requests may be led elsewhere for a while.

    Raises:
        RolloutFailed: the Ingress is reached, but does not lead to the ready pods.
    """
    url = service_url(spec, facts)
    if spec.route is None or url is None:
        return
    host = spec.route.host  # only a header: the name need not resolve here
    end = time.monotonic() + _TIMEOUT
    while True:
        try:
            status, answered = _ask(url + _READY, host)
        except (OSError, http.client.HTTPException) as error:
            say(f"{spec.name}: {url} is not reachable from here ({error}); the pods are ready")
            return
        if status == 200 and version in (None, answered):
            return
        late = time.monotonic() > end
        if late and status == 200:
            say(f"{spec.name}: version {answered} still answers at {url} after {_TIMEOUT:g} s")
            return
        if late:
            raise RolloutFailed(
                f"{spec.name}: its pods are ready, but the Ingress answers {status} after {_TIMEOUT:g} s",
                where=url + _READY,
                expected="200 from the model server",
                next_step="see that a controller serves the Ingress's class: `mlk8s doctor`",
            )
        time.sleep(_POLL)


def _ask(url: str, host: str | None) -> tuple[int, str | None]:
    """Return the HTTP status, and the model version that answered."""
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=3.0)
    try:
        connection.request("GET", parts.path, headers={"Host": host} if host else {})
        response = connection.getresponse()
        return response.status, response.headers.get("X-Model-Version")
    finally:
        connection.close()
