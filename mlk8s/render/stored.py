"""The spec that a Deployment carries as an annotation, so that any process can continue or undo it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mlk8s.errors import SpecError
from mlk8s.render.common import SPEC
from mlk8s.spec.service import ModelService


def dump_spec(spec: ModelService) -> str:
    """Return the spec as JSON with every default filled in; it holds no secret, because a spec cannot."""
    left_out = {"replicas"} if spec.autoscale is not None else set()
    values = spec.model_dump(mode="json", exclude=left_out)
    return json.dumps(values, sort_keys=True, separators=(",", ":"))


def stored_spec(workload: Mapping[str, Any]) -> ModelService | None:
    """Return the spec that a Deployment or ReplicaSet was rendered from; None when it carries none.

    Raises:
        SpecError: when the annotation is not a spec that this version of mlk8s understands.
    """
    metadata = workload.get("metadata", {})
    text = metadata.get("annotations", {}).get(SPEC)
    if text is None:
        return None
    try:
        return ModelService(**json.loads(text))
    except (ValueError, TypeError) as error:
        raise SpecError(
            f"the annotation {SPEC} does not hold a spec: {error}",
            where=f"{workload.get('kind', 'Deployment')} {metadata.get('namespace')}/{metadata.get('name')}",
            next_step="deploy the service again from its spec",
        ) from None
