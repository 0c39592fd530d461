"""Real predictions at a steady rate beside whatever else goes on, so that a lost request is seen."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from mlk8s.errors import Mlk8sError, UsageError
from mlk8s.loadgen.guard import check_target

if TYPE_CHECKING:
    from types import TracebackType

    from numpy.typing import ArrayLike

    from mlk8s.clients.inference import Inference

MAX_RATE = 50.0


@dataclass(frozen=True)
class Record:
    """One request.

    Attributes:
        time: seconds since the epoch when it was sent.
        status: HTTP status; 0 where no answer came.
        version: model version that answered; None where none did.
        latency: seconds until the whole answer, or until the request was given up.
        error: what went wrong; None for a prediction.
    """

    time: float
    status: int
    version: str | None
    latency: float
    error: str | None


@dataclass(frozen=True)
class Summary:
    """All requests of one background client.

    Attributes:
        requests, failed: counts.
        versions: answers by model version, failures with a version included.
        errors: failures by text.
        p50, p99: latency of the predictions in seconds; None where there are none.
        seconds: from the first request to the last.
    """

    requests: int
    failed: int
    versions: dict[str, int]
    errors: dict[str, int]
    p50: float | None
    p99: float | None
    seconds: float

    def __str__(self) -> str:
        shares = ", ".join(f"{count} by version {name}" for name, count in sorted(self.versions.items()))
        text = f"{self.requests} requests in {self.seconds:.1f} s: {self.failed} failed"
        if shares:
            text += f"; {shares}"
        if self.p50 is not None and self.p99 is not None:
            text += f"; latency p50 {self.p50 * 1e3:.1f} ms, p99 {self.p99 * 1e3:.1f} ms"
        return text


class BackgroundClient:
    """A thread that asks for one prediction after another while a `with` block runs.

    A slow answer delays the requests after it; those that fell due meanwhile are not made up for.

    Args:
        client: where to send them: loopback, or a host of `allowed`.
        inputs: what to predict, as `Inference.infer` takes it.
        rps: requests a second, at most 50.
        headers: further request headers.
        allowed: hosts of the connected cluster's ingress.

    Raises:
        UsageError: a rate that is out of range, an address that load must not go to, or inputs that do not
            fit the model.
    """

    def __init__(
        self,
        client: Inference,
        inputs: Mapping[str, ArrayLike] | ArrayLike,
        *,
        rps: float = 20.0,
        headers: Mapping[str, str] | None = None,
        allowed: Iterable[str] = (),
    ) -> None:
        if not 0 < rps <= MAX_RATE:
            raise UsageError(f"rps is {rps:g}", expected=f"above 0, at most {MAX_RATE:g} requests a second")
        check_target(client.url, allowed)
        self._client = client
        self._body = client.encode(inputs)
        self._headers = headers
        self._interval = 1.0 / rps
        self._records: list[Record] = []
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> Self:
        """Begin to ask; `stop` ends it."""
        self._stop.clear()
        # A daemon: a notebook that is closed in the middle must not hang on it.
        self._thread = threading.Thread(target=self._run, name="mlk8s-background-client", daemon=True)
        self._thread.start()
        return self

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the thread; the request in flight is waited for and counted."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    @property
    def records(self) -> tuple[Record, ...]:
        """Every request so far, oldest first."""
        return tuple(self._records)

    def failures(self, *, exclude_version: str | Iterable[str] = ()) -> tuple[Record, ...]:
        """Return the requests that got no prediction, without the error answers of the named versions.

        An answer with X-Model-Version was given by that version itself: it was not lost on the way.
        """
        excluded = {exclude_version} if isinstance(exclude_version, str) else set(exclude_version)
        return tuple(item for item in self.records if item.error and item.version not in excluded)

    def summary(self) -> Summary:
        """Return counts, versions, errors and latencies so far."""
        records = self.records
        good = sorted(item.latency for item in records if not item.error)
        return Summary(
            requests=len(records),
            failed=len(records) - len(good),
            versions=dict(Counter(item.version for item in records if item.version is not None)),
            errors=dict(Counter(item.error for item in records if item.error)),
            p50=_percentile(good, 0.50),
            p99=_percentile(good, 0.99),
            seconds=records[-1].time + records[-1].latency - records[0].time if records else 0.0,
        )

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stop.is_set():
            self._records.append(self._one())
            due = max(due + self._interval, time.monotonic())
            self._stop.wait(due - time.monotonic())

    def _one(self) -> Record:
        sent, start = time.time(), time.perf_counter()
        path = f"/v2/models/{self._client.model_name}/infer"
        try:
            answer = self._client.request("POST", path, body=self._body, headers=self._headers)
        except Mlk8sError as error:
            return Record(sent, 0, None, time.perf_counter() - start, error.what)
        wrong = None if answer.status == 200 else f"{answer.status}: {answer.words}"
        if wrong is None and answer.model_version is None:
            wrong = "200, but not from a model server: no X-Model-Version"
        return Record(sent, answer.status, answer.model_version, answer.latency, wrong)


def _percentile(ordered: list[float], share: float) -> float | None:
    """Return the smallest value that at least `share` of the values do not exceed (nearest rank)."""
    if not ordered:
        return None
    return ordered[max(0, math.ceil(len(ordered) * share) - 1)]
