"""One rollout of a new version with each tool, for benchmarks/canary_rivals.py."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from rival_controllers import ARGO, FLAGGER, Rival, filled, install, until

import mlk8s
from mlk8s.clients.cluster import Cluster, Manifest
from mlk8s.local.handle import Local
from mlk8s.operations.canary_run import Told
from mlk8s.operations.connection import Kubernetes
from mlk8s.operations.facts import render_facts
from mlk8s.operations.preflight import STORAGE_SECRET, require_storage_secret
from mlk8s.render.service import render_service

End = Literal["promoted", "rolled back", "not decided"]
ERRORS, LATENCY = 0.05, 0.1
"""The promise: most failed requests as a share, and the median's most seconds."""
BLOCK, DEADLINE = 10.0, 300.0
"""Seconds from look to look, and until a tool that has not decided is left."""
ANALYSIS = mlk8s.Analysis(slo=mlk8s.Slo(errors=ERRORS, p50=LATENCY), block=BLOCK, bake=50, deadline=DEADLINE)
"""Ours: the defaults, but for the bake, as long as Flagger's shortest way to a promotion."""
PAUSE = ["python3", "-c", "import time; time.sleep(5)"]
"""What our pods wait before they end, as a command."""
_LOOK = 0.25


@dataclass(frozen=True)
class Ended:
    """How a rollout ended; `decided` is when, in seconds since the epoch, None where it never was."""

    end: End
    decided: float | None


class Tool(Protocol):
    """One of the three.

    Attributes:
        name: for tables; of its service, too.
        version: what is measured.
    """

    name: str
    version: str

    def start(self, model: str) -> None:
        """Serve the first version."""

    def roll(self, model: str) -> Ended:
        """Bring out another version, and come back when it is promoted or taken back."""


def service(name: str, model: str) -> mlk8s.ModelService:
    """Return the service that all three tools bring out: one small pod, so that two fit on a small node."""
    return mlk8s.ModelService(name=name, model=model, replicas=1, resources=mlk8s.Resources(cpu="100m"))


class Ours:
    """mlk8s: the process that judges is this one."""

    name = "mlk8s"
    version = mlk8s.__version__

    def __init__(self, k8s: Kubernetes) -> None:
        self._k8s = k8s

    def start(self, model: str) -> None:
        self._service = self._k8s.deploy(service(self.name, model), say=lambda _line: None)

    def roll(self, model: str) -> Ended:
        with tempfile.TemporaryDirectory(prefix="mlk8s-bench-") as folder:
            result = self._service.running_canary().run(
                ANALYSIS, model=model, told=Told(directory=folder), say=lambda _line: None
            )
        if result.outcome not in ("promoted", "rolled back"):
            return Ended("not decided", None)
        assert result.decision is not None
        return Ended("promoted" if result.promoted else "rolled back", result.decision.at)


@dataclass
class Watched:
    """A rollout that a controller in the cluster works on: its object is looked at."""

    cluster: Cluster
    k8s: Kubernetes
    local: Local
    rival: Rival

    @property
    def name(self) -> str:
        return self.rival.name

    @property
    def version(self) -> str:
        return self.rival.version

    @property
    def namespace(self) -> str:
        return self.k8s.namespace

    def values(self) -> dict[str, Any]:
        """What the manifests of `rivals/` leave open."""
        place, _, port = (self.k8s.platform.prometheus or "").partition(":")
        prometheus_namespace, _, prometheus = place.partition("/")
        gateway_namespace, _, gateway = (self.k8s.platform.gateway or "").partition("/")
        return {
            "name": self.name, "namespace": self.namespace, "path": f"/{self.namespace}/{self.name}",
            "prometheus": f"http://{prometheus}.{prometheus_namespace}.svc:{port}",
            "gateway_name": gateway, "gateway_namespace": gateway_namespace,
            "errors": ERRORS, "errors_percent": 100 * ERRORS, "latency": LATENCY,
        }  # fmt: skip

    def install(self) -> None:
        install(self.cluster, self.local, self.rival, self.values())
        require_storage_secret(self.cluster, self.namespace, STORAGE_SECRET)

    def rendered(self, model: str) -> dict[str, Manifest]:
        """Return the objects that mlk8s would make of this service, by kind."""
        found = render_service(service(self.name, model), render_facts(self.k8s.platform, self.namespace))
        return {item["kind"]: item for item in found}

    def workload(self, rendered: dict[str, Manifest], api_version: str, kind: str) -> Manifest:
        """Return the Deployment as an object of the rival's; how many pods it has is the controller's."""
        spec = rendered["Deployment"]["spec"]
        kept = {key: spec[key] for key in ("selector", "template", "revisionHistoryLimit")}
        return {
            "apiVersion": api_version, "kind": kind, "spec": kept,
            "metadata": {"name": self.name, "namespace": self.namespace},
        }  # fmt: skip

    def apply(self, *manifests: Manifest) -> None:
        for item in manifests:
            self.cluster.apply(item, force=True)

    def watch(self, look: Callable[[], tuple[End | None, bool]]) -> Ended:
        """Look until the rollout has ended; `look` says what is decided, and whether all of it is done."""
        began, decided = time.time(), None
        while time.time() < began + DEADLINE:
            end, done = look()
            if end is not None and decided is None:
                decided = time.time()
            if end is not None and done:
                return Ended(end, decided)
            time.sleep(_LOOK)
        return Ended("not decided", None)


