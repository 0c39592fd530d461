"""What a cluster runs and with which flags; pure.

Memory: the API server and the controller manager hold most of it. A garbage collector that runs twice as
often as usual (GOGC=50) costs a few percent of a processor and saves about a third of it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from mlk8s.local.node import Layout
from mlk8s.local.processes import Component
from mlk8s.local.registry import Cluster

Programs = Mapping[str, Path]
"""Where each Kubernetes program and etcd are, by name."""


def control_plane(cluster: Cluster, layout: Layout, programs: Programs) -> tuple[Component, ...]:
    """etcd and the API server first: the others wait for them."""
    pki, node = layout.pki, cluster.node_address
    return (
        Component(
            name="etcd",
            command=(
                str(programs["etcd"]),
                f"--name={cluster.node_name}",
                f"--data-dir={layout.directory}/etcd",
                "--listen-client-urls=https://127.0.0.1:2379",
                "--advertise-client-urls=https://127.0.0.1:2379",
                "--listen-peer-urls=http://127.0.0.1:2380",
                "--listen-metrics-urls=http://127.0.0.1:2381",
                "--client-cert-auth",
                f"--trusted-ca-file={pki}/etcd-ca.crt",
                f"--cert-file={pki}/etcd.crt",
                f"--key-file={pki}/etcd.key",
                "--auto-compaction-mode=periodic",
                "--auto-compaction-retention=5m",
                "--quota-backend-bytes=2147483648",
                "--snapshot-count=5000",
                "--log-level=warn",
            ),
            files=(pki / "etcd.crt", pki / "etcd-ca.crt"),
            environment={"GOGC": "50"},
        ),
        Component(
            name="kube-apiserver",
            command=(
                str(programs["kube-apiserver"]),
                f"--bind-address={node}",
                f"--advertise-address={node}",
                "--secure-port=6443",
                f"--tls-cert-file={pki}/apiserver.crt",
                f"--tls-private-key-file={pki}/apiserver.key",
                f"--client-ca-file={pki}/ca.crt",
                "--anonymous-auth=false",
                "--etcd-servers=https://127.0.0.1:2379",
                f"--etcd-cafile={pki}/etcd-ca.crt",
                f"--etcd-certfile={pki}/etcd-client.crt",
                f"--etcd-keyfile={pki}/etcd-client.key",
                f"--encryption-provider-config={layout.config}/encryption.yaml",
                f"--service-cluster-ip-range={cluster.service_network}",
                "--service-account-issuer=https://kubernetes.default.svc",
                f"--service-account-key-file={pki}/sa.pub",
                f"--service-account-signing-key-file={pki}/sa.key",
                "--authorization-mode=Node,RBAC",
                "--enable-admission-plugins=NodeRestriction",
                f"--admission-control-config-file={layout.config}/admission.yaml",
                "--allow-privileged=true",
                f"--kubelet-client-certificate={pki}/kubelet-client.crt",
                f"--kubelet-client-key={pki}/kubelet-client.key",
                f"--kubelet-certificate-authority={pki}/ca.crt",
                "--kubelet-preferred-address-types=InternalIP",
                f"--requestheader-client-ca-file={pki}/front-proxy-ca.crt",
                "--requestheader-allowed-names=front-proxy-client",
                "--requestheader-username-headers=X-Remote-User",
                "--requestheader-group-headers=X-Remote-Group",
                "--requestheader-extra-headers-prefix=X-Remote-Extra-",
                f"--proxy-client-cert-file={pki}/front-proxy.crt",
                f"--proxy-client-key-file={pki}/front-proxy.key",
                "--enable-aggregator-routing=true",
                "--profiling=false",
            ),
            files=(
                *(
                    pki / f"{name}.crt"
                    for name in ("apiserver", "ca", "etcd-client", "etcd-ca", "kubelet-client")
                ),
                *(pki / f"{name}.crt" for name in ("front-proxy", "front-proxy-ca")),
                pki / "sa.pub",
                layout.config / "encryption.yaml",
                layout.config / "admission.yaml",
            ),
            environment={"GOGC": "50"},
        ),
    )


def controllers(cluster: Cluster, layout: Layout, programs: Programs) -> tuple[Component, ...]:
    """Controller manager and scheduler; nobody else runs, so neither elects a leader."""
    pki = layout.pki
    manager, scheduler = layout.client("controller-manager"), layout.client("scheduler")
    return (
        Component(
            name="kube-controller-manager",
            command=(
                str(programs["kube-controller-manager"]),
                f"--kubeconfig={manager}",
                f"--authentication-kubeconfig={manager}",
                f"--authorization-kubeconfig={manager}",
                "--bind-address=127.0.0.1",
                "--leader-elect=false",
                "--use-service-account-credentials",
                f"--service-account-private-key-file={pki}/sa.key",
                f"--root-ca-file={pki}/ca.crt",
                "--allocate-node-cidrs=true",
                f"--cluster-cidr={cluster.node_pods}",
                "--node-cidr-mask-size=24",
                # 15 s is meant for thousands of autoscalers; one machine can look more often
                "--horizontal-pod-autoscaler-sync-period=5s",
                "--profiling=false",
            ),
            files=(manager, pki / "sa.key", pki / "ca.crt"),
            environment={"GOGC": "50"},
        ),
        Component(
            name="kube-scheduler",
            command=(
                str(programs["kube-scheduler"]),
                f"--kubeconfig={scheduler}",
                f"--authentication-kubeconfig={scheduler}",
                f"--authorization-kubeconfig={scheduler}",
                "--bind-address=127.0.0.1",
                "--leader-elect=false",
                "--profiling=false",
            ),
            files=(scheduler,),
            environment={"GOGC": "50"},
        ),
    )


def containerd(layout: Layout) -> Component:
    """The container runtime, Debian's."""
    return Component(
        name="containerd",
        command=(
            "/usr/bin/containerd",
            "--config",
            f"{layout.config}/containerd.toml",
            "--log-level",
            "warn",
        ),
        files=(layout.config / "containerd.toml",),
        environment={"GOGC": "50"},
    )


