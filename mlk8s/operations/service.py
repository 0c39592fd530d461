"""A model service that runs: ask it, load it, give it a canary, undo it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlk8s.clients.cluster import Cluster
from mlk8s.clients.platform import Platform
from mlk8s.errors import NotFound

if TYPE_CHECKING:
    from mlk8s.assess.why.facts import Diagnosis
    from mlk8s.clients.background import BackgroundClient
    from mlk8s.clients.forward import PortForward
    from mlk8s.clients.inference import Inference, Prediction
    from mlk8s.clients.streams import ExecResult
    from mlk8s.operations.canary_handle import CanaryHandle
    from mlk8s.operations.colours import BlueGreenHandle
    from mlk8s.operations.inspect import ServiceEvent
    from mlk8s.operations.logs import LogLine
    from mlk8s.operations.recommendation import Recommendation
    from mlk8s.operations.rollout import Revision
    from mlk8s.operations.run import Run
    from mlk8s.operations.shadow import ShadowResult
    from mlk8s.operations.sizing import Sizing
    from mlk8s.spec.load import LoadProfile, Slo
    from mlk8s.spec.shadow import Shadow
    from mlk8s.spec.workers import Workers

Say = Callable[[str], None]


@dataclass(frozen=True)
class ServiceStatus:
    """What a service is at one moment: replicas as counts of pods."""

    name: str
    namespace: str
    model: str | None
    replicas: int
    ready: int
    updated: int
    url: str | None


class Service:
    """One model service of a cluster, by name; every method reads the cluster anew."""

    def __init__(self, cluster: Cluster, platform: Platform, name: str, namespace: str) -> None:
        self.cluster = cluster
        self.platform = platform
        self.name = name
        self.namespace = namespace
        self.ca: str | os.PathLike[str] | None = None
        self._inference: Inference | None = None

    def __repr__(self) -> str:
        return f"Service {self.name!r} in namespace {self.namespace!r} at {self.url}"

    @property
    def url(self) -> str | None:
        """URL of the service from outside, or None where it has no route."""
        from mlk8s.clients.traffic import way_in

        found = way_in(self.cluster, self.name, self.namespace)
        return None if found is None else found.url(self.platform)

    @property
    def inference(self) -> Inference:
        """The V2 client of this service, with a connection that is kept.

        Raises:
            NotFound: the service has no route from outside.
        """
        from mlk8s.clients.inference import Inference
        from mlk8s.clients.traffic import way_in
        from mlk8s.spec.route import asked_host

        if self._inference is None:
            found = way_in(self.cluster, self.name, self.namespace)
            address = found.address(self.platform) if found is not None else None
            if found is None or address is None:
                raise NotFound(
                    f"service {self.name!r} has no way in from here",
                    where=f"namespace {self.namespace!r}",
                    next_step="deploy it with a route, or use `kubectl port-forward`",
                )
            self._inference = Inference(address, model=self.name, host=asked_host(found.host), ca=self.ca)
        return self._inference

    def trust(self, ca: str | os.PathLike[str]) -> Service:
        """Trust a certificate authority, or a self-signed certificate, for this service; return the service.

        Args:
            ca: PEM file.
        """
        self.ca, self._inference = ca, None
        return self

    def predict(self, inputs: Any, *, headers: dict[str, str] | None = None) -> Prediction:
        """Ask the model once, through the Ingress.

        Args:
            inputs: rows for a model with one input, or a dict of input name to array.
            headers: further request headers, such as {"X-Canary": "always"}.

        Raises:
            UsageError: the inputs do not fit the model's signature.
            NotFound: no model of that name answers at this address.
            PredictionFailed: the service answered with an error; its words are in the message.
            Unreachable, WaitTimeout: nothing answered, or not in time.
        """
        return self.inference.infer(inputs, headers=headers)

    def background(self, inputs: Any, *, rps: float = 20.0) -> BackgroundClient:
        """Return a context manager that asks all the time and counts what failed."""
        from urllib.parse import urlsplit

        from mlk8s.clients.background import BackgroundClient

        allowed = urlsplit(self.inference.url).hostname  # the way in that the cluster itself told
        return BackgroundClient(self.inference, inputs, rps=rps, allowed=[allowed] if allowed else [])

    def status(self) -> ServiceStatus:
        """Return replicas and model as the cluster has them now.

        Raises:
            NotFound: the service is not there any more.
        """
        from mlk8s.operations.bluegreen_state import live_deployment

        deployment = live_deployment(self.cluster, self.name, self.namespace)
        annotations = deployment["metadata"].get("annotations") or {}
        status = deployment.get("status") or {}
        return ServiceStatus(
            name=self.name,
            namespace=self.namespace,
            model=annotations.get("mlk8s.dev/model"),
            replicas=int(deployment["spec"].get("replicas", 1)),
            ready=int(status.get("readyReplicas") or 0),
            updated=int(status.get("updatedReplicas") or 0),
            url=self.url,
        )

    def why(self) -> Diagnosis:
        """Say why the service does not serve: its pods, then what leads to them, then its autoscaler."""
        from mlk8s.operations.bluegreen_state import live_deployment
        from mlk8s.operations.why import why

        try:
            live = live_deployment(self.cluster, self.name, self.namespace)["metadata"]["name"]
        except NotFound:
            live = self.name
        # While green is live, what has the service's own name is the idle colour, and may be without pods.
        names = [self.name] if live == self.name else [f"deployment/{live}", f"service/{self.name}"]
        found = [why(self.cluster, self.platform, item, self.namespace) for item in names]
        return next((item for item in found if item.cause is not None), found[0])

    def recommendation(self) -> Recommendation | None:
        """Return the CPU and memory that VPA recommends, None while nothing is known yet.

        Raises:
            NotFound: the service was not deployed with vertical=Vertical(...).
        """
        from mlk8s.operations.recommendation import recommendation

        return recommendation(self.cluster, self.name, self.namespace)

    def canary(
        self,
        model: str,
        *,
        weight: int = 10,
        header: str | None = None,
        cookie: str | None = None,
        replicas: int = 1,
        timeout: float = 120.0,
        say: Say | None = None,
    ) -> CanaryHandle:
        """Start a second version beside this one and send it `weight` percent of the requests.

        Args:
            header: request header; `always` leads to the canary, `never` away from it.
            cookie: name of a cookie by which a client stays with its version.

        Raises:
            RolledBack: the canary never became ready; it was removed and its weight was 0 all the time.
            Conflict: another canary runs, or another process works on it.
            Rejected: the ingress controller would ignore a canary.
        """
        from mlk8s.operations import canary
        from mlk8s.operations.canary_handle import CanaryHandle
        from mlk8s.spec.canary import Canary

        spec = Canary(model=model, weight=weight, header=header, cookie=cookie, replicas=replicas)
        started = canary.start(self, spec, timeout=timeout, say=say or print)
        return CanaryHandle(self, started.split)

    def running_canary(self) -> CanaryHandle:
        """Return the canary that was started before, perhaps by another process."""
        from mlk8s.operations.canary_handle import CanaryHandle

        return CanaryHandle(self)

    def shadow(
        self,
        shadow: Shadow,
        *,
        directory: str | os.PathLike[str] | None = None,
        keep: bool = False,
        timeout: float = 180.0,
        say: Say | None = None,
    ) -> ShadowResult:
        """Copy predictions to another version, and test whether both answer alike; see `shadow.run`."""
        from mlk8s.operations import shadow as work

        return work.run(self, shadow, directory=directory, keep=keep, timeout=timeout, say=say or print)

    def stop_shadow(self, *, say: Say | None = None) -> bool:
        """Remove a shadow that was kept, or whose process is gone; return whether there was one."""
        from mlk8s.operations import shadow

        return shadow.stop(self, say=say or print)

    def loadtest(
        self,
        profile: LoadProfile,
        *,
        inputs: Any = None,
        body: bytes | dict[str, Any] | str | os.PathLike[str] | None = None,
        slo: Slo | None = None,
        directory: str | os.PathLike[str] | None = None,
        settle: str | float = 0.0,
        processes: int = 1,
        workers: int | Workers | None = None,
        live: bool | None = None,
        own_target: str | None = None,
        say: Say | None = None,
    ) -> Run:
        """Run a load test through the Ingress, with Locust in a process of its own.

        Args:
            profile: what is sent over time.
            inputs: rows or arrays of one request; or
            body: the V2 infer request itself: JSON bytes, a dict, or the path of a file.
            slo: the promise the result is judged by.
            directory: where results are written as they come; None makes one under ./runs.
            settle: how long to go on watching replicas after the load, "60s" or seconds.
            processes: how many processes of this machine send it together.
            workers: how many pods of the cluster send it together instead, or Workers(...).
            live: whether the cell of a notebook shows it while it runs, with a button that stops it; None
                where there is an IPython kernel with ipywidgets.
            own_target: the host that gets the load, where it is neither loopback nor the connected cluster's
                own ingress: your word that it is yours.

        Raises:
            UsageError: a target that must not get load, or a live view where there is no notebook.
            LoadTestError: the load test did not run to its end; what was measured stays in the directory.
        """
        from mlk8s.operations.loadtest import loadtest

        return loadtest(
            self.cluster, self, profile, inputs=inputs, body=body, slo=slo, directory=directory,
            settle=settle, processes=processes, workers=workers, live=live, own_target=own_target,
            say=say or print,
        )  # fmt: skip

    def size(
        self,
        slo: Slo,
        *,
        inputs: Any = None,
        body: bytes | dict[str, Any] | str | os.PathLike[str] | None = None,
        peak: float | None = None,
        ramp: str | float = "5m",
        headroom: float = 0.2,
        metric: str | None = None,
        pod_hour_price: float | None = None,
        gpu_hour_price: float | None = None,
        within: str | float = "5m",
        check: bool = True,
        confidence: float = 0.9,
        precision: float = 0.15,
        directory: str | os.PathLike[str] | None = None,
        say: Say | None = None,
    ) -> Sizing:
        """Find the most requests/s that one pod holds within a promise, and what to set because of it.

        A copy of the service with one pod gets the load and is removed; the service itself is not touched.
        `k8s.deploy(sizing.spec)` applies what follows.

        Args:
            slo: the promise.
            inputs, body: the request, as for `loadtest`.
            peak: most requests/s that the service has to bear; gives replicas.
            ramp: time in which the load may rise to the peak, "5m" or seconds.
            headroom: share of a pod's rate that the autoscaler keeps free.
            metric: `requests_in_flight` or `requests_per_second`; None means the service's own.
            pod_hour_price, gpu_hour_price: of a pod without its GPUs, and of one GPU, for an hour.
            within: time that all of it may take.
            check: whether 0.9 and 1.2 times the answer are sent in the end.
            confidence: of the interval.
            precision: width of the interval, as a share of the rate, at which the search is over.
            directory: for the results; None makes one under ./runs.

        Raises:
            UsageError: a number outside its range, or a promise that cannot be judged in this time.
            Conflict: an object named NAME-size is somebody else's.
            WaitTimeout: time was up before there was an answer.
        """
        from mlk8s.assess.capacity.plan import Demand
        from mlk8s.operations.size import duration, size

        demand = Demand(
            peak=peak, ramp=duration("ramp", ramp), headroom=headroom, metric=metric,
            pod_hour_price=pod_hour_price, gpu_hour_price=gpu_hour_price,
        )  # fmt: skip
        return size(
            self, slo, inputs=inputs, body=body, demand=demand, within=within, check=check,
            confidence=confidence, precision=precision, directory=directory, say=say or print,
        )  # fmt: skip

    def history(self) -> list[Revision]:
        """Return the revisions that this service can go back to, oldest first."""
        from mlk8s.operations.rollout import history

        return history(self.cluster, self.name, self.namespace)

    def undo(self, *, to_revision: int | None = None, timeout: float = 120.0, say: Say | None = None) -> None:
        """Go back to a revision of `history`, by default the one before; wait until it serves."""
        from mlk8s.operations.rollout import undo

        undo(
            self.cluster, self.platform, self.name, self.namespace, to_revision=to_revision, timeout=timeout,
            say=say or print,
        )  # fmt: skip

    def pause(self, *, say: Say | None = None) -> None:
        """Stop a rollout where it is; a deploy is refused until it is resumed."""
        from mlk8s.operations.rollout import pause

        pause(self.cluster, self.name, self.namespace, say=say or print)

    def resume(self, *, wait: bool = True, timeout: float = 180.0, say: Say | None = None) -> None:
        """Let a paused rollout go on, and wait until it is done."""
        from mlk8s.operations.rollout import resume

        resume(self.cluster, self.name, self.namespace, wait=wait, timeout=timeout, say=say or print)

    def restart(self, *, wait: bool = True, timeout: float = 180.0, say: Say | None = None) -> None:
        """Replace every pod by a new one of the same version."""
        from mlk8s.operations.rollout import restart

        restart(self.cluster, self.name, self.namespace, wait=wait, timeout=timeout, say=say or print)

    def events(self) -> list[ServiceEvent]:
        """Return the events of this service's objects: pods, ReplicaSets, autoscaler, ...; newest last."""
        from mlk8s.operations.inspect import events

        return events(self.cluster, self.name, self.namespace)

    def logs(
        self,
        *,
        follow: bool = False,
        container: str | None = None,
        since: str | float | None = None,
        tail: int | None = None,
        previous: bool = False,
        pod: str | None = None,
        timestamps: bool = False,
    ) -> Iterator[LogLine]:
        """Yield the log lines of all pods in the order of time; see `mlk8s.operations.logs.logs`."""
        from mlk8s.operations.logs import logs

        return logs(
            self.cluster, self.name, self.namespace, follow=follow, container=container, since=since,
            tail=tail, previous=previous, pod=pod, timestamps=timestamps,
        )  # fmt: skip

    def exec(
        self,
        command: Sequence[str],
        *,
        pod: str | None = None,
        container: str | None = None,
        stdin: bytes | str | None = None,
        timeout: float | None = 60.0,
    ) -> ExecResult:
        """Run a command in a pod, by default in the server of the first ready one, and wait for its end.

        Raises:
            UsageError: the command cannot be started.
            WaitTimeout: it still runs after `timeout` seconds.
        """
        from mlk8s.operations.inspect import run_command

        return run_command(
            self.cluster, self.name, self.namespace, command, pod=pod, container=container, stdin=stdin,
            timeout=timeout,
        )  # fmt: skip

    def port_forward(
        self, port: int = 8080, *, local_port: int = 0, pod: str | None = None, say: Say | None = None
    ) -> PortForward:
        """Return a port of 127.0.0.1 that leads to a ready pod's, while a `with` block runs."""
        from mlk8s.operations.inspect import forward

        return forward(
            self.cluster, self.name, self.namespace, port, local_port=local_port, pod=pod, say=say or print
        )

    def colours(self) -> BlueGreenHandle:
        """Return the two colours of a service with strategy 'BlueGreen': switch, back, finish, status."""
        from mlk8s.operations.colours import BlueGreenHandle

        return BlueGreenHandle(self)

    def delete(self, *, data: bool = False, say: Say | None = None) -> None:
        """Delete every object of this service, a canary and its rules in Prometheus included.

        Args:
            data: delete the claims that it retains, too.
        """
        from mlk8s.operations.deploy import delete

        delete(self.cluster, self.platform, self.name, self.namespace, data=data, say=say or print)
