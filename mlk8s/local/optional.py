"""Parts that a cluster has only where they are asked for: KEDA and the Vertical Pod Autoscaler.

    optional.install(local, ["keda", "vpa"], progress)      # builds, images, CRDs, manifests, waits
    optional.installed(cluster)                             # ("keda",)

They stay until the cluster goes: another `mlk8s up` neither needs to name them nor touches them.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from mlk8s.clients.platform import NAMESPACE
from mlk8s.local import images, pki, platform_wait
from mlk8s.local.parts import ensure
from mlk8s.local.pins import OPTIONAL, OPTIONAL_WORKLOADS, check_optional
from mlk8s.local.platform_apply import apply_objects
from mlk8s.local.platform_manifests import PART_OF, Manifest, fit, load, load_files
from mlk8s.local.progress import SILENT, Progress

if TYPE_CHECKING:
    from mlk8s.clients.cluster import Cluster
    from mlk8s.local.handle import Local


@dataclass(frozen=True, kw_only=True)
class _Optional:
    """What an optional part is made of.

    Args:
        crds: names of the files with its CRDs.
        served: a path of the API that answers when it is there.
        services: its Services that its certificate is for; the Secret is `PART-certificates`.
    """

    crds: str
    served: str
    services: tuple[str, ...]


_PARTS: Mapping[str, _Optional] = {
    "keda": _Optional(
        crds="*keda.sh_*.yaml",
        served="/apis/external.metrics.k8s.io/v1beta1",
        services=("keda-operator", "keda-adapter"),
    ),
    "vpa": _Optional(
        crds="vpa-v1-crd-gen.yaml",
        served="/apis/autoscaling.k8s.io/v1/verticalpodautoscalers",
        services=("vpa-webhook",),
    ),
}


def installed(cluster: Cluster) -> tuple[str, ...]:
    """Return the optional parts that a cluster has from us."""
    found = cluster.list("Deployment", NAMESPACE, labels=f"{PART_OF}=mlk8s")
    there = {item["metadata"]["name"] for item in found}
    return tuple(name for name, workloads in OPTIONAL_WORKLOADS.items() if set(workloads) <= there)


def install(
    local: Local, names: Iterable[str], progress: Progress = SILENT, *, timeout: float = 120.0
) -> None:
    """Install optional parts on a native cluster with its platform, or bring them back, and wait for them.

    Raises:
        LocalClusterError: a part cannot be had or does not become ready; the message has the cause.
        ClusterError: the API server refuses, or does not answer.
        UsageError: there is no such part.
    """
    from mlk8s.clients.cluster import Cluster

    wanted = tuple(dict.fromkeys(names))
    check_optional(wanted)
    if not wanted:
        return
    cluster = Cluster.connect(kubeconfig=local.kubeconfig, context=local.context)
    stored, stop = local.images(), Event()
    for name in wanted:
        programs = ensure(OPTIONAL[name], progress=progress)
        references = {}
        for workload in OPTIONAL_WORKLOADS[name]:
            with progress.step(f"Image of {workload}"):
                image = images.build(workload, programs)
                if image.reference not in stored:
                    local.load_image(image.archive)
            references[workload] = image.reference
        apply(cluster, name, programs[f"{name}-crds"], references, progress)
        if name == "keda":
            _tell_orphans(cluster, progress)
    with ThreadPoolExecutor() as pool:
        workloads = [(name, workload) for name in wanted for workload in OPTIONAL_WORKLOADS[name]]
        waits = [
            pool.submit(_wait, cluster, workload, _PARTS[name].served, stop, progress, timeout)
            for name, workload in workloads
        ]
        try:
            for done in waits:
                done.result()
        except BaseException:
            stop.set()
            raise


def _tell_orphans(cluster: Cluster, progress: Progress) -> None:
    """Name the HPAs whose external metrics were prometheus-adapter's: KEDA serves its own only."""
    for item in cluster.list("HorizontalPodAutoscaler", all_namespaces=True):
        metrics = item["spec"].get("metrics") or []
        metadata = item["metadata"]
        owners = [owner["kind"] for owner in metadata.get("ownerReferences") or []]
        if "ScaledObject" not in owners and any(metric["type"] == "External" for metric in metrics):
            progress.message(
                f"HorizontalPodAutoscaler {metadata['namespace']}/{metadata['name']} follows an external "
                "metric, and KEDA serves these from now on: deploy it again with scaler='keda'."
            )


def apply(cluster: Cluster, name: str, crds: Path, references: Mapping[str, str], progress: Progress) -> None:
    """Apply an optional part's CRDs, certificate and objects.

    Args:
        crds: folder with its CRDs.
        references: image by workload; one that is not in it keeps the official image.

    Raises:
        ClusterError: the API server refuses.
    """
    part = _PARTS[name]
    definitions = [item for item in load_files(crds, part.crds) if item["kind"] == "CustomResourceDefinition"]
    for item in definitions:
        item["metadata"].setdefault("labels", {})[PART_OF] = "mlk8s"
    apply_objects(cluster, definitions, progress)
    authority = _certificate(cluster, f"{name}-certificates", part.services)
    objects = fit(load(f"optional/{name}"), images=references)
    for item in objects:
        if item["kind"] == "APIService":
            item["spec"]["caBundle"] = authority
    apply_objects(cluster, objects, progress)


def _certificate(cluster: Cluster, secret: str, services: Iterable[str]) -> str:
    """Have the Secret with a part's certificate, and return its authority as the API has it, in base64."""
    names = tuple(f"{name}.{NAMESPACE}.svc" for name in services)
    found = cluster.find("Secret", secret, NAMESPACE)
    data = (found or {}).get("data") or {}
    if not pki.is_fresh(base64.b64decode(data.get("tls.crt", "")), names):
        made = pki.serving(secret, names)
        data = {key: base64.b64encode(value).decode() for key, value in made.items()}
        cluster.apply(_secret(secret, data), force=True)
    return str(data["ca.crt"])


def _secret(name: str, data: Mapping[str, str]) -> Manifest:
    metadata = {"name": name, "namespace": NAMESPACE, "labels": {PART_OF: "mlk8s"}}
    return {
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": metadata, "data": dict(data)
    }  # fmt: skip


def _wait(
    cluster: Cluster, workload: str, served: str, stop: Event, progress: Progress, timeout: float
) -> None:
    with progress.step(f"Wait for {workload}") as step:
        began = time.monotonic()
        platform_wait.wait(cluster, workload, platform_wait.serves(cluster, served), step, timeout, stop)
        step.update(detail=f"{time.monotonic() - began:.0f} s")
