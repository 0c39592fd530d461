"""The copy of a service that is measured, and what a plan changes, as patches and as a document."""

from __future__ import annotations

from typing import Any

import yaml

from mlk8s.errors import UsageError
from mlk8s.render.common import Identity, Manifest, Track
from mlk8s.render.facts import RenderFacts
from mlk8s.render.pod import resources
from mlk8s.render.scaling import autoscaler
from mlk8s.spec.pods import SERVER
from mlk8s.spec.service import ModelService

SUFFIX = "-size"
SIZE_OF = "mlk8s.dev/size-of"
"""Label of a copy's objects: the service that it measures."""
_LONGEST = 50 - len(SUFFIX)
_NOT_COPIED = (
    "autoscale", "vertical", "service_type", "strategy", "max_surge", "max_unavailable", "retain", "digest",
)  # fmt: skip


def size_copy(spec: ModelService) -> ModelService:
    """Return the service as one pod of its own beside it: same pod, same way in, other name and path.

    It has no autoscaler of either kind. Volumes that the service makes are made anew, and go with the copy;
    claims that are there are mounted to read.

    Raises:
        UsageError: the service cannot be copied or reached: its name is too long, or it has no route.
    """
    if len(spec.name) > _LONGEST:
        raise UsageError(
            f"the copy of {spec.name!r} that is measured would have a name of {len(spec.name + SUFFIX)} "
            "characters",
            expected=f"a service whose name has at most {_LONGEST}",
        )
    if spec.route is None:
        raise UsageError(
            f"{spec.name} has no route, and a size is measured through the ingress controller",
            expected="a service with a route",
            next_step="deploy it under another name with a route, and measure that",
        )
    given = spec.model_fields_set - {*_NOT_COPIED}
    volumes = [
        item.replace(retain=False) if item.claim is None else item.replace(read_only=True)
        for item in spec.volumes
    ]
    changes: dict[str, Any] = {
        "name": spec.name + SUFFIX,
        "digest": spec.digest,
        "replicas": 1,
        "route": spec.route.replace(path=None, paths=()),
        "labels": {**spec.labels, SIZE_OF: spec.name},
        "volumes": tuple(volumes),
    }
    return ModelService(**({name: getattr(spec, name) for name in given} | changes))


def patches(old: ModelService, new: ModelService, namespace: str, track: Track = "stable") -> list[Manifest]:
    """Return what changes from one spec to another in Kubernetes' own objects.

    Each with `kind` and `name` of its object, the `type` of the patch as `kubectl patch --type` has it, and
    the `patch`. An autoscaler that is still to be made has none: a deploy makes it.
    """
    identity = Identity(new.name, track)
    found: list[Manifest] = []
    if new.resources != old.resources:
        server = {"name": SERVER, "resources": resources(new.resources, new.gpu)}
        found.append(
            _patch("Deployment", identity.instance, "strategic",
                   {"spec": {"template": {"spec": {"containers": [server]}}}})
        )  # fmt: skip
    scaled = (old.autoscale, new.autoscale)
    if scaled[0] != scaled[1] and all(item is not None and item.scaler == "hpa" for item in scaled):
        assert new.autoscale is not None
        body = autoscaler(new, RenderFacts(namespace=namespace), identity, new.autoscale)["spec"]
        kept = {key: value for key, value in body.items() if key != "scaleTargetRef"}
        found.append(_patch("HorizontalPodAutoscaler", identity.instance, "merge", {"spec": kept}))
    return found


def _patch(kind: str, name: str, how: str, body: Manifest) -> Manifest:
    return {"kind": kind, "name": name, "type": how, "patch": body}


def document(spec: ModelService) -> str:
    """Return a service as a document for `mlk8s deploy -f`."""
    values = spec.model_dump(mode="json", exclude_defaults=True)
    if spec.autoscale is not None:
        values.pop("replicas", None)
    head = {name: values.pop(name) for name in ("name", "namespace", "labels") if name in values}
    body = {"apiVersion": "mlk8s.dev/v1", "kind": "ModelService", "metadata": head, "spec": values}
    return yaml.safe_dump(body, sort_keys=False, allow_unicode=True)
