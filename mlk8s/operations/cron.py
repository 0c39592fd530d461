"""A feature pipeline on a schedule: apply its CronJob, or start its Job now."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from mlk8s.clients.cluster import Cluster
from mlk8s.clients.platform import Platform
from mlk8s.errors import Conflict, NotFound
from mlk8s.operations.apply import apply_all, owner, refuse_foreign
from mlk8s.operations.batch import require_queue
from mlk8s.operations.claims import require_claims, taken
from mlk8s.operations.facts import render_facts
from mlk8s.operations.job import SLACK, JobResult, finish, own_source, uid, unfinished
from mlk8s.operations.preflight import require_namespace, require_permissions, require_storage_secret
from mlk8s.operations.secrets import require_secrets
from mlk8s.operations.tenant import with_pull_secrets
from mlk8s.render.common import COMPONENT, MANAGED_BY, MANAGER, NAME, Manifest
from mlk8s.render.job import job_sources, render_cron_job
from mlk8s.spec.job import FeatureCronJob

Say = Callable[[str], None]

_MANUAL = "cronjob.kubernetes.io/instantiate"


def apply_cron(
    cluster: Cluster,
    platform: Platform,
    spec: FeatureCronJob,
    *,
    create_namespace: bool = False,
    say: Say = print,
) -> Manifest:
    """Apply a scheduled feature pipeline and return the CronJob.

    Raises:
        NotFound, Forbidden, Conflict: before anything is written.
        Rejected: the API server refused an object; what was applied is named.
    """
    namespace = spec.job.namespace or cluster.namespace
    spec = with_pull_secrets(cluster, spec, namespace)
    job = spec.job
    if require_namespace(cluster, namespace, create=create_namespace):
        say(f"{job.name}: namespace {namespace} made")
    manifests = render_cron_job(spec, render_facts(platform, namespace))
    require_queue(cluster, namespace, job.queue)
    require_permissions(cluster, namespace, [item["kind"] for item in manifests])
    require_secrets(cluster, namespace, job)
    require_claims(cluster, namespace, [*job_sources(job).claims, *taken(job.volumes)])
    if job_sources(job).s3 and require_storage_secret(cluster, namespace, job.storage_secret):
        say(f"{job.name}: storage credentials copied into namespace {namespace}")
    refuse_foreign(cluster, manifests)
    applied = apply_all(cluster, manifests, say=say)
    own_source(cluster, applied)
    state = "suspended" if spec.suspend else f"runs at '{spec.schedule}' {spec.time_zone}"
    say(f"{job.name}: CronJob applied in namespace {namespace}; {state}")
    return applied[-1]


def trigger_cron(
    cluster: Cluster,
    name: str,
    namespace: str | None = None,
    *,
    platform: Platform | None = None,  # noqa: ARG001 - every operation takes the platform
    wait: bool = True,
    timeout: float | None = None,
    say: Say = print,
) -> JobResult | None:
    """Start a CronJob's Job now, beside its schedule, as `kubectl create job --from` does.

    Where the CronJob forbids concurrency and a run that was started by hand still goes on, that one is waited
    for: running the command again converges.

    Raises:
        NotFound: there is no such CronJob.
        Conflict: the CronJob forbids concurrency and a scheduled run goes on, or it is not mlk8s's.
        RolloutFailed, WaitTimeout: see `run_job`.
    """
    namespace = namespace or cluster.namespace
    cron = _cron(cluster, name, namespace)
    spec = cron["spec"]["jobTemplate"]["spec"]
    limit = timeout if timeout is not None else float(spec.get("activeDeadlineSeconds", 3600)) + SLACK
    running = unfinished(cluster, namespace, f"{NAME}={name},{COMPONENT}=pipeline", owner_uid=uid(cron))
    if running is not None and cron["spec"].get("concurrencyPolicy") == "Forbid":
        job = str(running["metadata"]["name"])
        if _MANUAL not in (running["metadata"].get("annotations") or {}):
            raise Conflict(
                f"CronJob {name!r} forbids concurrency, and its run {job!r} goes on",
                where=f"namespace {namespace!r}",
                next_step=f"wait until it has ended: `kubectl get job {job} -n {namespace}`",
            )
        say(f"{job}: already runs")
        return finish(cluster, job, namespace, wait, limit, say)
    created = cluster.create(_manual_job(cron, datetime.now(UTC)))
    job = str(created["metadata"]["name"])
    say(f"{job}: started by hand from CronJob {name}")
    return finish(cluster, job, namespace, wait, limit, say)


def _cron(cluster: Cluster, name: str, namespace: str) -> Manifest:
    cron = cluster.find("CronJob", name, namespace)
    if cron is None:
        names = [item["metadata"]["name"] for item in cluster.list("CronJob", namespace)]
        raise NotFound(
            f"no CronJob is named {name!r}",
            where=f"namespace {namespace!r} of context {cluster.context!r}",
            expected=f"one of: {', '.join(names)}" if names else "a CronJob; there is none",
            next_step="`mlk8s cron apply` makes one",
        )
    if (cron["metadata"].get("labels") or {}).get(MANAGED_BY) != MANAGER:
        raise Conflict(
            f"CronJob {name!r} belongs to {owner(cron)}",
            where=f"namespace {namespace!r}",
            expected="a CronJob that mlk8s made",
            next_step=f"`kubectl create job --from=cronjob/{name}` starts it",
        )
    return cron


def _manual_job(cron: Manifest, now: datetime) -> Manifest:
    """Return the Job of a run by hand; its CronJob owns it, so that the history limits count it."""
    template = cron["spec"]["jobTemplate"]
    metadata = template.get("metadata") or {}
    name = cron["metadata"]["name"]
    owned = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "name": name,
        "uid": uid(cron),
        "controller": True,
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": f"{name[:38]}-manual-{now.strftime('%Y%m%dt%H%M%Sz')}",
            "namespace": cron["metadata"]["namespace"],
            "labels": metadata.get("labels") or {},
            "annotations": {**(metadata.get("annotations") or {}), _MANUAL: "manual"},
            "ownerReferences": [owned],
        },
        "spec": template["spec"],
    }
