"""What an apply would do: the manifests as they would be sent, or the API server's own word on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mlk8s.clients.cluster import Cluster
from mlk8s.clients.platform import Platform
from mlk8s.operations.apply import apply_all, refuse_foreign
from mlk8s.operations.batch import require_queue
from mlk8s.operations.deploy import plan
from mlk8s.operations.facts import render_facts
from mlk8s.operations.objects import planned_objects, require_kinds
from mlk8s.operations.tenant import with_pull_secrets
from mlk8s.render.common import Manifest
from mlk8s.spec.base import Spec
from mlk8s.spec.job import FeatureCronJob, FeatureJob
from mlk8s.spec.service import ModelService

Say = Callable[[str], None]


def manifests(
    cluster: Cluster, platform: Platform, specs: Sequence[Spec], *, say: Say = print
) -> list[Manifest]:
    """Return what applying the specs would send, in order; writes nothing.

    Raises:
        StorageError: a model is not in the storage, or its digest differs.
        UsageError: a kind that cannot be applied, or something a spec needs is named nowhere.
    """
    from mlk8s.render.job import render_cron_job, render_job

    found: list[Manifest] = []
    for spec in specs:
        if isinstance(spec, ModelService):
            found += plan(cluster, platform, spec, say=say)
        elif isinstance(spec, FeatureJob):
            namespace = spec.namespace or cluster.namespace
            require_queue(cluster, namespace, spec.queue)
            job = with_pull_secrets(cluster, spec, namespace)
            found += render_job(job, render_facts(platform, namespace))
        elif isinstance(spec, FeatureCronJob):
            namespace = spec.job.namespace or cluster.namespace
            require_queue(cluster, namespace, spec.job.queue)
            cron = with_pull_secrets(cluster, spec, namespace)
            found += render_cron_job(cron, render_facts(platform, namespace))
        else:
            found += planned_objects(cluster, platform, spec)
    return found


def check(cluster: Cluster, planned: Sequence[Manifest], *, say: Say = print) -> None:
    """Let the API server check the manifests: schema, admission, quota, conflicts; nothing is kept.

    Raises:
        ClusterError: the server's refusal, or an object of that name that is somebody else's.
    """
    require_kinds(cluster, planned)
    refuse_foreign(cluster, planned)
    made = {item["metadata"]["name"] for item in planned if item["kind"] == "Namespace"}
    absent = {name for name in made if cluster.find("Namespace", name) is None}
    ready = [item for item in planned if item["metadata"].get("namespace") not in absent]
    if len(ready) < len(planned):  # a dry run makes no namespace, and without it nothing inside is checked
        places = ", ".join(sorted(absent))
        say(f"{len(planned) - len(ready)} objects are not checked: namespace {places} is not there yet")
    for item in apply_all(cluster, ready, dry_run=True, say=say):
        metadata = item["metadata"]
        place = f"{metadata['namespace']}/" if metadata.get("namespace") else ""
        say(f"{item['kind']} {place}{metadata['name']}: accepted (server dry run)")
