"""Whether a Gateway takes an HTTPRoute: what the route's status says (Gateway API v1, RouteParentStatus)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_WANTED = ("Accepted", "ResolvedRefs")


def route_refusal(route: Mapping[str, Any]) -> str | None:
    """Return why a route's parent does not take it, in the controller's words; None where it does not say no.

    A condition about an older generation of the route is not yet an answer.
    """
    generation = route["metadata"].get("generation", 0)
    for parent in (route.get("status") or {}).get("parents") or ():
        for condition in parent.get("conditions") or ():
            if condition.get("observedGeneration", generation) < generation:
                continue
            if condition["type"] in _WANTED and condition["status"] == "False":
                words = f": {condition['message']}" if condition.get("message") else ""
                return f"{condition.get('reason', condition['type'])}{words}"
    return None


def route_accepted(route: Mapping[str, Any]) -> bool:
    """Return whether a parent has taken this generation of the route."""
    generation = route["metadata"].get("generation", 0)
    for parent in (route.get("status") or {}).get("parents") or ():
        said = {
            condition["type"]: condition["status"]
            for condition in parent.get("conditions") or ()
            if condition.get("observedGeneration", generation) >= generation
        }
        if said.get("Accepted") == "True" and said.get("ResolvedRefs", "True") == "True":
            return True
    return False
