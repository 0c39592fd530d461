"""Who may call whom: Services, Ingresses, NetworkPolicies."""

from __future__ import annotations

from collections.abc import Iterator

from mlk8s.assess.lint.model import Keys, rule
from mlk8s.assess.lint.objects import Bundle, Obj, entries, mapping, strings, text

Found = Iterator[tuple[Keys, str]]
Across = Iterator[tuple[Obj, Keys, str]]


@rule(
    "network-policy", "error", "set",
    "A NetworkPolicy selects every pod: what is not allowed is denied.",
    fix="add a NetworkPolicy that selects the pods and allows what they need, or a default-deny for the namespace",
    peers="kube-linter non-isolated-pod; kube-score pod-networkpolicy; Polaris missingNetworkPolicy",
    standard="CIS 5.3.2; NSA/CISA: network policies",
)  # fmt: skip
def _isolated(bundle: Bundle) -> Across:
    held: dict[str, set[int]] = {"Ingress": set(), "Egress": set()}
    for policy in bundle.kinds("NetworkPolicy"):
        kinds = strings(policy.spec, "policyTypes") or [
            "Ingress",
            *(["Egress"] if "egress" in policy.spec else []),
        ]
        for pod in bundle.selected(policy.namespace, mapping(policy.spec, "podSelector")):
            for kind in kinds:
                held.setdefault(kind, set()).add(id(pod))
    for pod in bundle.pods:
        missing = [kind for kind in ("Ingress", "Egress") if id(pod) not in held[kind]]
        if len(missing) == 2:
            yield (
                pod.obj,
                (),
                "no NetworkPolicy selects its pods: everybody may call them, and they everybody",
            )
        elif missing:
            rest = "everybody may call its pods" if missing == ["Ingress"] else "its pods may call everybody"
            yield pod.obj, (), f"its NetworkPolicies do not restrict {missing[0]}: {rest}"


@rule(
    "policy-allows-all", "warning", "object",
    "A NetworkPolicy names ports or peers: an empty rule allows everything.",
    fix="name the peers and ports that are needed",
)  # fmt: skip
def _open(obj: Obj) -> Found:
    if obj.kind != "NetworkPolicy":
        return
    for part in ("ingress", "egress"):
        for i, item in entries(obj.spec, part):
            if not item:
                yield ("spec", part, i), f"an empty {part} rule allows everything"


@rule(
    "node-port", "warning", "object",
    "Nothing is opened on every node: an Ingress or a Gateway is the way in.",
    fix="use type: ClusterIP behind an Ingress, or LoadBalancer",
    peers="kube-linter exposed-services; kube-score service-type",
)  # fmt: skip
def _node_port(obj: Obj) -> Found:
    if obj.kind == "Service" and text(obj.spec, "type") == "NodePort":
        yield ("spec", "type"), "a NodePort is open on every node, past the Ingress and its TLS"


@rule(
    "external-ips", "error", "object",
    "A Service claims no foreign addresses (CVE-2020-8554).",
    fix="remove spec.externalIPs; use type: LoadBalancer",
    peers="Kyverno restrict-external-ips",
)  # fmt: skip
def _external(obj: Obj) -> Found:
    if obj.kind == "Service" and strings(obj.spec, "externalIPs"):
        yield ("spec", "externalIPs"), "it takes traffic for addresses that need not be its own"


@rule(
    "ingress-class", "warning", "object",
    "An Ingress names its class: the cluster's default may be another one, or none.",
    fix="set spec.ingressClassName",
)  # fmt: skip
def _class(obj: Obj) -> Found:
    old = mapping(obj.metadata, "annotations").get("kubernetes.io/ingress.class")
    if obj.kind == "Ingress" and not text(obj.spec, "ingressClassName") and not old:
        yield ("spec", "ingressClassName"), "no controller is named"


@rule(
    "ingress-tls", "warning", "object",
    "An Ingress with a host has a certificate for it. Not asked without a host: no certificate would fit.",
    fix="add spec.tls with the host and the name of a TLS Secret",
    peers="Polaris tlsSettingsMissing, ingressTLSRequired",
    standard="NSA/CISA: encrypt traffic",
)  # fmt: skip
def _tls(obj: Obj) -> Found:
    if obj.kind != "Ingress":
        return
    covered = [host for _, item in entries(obj.spec, "tls") for host in strings(item, "hosts")]
    every = any(not strings(item, "hosts") for _, item in entries(obj.spec, "tls"))
    for i, item in entries(obj.spec, "rules"):
        host = text(item, "host")
        wild = "*." + host.partition(".")[2]
        if host and not every and host not in covered and wild not in covered:
            yield ("spec", "rules", i, "host"), f"{host} is served without TLS"


@rule(
    "ingress-snippet", "error", "object",
    "No Ingress brings configuration text for the controller: it runs with the controller's rights (CVE-2021-25742).",
    fix="remove the snippet annotation; use the annotation or field for what is wanted",
)  # fmt: skip
def _snippet(obj: Obj) -> Found:
    for key in mapping(obj.metadata, "annotations") if obj.kind == "Ingress" else ():
        if str(key).endswith("-snippet"):
            yield ("metadata", "annotations", key), "a snippet is configuration with the controller's rights"


@rule(
    "ingress-conflict", "error", "set",
    "No two Ingresses send one host and path to different Services; canaries apart.",
    fix="change the path or the host of one of them",
)  # fmt: skip
def _conflict(bundle: Bundle) -> Across:
    taken: dict[tuple[str, str, str], tuple[str, Obj]] = {}
    for obj in bundle.kinds("Ingress"):
        if mapping(obj.metadata, "annotations").get("nginx.ingress.kubernetes.io/canary") == "true":
            continue
        for i, item in entries(obj.spec, "rules"):
            for j, path in entries(item, "http", "paths"):
                place = (text(obj.spec, "ingressClassName"), text(item, "host"), text(path, "path"))
                backend = f"{obj.namespace}/{text(path, 'backend', 'service', 'name')}"
                first, other = taken.setdefault(place, (backend, obj))
                if first != backend:
                    where = f"{place[1] or '*'}{place[2]}"
                    keys = ("spec", "rules", i, "http", "paths", j)
                    yield obj, keys, f"{where} leads to Service {first} already, by {other.title}"
