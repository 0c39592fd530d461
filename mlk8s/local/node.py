"""Which configuration and certificates a node has, and where one cluster keeps what."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

from mlk8s.local.pki import Identity, encryption_config, kubeconfig, write_private
from mlk8s.local.registry import Cluster

CONTAINERD_SOCKET = "/run/containerd/containerd.sock"
"""Inside the node; /run there is a file system of its own."""

POLICY_PLUGIN = "mlk8s-policy"
"""The CNI plugin `agent/cni.py`, last in the chain."""

CLIENTS = ("admin", "controller-manager", "scheduler", "kubelet", "kube-proxy", "agent")
"""Identities that have a kubeconfig."""


@dataclass(frozen=True)
class Layout:
    """Where one cluster keeps what."""

    directory: Path

    @property
    def pki(self) -> Path:
        return self.directory / "pki"

    @property
    def config(self) -> Path:
        return self.directory / "config"

    @property
    def volumes(self) -> Path:
        """Directories of the default StorageClass."""
        return self.directory / "volumes"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's, for users."""
        return self.directory / "kubeconfig"

    def client(self, name: str) -> Path:
        """The kubeconfig of one of `CLIENTS`."""
        return self.pki / f"{name}.kubeconfig"


def identities(cluster: Cluster) -> tuple[Identity, ...]:
    """Every certificate of a cluster."""
    node = cluster.node_address
    service_names = ("kubernetes", "kubernetes.default", "kubernetes.default.svc")
    return (
        Identity(
            file="apiserver",
            common_name="kube-apiserver",
            dns=("localhost", *service_names, "kubernetes.default.svc.cluster.local"),
            addresses=(node, cluster.kubernetes_address, "127.0.0.1"),
        ),
        Identity(file="admin", common_name="mlk8s-admin", organization="system:masters"),
        Identity(
            file="kubelet",
            common_name=f"system:node:{cluster.node_name}",
            organization="system:nodes",
            dns=(cluster.node_name,),
            addresses=(node,),
        ),
        Identity(file="kubelet-client", common_name="kube-apiserver-kubelet-client"),
        Identity(file="front-proxy", common_name="front-proxy-client", authority="front-proxy-ca"),
        Identity(file="controller-manager", common_name="system:kube-controller-manager"),
        Identity(file="scheduler", common_name="system:kube-scheduler"),
        Identity(file="kube-proxy", common_name="system:kube-proxy"),
        Identity(file="agent", common_name="mlk8s-agent"),
        Identity(file="etcd", common_name="etcd", addresses=("127.0.0.1",), authority="etcd-ca"),
        Identity(file="etcd-client", common_name="kube-apiserver", authority="etcd-ca"),
    )


def write_configuration(cluster: Cluster, layout: Layout, pause: str) -> None:
    """Write every configuration file and kubeconfig; files that are right already keep their content.

    Args:
        pause: reference of the image that holds a pod's namespaces open.

    Raises:
        OSError: the disk is full or read-only.
    """
    layout.config.mkdir(mode=0o700, parents=True, exist_ok=True)
    (layout.config / "cni").mkdir(exist_ok=True)
    layout.volumes.mkdir(mode=0o700, exist_ok=True)
    encryption_config(layout.config / "encryption.yaml")
    for name in CLIENTS:
        context = f"mlk8s-{cluster.name}"
        write_private(layout.client(name), kubeconfig(layout.pki, name, cluster.api_url, context))
    write_private(layout.kubeconfig, layout.client("admin").read_bytes())
    files = {
        "admission.yaml": yaml.safe_dump(_admission()),
        "kubelet.yaml": yaml.safe_dump(_kubelet(cluster, layout)),
        "containerd.toml": _containerd(layout, pause),
        "cni/10-mlk8s.conflist": json.dumps(_cni(cluster)),
        "resolv.conf": _resolv_conf(cluster),
    }
    for name, text in files.items():
        write_private(layout.config / name, text.encode())
    _cni_programs(layout.config / "cni-bin")


def mounts(layout: Layout) -> str:
    """Shell text that makes the node's private mounts, run once in its new mount namespace."""
    return f"""mount --make-rshared /
mount -t tmpfs -o mode=755,size=64m mlk8s-run /run
mkdir -p /run/netns /run/lock /run/containerd {layout.directory}/var-log/containers
mount --bind {layout.directory}/var-log /var/log
mount --bind {layout.directory}/var-cni /var/lib/cni
mount --bind {layout.directory}/kubelet /var/lib/kubelet"""


