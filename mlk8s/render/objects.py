"""The registry of declared kinds: spec class → the pure function that renders it.

A new kind adds one line to `RENDERERS`. Everything else follows from it: `Kubernetes.apply` and `remove`,
YAML documents, `--dry-run`, `export`. (ModelService, FeatureJob and FeatureCronJob have operations of their
own: a rollout and a run are more than an apply.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mlk8s.errors import UsageError
from mlk8s.render.bundle import apply_order
from mlk8s.render.common import KIND, MANAGED_BY, MANAGER, NAME, Manifest
from mlk8s.render.facts import RenderFacts
from mlk8s.render.jobset import render_job_set
from mlk8s.render.logs import render_log_collector
from mlk8s.render.routing import render_external_name
from mlk8s.render.scheduling import render_priority_class
from mlk8s.render.tenant import render_tenant
from mlk8s.render.volume import render_volume
from mlk8s.render.workload import render_daemon_set, render_stateful_set
from mlk8s.spec.base import Spec
from mlk8s.spec.jobset import FeatureJobSet
from mlk8s.spec.logs import LogCollector
from mlk8s.spec.route import ExternalName
from mlk8s.spec.scheduling import PriorityClass
from mlk8s.spec.tenant import Tenant
from mlk8s.spec.volume import Volume
from mlk8s.spec.workload import DaemonSet, StatefulSet

Renderer = Callable[[Any, RenderFacts], list[Manifest]]

RENDERERS: dict[type[Spec], Renderer] = {
    DaemonSet: render_daemon_set,
    FeatureJobSet: render_job_set,
    LogCollector: render_log_collector,
    ExternalName: render_external_name,
    PriorityClass: render_priority_class,
    StatefulSet: render_stateful_set,
    Tenant: render_tenant,
    Volume: render_volume,
}
"""One line for each kind: `StatefulSet: render_stateful_set`."""


def kind_name(spec: Spec | type[Spec]) -> str:
    """Return the name of a declared kind: that of its class."""
    return spec.__name__ if isinstance(spec, type) else type(spec).__name__


def kinds() -> dict[str, type[Spec]]:
    """Return every registered spec class by its name."""
    return {kind_name(item): item for item in RENDERERS}


def render(spec: Spec, facts: RenderFacts) -> list[Manifest]:
    """Return every object of a spec in apply order, labelled with who declared it.

    Raises:
        UsageError: the kind has no renderer, or neither the spec nor the facts name something it needs.
    """
    renderer = RENDERERS.get(type(spec))
    if renderer is None:
        raise UsageError(
            f"{kind_name(spec)} is no kind that can be applied",
            expected=f"one of: {', '.join(sorted(kinds()))}",
            next_step="ModelService: `deploy`; FeatureJob: `run_job`; FeatureCronJob: `apply_cron`",
        )
    manifests = apply_order(renderer(spec, facts))
    for item in manifests:
        labels = item["metadata"].setdefault("labels", {})
        labels.setdefault(NAME, getattr(spec, "name", kind_name(spec).lower()))
        labels[MANAGED_BY] = MANAGER
        labels[KIND] = kind_name(spec)
    return manifests
