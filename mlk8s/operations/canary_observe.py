"""Looking through the Ingress: which version answers, and whether the controller has followed a change."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from mlk8s.assess.split import Split, assess_split, samples_to_see
from mlk8s.clients.inference import Inference
from mlk8s.errors import Mlk8sError

FOLLOWS = 20.0
"""Seconds a controller may take to follow a change of an Ingress or of endpoints."""
SETTLE = 3.0
"""Seconds to wait where no difference can be seen: longer than the default throttle of the known controllers."""
_ROUND = 0.3
_PATH = "/v2"


class Observer:
    """Asks the service through its Ingress and reads the X-Model-Version of the answers.

    Args:
        url: the service's address from outside; None where it is not known, and nothing can be seen.
        host: Host header of the Ingress rule.
        header: header that leads to the canary.
    """

    def __init__(self, url: str | None, host: str | None, header: str) -> None:
        self._client = Inference(url, host=host, timeout=5.0) if url else None
        self._header = header
        self.stable: str | None = None
        self.canary: str | None = None

    @property
    def sees(self) -> bool:
        """Whether the two versions can be told apart from outside."""
        return None not in (self.stable, self.canary) and self.stable != self.canary

    def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            self._client.close()

    def learn(self, *, check: Callable[[], None], timeout: float = FOLLOWS) -> str | None:
        """Learn which versions the header's two values lead to.

        Args:
            check: called each round; raises to stop.
            timeout: seconds until a controller has followed.

        Returns:
            None when the canary was reached, else one sentence why it was not.
        """
        if self._client is None:
            return "the address of the Ingress is not known here"
        end = time.monotonic() + timeout
        while True:
            check()
            try:
                self.stable, self.canary = self._ask("never"), self._ask("always")
            except Mlk8sError as error:
                cause = error.what
            else:
                if self.sees:
                    return None
                who = f"version {self.stable}" if self.stable else "something that is no model server"
                cause = f"{self._header}: always and never are both answered by {who}"
            if time.monotonic() > end:
                return cause
            time.sleep(_ROUND)

    def split(self, weight: int, *, check: Callable[[], None], timeout: float = FOLLOWS) -> Split | None:
        """Count answers until they fit the weight; return the last count, or None where nothing can be seen."""
        if not self.sees:
            return None
        requests = 100 if weight in (0, 100) else max(200, min(1000, 1000 // weight))
        end = time.monotonic() + timeout
        while True:
            check()
            counted = self._count(requests)
            total = counted[self.stable] + counted[self.canary]
            split = assess_split(total, counted[self.canary], weight)
            if (split.fits and total) or time.monotonic() > end:
                return split
            time.sleep(_ROUND)

    def gone(self, weight: int, *, check: Callable[[], None], timeout: float = FOLLOWS) -> bool | None:
        """Wait until no request reaches the canary any more.

        Args:
            weight: percent that it had: the less, the more requests it takes to be sure.

        Returns:
            True when it is seen, False when the canary is still reached, None when it cannot be seen; then
            `SETTLE` seconds have passed.
        """
        end = time.monotonic() + timeout
        if not self.sees:
            self._settle(check)
            return None
        while True:
            check()
            if not self._count(samples_to_see(weight))[self.canary]:
                return True
            if time.monotonic() > end:
                return False
            time.sleep(_ROUND)

    def _settle(self, check: Callable[[], None]) -> None:
        end = time.monotonic() + SETTLE
        while time.monotonic() < end:
            check()
            time.sleep(_ROUND)

    def _ask(self, value: str) -> str | None:
        if self._client is None:
            return None
        return self._client.request("GET", _PATH, headers={self._header: value}).model_version

    def _count(self, requests: int) -> Counter[str | None]:
        """Return how many of the requests each version answered; one that got no answer counts for None."""
        counted: Counter[str | None] = Counter()
        for _ in range(requests if self._client else 0):
            try:
                counted[self._client.request("GET", _PATH).model_version] += 1  # type: ignore[union-attr]
            except Mlk8sError:
                counted[None] += 1
        return counted


def address(ingress: dict[str, Any], ingress_url: str | None) -> tuple[str | None, str | None]:
    """Return URL and Host header of a service's Ingress as seen from here."""
    rule = ingress["spec"]["rules"][0]
    host = rule.get("host")
    path = str(rule["http"]["paths"][0]["path"]).rstrip("/")
    if ingress_url is None or not urlsplit(ingress_url).hostname:
        return None, host
    return ingress_url.rstrip("/") + path, host
