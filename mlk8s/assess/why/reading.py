"""What several rules read of pods and conditions."""

from __future__ import annotations

from collections.abc import Sequence

from mlk8s.assess.observed import Object, terminating


def declared_in(pods: Sequence[Object]) -> list[Object]:
    """Return the containers of the first pod, init containers last."""
    return [c for p in pods[:1] for c in (*p["spec"]["containers"], *(p["spec"].get("initContainers") or ()))]


def labels_of(item: Object) -> dict[str, str]:
    """Return an object's labels."""
    return dict(item.get("metadata", {}).get("labels") or {})


def shown(state: Object) -> tuple[str, ...]:
    """Return a condition as one line of evidence; none where there is no condition."""
    words = ": ".join(str(state[key]) for key in ("reason", "message") if state.get(key))
    return (f"{state.get('type')}={state.get('status')} {words}".strip(),) if state else ()


def is_over(pod: Object) -> bool:
    """Return whether a pod is ending or has ended."""
    return terminating(pod) or pod.get("status", {}).get("phase") in ("Succeeded", "Failed")
