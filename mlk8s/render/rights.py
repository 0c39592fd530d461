"""What a tenant's users may do: exactly what deploy, canary, job, cron and loadtest do in a namespace.

No wildcard, no Secret but the storage's own, no Role or RoleBinding, no token of an account, no pod of one's
own. A pod made by a workload may still mount any Secret of the namespace: keep what users must not read in
another one.
"""

from __future__ import annotations

from mlk8s.render.common import Manifest
from mlk8s.spec.tenant import Tenant

_READ = ["get", "list", "watch"]
_WRITE = [*_READ, "create", "patch", "update", "delete"]

_WRITTEN: dict[str, tuple[str, ...]] = {
    "": ("configmaps", "persistentvolumeclaims", "serviceaccounts", "services"),
    "apps": ("daemonsets", "deployments", "statefulsets"),
    "autoscaling": ("horizontalpodautoscalers",),
    "autoscaling.k8s.io": ("verticalpodautoscalers",),
    "batch": ("cronjobs", "jobs"),
    "coordination.k8s.io": ("leases",),
    "gateway.networking.k8s.io": ("httproutes",),
    "jobset.x-k8s.io": ("jobsets",),
    "keda.sh": ("scaledobjects", "triggerauthentications"),
    "monitoring.coreos.com": ("podmonitors", "prometheusrules", "servicemonitors"),
    "networking.k8s.io": ("ingresses", "networkpolicies"),
    "policy": ("poddisruptionbudgets",),
    "resource.k8s.io": ("resourceclaimtemplates",),
}
"""By API group: kinds that a declared object renders to."""
_SEEN: dict[str, tuple[str, ...]] = {
    "": ("events", "limitranges", "pods", "resourcequotas"),
    "apps": ("controllerrevisions", "replicasets"),
    "discovery.k8s.io": ("endpointslices",),
    "metrics.k8s.io": ("pods",),
    "resource.k8s.io": ("resourceclaims",),
}


def user_rules(spec: Tenant) -> list[Manifest]:
    """Return the rules of the users' Role."""
    rules = [_rule(group, list(resources), _WRITE) for group, resources in _WRITTEN.items()]
    rules += [_rule(group, list(resources), _READ) for group, resources in _SEEN.items()]
    rules += [
        _rule("", ["pods/log"], ["get"]),
        _rule("", ["events"], ["create"]),  # what a canary's rollout did, told on its Deployment
        _rule("", ["pods"], ["delete"]),  # a pod that failed in an earlier try is started afresh
        _rule("apps", ["deployments/scale", "statefulsets/scale"], ["get", "patch", "update"]),
        _rule("", ["namespaces"], ["get"], spec.name),
    ]
    if spec.storage_secret is not None:
        rules.append(_rule("", ["secrets"], ["get"], spec.storage_secret))
    if spec.exec:
        rules.append(_rule("", ["pods/exec"], ["get", "create"]))
    if spec.port_forward:
        rules.append(_rule("", ["pods/portforward"], ["get", "create"]))
    return rules


def _rule(group: str, resources: list[str], verbs: list[str], name: str | None = None) -> Manifest:
    rule: Manifest = {"apiGroups": [group], "resources": resources, "verbs": verbs}
    return rule if name is None else {**rule, "resourceNames": [name]}
