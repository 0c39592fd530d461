"""Which cluster is meant: the user's kubeconfig, the pod's own, or a local cluster."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlk8s.errors import Unreachable, UsageError

if TYPE_CHECKING:
    from kubernetes.client import Configuration

_TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
_POD_NAMESPACE = _TOKEN.with_name("namespace")


@dataclass(frozen=True)
class Target:
    """A cluster that was found: how to reach it, and where that was read."""

    configuration: Configuration
    source: str
    context: str
    namespace: str


def state_root() -> Path:
    """Return the directory that holds one folder for each local cluster."""
    return Path(os.environ.get("MLK8S_STATE", "/var/lib/mlk8s"))


def local_kubeconfigs() -> dict[str, Path]:
    """Return the kubeconfigs of the local clusters of this machine, by cluster name."""
    try:
        return {path.parent.name: path for path in sorted(state_root().glob("*/kubeconfig"))}
    except OSError:
        return {}


def find(
    context: str | None = None, kubeconfig: str | os.PathLike[str] | None = None, cluster: str | None = None
) -> Target:
    """Find the cluster that is meant.

    Order: an explicit `kubeconfig`; a local cluster by name (`cluster`, or MLK8S_CLUSTER); the KUBECONFIG
    variable; ~/.kube/config; the pod this runs in; the only local cluster of this machine.

    Raises:
        Unreachable: no kubeconfig is found or one cannot be read; lists what was tried.
        UsageError: the context is not in the kubeconfig; lists those that are.
    """
    tried: list[str] = []
    cluster = cluster or (None if kubeconfig else os.environ.get("MLK8S_CLUSTER"))
    local = local_kubeconfigs()
    if cluster:
        if cluster not in local:
            raise Unreachable(
                f"no local cluster is named {cluster!r}",
                where=str(state_root()),
                expected=f"one of: {', '.join(local)}" if local else "a cluster that `mlk8s up` made",
                next_step=f"mlk8s up --name {cluster}",
            )
        return _load(str(local[cluster]), context)
    if kubeconfig:
        if not Path(kubeconfig).expanduser().is_file():
            raise Unreachable(
                "the kubeconfig is not there", where=str(kubeconfig), expected="a readable file"
            )
        return _load(str(Path(kubeconfig).expanduser()), context)
    if os.environ.get("KUBECONFIG"):
        paths = [path for path in os.environ["KUBECONFIG"].split(os.pathsep) if path]
        if any(Path(path).is_file() for path in paths):
            return _load(os.pathsep.join(paths), context)
        tried.append(f"KUBECONFIG={os.environ['KUBECONFIG']} (no such file)")
    else:
        tried.append("KUBECONFIG (not set)")
    home = Path("~/.kube/config").expanduser()
    if home.is_file() and home.stat().st_size:
        return _load(str(home), context)
    tried.append(f"{home} (not there)")
    if os.environ.get("KUBERNETES_SERVICE_HOST") and _TOKEN.is_file():
        return _in_cluster()
    tried.append("the pod's service account (not in a pod)")
    named = [name for name in local if context in (None, f"mlk8s-{name}")]
    if len(named) == 1:
        return _load(str(local[named[0]]), context)
    if len(named) > 1:
        raise UsageError(
            f"this machine has {len(named)} local clusters: {', '.join(named)}",
            expected="one of them by name",
            next_step=f"add --context mlk8s-{named[0]}, or set MLK8S_CLUSTER={named[0]}",
        )
    tried.append(f"{state_root()}/*/kubeconfig (no local cluster)")
    raise Unreachable(
        "no kubeconfig was found",
        where="; ".join(tried),
        expected="a kubeconfig, a pod's service account, or a local cluster",
        next_step="`mlk8s up` starts a local cluster, or set KUBECONFIG",
    )


def _load(files: str, context: str | None) -> Target:
    import yaml
    from kubernetes.client import Configuration
    from kubernetes.config import ConfigException, list_kube_config_contexts, load_kube_config

    try:
        contexts, active = list_kube_config_contexts(files)
    except (ConfigException, yaml.YAMLError, KeyError, TypeError, ValueError, OSError) as error:
        raise Unreachable(
            f"the kubeconfig cannot be read: {_first_line(error)}",
            where=files,
            expected="a kubeconfig with clusters, users and contexts",
        ) from None
    names = [item["name"] for item in contexts]
    if context is not None and context not in names:
        # A local cluster can be named by its context even where another kubeconfig is the default.
        local = local_kubeconfigs().get(context.removeprefix("mlk8s-"))
        if context.startswith("mlk8s-") and local is not None and str(local) != files:
            return _load(str(local), context)
        raise UsageError(
            f"no context is named {context!r}",
            where=files,
            expected=f"one of: {', '.join(names) or 'none there'}",
        )
    chosen: dict[str, Any] = active if context is None else contexts[names.index(context)]
    configuration = Configuration()
    try:
        load_kube_config(
            files, context=chosen["name"], client_configuration=configuration, persist_config=False
        )
    except (ConfigException, KeyError, TypeError, ValueError, OSError) as error:
        raise Unreachable(
            f"the kubeconfig's context {chosen['name']!r} cannot be used: {_first_line(error)}", where=files
        ) from None
    namespace = chosen.get("context", {}).get("namespace") or "default"
    return Target(configuration, files, chosen["name"], namespace)


def _in_cluster() -> Target:
    from kubernetes.client import Configuration
    from kubernetes.config import ConfigException, load_incluster_config

    configuration = Configuration()
    try:
        load_incluster_config(client_configuration=configuration)
    except ConfigException as error:
        raise Unreachable(f"the pod's service account cannot be used: {error}", where=str(_TOKEN)) from None
    namespace = _POD_NAMESPACE.read_text().strip() if _POD_NAMESPACE.is_file() else "default"
    return Target(configuration, "in-cluster service account", "in-cluster", namespace)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
