"""Findings as SARIF 2.1.0 (OASIS), which code hosts and editors show beside the lines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from mlk8s.assess.lint.model import RULES

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
STDIN = "<stdin>"
"""Where a finding of standard input is: a place without an address."""


def sarif(records: Iterable[Mapping[str, Any]], version: str) -> dict[str, Any]:
    """Return a SARIF log of one run.

    Args:
        records: findings with rule, severity, object, path, sentence, fix, and file and line where known.
        version: of mlk8s.
    """
    results = [_result(item) for item in records]
    used = {item["ruleId"] for item in results}
    rules = [_rule(name) for name in RULES if name in used]
    rules += [{"id": name} for name in sorted(used - set(RULES))]
    driver = {"name": "mlk8s", "version": version, "rules": rules}
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": results}]}


def _rule(name: str) -> dict[str, Any]:
    rule = RULES[name]
    properties = {key: text for key, text in (("peers", rule.peers), ("standard", rule.standard)) if text}
    return {
        "id": name,
        "shortDescription": {"text": rule.sentence},
        "help": {"text": rule.fix},
        "defaultConfiguration": {"level": rule.severity},
        **({"properties": properties} if properties else {}),
    }


def _result(item: Mapping[str, Any]) -> dict[str, Any]:
    logical = {"fullyQualifiedName": f"{item['object']}: {item['path']}" if item["path"] else item["object"]}
    location: dict[str, Any] = {"logicalLocations": [logical]}
    if item.get("file") and item["file"] != STDIN:
        location["physicalLocation"] = {
            "artifactLocation": {"uri": quote(item["file"])},
            "region": {"startLine": item["line"]},
        }
    return {
        "ruleId": item["rule"],
        "level": item["severity"],
        "message": {"text": f"{item['object']}: {item['sentence']}. {item['fix']}".rstrip()},
        "locations": [location],
    }
