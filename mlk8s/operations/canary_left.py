"""What is left of a rollout when whoever worked on it, or watched it, was interrupted."""

from __future__ import annotations

from mlk8s.clients.cluster import Cluster
from mlk8s.errors import Mlk8sError
from mlk8s.operations import rollout_state
from mlk8s.operations.canary_look import lease_name
from mlk8s.operations.lease import working
from mlk8s.operations.rollout_state import Rollout


def left(cluster: Cluster, name: str, namespace: str) -> str:
    """Return what the cluster has of it now, and how to go on, in a sentence."""
    try:
        found = rollout_state.read(cluster, name, namespace)
        by = None if found is None or found.ended else working(cluster, lease_name(name), namespace)
    except Mlk8sError:
        return f"what is left of the rollout of {name} cannot be read now; `mlk8s canary status {name}` tells"
    return left_words(name, found, by)


def left_words(name: str, found: Rollout | None, by: str | None) -> str:
    """Return what is left in words.

    Args:
        found: what is written down.
        by: who works on it; None where nobody does.
    """
    if found is None:
        return f"no rollout of {name} was begun"
    if found.ended:
        return f"no rollout of {name} goes on; that of {found.model} {found.outcome_words}"
    if by is not None:
        return f"the rollout of {name} goes on at weight {found.weight} %: {by} works on it"
    if found.kind == "bluegreen" and found.stage in ("switching", "rolling-back"):
        what = "switch" if found.stage == "switching" else "way back"
        return (
            f"the {what} of {name} is half done and nobody works on it; the same `mlk8s bluegreen run` "
            f"finishes it, `mlk8s bluegreen abort {name}` gives all requests to the older colour"
        )
    if found.kind == "bluegreen":
        state = "has all requests" if found.weight else "has no user's requests"
        return (
            f"the newer colour of {name} {state} and nobody watches it; the same `mlk8s bluegreen run` goes "
            f"on, `mlk8s bluegreen abort {name}` gives all requests to the older one"
        )
    resume, abort = f"`mlk8s canary resume {name}`", f"`mlk8s canary abort {name}`"
    if found.stage in ("promoting", "rolling-back"):
        what = "promotion" if found.stage == "promoting" else "rollback"
        return f"the {what} of {name} is half done and nobody works on it; {resume} finishes it"
    if not found.weight:
        state = "gets no requests and nobody works on it"
        return f"the canary of {name} {state}; {resume} goes on, {abort} removes it"
    return (
        f"the canary of {name} keeps weight {found.weight} % and nobody watches it; {resume} goes on, "
        f"{abort} rolls back"
    )