def workers(cluster: Cluster, layout: Layout, programs: Programs) -> tuple[Component, ...]:
    """kubelet, kube-proxy and the node agent."""
    package_root = Path(__file__).resolve().parents[2]
    return (
        Component(
            name="kubelet",
            command=(
                str(programs["kubelet"]),
                f"--config={layout.config}/kubelet.yaml",
                f"--kubeconfig={layout.client('kubelet')}",
                f"--hostname-override={cluster.node_name}",
                f"--node-ip={cluster.node_address}",
                "--root-dir=/var/lib/kubelet",  # the cluster's own, and short enough for a socket
                "--cert-dir=/var/lib/kubelet/pki",
                # the labels that a GPU node has; "simulated" is said on the node itself
                "--node-labels=" + ",".join(f"{key}={value}" for key, value in node_labels(cluster).items()),
            ),
            files=(layout.config / "kubelet.yaml", layout.client("kubelet"), layout.pki / "kubelet.crt"),
            environment={"GOGC": "50"},
        ),
        Component(
            name="kube-proxy",
            command=(
                str(programs["kube-proxy"]),
                f"--kubeconfig={layout.client('kube-proxy')}",
                f"--hostname-override={cluster.node_name}",
                f"--cluster-cidr={cluster.node_pods}",
                "--proxy-mode=nftables",
                "--nodeport-addresses=primary",
                "--conntrack-max-per-core=0",
                "--conntrack-tcp-timeout-established=0",
                "--conntrack-tcp-timeout-close-wait=0",
                "--healthz-bind-address=127.0.0.1:10256",
                "--metrics-bind-address=127.0.0.1:10249",
            ),
            files=(layout.client("kube-proxy"),),
            environment={"GOGC": "50"},
        ),
        Component(
            name="agent",
            command=(
                sys.executable,
                "-m",
                "mlk8s.local.agent",
                f"--pki={layout.pki}",
                f"--server={cluster.api_url}",
                f"--node={cluster.node_name}",
                f"--volumes={layout.volumes}",
                f"--gpus={cluster.gpus}",
                f"--balancer={cluster.balancer_network}",
            ),
            # its own code too: a newer mlk8s brings a newer agent
            files=(
                layout.pki / "agent.crt",
                layout.pki / "ca.crt",
                *sorted(Path(__file__).with_name("agent").glob("*.py")),
            ),
            environment={"PYTHONPATH": str(package_root), "PYTHONUNBUFFERED": "1", "MALLOC_ARENA_MAX": "2"},
        ),
    )


def node_labels(cluster: Cluster) -> dict[str, str]:
    """Labels beside Kubernetes' own; kubelet may set these prefixes on itself."""
    if cluster.gpus == 0:
        return {}
    return {"nvidia.com/gpu.present": "true", "mlk8s.dev/simulated-gpu": "true"}