def _admission() -> dict[str, object]:
    return {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "AdmissionConfiguration",
        "plugins": [
            {
                "name": "PodSecurity",
                "configuration": {
                    "apiVersion": "pod-security.admission.config.k8s.io/v1",
                    "kind": "PodSecurityConfiguration",
                    # a namespace's own pod-security labels go before these
                    "defaults": {"enforce": "baseline", "enforce-version": "latest"},
                    "exemptions": {"namespaces": ["kube-system"]},
                },
            }
        ],
    }


def _kubelet(cluster: Cluster, layout: Layout) -> dict[str, object]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": cluster.node_address,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(layout.pki / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(layout.pki / "kubelet.crt"),
        "tlsPrivateKeyFile": str(layout.pki / "kubelet.key"),
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{cluster.cgroup}",
        "failCgroupV1": False,  # kubelet 1.35 refuses cgroup v1 otherwise
        "failSwapOn": False,
        "clusterDNS": [cluster.dns_address],
        "clusterDomain": "cluster.local",
        "resolvConf": str(layout.config / "resolv.conf"),
        "podLogsDir": "/var/log/pods",
        "volumePluginDir": "/var/lib/kubelet/volume-plugins",
        # the disk is shared with everything else on the machine: leave eviction to real need
        "evictionHard": {"imagefs.available": "1%", "nodefs.available": "1%", "memory.available": "100Mi"},
        "imageGCHighThresholdPercent": 100,  # images are made here and could not be pulled again
        "containerLogMaxSize": "5Mi",
        "containerLogMaxFiles": 2,
        "serializeImagePulls": False,
        "shutdownGracePeriod": "0s",
    }


def _containerd(layout: Layout, pause: str) -> str:
    # restrict_oom_score_adj: where root lacks CAP_SYS_RESOURCE (many VMs and containers) runc otherwise dies
    # with "can't get final child's PID from pipe: EOF".
    return f"""version = 2
root = "{layout.directory}/containerd"
state = "/run/containerd"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.opt",
]
[grpc]
  address = "{CONTAINERD_SOCKET}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{layout.config}/cni-bin"
    conf_dir = "{layout.config}/cni"
"""


def _cni(cluster: Cluster) -> dict[str, object]:
    # ptp, not bridge: packets between pods then pass the forward hook, where NetworkPolicy is enforced.
    # Leases live in the node's own /run: they end when every pod has.
    ipam = {
        "type": "host-local",
        "dataDir": "/run/cni-leases",
        "ranges": [[{"subnet": cluster.node_pods}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    plugins = [
        {"type": "ptp", "ipMasq": False, "ipam": ipam},
        {"type": "portmap", "capabilities": {"portMappings": True}},
        {"type": POLICY_PLUGIN},
    ]
    return {"cniVersion": "0.4.0", "name": f"mlk8s-{cluster.name}", "plugins": plugins}


def _cni_programs(directory: Path) -> None:
    """One folder with Debian's CNI plugins and ours, because containerd looks in one only."""
    directory.mkdir(exist_ok=True)
    for name in ("loopback", "ptp", "host-local", "portmap"):
        link = directory / name
        if not link.is_symlink():
            link.symlink_to(f"/usr/lib/cni/{name}")
    plugin = Path(__file__).with_name("agent") / "cni.py"
    # -I -S: nothing of the user's environment, and no site packages to look through
    write_private(
        directory / POLICY_PLUGIN,
        f"#!/bin/sh\nexec {shlex.quote(sys.executable)} -I -S {shlex.quote(str(plugin))}\n".encode(),
    )
    (directory / POLICY_PLUGIN).chmod(0o700)


def _resolv_conf(cluster: Cluster) -> str:
    """The node's upstream name servers: the machine's with `egress`, none without."""
    if not cluster.egress:
        return "# no way out: names outside the cluster do not resolve\n"
    lines = Path("/etc/resolv.conf").read_text().splitlines()
    # a resolver on the machine's own loopback cannot be reached from the node
    kept = [
        line for line in lines if line.startswith("nameserver") and not line.split()[1].startswith("127.")
    ]
    return "\n".join(kept) + "\n"
