"""What the node promises: closed to the machine, Secrets encrypted, Pod Security on, GPUs, metrics."""

from __future__ import annotations

import base64
import os
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from e2e_tools import wait_for
from pods import ask, create_pod, pod, python_image

from mlk8s.local import native
from mlk8s.local.agent.api import ApiError
from mlk8s.local.handle import Local
from mlk8s.local.machine import IP_FORWARD
from mlk8s.local.namespaces import Namespaces

FAR = "198.51.100.2"
"""An address for documentation, given to a network namespace of the test's own: the world outside."""


@pytest.fixture(scope="module")
def client(local_cluster: Local, namespace: str, python_pods: str) -> str:
    return create_pod(local_cluster, namespace, pod("client"))


@pytest.fixture(scope="module")
def world() -> Iterator[int]:
    """A place behind the machine with a TCP listener; yields its port."""
    listen = "import socket, time; s = socket.create_server(('', 9999)); print(flush=True); time.sleep(999)"
    holder = subprocess.Popen(["unshare", "--net", "sleep", "900"])
    own = Path("/proc/self/ns/net").readlink()
    wait_for(lambda: Path(f"/proc/{holder.pid}/ns/net").readlink() != own)
    inside = ["nsenter", "--target", str(holder.pid), "--net"]
    subprocess.run(["ip", "link", "add", "far-t", "type", "veth", "peer", "name", "far-p"], check=True)
    subprocess.run(["ip", "link", "set", "far-p", "netns", str(holder.pid)], check=True)
    subprocess.run(["ip", "address", "add", "198.51.100.1/30", "dev", "far-t"], check=True)
    subprocess.run(["ip", "link", "set", "far-t", "up"], check=True)
    subprocess.run([*inside, "ip", "address", "add", f"{FAR}/30", "dev", "far-p"], check=True)
    subprocess.run([*inside, "ip", "link", "set", "far-p", "up"], check=True)
    listener = subprocess.Popen([*inside, "python3", "-c", listen], stdout=subprocess.PIPE)
    assert listener.stdout is not None
    listener.stdout.readline()
    try:
        yield 9999
    finally:
        for process in (listener, holder):
            process.kill()
            process.wait()
        listener.stdout.close()
        subprocess.run(["ip", "link", "delete", "far-t"], check=False, capture_output=True)


@pytest.fixture
def listening() -> Iterator[int]:
    """A program of the machine that listens on every address; yields its port."""
    with socket.create_server(("0.0.0.0", 0)) as server:
        yield server.getsockname()[1]


def machine_addresses(local: Local) -> list[str]:
    """Every IPv4 address of the machine that a pod might try."""
    words = subprocess.run(["hostname", "-I"], capture_output=True, text=True, check=True).stdout.split()
    return [local.cluster.machine_address, *(word for word in words if "." in word)]


def test_pods_reach_neither_the_machine_nor_the_world(
    local_cluster: Local, client: str, listening: int, world: int
) -> None:
    for address in machine_addresses(local_cluster):
        socket.create_connection((address, listening), timeout=2).close()  # it does listen
        assert ask(client, f"/tcp?to={address}:{listening}") != "open", address
    socket.create_connection((FAR, world), timeout=2).close()
    # Kernels limit how many refusals a pod gets a second (five, then one), so this may also be a silence.
    assert ask(client, f"/tcp?to={FAR}:{world}") != "open"
    assert ask(client, "/tcp?to=192.0.2.77:80") != "open"


def test_unknown_addresses_of_the_cluster_stay_in_it(local_cluster: Local, client: str) -> None:
    outside = str(local_cluster.cluster.pod_network[-2])
    inside = Namespaces(local_cluster.cluster.directory).inside()
    looked = subprocess.run([*inside, "ip", "route", "get", outside], capture_output=True, text=True)
    assert looked.returncode and "host" in looked.stderr.lower(), "no pod has it: no route to host"
    assert ask(client, f"/tcp?to={outside}:80") != "open"
    service = str(local_cluster.cluster.service_network[-2])
    assert ask(client, f"/tcp?to={service}:80") != "open"


