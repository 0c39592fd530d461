"""Autoscalers that would fight each other over one workload."""

from __future__ import annotations

from mlk8s.spec.autoscale import Autoscale
from mlk8s.spec.vertical import Vertical


def check_rivals(autoscale: Autoscale | None, vertical: Vertical | None, replicas: int) -> None:
    """Refuse a vertical autoscaler that undoes what a horizontal one does, or that stops the only pod.

    Raises:
        ValueError: names both and what to give instead.
    """
    if vertical is None or vertical.mode == "Off":
        return
    both = {item.resource for item in autoscale.followed} & set(vertical.resources) if autoscale else set()
    if both:
        name = min(filter(None, both))
        raise ValueError(
            f"autoscale follows {name} in percent of the request, and vertical (mode {vertical.mode}) "
            "changes that request, so each would undo the other; expected another metric in autoscale, "
            f"mode 'Off', or vertical.resources without {name}"
        )
    fewest = autoscale.min if autoscale is not None else replicas
    if vertical.mode == "InPlaceOrRecreate" and fewest < 2:
        raise ValueError(
            "vertical.mode is InPlaceOrRecreate, which evicts a pod that cannot be resized in place, and "
            f"there may be only {fewest}: nothing would answer meanwhile; expected 2 replicas or more, or "
            "mode 'Initial'"
        )


def check_demand(autoscale: Autoscale | None, *, ingress: bool) -> None:
    """Refuse a service that goes to zero where nothing would tell that it is wanted again.

    Args:
        ingress: whether requests come through an Ingress, whose controller counts them while no pod is there.

    Raises:
        ValueError: says what is missing.
    """
    if autoscale is None or autoscale.min > 0 or ingress:
        return
    if not any(item.declared and item.declared.kind == "external" for item in autoscale.followed):
        raise ValueError(
            "autoscale.min is 0, and without an Ingress no metric tells of demand while there are no pods; "
            "expected a route without gateway, an external metric, or min 1"
        )


def check_colours(autoscale: Autoscale | None, vertical: Vertical | None, strategy: str) -> None:
    """Refuse blue/green with an autoscaler that would stay with one colour when requests go to the other.

    Raises:
        ValueError: names the autoscaler.
    """
    keda = autoscale is not None and autoscale.scaler == "keda"
    if strategy == "BlueGreen" and (keda or vertical is not None):
        name = "autoscale.scaler 'keda'" if keda else "vertical"
        raise ValueError(
            f"strategy is 'BlueGreen', and {name} would stay with one colour; expected scaler='hpa' and no "
            "vertical, or another strategy"
        )
