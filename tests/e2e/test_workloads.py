"""StatefulSets and DaemonSets on the real cluster: stable names and storage, ordered updates, one a node."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
import yaml
from e2e_tools import live_pods, wait_for

import mlk8s
from mlk8s.errors import ClusterError, Conflict, NotFound, RolloutFailed
from mlk8s.operations.connection import Kubernetes
from mlk8s.spec.container import Container, Probe, Probes
from mlk8s.spec.resources import Resources
from mlk8s.spec.volume import Volume

SMALL = Resources(cpu="10m", cpu_limit=None, memory="48Mi", ephemeral_storage="16Mi")
SCRIPT = """
import http.server, json, os, socket, urllib.request, uuid
born = "/volumes/data/born"
if os.path.isdir("/volumes/data") and not os.path.exists(born):
    open(born, "w").write(uuid.uuid4().hex)
class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *a): pass
    def do_GET(self):
        answer = {"pod": socket.gethostname(), "version": os.environ["VERSION"]}
        if os.path.exists(born): answer["born"] = open(born).read()
        if self.path.startswith("/peer/"):
            name = self.path.removeprefix("/peer/")
            with urllib.request.urlopen(f"http://{name}:8080/", timeout=5) as peer:
                answer = {"address": socket.gethostbyname(name), **json.loads(peer.read())}
        self.send_response(200); self.end_headers(); self.wfile.write(json.dumps(answer).encode())
http.server.ThreadingHTTPServer(("", 8080), Handler).serve_forever()
"""


@pytest.fixture(scope="module")
def k8s(local_cluster: Any, namespace: str) -> Kubernetes:
    return mlk8s.connect(kubeconfig=local_cluster.kubeconfig, namespace=namespace)


@pytest.fixture(scope="module")
def members(python_pods: str) -> mlk8s.StatefulSet:
    return mlk8s.StatefulSet(
        name="members",
        replicas=2,
        containers=(main(python_pods, "one"),),
        storage=(Volume(name="data", size="1Mi"),),
        grace_period=1,
    )


def main(image: str, version: str) -> Container:
    return Container(
        "main",
        image,
        command=("python3", "-I", "-c", SCRIPT),
        env={"VERSION": version},
        ports={"http": 8080},
        resources=SMALL,
        probes=Probes(readiness=Probe(http_get="/")),
    )


def ask(k8s: Kubernetes, pod: str, path: str = "") -> dict[str, Any]:
    """What a pod answers, asked through the API server."""
    where = f"/api/v1/namespaces/{k8s.namespace}/pods/{pod}:8080/proxy/{path}"
    return dict(json.loads(k8s.cluster.raw("GET", where)))


def peer_of(k8s: Kubernetes, pod: str, name: str) -> dict[str, Any] | None:
    """What a pod hears from another by its name; None until the cluster's DNS knows the name."""
    try:
        return ask(k8s, pod, f"peer/{name}")
    except ClusterError:
        return None


def mlk8s_command(k8s: Kubernetes, local_cluster: Any, *arguments: str, stdin: str = "") -> None:
    place = ["-n", k8s.namespace, "--kubeconfig", str(local_cluster.kubeconfig)]
    command = [sys.executable, "-m", "mlk8s", *arguments, *place]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, input=stdin)
    assert done.returncode == 0, done.stderr


def uid(k8s: Kubernetes, pod: str) -> str:
    return str(k8s.cluster.get("Pod", pod)["metadata"]["uid"])


def test_pods_have_stable_names_that_dns_resolves(k8s: Kubernetes, members: mlk8s.StatefulSet) -> None:
    done = k8s.apply(members)
    assert (done.kind, done.name, done.namespace) == ("StatefulSet", "members", k8s.namespace)
    assert "StatefulSet/members" in done.objects
    first = k8s.cluster.get("Pod", "members-0")
    second = k8s.cluster.get("Pod", "members-1")
    assert first["status"]["startTime"] <= second["status"]["startTime"]
    peer = wait_for(lambda: peer_of(k8s, "members-0", "members-1.members"))
    assert (peer["pod"], peer["address"]) == ("members-1", second["status"]["podIP"])
    peer = wait_for(lambda: peer_of(k8s, "members-1", "members-0.members"))
    assert peer["pod"] == "members-0"
    again = k8s.apply(members)
    assert again.objects == done.objects
    assert (uid(k8s, "members-0"), uid(k8s, "members-1")) == (
        first["metadata"]["uid"],
        second["metadata"]["uid"],
    )


