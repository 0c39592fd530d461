"""Access for a tenant's users: a kubeconfig with a token that expires."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import orjson

from mlk8s.clients.cluster import Cluster
from mlk8s.errors import Forbidden, NotFound, UsageError
from mlk8s.render.common import KIND, NAME, PULL_SECRETS
from mlk8s.spec.pod import S, pulled_with

SHORTEST, LONGEST = 600.0, 30 * 86400.0


@dataclass(frozen=True)
class Access:
    """A kubeconfig for one user of a tenant.

    Attributes:
        kubeconfig: the file's content; whoever has it may do what the user may.
        expires: when the API server stops taking the token, RFC 3339; perhaps sooner than was asked.
    """

    kubeconfig: dict[str, Any]
    expires: str

    def __repr__(self) -> str:
        return f"Access until {self.expires}"  # the token is no text for a log or a notebook


def access(cluster: Cluster, tenant: str, user: str | None = None, *, expires: float = 8 * 3600.0) -> Access:
    """Make a token for a ServiceAccount of a tenant (TokenRequest), and a kubeconfig with it.

    The token is bound to the account: deleting the account ends it before its time.

    Args:
        user: one of the tenant's users; None means its only one.
        expires: seconds, 600 to 30 days.

    Raises:
        NotFound: no such tenant or user; names those that are there.
        UsageError: a time outside the range, or several users and none named.
        Forbidden: you may not make tokens there.
    """
    if not SHORTEST <= expires <= LONGEST:
        raise UsageError(f"a token for {expires:g} s", expected="10 minutes to 30 days")
    users = _users(cluster, tenant)
    if user is None and len(users) != 1:
        raise UsageError(f"tenant {tenant!r} has {len(users)} users", expected=f"one of: {', '.join(users)}")
    name = user or users[0]
    if name not in users:
        raise NotFound(f"tenant {tenant!r} has no user {name!r}", expected=f"one of: {', '.join(users)}")
    body = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": round(expires)},
    }
    path = f"/api/v1/namespaces/{tenant}/serviceaccounts/{name}/token"
    status = orjson.loads(cluster.raw("POST", path, body=body))["status"]
    return Access(_kubeconfig(cluster, tenant, name, status["token"]), status["expirationTimestamp"])


def with_pull_secrets(cluster: Cluster, spec: S, namespace: str) -> S:
    """Return the spec with the Secrets that images are pulled with in a tenant's namespace.

    A spec that names its own keeps them; in a namespace of no tenant, or one that may not be read, it stays
    as it is.
    """
    try:
        found = cluster.find("Namespace", namespace) or {"metadata": {}}
    except Forbidden:
        return spec
    names = (found["metadata"].get("annotations") or {}).get(PULL_SECRETS, "")
    return pulled_with(spec, tuple(name for name in names.split(",") if name))


def _users(cluster: Cluster, tenant: str) -> list[str]:
    """Return the accounts that the tenant's RoleBinding names."""
    binding = cluster.find("RoleBinding", "tenant-user", tenant)
    if binding is None or (binding["metadata"].get("labels") or {}).get(KIND) != "Tenant":
        there = [
            str(item["metadata"]["labels"][NAME])
            for item in cluster.list("Namespace", labels=f"{KIND}=Tenant")
        ]
        raise NotFound(
            f"there is no tenant {tenant!r} with users",
            where=f"context {cluster.context!r}",
            expected=f"one of: {', '.join(there)}" if there else "a tenant that was applied",
            next_step=f"`mlk8s tenant create {tenant}`",
        )
    accounts = [item for item in binding.get("subjects") or () if item["kind"] == "ServiceAccount"]
    return [str(item["name"]) for item in accounts]


def _kubeconfig(cluster: Cluster, tenant: str, user: str, token: str) -> dict[str, Any]:
    server: dict[str, Any] = {"server": cluster.server}
    if cluster.authority is not None:
        server["certificate-authority-data"] = base64.b64encode(cluster.authority).decode()
    context = f"{user}@{tenant}"
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": cluster.context, "cluster": server}],
        "users": [{"name": context, "user": {"token": token}}],
        "contexts": [
            {"name": context, "context": {"cluster": cluster.context, "user": context, "namespace": tenant}}
        ],
        "current-context": context,
    }
