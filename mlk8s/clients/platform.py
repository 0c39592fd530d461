"""What a cluster offers beside Kubernetes: ingress, object storage, Prometheus, images, in its own words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlk8s.clients.cluster import Cluster
from mlk8s.clients.traffic import DEFAULT_CLASS
from mlk8s.errors import Forbidden, NotFound

NAMESPACE = "mlk8s-system"
CONFIG_MAP = "mlk8s-platform"
STORAGE_SECRET = "mlk8s-storage"  # noqa: S105 - the name of a Secret
_NGINX = "k8s.io/ingress-nginx"


@dataclass(frozen=True, kw_only=True)
class Platform:
    """What is offered; None means that the cluster does not say.

    Attributes:
        installed: whether ConfigMap mlk8s-system/mlk8s-platform is there.
        ingress_url: address of the Ingress as seen from the user's machine, without a trailing slash.
        ingress_https_url: the same where the Ingress terminates TLS.
        ingress_class: class for new Ingresses.
        gateway: 'NAMESPACE/NAME' of the Gateway that HTTPRoutes may name as their parent.
        s3_endpoint: object storage as seen from pods.
        s3_endpoint_outside: the same, as seen from the user's machine.
        prometheus: 'NAMESPACE/SERVICE:PORT', for the API server's service proxy.
        server_image, pipeline_image: images for model servers and feature pipelines.
        loadgen_image: image for a load test's workers; a local cluster makes it when it is first needed.
        controller_image: image that brings a canary to its end in the cluster; made likewise.
        ingress_service: 'NAMESPACE/SERVICE' of the ingress controller, for load from inside.
        ingress_namespace, prometheus_namespace: where their pods run, for NetworkPolicies.
        gpu_simulated: whether `nvidia.com/gpu` is only a number on the node.
    """

    installed: bool = False
    ingress_url: str | None = None
    ingress_https_url: str | None = None
    ingress_class: str | None = None
    gateway: str | None = None
    s3_endpoint: str | None = None
    s3_endpoint_outside: str | None = None
    prometheus: str | None = None
    server_image: str | None = None
    pipeline_image: str | None = None
    loadgen_image: str | None = None
    controller_image: str | None = None
    ingress_service: str | None = None
    ingress_namespace: str | None = None
    prometheus_namespace: str | None = None
    gpu_simulated: bool = False

    @classmethod
    def parse(cls, data: Mapping[str, str]) -> Platform:
        """Return the platform that a ConfigMap's data tells of; empty and unknown keys count as absent."""
        said = {
            key.replace("-", "_"): value.strip().rstrip("/") for key, value in data.items() if value.strip()
        }
        texts = {name: said.get(name) for name in _TEXTS}
        return cls(installed=True, gpu_simulated=said.get("gpu_simulated") == "true", **texts)

    def data(self) -> dict[str, str]:
        """Return the ConfigMap's data: what `parse` reads; what is None is left out."""
        texts = {name.replace("_", "-"): getattr(self, name) for name in _TEXTS}
        told = {key: text for key, text in texts.items() if text}
        return told | {"gpu-simulated": str(self.gpu_simulated).lower()}


_TEXTS = tuple(name for name in Platform.__dataclass_fields__ if name not in ("installed", "gpu_simulated"))


def discover(cluster: Cluster) -> Platform:
    """Ask the cluster what it offers; of a cluster that `mlk8s up` did not make, the ingress class is found.

    Raises:
        Unreachable: the API server does not answer.
    """
    try:
        config = cluster.find("ConfigMap", CONFIG_MAP, NAMESPACE)
    except Forbidden:
        config = None
    if config is not None:
        return Platform.parse(config.get("data") or {})
    try:
        classes = cluster.list("IngressClass")
    except (Forbidden, NotFound):
        classes = []
    return Platform(ingress_class=_pick_class(classes))


def _pick_class(classes: list[dict[str, Any]]) -> str | None:
    """The default class, else the one whose controller honours canary annotations, else the only one."""

    def name(wanted: list[dict[str, Any]]) -> str | None:
        return str(wanted[0]["metadata"]["name"]) if len(wanted) == 1 else None

    default = [c for c in classes if (c["metadata"].get("annotations") or {}).get(DEFAULT_CLASS) == "true"]
    canary = [c for c in classes if (c.get("spec") or {}).get("controller") == _NGINX]
    return name(default) or name(canary) or name(classes)
