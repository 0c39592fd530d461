"""Flagger and Argo Rollouts for benchmarks/canary_rivals.py: built, put into a cluster, taken out again."""

from __future__ import annotations

import json
import string
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import go_peers
import yaml
from local_cluster import module_version

from mlk8s.clients.cluster import Cluster, Manifest
from mlk8s.local import registry
from mlk8s.local.cache import architecture, file_digest
from mlk8s.local.handle import Local
from mlk8s.local.layers import Config, Entry, image_config, write_archive, write_layer
from mlk8s.local.pins import GO_MINIMUM

MANIFESTS = Path(__file__).with_name("rivals")
CRD = "CustomResourceDefinition"
OURS = {"app.kubernetes.io/managed-by": "mlk8s-benchmark"}
"""Labels of the CRDs that we put in, so that those of somebody else are told apart."""
SECONDS = 180.0
"""How long a controller may take to become ready, and its objects to go."""


@dataclass(frozen=True)
class Rival:
    """One controller.

    Attributes:
        name: of its module in `benchmarks/go`, and of its objects.
        module, package: Go's paths.
        crds: pattern of the module's files with its CRDs.
        rights: the file of the module with its ClusterRole.
        arguments: its command line; `string.Template` with `namespace` and `prometheus`.
        go: the oldest Go that builds it.
    """

    name: str
    module: str
    package: str
    crds: str
    rights: str
    arguments: tuple[str, ...]
    go: tuple[int, ...] = GO_MINIMUM

    @property
    def version(self) -> str:
        return module_version(self.name, self.module)

    @cached_property
    def folder(self) -> Path:
        """The folder with the controller and its manifests, built once.

        Raises:
            LocalClusterError: it cannot be built; the message has Go's words.
        """
        files = dict.fromkeys((self.crds, self.rights), self.module)
        return go_peers.built(self.name, self.package, self.go, files)

    def definitions(self) -> list[Manifest]:
        """Return its CRDs."""
        found = [item for item in self._objects(self.crds) if item["kind"] == CRD]
        for item in found:
            item["metadata"].setdefault("labels", {}).update(OURS)
        return found

    def rules(self) -> list[Manifest]:
        """Return what its ClusterRole allows, without paths that are no objects: a Role can have none."""
        (role,) = (item for item in self._objects(self.rights) if item["kind"] == "ClusterRole")
        return [rule for rule in role["rules"] if "nonResourceURLs" not in rule]

    def _objects(self, pattern: str) -> list[Manifest]:
        files = sorted(self.folder.glob(Path(pattern).name))
        return [item for file in files for item in documents(file.read_text())]


FLAGGER = Rival(
    name="flagger",
    module="github.com/fluxcd/flagger",
    package="github.com/fluxcd/flagger/cmd/flagger",
    crds="artifacts/flagger/crd.yaml",
    rights="artifacts/flagger/account.yaml",
    arguments=(
        "-log-level=info", "-mesh-provider=gatewayapi:v1", "-namespace=${namespace}",
        "-metrics-server=${prometheus}",
    ),
)  # fmt: skip
ARGO = Rival(
    name="argo-rollouts",
    module="github.com/argoproj/argo-rollouts",
    package="github.com/argoproj/argo-rollouts/cmd/rollouts-controller",
    crds="manifests/crds/*-crd.yaml",
    rights="manifests/role/argo-rollouts-clusterrole.yaml",
    arguments=("--namespaced", "--leader-elect=false"),
    go=(1, 26, 10),
)
RIVALS = (FLAGGER, ARGO)


def documents(text: str) -> list[Manifest]:
    return [item for item in yaml.safe_load_all(text) if item]


def filled(file: str, values: dict[str, Any]) -> list[Manifest]:
    """Return the objects of a file of `rivals/`, with its `${...}` filled in."""
    text = (MANIFESTS / file).read_text()
    return documents(string.Template(text).substitute({key: str(value) for key, value in values.items()}))


def local_cluster(kubeconfig: str) -> Local:
    """Return the local cluster that a kubeconfig is of: its node has to be given the images."""
    for known in registry.clusters().values():
        local = Local(known)
        if local.kubeconfig.resolve() == Path(kubeconfig).resolve():
            return local
    raise SystemExit(f"{kubeconfig} is not that of a cluster that `mlk8s up --driver native` made here")


def put_image(local: Local, rival: Rival) -> str:
    """Make an image of the controller alone, put it into the cluster's node, and return its name."""
    program = rival.folder / rival.name
    reference = f"localhost/mlk8s-bench/{rival.name}:{file_digest(program)[:12]}"
    if reference not in local.images():
        with tempfile.TemporaryDirectory(prefix="mlk8s-bench-") as folder:
            entries = [Entry("/controller", program, mode=0o755), Entry("/tmp", mode=0o1777)]
            layer = write_layer(Path(folder, "layer.tar"), entries)
            config = image_config([layer], Config(["/controller"]), architecture())
            write_archive(Path(folder, "image.tar"), reference, [layer], config)
            local.load_image(Path(folder, "image.tar"))
    return reference


def refuse_others(cluster: Cluster, rivals: Sequence[Rival]) -> None:
    """End here where somebody else installed a rival: that controller would work on our objects, too."""
    names = {item["metadata"]["name"] for rival in rivals for item in rival.definitions()}
    for item in cluster.list(CRD):
        labels = item["metadata"].get("labels") or {}
        if item["metadata"]["name"] in names and not OURS.items() <= labels.items():
            raise SystemExit(f"the cluster has {item['metadata']['name']} already: not a measurement")


def install(cluster: Cluster, local: Local, rival: Rival, values: dict[str, Any]) -> None:
    """Put CRDs and controller into the cluster, and wait until it is ready."""
    image = put_image(local, rival)
    for item in rival.definitions():
        cluster.apply(item)
    names = [item["metadata"]["name"] for item in rival.definitions()]
    until(lambda: all(established(cluster, name) for name in names), f"{rival.name}'s CRDs are established")
    namespace, name = values["namespace"], f"{rival.name}-controller"
    metadata = {"name": name, "namespace": namespace}
    cluster.apply(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": metadata,
            "rules": rival.rules(),
        }
    )
    arguments = json.dumps([string.Template(item).substitute(values) for item in rival.arguments])
    for item in filled(
        "controller.yaml", values | {"name": rival.name, "image": image, "arguments": arguments}
    ):
        cluster.apply(item)
    until(lambda: ready(cluster, name, namespace), f"{name} is ready")


def uninstall(cluster: Cluster, namespace: str, rivals: Sequence[Rival]) -> None:
    """Take out what `install` put in, and the namespace with all that it holds; nothing may be there."""
    cluster.delete("Namespace", namespace)
    until(lambda: cluster.find("Namespace", namespace) is None, f"namespace {namespace} is gone")
    for rival in rivals:
        for item in rival.definitions():
            cluster.delete(CRD, item["metadata"]["name"])


def established(cluster: Cluster, name: str) -> bool:
    conditions = (cluster.get(CRD, name).get("status") or {}).get("conditions") or []
    return any(item["type"] == "Established" and item["status"] == "True" for item in conditions)


def ready(cluster: Cluster, name: str, namespace: str) -> bool:
    status = cluster.get("Deployment", name, namespace).get("status") or {}
    return bool(status.get("readyReplicas"))


def until(holds: Callable[[], bool], what: str, seconds: float = SECONDS) -> None:
    """Wait until something holds.

    Raises:
        TimeoutError: it does not.
    """
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise TimeoutError(f"after {seconds:.0f} s it still does not hold that {what}")
        time.sleep(0.5)
