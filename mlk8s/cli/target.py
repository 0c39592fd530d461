"""Connecting, and saying to what, before anything is written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mlk8s.cli.output import say

if TYPE_CHECKING:
    from mlk8s.operations.connection import Kubernetes


def open_cluster(context: str | None, namespace: str | None, kubeconfig: Path | None) -> Kubernetes:
    """Connect, and say on stderr which cluster and namespace are meant.

    Raises:
        Unreachable, Forbidden, UsageError: as `mlk8s.connect`.
    """
    from mlk8s.operations.connection import connect

    k8s = connect(context, kubeconfig=kubeconfig, namespace=namespace)
    say(f"context {k8s.cluster.context} ({k8s.cluster.server}), namespace {k8s.namespace}")
    return k8s


def open_namespace(context: str | None, namespace: str | None, kubeconfig: Path | None) -> Kubernetes:
    """Connect to a namespace that must be there: the API server lists one that is not as empty.

    Raises:
        NotFound: no such namespace; names those that are there.
    """
    from mlk8s.operations.preflight import require_namespace

    k8s = open_cluster(context, namespace, kubeconfig)
    require_namespace(k8s.cluster, k8s.namespace)
    return k8s
