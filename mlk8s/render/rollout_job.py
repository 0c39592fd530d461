"""A rollout's controller in the cluster: a Job, and the rights to exactly what it works on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import ceil

from mlk8s.render.common import COMPONENT, INSTANCE, MANAGED_BY, MANAGER, NAME, Manifest, manifest
from mlk8s.render.facts import RenderFacts
from mlk8s.render.network import network_policy
from mlk8s.render.pod import (
    container_security,
    empty_dir,
    env,
    pod_basis,
    resources,
    tmp_mount,
)
from mlk8s.spec.pod import Pulled
from mlk8s.spec.resources import Resources

ROLLOUT = "mlk8s.dev/rollout-of"
"""Label with the service whose canary is worked on."""
SETTINGS = "MLK8S_ROLLOUT"
"""Environment variable with what the controller is to do, JSON."""
WEBHOOK = "/var/run/secrets/mlk8s/rollout/webhook"
"""File with the webhook's address, where there is one."""
METRICS_PORT = 9400
KEPT = 3_600
"""Seconds after its end for which the Job, and its log, are kept."""
CONTAINER = "controller"
_SIZE = Resources(cpu="50m", cpu_limit="1", memory="192Mi")
_RBAC = "rbac.authorization.k8s.io"
_READ = ("get", "list", "watch")
_OFTEN_RENEWED = ("get", "patch", "update", "delete")
_LOOKED_FOR = {
    ("autoscaling", "horizontalpodautoscalers"),
    ("autoscaling.k8s.io", "verticalpodautoscalers"),
    ("gateway.networking.k8s.io", "httproutes"),
    ("keda.sh", "scaledobjects"),
    ("networking.k8s.io", "ingresses"),
    ("resource.k8s.io", "resourceclaimtemplates"),
}
"""What a promotion looks for also where the service has none."""
_IRREGULAR = {"Ingress": "ingresses", "NetworkPolicy": "networkpolicies"}


@dataclass(frozen=True, kw_only=True)
class RolloutJob:
    """One rollout in a cluster.

    Attributes:
        name: of every object of it: that of its Lease, too.
        service: whose canary it works on.
        image: of the controller.
        settings: JSON that it reads.
        webhook: address that gets the verdicts; it is kept in a Secret.
        objects: everything that the rollout may write, as it is rendered: the rights follow from it.
        secrets: names of Secrets whose versions the service's pods depend on.
        egress: rules of a NetworkPolicy that lead to what the controller asks.
        longest: seconds after which it is certainly over.
        pulled: how images are pulled.
    """

    name: str
    service: str
    image: str
    settings: str
    webhook: str | None
    objects: tuple[Manifest, ...]
    secrets: tuple[str, ...] = ()
    egress: tuple[Manifest, ...] = ()
    longest: float = 86_400.0
    pulled: Pulled = field(default_factory=Pulled)

    @property
    def labels(self) -> dict[str, str]:
        """Labels of all its objects; none of them is one that the service's own pods are found by."""
        return {
            NAME: self.name,
            INSTANCE: self.name,
            COMPONENT: "canary-run",
            ROLLOUT: self.service,
            MANAGED_BY: MANAGER,
        }

    @property
    def selector(self) -> str:
        """Selects its pod."""
        return f"{INSTANCE}={self.name},{ROLLOUT}={self.service}"


def render_rollout_job(job: RolloutJob, facts: RenderFacts, *, suspend: bool) -> Manifest:
    """Return the Job: it owns everything else, and is suspended until that is there.

    A controller that ends without having brought the rollout to its end is started anew and goes on.
    """
    moved = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    body = {
        "suspend": suspend,
        "backoffLimit": 6,
        "activeDeadlineSeconds": ceil(job.longest),
        "ttlSecondsAfterFinished": KEPT,
        "podReplacementPolicy": "Failed",
        "podFailurePolicy": {"rules": [moved]},
        "template": _pod(job),
    }
    return manifest("batch/v1", "Job", job.name, facts.namespace, job.labels, spec=body)


