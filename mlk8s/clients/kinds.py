"""Where each kind lives in the Kubernetes API; kinds that are not in this table are found by discovery."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Resource:
    """One resource of the API: `prefix` is /api/v1 or /apis/GROUP/VERSION."""

    prefix: str
    plural: str
    namespaced: bool

    def path(self, name: str | None, namespace: str | None, subresource: str | None = None) -> str:
        """Return the URL path of one object or, without a name, of the collection."""
        parts = [self.prefix]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        if name:
            parts.append(name)
        if subresource:
            parts.append(subresource)
        return "/".join(parts)


_GROUPS: dict[str, tuple[str, str]] = {
    # group/version: namespaced kinds, cluster-scoped kinds; the plural is given where it is not kind + "s"
    "v1": (
        "Pod Service ConfigMap Secret ServiceAccount Event Endpoints=endpoints PersistentVolumeClaim "
        "ResourceQuota LimitRange ReplicationController",
        "Namespace Node PersistentVolume",
    ),
    "apps/v1": ("Deployment ReplicaSet StatefulSet DaemonSet", ""),
    "batch/v1": ("Job CronJob", ""),
    "autoscaling/v2": ("HorizontalPodAutoscaler", ""),
    "policy/v1": ("PodDisruptionBudget", ""),
    "networking.k8s.io/v1": (
        "Ingress=ingresses NetworkPolicy=networkpolicies",
        "IngressClass=ingressclasses",
    ),
    "coordination.k8s.io/v1": ("Lease", ""),
    "discovery.k8s.io/v1": ("EndpointSlice", ""),
    "gateway.networking.k8s.io/v1": ("HTTPRoute Gateway", "GatewayClass=gatewayclasses"),
    "rbac.authorization.k8s.io/v1": ("Role RoleBinding", "ClusterRole ClusterRoleBinding"),
    "storage.k8s.io/v1": ("", "StorageClass=storageclasses"),
    "scheduling.k8s.io/v1": ("", "PriorityClass=priorityclasses"),
    "resource.k8s.io/v1": ("ResourceClaim ResourceClaimTemplate", "ResourceSlice DeviceClass=deviceclasses"),
    "admissionregistration.k8s.io/v1": (
        "",
        "ValidatingAdmissionPolicy=validatingadmissionpolicies ValidatingAdmissionPolicyBinding "
        "MutatingWebhookConfiguration ValidatingWebhookConfiguration",
    ),
    "apiregistration.k8s.io/v1": ("", "APIService"),
    "apiextensions.k8s.io/v1": ("", "CustomResourceDefinition"),
    "keda.sh/v1alpha1": ("ScaledObject TriggerAuthentication", ""),
    "autoscaling.k8s.io/v1": ("VerticalPodAutoscaler", ""),
    "monitoring.coreos.com/v1": ("PodMonitor ServiceMonitor PrometheusRule", ""),
    "traefik.io/v1alpha1": ("IngressRoute TraefikService", ""),
    "jobset.x-k8s.io/v1alpha2": ("JobSet", ""),
    "authorization.k8s.io/v1": (
        "LocalSubjectAccessReview",
        "SelfSubjectAccessReview SelfSubjectRulesReview SubjectAccessReview",
    ),
}


def prefix(api_version: str) -> str:
    """Return the path prefix of an apiVersion such as 'v1' or 'apps/v1'."""
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


def _table() -> dict[str, tuple[str, Resource]]:
    table = {}
    for api_version, scopes in _GROUPS.items():
        for namespaced, kinds in zip((True, False), scopes, strict=True):
            for item in kinds.split():
                kind, _, plural = item.partition("=")
                resource = Resource(prefix(api_version), plural or kind.lower() + "s", namespaced)
                table[kind] = (api_version, resource)
    return table


BUILT_IN: dict[str, tuple[str, Resource]] = _table()
"""kind → (apiVersion, Resource)."""
