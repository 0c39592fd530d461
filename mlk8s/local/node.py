"""What the node runs and with which flags: the control plane, containerd, kubelet, kube-proxy, the node agent.

Pure but for `write_configuration`, which puts the files of `STATE/NAME/config` there. Memory: the API server and the
controller manager hold most of it; a garbage collector that runs twice as often as usual (GOGC=50) costs a few
percent of a processor and saves about a third of it.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

from mlk8s.local.pki import Identity, encryption_config, kubeconfig, write_private
from mlk8s.local.processes import Component
from mlk8s.local.registry import Cluster

PAUSE_IMAGE = "localhost/mlk8s/pause:1"
CONTAINERD_SOCKET = "/run/containerd/containerd.sock"
"""Inside the node; /run there is a file system of its own."""

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


def write_configuration(cluster: Cluster, layout: Layout) -> None:
    """Write every configuration file and kubeconfig; files that are right already keep their content.

    Raises:
        OSError: the disk is full or read-only.
    """
    layout.config.mkdir(mode=0o700, parents=True, exist_ok=True)
    (layout.config / "cni").mkdir(exist_ok=True)
    layout.volumes.mkdir(mode=0o711, exist_ok=True)
    encryption_config(layout.config / "encryption.yaml")
    for name in CLIENTS:
        context = f"mlk8s-{cluster.name}"
        write_private(layout.client(name), kubeconfig(layout.pki, name, cluster.api_url, context))
    write_private(layout.kubeconfig, layout.client("admin").read_bytes())
    files = {
        "admission.yaml": yaml.safe_dump(_admission()),
        "kubelet.yaml": yaml.safe_dump(_kubelet(cluster, layout)),
        "containerd.toml": _containerd(layout),
        "cni/10-mlk8s.conflist": json.dumps(_cni(cluster)),
        "resolv.conf": _resolv_conf(cluster),
    }
    for name, text in files.items():
        write_private(layout.config / name, text.encode())


def mounts(layout: Layout) -> str:
    """Shell text that makes the node's private mounts, run once in its new mount namespace."""
    return f"""mount --make-rshared /
mount -t tmpfs -o mode=755,size=64m mlk8s-run /run
mkdir -p /run/netns /run/lock /run/containerd {layout.directory}/var-log/containers
mount --bind {layout.directory}/var-log /var/log
mount --bind {layout.directory}/var-cni /var/lib/cni"""


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
        "volumePluginDir": str(layout.directory / "kubelet" / "volume-plugins"),
        # the disk is shared with everything else on the machine: leave eviction to real need
        "evictionHard": {"imagefs.available": "1%", "nodefs.available": "1%", "memory.available": "100Mi"},
        "imageGCHighThresholdPercent": 100,  # images come from the machine itself and could not be pulled again
        "containerLogMaxSize": "5Mi",
        "containerLogMaxFiles": 2,
        "serializeImagePulls": False,
        "shutdownGracePeriod": "0s",
    }


def _containerd(layout: Layout) -> str:
    # restrict_oom_score_adj: where root lacks CAP_SYS_RESOURCE (many VMs and containers) runc otherwise dies with
    # "can't get final child's PID from pipe: EOF".
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
  sandbox_image = "{PAUSE_IMAGE}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
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
    ]
    return {"cniVersion": "0.4.0", "name": f"mlk8s-{cluster.name}", "plugins": plugins}


def _resolv_conf(cluster: Cluster) -> str:
    """The node's upstream name servers: the machine's with `egress`, none without."""
    if not cluster.egress:
        return "# no way out: names outside the cluster do not resolve\n"
    lines = Path("/etc/resolv.conf").read_text().splitlines()
    # a resolver on the machine's own loopback cannot be reached from the node
    kept = [line for line in lines if line.startswith("nameserver") and not line.split()[1].startswith("127.")]
    return "\n".join(kept) + "\n"


def control_plane(cluster: Cluster, layout: Layout, binaries: Path) -> tuple[Component, ...]:
    """etcd and the API server first: the others wait for them."""
    pki, node = layout.pki, cluster.node_address
    return (
        Component(
            name="etcd",
            command=(
                f"{binaries}/etcd",
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
                f"{binaries}/kube-apiserver",
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
                *(pki / f"{name}.crt" for name in ("apiserver", "ca", "etcd-client", "etcd-ca", "kubelet-client")),
                *(pki / f"{name}.crt" for name in ("front-proxy", "front-proxy-ca")),
                pki / "sa.pub",
                layout.config / "encryption.yaml",
                layout.config / "admission.yaml",
            ),
            environment={"GOGC": "50"},
        ),
    )


def controllers(cluster: Cluster, layout: Layout, binaries: Path) -> tuple[Component, ...]:
    """Controller manager and scheduler; nobody else runs, so neither elects a leader."""
    pki = layout.pki
    manager, scheduler = layout.client("controller-manager"), layout.client("scheduler")
    return (
        Component(
            name="kube-controller-manager",
            command=(
                f"{binaries}/kube-controller-manager",
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
                f"{binaries}/kube-scheduler",
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
        command=("/usr/bin/containerd", "--config", f"{layout.config}/containerd.toml", "--log-level", "warn"),
        files=(layout.config / "containerd.toml",),
        environment={"GOGC": "50"},
    )


def workers(cluster: Cluster, layout: Layout, binaries: Path) -> tuple[Component, ...]:
    """kubelet, kube-proxy and the node agent."""
    package_root = Path(__file__).resolve().parents[2]
    return (
        Component(
            name="kubelet",
            command=(
                f"{binaries}/kubelet",
                f"--config={layout.config}/kubelet.yaml",
                f"--kubeconfig={layout.client('kubelet')}",
                f"--hostname-override={cluster.node_name}",
                f"--node-ip={cluster.node_address}",
                f"--root-dir={layout.directory}/kubelet",
                f"--cert-dir={layout.directory}/kubelet/pki",
                # the labels that a GPU node has; "simulated" is said on the node itself
                "--node-labels=" + ",".join(f"{key}={value}" for key, value in node_labels(cluster).items()),
            ),
            files=(layout.config / "kubelet.yaml", layout.client("kubelet"), layout.pki / "kubelet.crt"),
            environment={"GOGC": "50"},
        ),
        Component(
            name="kube-proxy",
            command=(
                f"{binaries}/kube-proxy",
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
            ),
            files=(layout.pki / "agent.crt", layout.pki / "ca.crt"),
            environment={"PYTHONPATH": str(package_root), "PYTHONUNBUFFERED": "1", "MALLOC_ARENA_MAX": "2"},
        ),
    )


def node_labels(cluster: Cluster) -> dict[str, str]:
    """Labels beside Kubernetes' own; kubelet may set these prefixes on itself."""
    if cluster.gpus == 0:
        return {}
    return {"nvidia.com/gpu.present": "true", "mlk8s.dev/simulated-gpu": "true"}
