"""Who is told of a rollout: its run directory, Events on the Deployment, metrics, a webhook.

None of them can end it: what cannot be told is said once.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from mlk8s.assess.evidence import Block, Decision, Record, State
from mlk8s.assess.rollout_metrics import page
from mlk8s.clients.clock import Clock, utc
from mlk8s.clients.metrics_page import MetricsPage
from mlk8s.clients.webhook import check_url, post
from mlk8s.errors import Mlk8sError, UsageError
from mlk8s.operations.service import Service
from mlk8s.spec.analysis import Analysis

EVIDENCE = "evidence.jsonl"
_LOG = "log.jsonl"
Say = Callable[[str], None]


@dataclass(frozen=True)
class Told:
    """Where a rollout tells of itself.

    Attributes:
        directory: of its files; None makes one under ./runs.
        webhook: http(s) address that gets each verdict as JSON.
        metrics_port: port of 127.0.0.1 for its metrics, 0 for a free one; None serves none.
        metrics_host: another address to listen at, as in a pod.
    """

    directory: str | os.PathLike[str] | None = None
    webhook: str | None = None
    metrics_port: int | None = None
    metrics_host: str = "127.0.0.1"

    def __post_init__(self) -> None:
        if self.webhook is not None:
            check_url(self.webhook)


class Teller:
    """Tells of one rollout, while a `with` block runs.

    Raises:
        UsageError: the directory cannot be made, or the port is taken.
    """

    def __init__(self, told: Told, service: Service, clock: Clock, say: Say) -> None:
        self._told, self._cluster, self._clock, self._say = told, service.cluster, clock, say
        self._name, self._namespace = service.name, service.namespace
        self._failed: set[str] = set()
        self._stack = ExitStack()
        self._now: tuple[int, Block | None, Decision | None] = (0, None, None)
        self._deployment: dict[str, Any] | None = None
        self._count = 0
        self.directory = run_directory(told.directory, service.name, clock)

    def __enter__(self) -> Self:
        if self._told.metrics_port is not None:
            served = MetricsPage(
                self._told.metrics_port,
                lambda: page(self._name, self._namespace, *self._now),
                host=self._told.metrics_host,
            )
            self._stack.enter_context(served)
            self._say(f"metrics: http://{self._told.metrics_host}:{served.port}/metrics")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def begin(
        self, analysis: Analysis, state: State, edges: dict[str, float], decided: list[Decision]
    ) -> None:
        """Begin a file of evidence with the blocks that are known already; an earlier one gets a number."""
        record = Record(analysis, state.started, tuple(zip(state.blocks, decided, strict=True)), edges)
        self._try("file", lambda: write_record(self.directory, record))

    def block(self, weight: int, block: Block, decision: Decision) -> None:
        """Write a block and what was decided on it."""
        self._now = (weight, block, decision)

        def append() -> None:
            with (self.directory / EVIDENCE).open("a") as file:
                file.write(Record.line(block, decision))

        self._try("file", append)

    def weight(self, weight: int) -> None:
        """Take note of the weight for the metrics."""
        self._now = (weight, *self._now[1:])

    def event(self, reason: str, text: str, *, warning: bool = False) -> None:
        """Say what was done: a line of the log, and an Event on the Deployment."""
        at = self._clock.now()

        def log() -> None:
            with (self.directory / _LOG).open("ab") as file:
                file.write(orjson.dumps({"t": round(at, 3), "reason": reason, "text": text}) + b"\n")

        self._try("file", log)
        self._try("Event", lambda: self._create_event(reason, text, warning, at))

    def verdict(self, values: dict[str, Any]) -> None:
        """Send a verdict to the webhook, where there is one."""
        url = self._told.webhook
        if url is not None:
            self._try("webhook", lambda: post(url, values))

    def _create_event(self, reason: str, text: str, warning: bool, at: float) -> None:
        if self._deployment is None:
            self._deployment = self._cluster.get("Deployment", self._name, self._namespace)
        metadata = self._deployment["metadata"]
        self._count += 1
        stamp = utc(at)
        self._cluster.create({
            "apiVersion": "v1", "kind": "Event",
            "metadata": {"generateName": f"{self._name}-canary.", "namespace": self._namespace},
            "involvedObject": {
                "apiVersion": "apps/v1", "kind": "Deployment", "name": self._name,
                "namespace": self._namespace, "uid": metadata["uid"],
            },
            "reason": reason, "message": text[:1_000], "type": "Warning" if warning else "Normal",
            "source": {"component": "mlk8s-canary"}, "count": 1,
            "firstTimestamp": stamp[:19] + "Z", "lastTimestamp": stamp[:19] + "Z",
        })  # fmt: skip

    def _try(self, what: str, tell: Callable[[], object]) -> None:
        try:
            tell()
        except (Mlk8sError, OSError) as error:
            text = error.what if isinstance(error, Mlk8sError) else str(error)
            if what not in self._failed:
                self._failed.add(what)
                self._say(f"{self._name}: {what} not written, the rollout goes on: {text}")
        else:
            self._failed.discard(what)


def run_directory(given: str | os.PathLike[str] | None, name: str, clock: Clock) -> Path:
    """Return the directory of a rollout's files, made where it was not there; None makes one under ./runs.

    Raises:
        UsageError: it cannot be made.
    """
    stamp = utc(clock.now())[:19].replace(":", "").replace("-", "")
    place = Path(given) if given is not None else Path("runs") / f"{name}-canary-{stamp}"
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make the directory: {error.strerror}", where=str(place)) from None
    return place.resolve()


def write_record(directory: Path, record: Record) -> None:
    """Write a rollout's evidence; an earlier file gets a number.

    Raises:
        OSError: it cannot be written.
    """
    place = directory / EVIDENCE
    if place.exists() and place.stat().st_size:
        number = 1 + len(list(directory.glob("evidence-*.jsonl")))
        place.rename(directory / f"evidence-{number}.jsonl")
    lines = [Record.head(record.analysis, record.started, record.edges)]
    place.write_text("".join(lines + [Record.line(*entry) for entry in record.entries]))
