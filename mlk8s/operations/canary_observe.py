"""Looking through the Ingress: which version answers, and whether the controller has followed a change."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import orjson

from mlk8s.assess.split import Split, assess_split, samples_to_see
from mlk8s.clients.inference import Inference
from mlk8s.errors import Mlk8sError

FOLLOWS = 20.0
"""Seconds a controller may take to follow a change of an Ingress or of endpoints."""
SETTLE = 3.0
"""Seconds to wait where no difference can be seen: longer than the controllers' default throttles."""
_ROUND = 0.3


@dataclass(frozen=True)
class Seen:
    """Who answered: version and digest by the model's metadata; the digest tells equal versions apart."""

    version: str | None
    digest: str | None

    def __str__(self) -> str:
        if self.version is None:
            return "something that is no model server"
        return f"version {self.version}" + (f" ({self.digest[:19]})" if self.digest else "")


class Observer:
    """Asks the service through its Ingress which model answers; whoever's certificate it shows.

    Args:
        url: the service's address from outside; None where it is not known, and nothing can be seen.
        host: Host header of the Ingress rule.
        model: name of the model.
        header: header that leads to the canary.
    """

    def __init__(self, url: str | None, host: str | None, model: str, header: str) -> None:
        self._client = Inference(url, host=host, model=model, timeout=5.0, look=True) if url else None
        self._path = f"/v2/models/{model}"
        self._header = header
        self.stable: Seen | None = None
        self.canary: Seen | None = None

    @property
    def sees(self) -> bool:
        """Whether the two models answer and can be told apart from outside."""
        both = (self.stable, self.canary)
        return self.stable != self.canary and all(one is not None and one.version is not None for one in both)

    def forget(self) -> None:
        """Forget which models there are: from now on nothing can be seen."""
        self.stable = self.canary = None

    def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            self._client.close()

    def learn(self, *, check: Callable[[], None], timeout: float = FOLLOWS) -> str | None:
        """Learn which models the header's two values lead to.

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
                cause = f"{self._header}: always is answered by {self.canary}, never by {self.stable}"
            if time.monotonic() > end:
                return cause
            time.sleep(_ROUND)

    def split(self, weight: int, *, check: Callable[[], None], timeout: float = FOLLOWS) -> Split | None:
        """Count answers until they fit the weight; return the last count, None where nothing can be seen."""
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

    def _ask(self, value: str | None = None) -> Seen:
        if self._client is None:
            return Seen(None, None)
        headers = {self._header: value} if value else None
        answer = self._client.request("GET", self._path, headers=headers)
        if answer.status != 200 or answer.model_version is None:
            return Seen(answer.model_version, None)
        return Seen(answer.model_version, _digest(answer.body))

    def _count(self, requests: int) -> Counter[Seen | None]:
        """Return how many of the requests each model answered; one that got no answer counts for None."""
        counted: Counter[Seen | None] = Counter()
        for _ in range(requests):
            try:
                counted[self._ask()] += 1
            except Mlk8sError:
                counted[None] += 1
        return counted


def _digest(metadata: bytes) -> str | None:
    try:
        return str(orjson.loads(metadata)["parameters"]["digest"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None  # another server of the same protocol
