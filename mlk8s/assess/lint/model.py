"""What a rule is and what it finds, and the table of all rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple, TypeVar

Manifest = dict[str, Any]
Keys = tuple[str | int, ...]
"""Path of a field: names of mappings, places in lists."""

Severity = Literal["error", "warning"]
Scope = Literal["object", "pod", "container", "set"]
Check = TypeVar("Check", bound=Callable[..., Iterator[Any]])


class Finding(NamedTuple):
    """One thing that is wrong with one object.

    Attributes:
        rule: id of the rule.
        severity: `error` for what breaks, opens or loses something; `warning` for what is likely to.
        object: KIND NAMESPACE/NAME.
        path: the field, such as spec.template.spec.containers[0].image.
        sentence: what was found.
        fix: what to do.
        place: place of the object in the list that was checked.
        keys: the path as keys, to find its line.
    """

    rule: str
    severity: Severity
    object: str
    path: str
    sentence: str
    fix: str
    place: int = 0
    keys: Keys = ()


class Rule(NamedTuple):
    """One thing that every object is asked.

    Attributes:
        id: name in findings and waivers.
        family: page of the table it stands on.
        severity: of its findings.
        scope: what `check` is given: an object, a pod template, a container, or the whole set.
        sentence: what it asks for, and where it does not apply.
        fix: what to do about a finding.
        peers: the checks of other tools that it stands for.
        standard: Pod Security Standards, CIS or NSA/CISA reference; empty without one.
        check: yields (keys, sentence), the keys below the pod's or container's own; a rule of the whole set
            yields (object, keys, sentence).
    """

    id: str
    family: str
    severity: Severity
    scope: Scope
    sentence: str
    fix: str
    peers: str
    standard: str
    check: Callable[..., Iterator[Any]]


RULES: dict[str, Rule] = {}
"""Every rule by its id, in the order of the table."""


def rule(
    id: str, severity: Severity, scope: Scope, sentence: str, *, fix: str, peers: str = "", standard: str = ""
) -> Callable[[Check], Check]:
    """Enter a check into the table of rules; its family is the module's name."""

    def enter(check: Check) -> Check:
        family = check.__module__.rpartition(".")[2]
        RULES[id] = Rule(id, family, severity, scope, sentence, fix, peers, standard, check)
        return check

    return enter


def dotted(keys: Keys) -> str:
    """Return a path as text: spec.template.spec.containers[0].image."""
    text = ""
    for key in keys:
        if isinstance(key, int):
            text += f"[{key}]"
        elif key.replace("_", "").replace("-", "").isalnum():
            text += f".{key}" if text else key
        else:
            text += f"[{key!r}]"
    return text
