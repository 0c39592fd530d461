"""Rules that manifests are held to; pure, and free of everything that is slow to import.

`lint(manifests)` returns what is wrong. The rules stand in one module a family; docs/lint.md is their table.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from mlk8s.assess.lint import (
    batch,
    hygiene,
    network,
    probes,
    rbac,
    references,
    resources,
    scaling,
    secrets,
    security,
    workloads,
)
from mlk8s.assess.lint.model import RULES, Finding, Keys, Manifest, Rule, dotted
from mlk8s.assess.lint.objects import Bundle, Obj
from mlk8s.assess.lint.waivers import Waiver, apply
from mlk8s.spec.waive import WAIVE

__all__ = ["FAMILIES", "RULES", "WAIVE", "Finding", "Rule", "Waiver", "lint"]

FAMILIES = (
    security,
    resources,
    probes,
    workloads,
    network,
    scaling,
    secrets,
    batch,
    rbac,
    hygiene,
    references,
)
"""The modules of rules, in the order of the table."""


def lint(
    manifests: Sequence[Manifest], *, whole: bool = False, waivers: Iterable[Waiver] = ()
) -> list[Finding]:
    """Return what is wrong with the manifests, each finding with its rule, object, field, sentence and fix.

    Args:
        manifests: objects as dicts; what is not of the expected shape is passed over.
        whole: whether nothing else is in the cluster that they could refer to.
        waivers: accepted findings that do not stand on the objects themselves.
    """
    bundle = Bundle(manifests, whole=whole)
    by_scope: dict[str, list[Rule]] = {"object": [], "pod": [], "container": [], "set": []}
    for rule in RULES.values():
        by_scope[rule.scope].append(rule)
    found = [item for obj in bundle.objects for item in _each(obj, by_scope)]
    for rule in by_scope["set"]:
        found += [_finding(rule, obj, keys, sentence) for obj, keys, sentence in rule.check(bundle)]
    kept = list(apply(found, bundle.objects, waivers))
    return sorted(kept, key=lambda item: (item.place, item.severity, item.rule, item.path))


def _each(obj: Obj, by_scope: dict[str, list[Rule]]) -> Iterator[Finding]:
    for rule in by_scope["object"]:
        for keys, sentence in rule.check(obj):
            yield _finding(rule, obj, keys, sentence)
    pod = obj.pod
    if pod is None:
        return
    for rule in by_scope["pod"]:
        for keys, sentence in rule.check(pod):
            yield _finding(rule, obj, (*pod.keys, *keys), sentence)
    for container in pod.containers:
        for rule in by_scope["container"]:
            for keys, sentence in rule.check(container):
                keys = (*pod.keys, *container.keys, *keys)
                yield _finding(rule, obj, keys, f"container {container.name}: {sentence}")


def _finding(rule: Rule, obj: Obj, keys: Keys, sentence: str) -> Finding:
    return Finding(rule.id, rule.severity, obj.title, dotted(keys), sentence, rule.fix, obj.index, keys)
