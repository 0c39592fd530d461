"""A load test: Locust in its own process, the cluster sampled beside it, results written as they come."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import orjson

import mlk8s
from mlk8s.clients.clock import Clock, utc
from mlk8s.clients.cluster import Cluster
from mlk8s.clients.locust import LocustProcess
from mlk8s.clients.prometheus import Prometheus
from mlk8s.clients.traffic import way_in
from mlk8s.errors import LoadTestError, UsageError
from mlk8s.loadgen.answer import rows_of
from mlk8s.loadgen.guard import check_target
from mlk8s.loadgen.settings import Settings
from mlk8s.operations.bluegreen_state import live_deployment
from mlk8s.operations.cluster_load import ClusterLoad
from mlk8s.operations.disk import told
from mlk8s.operations.drive import GRACE, INTERRUPTED, STOPPED, drive
from mlk8s.operations.live import Opener, choose
from mlk8s.operations.run import FACTS, PROFILE, Run
from mlk8s.operations.sampling import Sampler
from mlk8s.operations.spread import spread
from mlk8s.operations.ticks import Tick
from mlk8s.render.common import MODEL
from mlk8s.report.whole import whole
from mlk8s.spec.fields import parse_duration
from mlk8s.spec.load import LoadProfile, Slo
from mlk8s.spec.workers import MAX_WORKERS, Workers

if TYPE_CHECKING:
    from mlk8s.operations.service import Service

BODY, TRACE = "body.json", "trace.json"


def loadtest(
    cluster: Cluster,
    service: Service,
    profile: LoadProfile,
    *,
    inputs: Any = None,
    body: bytes | dict[str, Any] | str | os.PathLike[str] | None = None,
    slo: Slo | None = None,
    directory: str | os.PathLike[str] | None = None,
    settle: str | float = 0.0,
    processes: int = 1,
    workers: int | Workers | None = None,
    live: bool | Opener | None = None,
    own_target: str | None = None,
    on_tick: Callable[[Tick], None] | None = None,
    say: Callable[[str], None] = print,
) -> Run:
    """Run a load test through the service's Ingress and watch the replicas follow.

    Args:
        inputs: rows or arrays of one request, encoded by the model's signature; or
        body: the V2 infer request itself: JSON bytes, a dict, or the path of a file.
        slo: the promise the result is judged by.
        directory: new directory for the results; None makes one under ./runs.
        settle: time to go on watching after the load, "60s" or seconds, to see replicas go down again.
        processes: how many processes of this machine send it together (1 to 64); one sends some ten thousand
            requests/s.
        workers: how many pods of the cluster send it together instead, 1 to 64, or Workers(...).
        live: whether a notebook's cell shows it while it runs, with a button that stops it; None where there
            is an IPython kernel with ipywidgets. Or what opens a view of your own.
        own_target: the host that gets the load, where it is neither loopback nor the connected cluster's own
            ingress: your word that it is yours.
        on_tick: called once a second with what is seen; must be quick.
        say: gets a line at the start, and, where nobody sees a live view, every ten seconds and at the end.

    Raises:
        UsageError: a target that must not get load, a request that the model refuses, a used directory.
        NotFound: the service has no address.
        LoadTestError: Locust did not run to its end; what was measured is in the directory.
        KeyboardInterrupt: passed on after Locust was stopped and the partial results were saved.
    """
    seconds = _seconds(settle)
    if not 1 <= processes <= MAX_WORKERS:
        raise UsageError(f"processes is {processes}", expected=f"1 to {MAX_WORKERS}")
    if workers is not None and processes != 1:
        raise UsageError("workers and processes are both given", expected="one: pods, or processes here")
    url = service.inference.url  # where to connect; the host that a rule has is only told
    allowed = ingress_hosts(cluster, service)
    allowed.append(check_target(url, allowed, own=own_target))  # the process that sends checks it again
    opened = choose(live)
    spread_out = spread(cluster, service, workers, say) if workers is not None else None
    request = request_body(service, inputs, body)
    place = new_directory(directory, service.name, say)
    parts = urlsplit(url)
    settings = Settings(
        url=f"{parts.scheme}://{parts.netloc}",
        path=f"{parts.path.rstrip('/')}/v2/models/{service.name}/infer",
        name=f"{service.name} infer",
        body=BODY,
        stages=[stage.model_dump() for stage in profile.stages],
        timeout=profile.timeout,
        connections=profile.most_connections,
        allowed=allowed,
        parent=os.getpid(),
        directory=place,
        host=service.inference.host,
        workers=processes,
        seed=profile.seed if profile.arrivals == "poisson" else None,
        trace=TRACE if profile.trace is not None else None,
        stop_above=profile.stop_above,
        ca=str(Path(service.ca).expanduser().absolute()) if service.ca is not None else None,
    )
    clock = Clock()
    facts = _facts(cluster, service, url, slo, seconds, clock)
    start: Callable[[], LocustProcess | ClusterLoad]
    with told(place):
        (place / BODY).write_bytes(request)
        if profile.trace is not None:
            (place / TRACE).write_bytes(orjson.dumps(profile.trace))
        (place / PROFILE).write_bytes(orjson.dumps(profile.model_dump(), option=orjson.OPT_INDENT_2))
        if spread_out is None:
            start = partial(LocustProcess, settings)
        else:
            settings = spread_out.settings(settings)
            facts["workers"] = spread_out.facts()
            longest = profile.duration + profile.timeout + GRACE
            start = partial(spread_out.start, cluster, service, settings, longest, say)
        _write(place, facts)
        through = f" from {settings.workers} pods through {settings.url}" if spread_out else ""
        say(f"load test: {profile.describe()} to {url}{through}; results in {place}")
        place_of = service.platform.prometheus
        prometheus = Prometheus(cluster, place_of) if place_of else None
        run, view = None, opened(profile, service.name)
        try:
            with Sampler(cluster, service.namespace, service.name, prometheus, place, clock):
                facts["cut"] = drive(
                    start, place, profile, settle=seconds, clock=clock, view=view, on_tick=on_tick, say=say,
                    facts=facts,
                )  # fmt: skip
            facts["ended"] = clock.now()
            _write(place, facts)
            run = Run.open(place)
            run.save()
        finally:
            told_all = view.end(run)
    if not told_all:
        say(repr(run))
    if facts["cut"] == INTERRUPTED:
        raise KeyboardInterrupt
    if facts["cut"] and facts["cut"] != STOPPED:
        raise LoadTestError(
            f"the load test did not run to its end: {facts['cut']}",
            where=str(place / "locust.log"),
            next_step=f"partial results: mlk8s.Run.open({str(place)!r})",
        )
    return run


def ingress_hosts(cluster: Cluster, service: Service) -> list[str]:
    """Return the addresses that controllers of the connected cluster gave the service's way in.

    What a ConfigMap says of it is a claim, and no address: a wrong word there must not send load elsewhere.
    """
    found = way_in(cluster, service.name, service.namespace)
    if found is not None and found.base is not None:  # its Service's own balancer or node port
        return [host] if (host := urlsplit(found.base).hostname) else []
    ingress = cluster.find("Ingress", service.name, service.namespace) or {}
    balancer = (ingress.get("status") or {}).get("loadBalancer") or {}
    hosts = [item.get("ip") or item.get("hostname") for item in balancer.get("ingress") or []]
    return sorted({host for host in hosts if host})


def _seconds(value: str | float) -> float:
    try:
        return parse_duration(value)
    except ValueError as error:
        raise UsageError(f"settle: {error}", where=repr(value)) from None


def request_body(service: Service, inputs: Any, body: Any) -> bytes:
    """Return the request's body, after the model has answered it once."""
    if (inputs is None) == (body is None):
        raise UsageError("a load test needs the request to send", expected="exactly one of inputs and body")
    if inputs is not None:
        data = service.inference.encode(inputs)
    elif isinstance(body, bytes):
        data = body
    elif isinstance(body, dict):
        data = orjson.dumps(body)
    else:
        try:
            data = Path(body).read_bytes()
        except OSError as error:
            raise UsageError(f"cannot read the body: {error.strerror}", where=str(body)) from None
    try:
        rows_of(data)
    except ValueError as error:
        raise UsageError(str(error), where="body") from None
    answer = service.inference.request("POST", f"/v2/models/{service.name}/infer", body=data)
    if 400 <= answer.status < 500:
        raise UsageError(f"the model refuses this request: {answer.words}", where=str(service.url))
    return data