class Flagger(Watched):
    """Flagger with its Gateway API provider, on the platform's Gateway."""

    kind = "flagger.app/v1beta1/Canary"

    def start(self, model: str) -> None:
        self.install()
        self._write(model)
        self.apply(*filled("flagger.yaml", self.values()))
        until(lambda: self._phase() == "Initialized", "Flagger has its primary")

    def roll(self, model: str) -> Ended:
        self._write(model)
        seen = False  # until Flagger has seen the new version, the phase is the last rollout's

        def look() -> tuple[End | None, bool]:
            nonlocal seen
            phase = self._phase()
            seen = seen or phase == "Progressing"
            if seen and phase == "Failed":
                return "rolled back", True
            if seen and phase in ("Promoting", "Finalising", "Succeeded"):
                return "promoted", phase == "Succeeded"
            return None, False

        return self.watch(look)

    def _write(self, model: str) -> None:
        rendered = self.rendered(model)
        workload = self.workload(rendered, "apps/v1", "Deployment")
        # Flagger 1.36 knows Kubernetes 1.27 and drops newer fields, so that preStop would have no handler.
        (server,) = workload["spec"]["template"]["spec"]["containers"]
        server["lifecycle"] = {"preStop": {"exec": {"command": PAUSE}}}
        self.apply(rendered["ServiceAccount"], rendered["ConfigMap"], workload)

    def _phase(self) -> str:
        found = self.cluster.get(self.kind, self.name, self.namespace)
        return str((found.get("status") or {}).get("phase", ""))


class Argo(Watched):
    """Argo Rollouts with its nginx provider, on the platform's Ingress."""

    kind = "argoproj.io/v1alpha1/Rollout"

    def start(self, model: str) -> None:
        self.install()
        rendered = self.rendered(model)
        service = rendered["Service"]
        canary = service | {"metadata": service["metadata"] | {"name": f"{self.name}-canary"}}
        self.apply(service, canary, rendered["Ingress"])
        *templates, self._rollout = filled("argo-rollouts.yaml", self.values())
        self.apply(*templates)
        self._write(model)
        until(lambda: self._look() == ("promoted", True), "Argo's first version is healthy")

    def roll(self, model: str) -> Ended:
        self._write(model)
        return self.watch(self._look)

    def _write(self, model: str) -> None:
        rendered = self.rendered(model)
        workload = self.workload(rendered, "argoproj.io/v1alpha1", "Rollout")
        workload["spec"] |= self._rollout["spec"]
        self.apply(rendered["ServiceAccount"], rendered["ConfigMap"], workload)

    def _look(self) -> tuple[End | None, bool]:
        found = self.cluster.get(self.kind, self.name, self.namespace)
        status = found.get("status") or {}
        if str(status.get("observedGeneration")) != str(found["metadata"]["generation"]):
            return None, False  # the status is the last version's
        if status.get("abort"):
            return "rolled back", status.get("phase") == "Degraded"
        steps = len(found["spec"]["strategy"]["canary"]["steps"])
        whole = status.get("phase") == "Healthy" and status.get("stableRS") == status.get("currentPodHash")
        return ("promoted" if status.get("currentStepIndex") == steps else None), whole


def rivals(k8s: Kubernetes, local: Local, built: Sequence[Rival]) -> list[Tool]:
    """Return those of the two others that could be built."""
    kinds = {FLAGGER.name: Flagger, ARGO.name: Argo}
    return [kinds[rival.name](k8s.cluster, k8s, local, rival) for rival in built]