def test_only_loopback_leads_to_the_ingress(local_cluster: Local) -> None:
    port = local_cluster.cluster.port
    with pytest.raises(urllib.error.HTTPError, match="404"):  # Traefik, and no such path
        urllib.request.urlopen(f"http://127.0.0.1:{port}/no-such-path", timeout=30)
    for address in machine_addresses(local_cluster):
        with pytest.raises(OSError):
            socket.create_connection((address, port), timeout=1)


def read(path: Path) -> bytes:
    """What is in a file; nothing of one that etcd has renamed or removed since it was listed."""
    try:
        return path.read_bytes() if path.is_file() else b""
    except FileNotFoundError:
        return b""


def test_secrets_are_encrypted_in_etcd(local_cluster: Local, namespace: str) -> None:
    value = base64.b64encode(os.urandom(18))
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "plain-marker"},
        "data": {"key": base64.b64encode(value).decode()},
    }
    local_cluster.api().request("POST", f"/api/v1/namespaces/{namespace}/secrets", body)
    stored = b"".join(read(path) for path in (local_cluster.cluster.directory / "etcd").rglob("*"))
    assert b"plain-marker" in stored, "the Secret's name is there"
    assert value not in stored
    assert b"k8s:enc:secretbox:v1:key1:" in stored


def test_pod_security_is_on(local_cluster: Local, namespace: str) -> None:
    bold = pod("bold", hostNetwork=True)
    with pytest.raises(ApiError, match="violates PodSecurity"):
        local_cluster.api().request("POST", f"/api/v1/namespaces/{namespace}/pods", bold)


def test_the_agents_rights_are_few(local_cluster: Local) -> None:
    from mlk8s.local.agent.api import Api

    agent = Api(local_cluster.cluster.api_url, local_cluster.cluster.directory / "pki", "agent")
    for path in ("/api/v1/secrets", "/api/v1/nodes", "/apis/apps/v1/deployments"):
        with pytest.raises(ApiError, match="forbidden"):
            agent.get(path)
    agent.get("/api/v1/pods")


def test_private_files_are_private(local_cluster: Local) -> None:
    assert local_cluster.kubeconfig.stat().st_mode & 0o077 == 0
    assert (local_cluster.cluster.directory / "config").stat().st_mode & 0o077 == 0


def test_gpus_stay_advertised_when_kubelet_restarts(local_cluster: Local) -> None:
    def gpus() -> str:
        node = local_cluster.api().get(f"/api/v1/nodes/{local_cluster.cluster.node_name}")
        assert node["metadata"]["labels"]["mlk8s.dev/simulated-gpu"] == "true"
        assert node["metadata"]["labels"]["nvidia.com/gpu.present"] == "true"
        return str(node["status"]["allocatable"].get("nvidia.com/gpu"))

    assert gpus() == "2"
    kubelet = Namespaces(local_cluster.cluster.directory).running()["kubelet"]
    os.kill(kubelet.pid, signal.SIGKILL)
    native.up(local_cluster.name, port=local_cluster.cluster.port, with_platform=False, yes=True)
    assert gpus() == "2"


def test_container_metrics_name_their_pods(local_cluster: Local, namespace: str, client: str) -> None:
    path = f"/api/v1/nodes/{local_cluster.cluster.node_name}/proxy/metrics/cadvisor"

    def named() -> bool:
        lines = [
            line
            for line in local_cluster.api().get(path).splitlines()
            if line.startswith("container_cpu_usage_seconds_total{") and f'namespace="{namespace}"' in line
        ]
        return any('pod="client"' in line and 'container="main"' in line for line in lines)

    wait_for(named)  # kubelet looks every 10 s


def test_egress_opens_the_world_but_not_the_machine(
    bare_cluster: Callable[..., Local], listening: int, world: int
) -> None:
    before = IP_FORWARD.read_text()
    name, port = "mlk8s-egress", 18380
    local = bare_cluster(name, port=port, egress=True)
    python_image(local)
    address = create_pod(local, "default", pod("client"))
    assert ask(address, f"/tcp?to={FAR}:{world}") == "open"
    for machine in machine_addresses(local):
        assert ask(address, f"/tcp?to={machine}:{listening}") != "open", machine
    bare_cluster(name, port=port, egress=False)
    assert ask(address, f"/tcp?to={FAR}:{world}") != "open"
    assert IP_FORWARD.read_text() == before
