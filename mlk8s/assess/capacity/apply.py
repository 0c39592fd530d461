"""A plan as a spec: the service with another autoscaler and other resources, everything else as it was."""

from __future__ import annotations

from typing import Any

from mlk8s.assess.capacity.plan import Plan
from mlk8s.spec.autoscale import Autoscale
from mlk8s.spec.metric import Follow
from mlk8s.spec.service import ModelService


def planned_spec(spec: ModelService, plan: Plan) -> ModelService:
    """Return the service as the plan has it.

    Raises:
        SpecError: the plan does not fit the rest of the spec; names the fields.
    """
    changes: dict[str, Any] = {}
    if plan.resources is not None:
        changes["resources"] = plan.resources
    autoscale = planned_autoscale(spec.autoscale, plan)
    if autoscale is not None:
        changes["autoscale"] = autoscale
    given = spec.model_fields_set - ({"replicas"} if autoscale is not None else set())
    return ModelService(**({name: getattr(spec, name) for name in given} | changes))


def planned_autoscale(now: Autoscale | None, plan: Plan) -> Autoscale | None:
    """Return the autoscaler as the plan has it; None where there is none, and no peak to make one for."""
    replicas = plan.replicas
    if now is None:
        if replicas is None:
            return None
        return Autoscale(
            min=replicas.min, max=replicas.max, metric=plan.metric, target=plan.target,  # type: ignore[arg-type]
            scale_up_stabilization=plan.scale_up, scale_down_stabilization=plan.scale_down,
        )  # fmt: skip
    changes: dict[str, Any] = {
        "scale_up_stabilization": plan.scale_up,
        "scale_down_stabilization": plan.scale_down,
        "scale_up": now.scale_up.replace(stabilization=None),
        "scale_down": now.scale_down.replace(stabilization=None),
    }
    if now.metrics:
        new = Follow(metric=plan.metric, target=plan.target)  # type: ignore[arg-type]
        others = tuple(item for item in now.metrics if item.metric != plan.metric)
        changes["metrics"] = (new, *others)
    else:
        changes |= {"metric": plan.metric, "target": plan.target}
    if replicas is not None:
        # What may go to zero goes on doing so: its first caller waits anyway.
        changes |= {"min": 0 if now.min == 0 else replicas.min, "max": replicas.max}
    changed: Autoscale = now.replace(**changes)
    return changed