def new_directory(
    directory: str | os.PathLike[str] | None, name: str, say: Callable[[str], None], mark: str = FACTS
) -> Path:
    """Return a new directory for results; what has the file `mark` of earlier ones is moved aside.

    Raises:
        UsageError: it cannot be made, or holds other files.
    """
    stamp = _stamp(Clock().now())
    place = Path(directory) if directory is not None else Path("runs") / f"{name}-{stamp}"
    try:
        if (place / mark).exists():
            # An earlier test's results are moved aside, so that a notebook can run again and nothing is lost.
            aside = place.with_name(f"{place.name}-{_stamp((place / mark).stat().st_mtime)}")
            place.rename(aside)
            say(f"the earlier results of {place} are now in {aside}")
        place.mkdir(parents=True, exist_ok=True)
        used = any(place.iterdir())
    except OSError as error:
        raise UsageError(f"cannot make the directory: {error.strerror}", where=str(place)) from None
    if used:
        raise UsageError(
            "the directory holds other files", where=str(place), expected="a new directory for the results"
        )
    return place.resolve()


def _stamp(moment: float) -> str:
    return utc(moment)[:19].replace(":", "").replace("-", "")


def _facts(
    cluster: Cluster, service: Service, url: str, slo: Slo | None, settle: float, clock: Clock
) -> dict[str, Any]:
    live = live_deployment(cluster, service.name, service.namespace)
    return {
        "target": {
            "name": service.name,
            "namespace": service.namespace,
            "url": url,
            "model": (live["metadata"].get("annotations") or {}).get(MODEL),
        },
        "cluster": {"server": cluster.server, "context": cluster.context},
        "versions": {
            "mlk8s": mlk8s.__version__,
            "Kubernetes": cluster.version(),
            "Locust": _version("locust"),
            "Python": platform.python_version(),
        },
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs",
        "slo": slo.model_dump() if slo else None,
        "settle": settle,
        "started": clock.now(),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _write(place: Path, facts: dict[str, Any]) -> None:
    with whole(place / FACTS) as file:
        file.write_bytes(orjson.dumps(facts, option=orjson.OPT_INDENT_2))
