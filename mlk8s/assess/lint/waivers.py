"""Findings that somebody accepted, with the reason."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from mlk8s.assess.lint.model import RULES, Finding
from mlk8s.assess.lint.objects import Obj, mapping
from mlk8s.spec.waive import WAIVE

_KEYS = ("metadata", "annotations", WAIVE)


class Waiver(NamedTuple):
    """A waiver that holds for more than one object, from a configuration file.

    Attributes:
        rule: id of the rule.
        reason: why its findings are accepted.
        object: KIND NAMESPACE/NAME, `*` standing for any text; every object by default.
        source: where it stands, for findings about it.
    """

    rule: str
    reason: str
    object: str = "*"
    source: str = ".mlk8s-lint.yaml"


def of_object(obj: Obj) -> tuple[dict[str, str], list[Finding]]:
    """Return an object's own waivers, rule to reason, and what is wrong with them."""
    value = mapping(obj.metadata, "annotations").get(WAIVE)
    if value is None:
        return {}, []
    found: dict[str, str] = {}
    faults = []
    for part in str(value).split(";"):
        rule, _, reason = (word.strip() for word in part.partition(":"))
        if not rule:
            continue
        fault = _fault(rule, reason)
        if fault:
            faults.append(
                Finding(
                    "waiver", "error", obj.title, f"metadata.annotations[{WAIVE!r}]", *fault, obj.index, _KEYS
                )
            )
        else:
            found[rule] = reason
    return found, faults


def _fault(rule: str, reason: str) -> tuple[str, str] | None:
    if rule not in RULES:
        return f"the waiver names no rule: {rule!r}", "write the id of a rule; docs/lint.md lists them"
    if not reason:
        return f"the waiver of {rule} has no reason", f"write `{rule}: why it is right here`"
    return None


def apply(findings: Iterable[Finding], objects: list[Obj], waivers: Iterable[Waiver]) -> Iterator[Finding]:
    """Yield the findings that nobody waived, and one for each waiver that has no reason or waives nothing."""
    own = [of_object(obj) for obj in objects]
    used: set[tuple[int, str]] = set()
    files = [(item, _pattern(item.object)) for item in waivers]
    active: set[int] = set()
    for item, _ in files:
        fault = _fault(item.rule, item.reason)
        if fault:
            yield Finding("waiver", "error", item.source, item.rule, *fault, -1)
    for finding in findings:
        if finding.rule in own[finding.place][0]:
            used.add((finding.place, finding.rule))
            continue
        matching = [
            i for i, (item, pattern) in enumerate(files)
            if item.rule == finding.rule and item.reason and pattern.fullmatch(finding.object)
        ]  # fmt: skip
        if matching:
            active.update(matching)
            continue
        yield finding
    for obj, (rules, faults) in zip(objects, own, strict=True):
        yield from faults
        for rule in rules:
            # What a rule finds across objects hangs on which objects are looked at together.
            if (obj.index, rule) not in used and RULES[rule].scope != "set":
                yield _unused(obj.title, f"metadata.annotations[{WAIVE!r}]", rule, obj.index)
    for i, (item, pattern) in enumerate(files):
        # Of a part of the files, a waiver for another part says nothing.
        meant = any(pattern.fullmatch(obj.title) for obj in objects)
        if i not in active and meant and _fault(item.rule, item.reason) is None:
            yield _unused(item.source, item.rule, item.rule, -1)


def _unused(title: str, path: str, rule: str, index: int) -> Finding:
    sentence = f"the waiver of {rule} waives nothing"
    return Finding("unused-waiver", "warning", title, path, sentence, "remove it", index, _KEYS)


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in text.split("*")))
