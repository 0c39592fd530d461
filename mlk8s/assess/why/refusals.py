"""Why the API server refuses pods: quota, LimitRange, Pod Security, webhooks, what is named but missing."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mlk8s.assess.cause import Cause, short
from mlk8s.assess.observed import Object, events_of, place


def refusal(words: str, item: Object, *, certain: bool = True) -> Cause:
    """Return the cause that a refusal's words name.

    Args:
        words: the API server's.
        item: whose pods (or itself) it refuses.
        certain: whether there is no hope that it goes away by itself.
    """
    key, remedy = _read(words, str(item["metadata"].get("namespace")))
    return Cause(key, f"the API server refuses its pods: {short(words)}", place(item), remedy, certain)


def refused_pods(owner: Object, events: Sequence[Object]) -> Cause | None:
    """Return why the API server refuses the pods of a Job, StatefulSet or DaemonSet.

    Only events (oldest first) tell: these have no condition for it. A later SuccessfulCreate ends it.
    """
    for event in reversed(events_of(owner, events)):
        if event.get("reason") == "FailedCreate":
            return refusal(str(event.get("message", "")), owner)
        if event.get("reason") == "SuccessfulCreate":
            return None
    return None


def _read(words: str, namespace: str) -> tuple[str, str]:
    in_namespace = f"-n {namespace}"
    quota = re.search(r"exceeded quota: ([\w.-]+)", words)
    if quota:
        return (
            "quota",
            "ask for less, remove what is not needed, or have the quota raised: "
            f"`kubectl edit resourcequota {quota[1]} {in_namespace}`",
        )
    specify = re.search(r"failed quota: ([\w.-]+): must specify ([^\s;]+)", words)
    if specify:
        return "quota", f"give every container resources for {specify[2]}: quota {specify[1]} counts them"
    bound = re.search(r"(maximum|minimum) ([\w./-]+) usage per (Container|Pod) is ([^\s,.]+)", words)
    if bound or "limit to request ratio" in words:
        side = (
            f"set {bound[2]} to {'at most' if bound[1] == 'maximum' else 'at least'} {bound[4]}"
            if bound
            else "bring limits and requests closer together"
        )
        change = f"or change the LimitRange: `kubectl describe limitrange {in_namespace}`"
        return "limit-range", f"{side}, {change}"
    if "violates PodSecurity" in words:
        asked = re.findall(r"must(?: not)? (?:set|include)[^()]*?(?=\)|, pod|, container|$)", words)
        fields = "; ".join(dict.fromkeys(part.strip() for part in asked)) or "change the fields it names"
        level = re.search(r'PodSecurity "([\w-]+)', words)
        name = level[1] if level else "of the namespace"
        return "pod-security", f"to pass the level {name} the pod {fields}"
    denied = re.search(r'admission webhook "([^"]+)" denied', words)
    if denied:
        return "webhook-denied", f"change what the message asks for, or ask who runs the webhook {denied[1]}"
    calling = re.search(r'failed calling webhook "([^"]+)"', words)
    if calling:
        return (
            "webhook-unreachable",
            f"bring the webhook's Service back, or remove it: `kubectl get validatingwebhookconfigurations,"
            f"mutatingwebhookconfigurations` and look for {calling[1]}",
        )
    policy = re.search(r"ValidatingAdmissionPolicy '([^']+)'", words)
    if policy:
        return "admission-policy", f"change what ValidatingAdmissionPolicy {policy[1]} asks for"
    account = re.search(r'serviceaccount "([^"]+)" not found', words)
    if account:
        return (
            "missing-service-account",
            f"`kubectl create serviceaccount {account[1]} {in_namespace}`, or correct serviceAccountName",
        )
    priority = re.search(r"no PriorityClass with name ([\w.-]+) was found", words)
    if priority:
        return (
            "missing-priority-class",
            f"correct priorityClassName (`kubectl get priorityclasses`), or create {priority[1]}",
        )
    runtime = re.search(r'RuntimeClass "?([\w.-]+)"? not found', words)
    if runtime:
        return "missing-runtime-class", f"correct runtimeClassName, or create RuntimeClass {runtime[1]}"
    return "refused", "the message names who refused and why; change the spec, or ask them"
