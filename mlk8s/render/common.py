"""Names, labels and hashes that every manifest shares."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from mlk8s.errors import UsageError
from mlk8s.spec.service import ModelService

Manifest = dict[str, Any]

MANAGER = "mlk8s"
NAME = "app.kubernetes.io/name"
INSTANCE = "app.kubernetes.io/instance"
VERSION = "app.kubernetes.io/version"
COMPONENT = "app.kubernetes.io/component"
MANAGED_BY = "app.kubernetes.io/managed-by"
TRACK = "mlk8s.dev/track"
SPEC = "mlk8s.dev/spec"
"""Annotation with the spec as JSON, every default filled in: what any process needs to continue or undo."""

MODEL = "mlk8s.dev/model"
"""Annotation with the model's URL."""

KIND = "mlk8s.dev/kind"
"""Label with the declared kind (`StatefulSet`, `Tenant`, ...) that an applied object belongs to."""

BASE_PATH = "mlk8s.dev/base-path"
"""Annotation of an Ingress or HTTPRoute that lets in only parts of a service: the prefix its server knows."""

PULL_SECRETS = "mlk8s.dev/image-pull-secrets"
"""Annotation of a namespace: the Secrets that images are pulled with there, with commas between."""

Track = Literal["stable", "canary", "shadow", "green", "preview"]


@dataclass(frozen=True)
class Identity:
    """Which of a service's workloads a manifest belongs to.

    Attributes:
        service: name of the ModelService.
        track: `stable`; `canary` for the second version beside it, `shadow` for one that gets copies of the
            requests and answers nobody; of a blue/green service `green` for the
            workload beside the stable one (which is blue), and `preview` for the way to the idle one.
    """

    service: str
    track: Track = "stable"

    @property
    def instance(self) -> str:
        """Name of the workload's objects."""
        return self.service if self.track == "stable" else f"{self.service}-{self.track}"

    @property
    def address(self) -> str:
        """Name of the Service that leads to the workload; both colours are reached by the service's own."""
        return self.service if self.track == "green" else self.instance

    @property
    def selector(self) -> dict[str, str]:
        """Labels that select this workload's pods and no others; a Deployment's selector never changes."""
        return {NAME: self.service, INSTANCE: self.instance, COMPONENT: "model-server"}


def model_version(url: str) -> str:
    """Return the version of s3://BUCKET/PATH/VERSION: its last path element."""
    return url.rstrip("/").rpartition("/")[2]


def label_value(text: str) -> str:
    """Return the text as a label value: at most 63 letters, digits, '-_.'; a letter or digit at each end."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", text)[:63].strip("-_.")


def service_labels(spec: ModelService, identity: Identity) -> dict[str, str]:
    """Return the labels of every object of a service's workload; mlk8s's own win over the user's."""
    return {
        **spec.labels,
        **identity.selector,
        VERSION: label_value(model_version(spec.model)),
        MANAGED_BY: MANAGER,
        TRACK: identity.track,
    }


def digest(value: Any, length: int = 10) -> str:
    """Return the first hex digits of the SHA-256 of a JSON value's canonical form."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def manifest(
    api_version: str,
    kind: str,
    name: str,
    namespace: str | None,
    labels: Mapping[str, str],
    annotations: Mapping[str, str] | None = None,
    **fields: Any,
) -> Manifest:
    """Return one object: its type, its metadata, its further top-level fields; no namespace: cluster-wide."""
    metadata: Manifest = {"name": name}
    if namespace is not None:
        metadata["namespace"] = namespace
    metadata["labels"] = dict(labels)
    if annotations:
        metadata["annotations"] = dict(annotations)
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **fields}


def needed(value: str | None, what: str, field: str) -> str:
    """Return a value that neither the spec nor the platform may lack.

    Raises:
        UsageError: when it is None, naming the field that would give it.
    """
    if value is None:
        raise UsageError(
            f"neither the spec nor the cluster's platform names {what}",
            expected=f"{field} in the spec, or ConfigMap mlk8s-platform in namespace mlk8s-system",
            next_step=f"give {field}, or run `mlk8s up`, which installs the platform",
        )
    return value
