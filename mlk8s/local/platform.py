"""The platform of a native cluster: Traefik, CoreDNS, SeaweedFS, Prometheus, its adapter, and pods' images.

    install(local, progress)            # all of it
    install(local, progress, FIRST)     # or in two waves, the second while the first is in use already:
    install(local, progress, LATER)     # what may have to be built

Each part is an ordinary workload from manifests/platform, with an image of our own for the official one.
`install` declares everything anew, so the same call installs, heals what was deleted and follows a change. A
part is waited for until it answers what it is there for; meanwhile the next ones are made.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event
from typing import TYPE_CHECKING

from mlk8s.clients.cluster import Cluster
from mlk8s.clients.platform import NAMESPACE, Platform
from mlk8s.errors import UsageError
from mlk8s.local import images, platform_wait
from mlk8s.local.parts import ensure, missing
from mlk8s.local.pins import PARTS as PINS
from mlk8s.local.platform_apply import apply_base, apply_description, apply_part, storage_keys
from mlk8s.local.platform_manifests import PARTS
from mlk8s.local.progress import SILENT, Progress

if TYPE_CHECKING:
    from mlk8s.local.handle import Local

__all__ = ["ALL", "FIRST", "LATER", "describe", "install", "stored_image"]

LATER = ("prometheus", "prometheus-adapter")
"""Parts that may have to be built; a cluster is of use before they are there."""
FIRST = ("coredns", "traefik", "seaweedfs", *images.PYTHON_IMAGES)
"""Parts that are there within seconds, and the images of model servers and pipelines."""
# Prometheus leads: it needs the longest, two readings of each container that kubelet takes 10 s apart.
ALL = (*LATER, *FIRST)


def describe(local: Local, *, server_image: str, pipeline_image: str) -> Platform:
    """What a native cluster's platform offers, for ConfigMap mlk8s-platform."""
    return Platform(
        installed=True,
        ingress_url=local.ingress_url,
        ingress_https_url=local.ingress_https_url,
        ingress_class="nginx",
        gateway=f"{NAMESPACE}/traefik",
        s3_endpoint=f"http://seaweedfs.{NAMESPACE}.svc:8333",
        s3_endpoint_outside=local.s3_url,
        prometheus=f"{NAMESPACE}/prometheus:9090",
        server_image=server_image,
        pipeline_image=pipeline_image,
        ingress_service=f"{NAMESPACE}/traefik",
        ingress_namespace=NAMESPACE,
        prometheus_namespace=NAMESPACE,
        gpu_simulated=local.cluster.gpus > 0,
    )


def install(
    local: Local, progress: Progress = SILENT, parts: Iterable[str] = ALL, *, timeout: float = 120.0
) -> None:
    """Install parts of the platform, or bring them back to what they should be, and wait until they answer.

    Args:
        local: the cluster; its node is Ready.
        parts: of `ALL`; the others are left as they are.
        timeout: seconds for each part to answer.

    Raises:
        LocalClusterError: a part cannot be had or does not become ready; the message has the cause.
        ClusterError: the API server refuses, or does not answer.
        UsageError: there is no such part.
    """
    wanted = set(parts)
    if unknown := sorted(wanted.difference(ALL)):
        raise UsageError(f"There is no part {unknown[0]}.", expected=f"one of {', '.join(ALL)}")
    cluster = Cluster.connect(kubeconfig=local.kubeconfig, context=local.context)
    apply_base(cluster, progress)
    checks = _checks(cluster, local, storage_keys(cluster))
    stored, references = local.images(), {}
    waits: list[Future[None]] = []
    # What has to be built comes last, so that everything else is up meanwhile.
    unbuilt = missing(wanted.intersection(LATER))
    stop = Event()
    with ThreadPoolExecutor(max_workers=len(PARTS)) as pool, _set_on_failure(stop):
        for name in sorted(wanted, key=lambda name: (name in unbuilt, ALL.index(name))):
            references[name] = stored_image(local, name, stored, progress)
            if name in PARTS:
                address = local.cluster.dns_address
                apply_part(cluster, name, images=references, dns_address=address, progress=progress)
                waits.append(pool.submit(_wait, cluster, name, checks[name], stop, progress, timeout))
            if set(images.PYTHON_IMAGES) <= references.keys():
                server, pipeline = (references[image] for image in ("server", "pipeline"))
                platform = describe(local, server_image=server, pipeline_image=pipeline)
                apply_description(cluster, platform, progress)
        for done in waits:
            done.result()


def stored_image(local: Local, name: str, stored: set[str], progress: Progress) -> str:
    """Have an image in the node's store, and return its reference.

    Args:
        name: one of `ALL`.
        stored: references that are in the store already.

    Raises:
        LocalClusterError: what the image is made of cannot be had, or the disk is full.
    """
    if name in PARTS and (reference := f"localhost/mlk8s/{name}:{PINS[name].version}") in stored:
        return reference
    programs = ensure([name], progress=progress) if name in PARTS else None
    with progress.step(f"Image of {name}"):
        image = images.build(name, programs)
        if image.reference not in stored:
            local.load_image(image.archive)
    return image.reference


def _wait(
    cluster: Cluster, part: str, check: platform_wait.Check, stop: Event, progress: Progress, timeout: float
) -> None:
    with progress.step(f"Wait for {part}") as step:
        platform_wait.wait(cluster, part, check, step, timeout, stop)


@contextmanager
def _set_on_failure(stop: Event) -> Iterator[None]:
    """End the waits of the other parts too, when one fails or somebody presses Ctrl-C."""
    try:
        yield
    except BaseException:
        stop.set()
        raise


def _checks(cluster: Cluster, local: Local, keys: tuple[str, str]) -> dict[str, platform_wait.Check]:
    def nothing_more() -> None:
        """A ready CoreDNS has the Services already: its readiness probe says so."""

    return {
        "coredns": nothing_more,
        "traefik": platform_wait.answers_http(local.ingress_url),
        "seaweedfs": platform_wait.answers_s3(local.s3_url, *keys),
        "prometheus": platform_wait.answers_queries(cluster, f"{NAMESPACE}/prometheus:9090"),
        "prometheus-adapter": platform_wait.answers_metrics(cluster),
    }
