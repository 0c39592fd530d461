"""Manifests as YAML, in the order in which they can be applied."""

from __future__ import annotations

from typing import Any

import yaml

from mlk8s.render.common import Manifest
from mlk8s.render.redact import redacted

ORDER = (
    "CustomResourceDefinition",
    "PriorityClass",
    "StorageClass",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "Namespace",
    "ResourceQuota",
    "LimitRange",
    "ServiceAccount",
    "ClusterRole",
    "ClusterRoleBinding",
    "Role",
    "RoleBinding",
    "Secret",
    "ConfigMap",
    "NetworkPolicy",
    "ResourceClaimTemplate",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "Service",
    "EndpointSlice",
    "PodDisruptionBudget",
    "Deployment",
    "StatefulSet",
    "DaemonSet",
    "Job",
    "JobSet",
    "CronJob",
    "HorizontalPodAutoscaler",
    "TriggerAuthentication",
    "ScaledObject",
    "VerticalPodAutoscaler",
    "PodMonitor",
    "ServiceMonitor",
    "PrometheusRule",
    "APIService",
    "Gateway",
    "Ingress",
    "HTTPRoute",
)


def apply_order(manifests: list[Manifest]) -> list[Manifest]:
    """Return the manifests so that whatever one refers to comes before it; stable within a kind.

    NetworkPolicies stand before the pods that they hold, and an Ingress last: it opens the way.
    """
    rank = {kind: place for place, kind in enumerate(ORDER)}
    return sorted(manifests, key=lambda item: rank.get(item["kind"], len(rank)))


class _Dumper(yaml.SafeDumper):
    """SafeDumper with block style for text of several lines, and no aliases."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's signature
        return True


def _text(dumper: _Dumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def to_yaml(manifests: list[Manifest]) -> str:
    """Return the manifests as one YAML stream in apply order, ready for `kubectl apply -f -`.

    A Secret's values are not part of it: where it goes, somebody reads it.
    """
    return yaml.dump_all(
        redacted(apply_order(manifests)), Dumper=_Dumper, sort_keys=False, width=110, explicit_start=True
    )


def to_text(document: Manifest | list[Manifest]) -> str:
    """Return one document as YAML, in the form of `to_yaml`; it need not be a Kubernetes object."""
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=110)
