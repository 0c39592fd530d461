"""What a cluster can do for a model service and what it lacks: facts in, one finding a line out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from mlk8s.assess.doctor_facts import (
    ApiFacts,
    ClusterFacts,
    IngressFacts,
    NodeFacts,
    PolicyFacts,
    ProbeFacts,
    SecurityFacts,
    StorageFacts,
    Unknown,
)

Status = Literal["ok", "warn", "fail", "unknown"]
OLDEST = (1, 30)
"""Oldest Kubernetes whose objects we use: `sleep` in lifecycle hooks is on by default."""
_LEASE_LAG = (-2.0, 45.0)  # kubelet renews every 10 s, and a node counts as lost after 40
_CLOCK = 5.0


@dataclass(frozen=True)
class Finding:
    """One line of `doctor`.

    Attributes:
        check: what was looked at.
        status: `fail` stands in the way of deploy, `warn` of something less, `unknown` could not be seen.
        found: what was found.
        do: what to do about it; None where there is nothing to do.
    """

    check: str
    status: Status
    found: str
    do: str | None = None


def assess(facts: ClusterFacts) -> list[Finding]:
    """Return the findings in the order in which they are shown."""
    return [
        _version(facts.version),
        _namespace(facts),
        _permissions(facts),
        *_nodes(facts.nodes),
        _clock(facts.clock),
        _ingress(facts.ingress),
        _gateway(facts),
        *_apis(facts.apis),
        *_gpus(facts),
        _storage_class(facts),
        *_policy(facts.policy),
        _security(facts.security),
        _platform(facts),
        _storage(facts.storage),
    ]


def failed(findings: Iterable[Finding]) -> bool:
    """Whether anything stands in the way of a deploy."""
    return any(item.status == "fail" for item in findings)


def _unknown(check: str, fact: Unknown, do: str | None = None) -> Finding:
    return Finding(check, "unknown", fact.reason, do)


def _version(version: str) -> Finding:
    found = re.match(r"v(\d+)\.(\d+)", version)
    if found is None or found[0] == "v0.0":
        return Finding("Kubernetes", "unknown", f"its version {version!r} tells nothing")
    if (int(found[1]), int(found[2])) < OLDEST:
        return Finding(
            "Kubernetes",
            "fail",
            version,
            f"use Kubernetes v{OLDEST[0]}.{OLDEST[1]} or newer: older ones lack fields of ours",
        )
    return Finding("Kubernetes", "ok", version)


def _namespace(facts: ClusterFacts) -> Finding:
    if isinstance(facts.namespace_found, Unknown):
        return _unknown("namespace", facts.namespace_found)
    if not facts.namespace_found:
        return Finding(
            "namespace", "fail", f"{facts.namespace!r} is not there",
            f"kubectl create namespace {facts.namespace}, or deploy --create-namespace",
        )  # fmt: skip
    return Finding("namespace", "ok", facts.namespace)


def _permissions(facts: ClusterFacts) -> Finding:
    if isinstance(facts.missing, Unknown):
        return _unknown("permissions", facts.missing)
    if facts.missing:
        return Finding(
            "permissions", "fail", f"you may not: {', '.join(facts.missing)}",
            f"ask for a Role in namespace {facts.namespace} with these verbs",
        )  # fmt: skip
    return Finding("permissions", "ok", f"deploy, canary and jobs are allowed in namespace {facts.namespace}")


def _nodes(nodes: tuple[NodeFacts, ...] | Unknown) -> Iterator[Finding]:
    if isinstance(nodes, Unknown):
        yield _unknown("nodes", nodes)
        return
    if not any(node.ready and not node.cordoned for node in nodes):
        yield Finding(
            "nodes", "fail", f"none of {len(nodes)} is ready for pods", "see `kubectl describe nodes`"
        )
    troubled = False
    for node in nodes:
        words = [] if node.ready else [f"not ready: {node.reason}"]
        words += node.pressures
        words += ["cordoned"] if node.cordoned else []
        if node.clock_lag is not None and not _LEASE_LAG[0] <= node.clock_lag <= _LEASE_LAG[1] and node.ready:
            words.append(f"its clock differs from this machine's by about {abs(node.clock_lag):.0f} s")
        if words:
            troubled = True
            yield Finding(
                "nodes", "warn", f"{node.name}: {'; '.join(words)}", f"kubectl describe node {node.name}"
            )
    if nodes and not troubled:
        yield Finding(
            "nodes", "ok", f"{len(nodes)} ready, no pressure: {_few([node.name for node in nodes])}"
        )


def _clock(skew: float | Unknown) -> Finding:
    if isinstance(skew, Unknown):
        return _unknown("clock", skew)
    if abs(skew) > _CLOCK:
        direction = "ahead of" if skew > 0 else "behind"
        return Finding(
            "clock", "warn", f"the API server's clock is {abs(skew):.0f} s {direction} this machine's",
            "synchronise both (NTP): certificates, Leases and timelines depend on them",
        )  # fmt: skip
    return Finding("clock", "ok", "the API server's and this machine's agree to within seconds")


def _ingress(ingress: IngressFacts | Unknown) -> Finding:
    if isinstance(ingress, Unknown):
        return _unknown("ingress", ingress)
    want = "for canaries: ingress-nginx, Higress, or Traefik >= 3.7 with its kubernetesIngressNGINX provider"
    if ingress.ingress_class is None and ingress.honours_canary is None:
        return Finding("ingress", "unknown", ingress.reason)
    if ingress.ingress_class is None:
        return Finding(
            "ingress", "fail", ingress.reason, "install an ingress controller, or mark a class as the default"
        )
    if ingress.honours_canary is None:
        return Finding(
            "ingress", "unknown", ingress.reason, "`mlk8s canary start` looks before it gives weight"
        )
    if not ingress.honours_canary:
        return Finding("ingress", "warn", ingress.reason, want)
    return Finding("ingress", "ok", ingress.reason)


def _gateway(facts: ClusterFacts) -> Finding:
    gateway = facts.gateway
    if isinstance(gateway, Unknown):
        return _unknown("Gateway API", gateway)
    if not gateway.versions:
        return Finding("Gateway API", "ok", "not installed; services use Ingress")
    versions = ", ".join(gateway.versions)
    if isinstance(gateway.classes, Unknown):
        return Finding("Gateway API", "unknown", f"{versions}; classes: {gateway.classes.reason}")
    if not gateway.classes:
        return Finding(
            "Gateway API", "warn", f"{versions}, and no accepted GatewayClass", "routes there lead nowhere"
        )
    return Finding("Gateway API", "ok", f"{versions}; {_few(list(gateway.classes))}")


_APIS = {
    "metrics.k8s.io": (
        "autoscaling by cpu or memory and `kubectl top` do not work",
        "install metrics-server, or an adapter that serves it",
    ),
    "custom.metrics.k8s.io": (
        "autoscaling by requests_in_flight and requests_per_second does not work",
        "install prometheus-adapter with a rule for these metrics",
    ),
}


def _apis(apis: object) -> Iterator[Finding]:
    for group, (effect, do) in _APIS.items():
        if isinstance(apis, Unknown):
            yield _unknown(group, apis)
            continue
        api = apis.get(group) if isinstance(apis, dict) else None
        if not isinstance(api, ApiFacts):
            yield Finding(group, "warn", f"not served: {effect}", do)
        elif not api.available:
            yield Finding(
                group, "warn", f"{api.name} is not available: {api.message}; {effect}", "look at its pods"
            )
        else:
            yield Finding(group, "ok", f"served by {api.name}")


def _gpus(facts: ClusterFacts) -> Iterator[Finding]:
    if isinstance(facts.gpus, Unknown):
        yield _unknown("GPU", facts.gpus)
        return
    if not facts.gpus:
        yield Finding("GPU", "ok", "none on any node; services without Gpu(...) need none")
    for gpu in facts.gpus:
        used = "" if gpu.allocated is None else f", {gpu.allocated} of them allocated"
        simulated = (
            "; simulated: counted and scheduled, but nothing computes on them" if gpu.simulated else ""
        )
        yield Finding("GPU", "ok", f"{gpu.allocatable} {gpu.resource}{used}{simulated}")


def _storage_class(facts: ClusterFacts) -> Finding:
    classes = facts.storage_classes
    if isinstance(classes, Unknown):
        return _unknown("StorageClass", classes)
    defaults = [name for name, default in classes.items() if default]
    if len(defaults) == 1:
        return Finding("StorageClass", "ok", f"{defaults[0]} is the default")
    found = "no default" if not defaults else f"{len(defaults)} defaults: {', '.join(defaults)}"
    do = "annotate one class with storageclass.kubernetes.io/is-default-class=true"
    return Finding("StorageClass", "warn", f"{found}; classes: {', '.join(classes) or 'none'}", do)


def _policy(policy: PolicyFacts | Unknown) -> Iterator[Finding]:
    check = "NetworkPolicy"
    if isinstance(policy, Unknown):
        yield _unknown(check, policy, "`mlk8s doctor --probe` tries it with two pods")
        return
    do = "use a CNI that enforces NetworkPolicy, such as Calico or Cilium: services count on being closed off"
    if isinstance(policy.probe, ProbeFacts):
        for direction in ("ingress", "egress"):
            enforced = getattr(policy.probe, direction)
            if enforced is None:
                yield Finding(check, "unknown", f"{direction} was not tried")
            elif enforced:
                yield Finding(
                    check,
                    "ok",
                    f"{direction} is enforced: a denied connection was refused, an allowed one not",
                )
            else:
                yield Finding(
                    check, "fail", f"{direction} is not enforced: a denied connection got through", do
                )
        return
    if isinstance(policy.probe, Unknown):
        yield Finding(check, "unknown", f"the probe could not be made: {policy.probe.reason}")
    elif policy.enforces is False:
        yield Finding(check, "warn", f"{policy.agent} does not enforce it", do)
    elif policy.agent is None:
        yield Finding(
            check,
            "unknown",
            "no agent that is known to enforce it",
            "`mlk8s doctor --probe` tries it with two pods",
        )
    else:
        yield Finding(
            check,
            "ok",
            f"{policy.agent} enforces it; not tried",
            "`mlk8s doctor --probe` tries it with two pods",
        )


def _security(security: SecurityFacts | Unknown) -> Finding:
    check = "Pod Security"
    if isinstance(security, Unknown):
        return _unknown(check, security)
    level = f"enforce={security.level}" if security.level else "no enforce label on the namespace"
    if isinstance(security.refuses_ours, str):
        return Finding(
            check,
            "fail",
            f"{level}; a pod like ours is refused: {security.refuses_ours}",
            "ask the cluster's administrator",
        )
    if isinstance(security.refuses_privileged, Unknown):
        return Finding(check, "unknown", f"{level}; {security.refuses_privileged.reason}")
    if not security.refuses_privileged:
        return Finding(
            check, "warn", f"{level}; a privileged pod would be admitted",
            "label the namespace pod-security.kubernetes.io/enforce=restricted: our pods pass it",
        )  # fmt: skip
    return Finding(check, "ok", f"{level}; privileged pods are refused, pods like ours are admitted")


def _platform(facts: ClusterFacts) -> Finding:
    check, platform = "platform", facts.platform
    if isinstance(platform, Unknown):
        return _unknown(check, platform)
    if platform is None:
        return Finding(
            check, "warn", "ConfigMap mlk8s-system/mlk8s-platform is not there",
            "name image, storage and ingress class in each spec, or let `mlk8s up` install the platform",
        )  # fmt: skip
    lacking = [
        key
        for key in ("ingress-url", "s3-endpoint", "server-image", "pipeline-image")
        if not platform.get(key)
    ]
    if lacking:
        return Finding(
            check, "warn", f"ConfigMap mlk8s-platform lacks {', '.join(lacking)}", "`mlk8s up` writes it anew"
        )
    return Finding(
        check, "ok", f"Ingress at {platform['ingress-url']}, server image {platform['server-image']}"
    )


def _storage(storage: StorageFacts | Unknown) -> Finding:
    check = "object storage"
    if isinstance(storage, Unknown):
        return _unknown(check, storage)
    if storage.endpoint is None and storage.outside is None:
        return Finding(
            check, "warn", "the platform names none", "give storage_endpoint and storage_secret in each spec"
        )
    if storage.outside is None:
        return Finding(check, "unknown", f"{storage.endpoint} for pods; no address to try it from here")
    if storage.error is not None:
        return Finding(
            check,
            "fail",
            f"{storage.outside} does not serve us: {storage.error}",
            "see `kubectl get pods -n mlk8s-system`",
        )
    return Finding(
        check, "ok", f"{storage.outside} answers and accepts the credentials; pods use {storage.endpoint}"
    )


def _few(names: list[str], most: int = 3) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