def test_storage_outlives_its_pod_and_a_scale_down(k8s: Kubernetes, members: mlk8s.StatefulSet) -> None:
    born, before = ask(k8s, "members-1")["born"], uid(k8s, "members-1")
    assert born != ask(k8s, "members-0")["born"]
    k8s.cluster.delete("Pod", "members-1")
    wait_for(
        lambda: (
            (k8s.cluster.find("Pod", "members-1") or {"metadata": {"uid": before}})["metadata"]["uid"]
            != before
        )
    )
    k8s.apply(members)
    assert ask(k8s, "members-1")["born"] == born

    k8s.apply(members.replace(replicas=1))
    assert k8s.cluster.find("Pod", "members-1") is None
    k8s.apply(members)
    assert ask(k8s, "members-1")["born"] == born


def test_an_update_goes_pod_by_pod_and_stops_at_its_partition(
    k8s: Kubernetes, members: mlk8s.StatefulSet, python_pods: str
) -> None:
    changed = members.replace(containers=(main(python_pods, "two"),))
    k8s.apply(changed.replace(partition=1))
    assert [ask(k8s, f"members-{n}")["version"] for n in (0, 1)] == ["one", "two"]
    kept = uid(k8s, "members-1")
    k8s.apply(changed)
    assert [ask(k8s, f"members-{n}")["version"] for n in (0, 1)] == ["two", "two"]
    assert uid(k8s, "members-1") == kept


def test_a_broken_update_is_named_and_the_next_one_cures_it(
    k8s: Kubernetes, members: mlk8s.StatefulSet
) -> None:
    (container,) = members.containers
    broken = members.replace(containers=(container.replace(command=("/no/such/program",)),))
    with pytest.raises(RolloutFailed, match=r"/no/such/program"):
        k8s.apply(broken)
    assert ask(k8s, "members-0")["version"] == "two", "the first pod must not be touched"
    said: list[str] = []
    k8s.apply(members, say=said.append)
    assert [ask(k8s, f"members-{n}")["version"] for n in (0, 1)] == ["one", "one"]
    assert any("deleting members-1 of the old revision" in line for line in said)


def test_a_daemon_set_runs_on_every_node(k8s: Kubernetes, python_pods: str, local_cluster: Any) -> None:
    watcher = mlk8s.DaemonSet(name="watcher", containers=(main(python_pods, "one"),), grace_period=1)
    with pytest.raises(Conflict, match=r"ServiceAccount 'members' is there already and belongs to mlk8s"):
        k8s.apply(watcher.replace(name="members"))
    document = {
        "apiVersion": "mlk8s.dev/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "watcher"},
        "spec": watcher.model_dump(mode="json", exclude={"name"}, exclude_defaults=True),
    }
    mlk8s_command(k8s, local_cluster, "deploy", "-f", "-", stdin=yaml.safe_dump(document))
    nodes = {item["metadata"]["name"] for item in k8s.cluster.list("Node")}
    pods = k8s.cluster.list("Pod", labels="app.kubernetes.io/name=watcher")
    assert {pod["spec"]["nodeName"] for pod in pods} == nodes
    k8s.apply(watcher.replace(containers=(main(python_pods, "two"),)))
    (pod,) = live_pods(k8s.cluster, "app.kubernetes.io/name=watcher")
    assert ask(k8s, pod["metadata"]["name"])["version"] == "two"
    mlk8s_command(k8s, local_cluster, "delete", "daemonset/watcher")
    assert k8s.cluster.find("NetworkPolicy", "watcher") is None
    with pytest.raises(NotFound, match="no DaemonSet is named 'watcher'"):
        k8s.remove(watcher)


def test_removed_storage_stays_where_the_spec_retains_it(k8s: Kubernetes, members: mlk8s.StatefulSet) -> None:
    k8s.remove(members)
    assert k8s.cluster.find("StatefulSet", "members") is None
    assert k8s.cluster.find("Service", "members") is None
    assert k8s.cluster.find("PersistentVolumeClaim", "data-members-1") is not None
