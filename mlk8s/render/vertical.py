"""The VerticalPodAutoscaler of one workload (https://github.com/kubernetes/autoscaler)."""

from __future__ import annotations

from mlk8s.render.common import Identity, Manifest, manifest, service_labels
from mlk8s.render.facts import RenderFacts
from mlk8s.spec.pods import SERVER
from mlk8s.spec.service import ModelService
from mlk8s.spec.vertical import Vertical

API = "autoscaling.k8s.io/v1"


def vertical_autoscaler(
    spec: ModelService, facts: RenderFacts, identity: Identity, vertical: Vertical
) -> Manifest:
    """Return the VPA: it looks after the model server and leaves every other container alone.

    Limits move with requests, in the proportion in which the spec has them.
    """
    server: Manifest = {
        "containerName": SERVER,
        "controlledResources": list(vertical.resources),
        "controlledValues": "RequestsAndLimits",
    }
    if vertical.min:
        server["minAllowed"] = dict(vertical.min)
    if vertical.max:
        server["maxAllowed"] = dict(vertical.max)
    body = {
        "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": identity.instance},
        "updatePolicy": {"updateMode": vertical.mode},
        "resourcePolicy": {"containerPolicies": [server, {"containerName": "*", "mode": "Off"}]},
    }
    labels = service_labels(spec, identity)
    return manifest(API, "VerticalPodAutoscaler", identity.instance, facts.namespace, labels, spec=body)
