"""How much one pod of a service holds: load tests of a copy, each at the rate that teaches most.

Locust sends every probe, as in any other load test; what it may teach is `mlk8s.assess.capacity`'s to say.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlk8s.assess.capacity.plan import Demand
from mlk8s.assess.capacity.probe import complete
from mlk8s.assess.capacity.words import promise_words
from mlk8s.clients.clock import Clock
from mlk8s.errors import NotFound, UsageError
from mlk8s.operations.bluegreen_state import live_deployment
from mlk8s.operations.loadtest import new_directory, request_body
from mlk8s.operations.size_copy import one_pod
from mlk8s.operations.size_search import Search
from mlk8s.operations.sizing import FILE, Sizing
from mlk8s.render.common import TRACK
from mlk8s.render.size import size_copy
from mlk8s.render.stored import stored_spec
from mlk8s.spec.fields import parse_duration
from mlk8s.spec.load import Slo
from mlk8s.spec.service import ModelService

if TYPE_CHECKING:
    from mlk8s.operations.service import Service

Say = Callable[[str], None]
SHORTEST, LONGEST = 60.0, 3600.0
"""Seconds that a size may take."""
_END = 12.0
"""Seconds that are kept for taking the copy away."""
_LONGEST_BOUND = 20.0


def size(
    service: Service,
    slo: Slo,
    *,
    inputs: Any = None,
    body: bytes | dict[str, Any] | str | os.PathLike[str] | None = None,
    demand: Demand | None = None,
    within: str | float = 300.0,
    check: bool = True,
    confidence: float = 0.9,
    precision: float = 0.15,
    directory: str | os.PathLike[str] | None = None,
    say: Say = print,
) -> Sizing:
    """Find the most requests/s that one pod of a service holds within its promise, and what follows.

    One pod of the service runs beside it under the name NAME-size and gets all of the load; it is removed at
    the end, after a Ctrl-C and after a failure.

    Args:
        slo: the promise; without a bound on errors, 1 % is accepted.
        inputs: rows or arrays of one request, encoded by the model's signature; or
        body: the V2 infer request itself: JSON bytes, a dict, or the path of a file.
        demand: what the service has to bear.
        within: time that all of it may take, "5m" or seconds; 60 s to an hour.
        check: send 0.9 and 1.2 times the answer in the end, to see that the one holds and the other breaks.
        confidence: of the interval, above 0.5 and below 1.
        precision: width of the interval, as a share of the rate, at which the search is over; 0.02 to 1.
        directory: new directory for the results; None makes one under ./runs.
        say: gets one line a probe.

    Returns:
        The sizing; its `rate` is None where not even the lowest rate held.

    Raises:
        UsageError: the promise cannot be judged in this time, a request that the model refuses, no route.
        Conflict: an object named NAME-size is somebody else's.
        RolloutFailed: the copy does not become ready.
        WaitTimeout: time was up before there was an answer.
        LoadTestError: a probe did not run to its end.
    """
    clock = Clock()
    began = clock.now()
    seconds = checked(slo, within, confidence, precision)
    demand = demand or Demand()
    live = live_deployment(service.cluster, service.name, service.namespace)
    spec = _spec(live, service)
    require_gpus(spec, demand)
    size_copy(spec)  # what cannot be copied is refused before there is a directory
    place = new_directory(directory, f"{service.name}-size", say, FILE)
    facts = {
        "service": service.name, "namespace": service.namespace, "started": began, "within": seconds,
        "track": (live["metadata"].get("labels") or {}).get(TRACK, "stable"),
        "cluster": {"server": service.cluster.server, "context": service.cluster.context},
    }  # fmt: skip
    say(f"size {service.name}: {promise_words(complete(slo))}, within {seconds:g} s; results in {place}")
    with (
        _cut(place, facts),
        one_pod(
            service.cluster, service.platform, spec, service.namespace, timeout=seconds / 2, say=say
        ) as pod,
    ):
        if service.ca is not None:
            pod.service.trust(service.ca)
        say(f"size {service.name}: its pod was ready after {pod.start:.0f} s")
        work = Search(
            pod, complete(slo), clock, began + seconds - _END, confidence, precision, check, place, say
        )
        work.request = request_body(pod.service, inputs, body)
        capacity = work.measure()
    facts["ended"] = clock.now()
    found = Sizing(place, facts, spec, capacity, demand)
    found.save()
    return found


@contextmanager
def _cut(place: Path, facts: dict[str, Any]) -> Iterator[None]:
    """Write down why there is no answer, where there is none."""
    try:
        yield
    except BaseException as error:
        words = "interrupted by Ctrl-C" if isinstance(error, KeyboardInterrupt) else str(error)
        Sizing.write_cut(place, facts | {"cut": words})
        raise


def duration(name: str, value: str | float) -> float:
    """Return a duration in seconds.

    Raises:
        UsageError: it is none; names what it is of.
    """
    try:
        return parse_duration(value)
    except ValueError as error:
        raise UsageError(f"{name}: {error}", where=repr(value)) from None


def checked(slo: Slo, within: str | float, confidence: float, precision: float) -> float:
    """Return the seconds that a size may take, after every number was looked at.

    Raises:
        UsageError: one is outside its range.
    """
    seconds = duration("within", within)
    if not SHORTEST <= seconds <= LONGEST:
        raise UsageError(f"within is {seconds:g} s", expected=f"{SHORTEST:g} to {LONGEST:g} seconds")
    if not 0.5 < confidence < 1:
        raise UsageError(f"confidence is {confidence:g}", expected="above 0.5 and below 1, such as 0.9")
    if not 0.02 <= precision <= 1:
        raise UsageError(f"precision is {precision:g}", expected="0.02 to 1, a share of the rate")
    longest = max(slo.latency.values(), default=0.0)
    if longest > _LONGEST_BOUND:
        raise UsageError(
            f"the promise allows {longest:g} s, longer than a probe can wait for answers",
            expected=f"latency bounds of at most {_LONGEST_BOUND:g} s",
        )
    return seconds


def _spec(live: dict[str, Any], service: Service) -> ModelService:
    spec = stored_spec(live)
    if spec is None:
        raise NotFound(
            f"{service.name} carries no spec of mlk8s, so no copy of it can be made",
            where=f"Deployment {service.namespace}/{live['metadata']['name']}",
            expected="a service that `deploy` made",
        )
    return spec


def require_gpus(spec: ModelService, demand: Demand) -> None:
    """Refuse a price of GPUs where there are none.

    Raises:
        UsageError: the service has no `gpu`.
    """
    if demand.gpu_hour_price is not None and spec.gpu is None:
        raise UsageError(
            f"a GPU's price is given, and {spec.name} has none",
            expected="pod_hour_price alone, or a service with gpu",
        )