def render_rollout_rights(job: RolloutJob, facts: RenderFacts, owner: Manifest) -> list[Manifest]:
    """Return everything else in apply order: account, Role, RoleBinding, NetworkPolicy, Secret.

    Args:
        owner: the Job as the cluster has it.
    """
    space, name = facts.namespace, job.name
    account = {"kind": "ServiceAccount", "name": name, "namespace": space}
    role = {"apiGroup": _RBAC, "kind": "Role", "name": name}
    scraped = {"ports": [{"protocol": "TCP", "port": METRICS_PORT}]}
    policy = network_policy(
        name, facts, job.labels, {INSTANCE: name, COMPONENT: job.labels[COMPONENT]},
        ingress=[scraped], storage_endpoint=None, egress=job.egress,
    )  # fmt: skip
    made = [
        manifest("v1", "ServiceAccount", name, space, job.labels, automountServiceAccountToken=False),
        manifest(f"{_RBAC}/v1", "Role", name, space, job.labels, rules=rights(job)),
        manifest(f"{_RBAC}/v1", "RoleBinding", name, space, job.labels, roleRef=role, subjects=[account]),
        policy,
    ]
    if job.webhook is not None:
        made.append(manifest("v1", "Secret", name, space, job.labels, stringData={"webhook": job.webhook}))
    reference = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": owner["metadata"]["uid"]}
    for item in made:
        item["metadata"]["ownerReferences"] = [reference]
    return made


def rights(job: RolloutJob) -> list[Manifest]:
    """Return the rules of its Role: by name wherever a name is known before.

    `create` cannot be limited to a name. ConfigMaps carry a hash of their content in theirs, so those of
    the namespace may be written.
    """
    names: dict[tuple[str, str], set[str]] = {}
    for item in job.objects:
        group = item["apiVersion"].rpartition("/")[0]
        names.setdefault((group, plural(item["kind"])), set()).add(item["metadata"]["name"])
    config_maps = names.pop(("", "configmaps"), None)
    names.setdefault(("coordination.k8s.io", "leases"), set()).add(job.name)
    found = []
    for (group, resource), called in sorted(names.items()):
        found.append(_rule(group, [resource], ["list", "create"]))
        found.append(_rule(group, [resource], _OFTEN_RENEWED, sorted(called)))
    if config_maps is not None:
        found.append(_rule("", ["configmaps"], ["list", "create", *_OFTEN_RENEWED]))
    if job.secrets:
        found.append(_rule("", ["secrets"], ["get"], sorted(job.secrets)))
    found += [
        _rule(group, [resource], ["get", "list"]) for group, resource in sorted(_LOOKED_FOR - names.keys())
    ]
    return [
        *found,
        _rule("", ["pods", "resourcequotas", "limitranges", "persistentvolumeclaims"], _READ),
        _rule("apps", ["replicasets"], _READ),
        _rule("", ["events"], ["list", "create"]),
        _rule("", ["pods/log"], ["get"]),  # the last words of a pod that does not start
        _rule("", ["pods"], ["delete"]),  # a pod that failed in an earlier try is started afresh
    ]


def plural(kind: str) -> str:
    """Return the name of a kind's resource in the API."""
    return _IRREGULAR.get(kind, f"{kind.lower()}s")


def _rule(group: str, resources: list[str], verbs: Iterable[str], names: list[str] | None = None) -> Manifest:
    rule: Manifest = {"apiGroups": [group], "resources": resources, "verbs": list(verbs)}
    return rule if names is None else {**rule, "resourceNames": names}


def _pod(job: RolloutJob) -> Manifest:
    volumes, mounts = [empty_dir("tmp", "128Mi")], [tmp_mount()]
    if job.webhook is not None:
        volumes.append({"name": "webhook", "secret": {"secretName": job.name, "defaultMode": 0o440}})
        mounts.append({"name": "webhook", "mountPath": WEBHOOK.rpartition("/")[0], "readOnly": True})
    container = {
        "name": CONTAINER,
        "image": job.image,
        "command": ["python3", "-m", "mlk8s.operations.canary_pod"],
        "env": env({SETTINGS: job.settings}),
        "ports": [{"name": "metrics", "containerPort": METRICS_PORT}],
        "resources": resources(_SIZE),
        "securityContext": container_security(),
        "volumeMounts": mounts,
    }
    notes = {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(METRICS_PORT),
    }
    spec = {
        "restartPolicy": "Never",
        **pod_basis(job.pulled, job.name),
        "automountServiceAccountToken": True,
        "containers": [container],
        "volumes": volumes,
    }
    return {"metadata": {"labels": job.labels, "annotations": notes}, "spec": spec}
