"""Who may do what: roles, bindings, and the accounts of pods."""

from __future__ import annotations

from collections.abc import Iterator

from mlk8s.assess.lint.model import Keys, rule
from mlk8s.assess.lint.objects import Bundle, Obj, entries, strings, text

Found = Iterator[tuple[Keys, str]]
Across = Iterator[tuple[Obj, Keys, str]]
_ROLES = ("Role", "ClusterRole")
_BINDINGS = ("RoleBinding", "ClusterRoleBinding")


def _allowed(obj: Obj, resource: str, *verbs: str) -> Iterator[int]:
    """Yield the places of the rules that allow one of the verbs on a resource."""
    for i, item in entries(obj.body, "rules") if obj.kind in _ROLES else ():
        resources, given = strings(item, "resources"), strings(item, "verbs")
        named = bool(strings(item, "resourceNames"))
        if not named and resource in resources and any(verb in given for verb in verbs):
            yield i


@rule(
    "rbac-wildcard", "error", "object",
    "A role names its verbs and resources.",
    fix="write down what is needed instead of *",
    peers="kube-linter wildcard-in-rules; Polaris rolePodExecAttach; Kyverno restrict-wildcard-verbs, restrict-wildcard-resources",
    standard="CIS 5.1.3",
)  # fmt: skip
def _wildcard(obj: Obj) -> Found:
    for i, item in entries(obj.body, "rules") if obj.kind in _ROLES else ():
        for field in ("verbs", "resources"):
            if "*" in strings(item, field):
                yield ("rules", i, field), f"it allows every one of the {field}, those of tomorrow too"


@rule(
    "cluster-admin", "error", "object",
    "Nobody is bound to cluster-admin.",
    fix="bind a role with what is needed",
    peers="kube-linter cluster-admin-role-binding; Polaris clusterrolebindingClusterAdmin; Kyverno restrict-binding-clusteradmin",
    standard="CIS 5.1.1",
)  # fmt: skip
def _admin(obj: Obj) -> Found:
    if obj.kind in _BINDINGS and text(obj.body, "roleRef", "name") == "cluster-admin":
        yield ("roleRef", "name"), "it may do everything"


@rule(
    "reads-secrets", "warning", "object",
    "A role reads Secrets by name: get, list and watch of all of them is every password.",
    fix="name the Secrets in resourceNames and allow get only",
    peers="kube-linter access-to-secrets",
    standard="CIS 5.1.2",
)  # fmt: skip
def _secrets(obj: Obj) -> Found:
    for i in _allowed(obj, "secrets", "get", "list", "watch"):
        yield (
            ("rules", i, "resources"),
            "it reads every Secret" + (" of the cluster" if obj.kind == "ClusterRole" else ""),
        )


@rule(
    "creates-pods", "warning", "object",
    "A role makes no pods: whoever may, has every Secret and every account of the namespace.",
    fix="let a controller make them",
    peers="kube-linter access-to-create-pods",
    standard="CIS 5.1.4",
)  # fmt: skip
def _pods(obj: Obj) -> Found:
    for i in _allowed(obj, "pods", "create"):
        yield ("rules", i, "resources"), "it makes pods, with any Secret and account of the namespace"


@rule(
    "pod-exec", "warning", "object",
    "A role does not run commands in pods.",
    fix="remove pods/exec and pods/attach",
    peers="Polaris rolePodExecAttach",
    standard="NSA/CISA: least privilege",
)  # fmt: skip
def _exec(obj: Obj) -> Found:
    for resource in ("pods/exec", "pods/attach"):
        for i in _allowed(obj, resource, "create", "get"):
            yield ("rules", i, "resources"), f"it runs commands in running pods ({resource})"


@rule(
    "rbac-escalation", "error", "object",
    "A role does not let its holder take further rights: bind, escalate, impersonate, tokens of accounts.",
    fix="remove the verb, or name what it may be used on in resourceNames",
    standard="CIS 5.1.8",
)  # fmt: skip
def _escalation(obj: Obj) -> Found:
    for i, item in entries(obj.body, "rules") if obj.kind in _ROLES else ():
        for verb in ("bind", "escalate", "impersonate"):
            if verb in strings(item, "verbs") and not strings(item, "resourceNames"):
                yield ("rules", i, "verbs"), f"with {verb} its holder takes any right"
    for i in _allowed(obj, "serviceaccounts/token", "create"):
        yield ("rules", i, "resources"), "it makes tokens of every account"


@rule(
    "anonymous-access", "error", "object",
    "Nothing is allowed to callers without a name, or to every account there is.",
    fix="name the users, groups or accounts",
    standard="CIS 5.1.1, 4.2.1",
)  # fmt: skip
def _anonymous(obj: Obj) -> Found:
    for i, item in entries(obj.body, "subjects") if obj.kind in _BINDINGS else ():
        name = text(item, "name")
        if name in ("system:anonymous", "system:unauthenticated", "system:serviceaccounts"):
            yield ("subjects", i, "name"), f"it is allowed to {name}"


@rule(
    "default-account", "warning", "object",
    "The account `default` has no rights: every pod that names no other has it.",
    fix="make an account of its own and bind that",
    peers="kube-linter default-service-account; Polaris missingServiceAccount",
    standard="CIS 5.1.5",
)  # fmt: skip
def _default(obj: Obj) -> Found:
    for i, item in entries(obj.body, "subjects") if obj.kind in _BINDINGS else ():
        if text(item, "kind") == "ServiceAccount" and text(item, "name") == "default":
            yield (
                ("subjects", i, "name"),
                "every pod of the namespace that names no account gets these rights",
            )


@rule(
    "account-token", "warning", "set",
    "A pod has a token of the API server only if its account has rights to use with it.",
    fix="set automountServiceAccountToken: false on the pod or its ServiceAccount",
    peers="kube-score pod-service-account-token; Polaris automountServiceAccountToken; kubesec ServiceAccountName, AutomountServiceAccountToken",
    standard="CIS 5.1.6; NSA/CISA: service account tokens",
)  # fmt: skip
def _token(bundle: Bundle) -> Across:
    bound = {
        (text(item, "namespace") or obj.namespace, text(item, "name"))
        for obj in bundle.kinds(*_BINDINGS)
        for _, item in entries(obj.body, "subjects")
        if text(item, "kind") == "ServiceAccount"
    }
    for pod in bundle.pods:
        mounted = pod.spec.get("automountServiceAccountToken")
        account = bundle.find("ServiceAccount", pod.obj.namespace, pod.account)
        if mounted is None and account is not None:
            mounted = account.body.get("automountServiceAccountToken")
        if mounted is not False and (pod.obj.namespace, pod.account) not in bound:
            what = (
                "it has no account of its own, and"
                if pod.account == "default"
                else f"account {pod.account} has no rights here, and"
            )
            yield pod.obj, (*pod.keys, "automountServiceAccountToken"), f"{what} its token is mounted"
