"""Run a feature pipeline as a Job and say what it published."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mlk8s.assess.job import JobVerdict
from mlk8s.assess.observed import is_true, parse_time
from mlk8s.clients.cluster import Cluster
from mlk8s.clients.platform import Platform
from mlk8s.errors import RolloutFailed, WaitTimeout
from mlk8s.operations.apply import apply_all, refuse_foreign
from mlk8s.operations.batch import require_queue
from mlk8s.operations.claims import require_claims, taken
from mlk8s.operations.dra import require_dra
from mlk8s.operations.facts import render_facts
from mlk8s.operations.preflight import require_namespace, require_permissions, require_storage_secret
from mlk8s.operations.secrets import require_secrets
from mlk8s.operations.tenant import with_pull_secrets
from mlk8s.operations.waiting import look_at_job, wait_job
from mlk8s.render.common import NAME, Manifest
from mlk8s.render.job import SPEC_HASH, job_name, job_sources, render_job, spec_hash
from mlk8s.spec.job import FeatureJob

Say = Callable[[str], None]

_GONE = 60.0  # seconds that a deleted Job may take to go
SLACK = 30.0
"""Seconds after a Job's deadline until Kubernetes must have said so."""
_OWNER_MANAGER = "mlk8s-owner"


@dataclass(frozen=True, kw_only=True)
class JobResult:
    """What a finished run published.

    Attributes:
        name: of the Job.
        url, version, digest: of the published data set; digest is that of its manifest, sha256:...
        rows, columns: their numbers.
        created: False where the same content had been published before.
        started, finished: times in UTC.
        attempts: pods it took.
    """

    name: str
    url: str
    version: str
    rows: int
    columns: int
    digest: str
    created: bool
    started: datetime | None
    finished: datetime | None
    attempts: int


def run_job(
    cluster: Cluster,
    platform: Platform,
    spec: FeatureJob,
    *,
    wait: bool = True,
    timeout: float | None = None,
    create_namespace: bool = False,
    say: Say = print,
) -> JobResult | None:
    """Run a feature pipeline once and return what it published; None where it does not wait.

    Running it again converges: a run of the same job that goes on is waited for, one that has succeeded for
    the same version is not repeated, and one that failed is replaced. Without a version, each run that starts
    is a version of its own, named after its start.

    Args:
        timeout: seconds to wait; None means the job's active deadline and half a minute.

    Raises:
        NotFound, Forbidden, Conflict: before anything is written; NotFound also of a queue, or of Kueue.
        RolloutFailed: the Job failed, or its pod can certainly not start; with the last log lines.
        WaitTimeout: it still runs after `timeout` seconds.
    """
    namespace = spec.namespace or cluster.namespace
    spec = with_pull_secrets(cluster, spec, namespace)
    facts = render_facts(platform, namespace)
    if require_namespace(cluster, namespace, create=create_namespace):
        say(f"{spec.name}: namespace {namespace} made")
    require_queue(cluster, namespace, spec.queue)
    require_permissions(
        cluster, namespace, ("Job", "ConfigMap", "ServiceAccount", "NetworkPolicy"), ("Pod", "Job")
    )
    require_secrets(cluster, namespace, spec)
    require_claims(cluster, namespace, [*job_sources(spec).claims, *taken(spec.volumes)])
    require_dra(cluster, spec.gpu)
    if job_sources(spec).s3 and require_storage_secret(cluster, namespace, spec.storage_secret):
        say(f"{spec.name}: storage credentials copied into namespace {namespace}")
    limit = timeout if timeout is not None else spec.active_deadline + SLACK
    running = unfinished(cluster, namespace, f"{SPEC_HASH}={spec_hash(spec, facts)},{NAME}={spec.name}")
    if spec.version is None and running is not None and not _is_stuck(cluster, running, namespace):
        name = str(running["metadata"]["name"])
        say(f"{name}: the same job already runs")
        return finish(cluster, name, namespace, wait, limit, say)
    if spec.version is None:
        spec = spec.replace(version=datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ"))
    name = job_name(spec, facts)
    manifests = render_job(spec, facts)
    live = cluster.find("Job", name, namespace)
    if live is not None and _replaceable(cluster, live, namespace, say):
        _delete_and_wait(cluster, name, namespace)
        live = None
    refuse_foreign(cluster, manifests)
    if live is None:
        applied = apply_all(cluster, manifests, say=say)
        own_source(cluster, applied)
        say(f"{name}: started in namespace {namespace}, version {spec.version}")
    else:
        done = is_true(live, "Complete")
        say(f"{name}: {'has already succeeded' if done else 'already runs'}")
    return finish(cluster, name, namespace, wait, limit, say)


def uid(item: Manifest) -> str:
    """Return an object's UID."""
    return str(item["metadata"]["uid"])


def unfinished(
    cluster: Cluster, namespace: str, labels: str, owner_uid: str | None = None
) -> Manifest | None:
    """Return a Job that has neither succeeded nor failed."""
    for job in cluster.list("Job", namespace, labels=labels):
        uids = [item["uid"] for item in job["metadata"].get("ownerReferences") or []]
        if owner_uid is not None and owner_uid not in uids:
            continue
        if not is_true(job, "Complete") and not is_true(job, "Failed"):
            return job
    return None


def _is_stuck(cluster: Cluster, job: Manifest, namespace: str) -> bool:
    return look_at_job(cluster, job["metadata"]["name"], namespace).state == "failed"


def _replaceable(cluster: Cluster, live: Manifest, namespace: str, say: Say) -> bool:
    """Return whether a Job of the same name has failed, or can certainly not go on."""
    name = live["metadata"]["name"]
    if live["metadata"].get("deletionTimestamp"):
        return True
    if is_true(live, "Complete"):
        return False
    verdict = look_at_job(cluster, name, namespace)
    if verdict.state != "failed":
        return False
    cause = verdict.cause.message if verdict.cause else verdict.summary
    say(f"{name}: an earlier run failed ({cause}); running it again")
    return True


def _delete_and_wait(cluster: Cluster, name: str, namespace: str) -> None:
    cluster.delete("Job", name, namespace, propagation="Foreground")
    end = time.monotonic() + _GONE
    while cluster.find("Job", name, namespace) is not None:
        if time.monotonic() > end:
            raise WaitTimeout(
                f"the earlier run {name!r} does not go away",
                where=f"namespace {namespace!r}",
                next_step=f"`kubectl describe job {name} -n {namespace}` shows its finalizers",
            )
        time.sleep(0.2)


def own_source(cluster: Cluster, applied: list[Manifest]) -> None:
    """Let the Job or CronJob own the ConfigMaps with its source and files, so that all go together.

    Runs with the same files of a sidecar share their ConfigMap; it goes with the last of them.
    """
    job = applied[-1]
    metadata = job["metadata"]
    reference = {
        "apiVersion": job["apiVersion"],
        "kind": job["kind"],
        "name": metadata["name"],
        "uid": uid(job),
    }
    body = {"metadata": {"ownerReferences": [reference]}}
    for name in [item["metadata"]["name"] for item in applied if item["kind"] == "ConfigMap"]:
        cluster.patch(
            "ConfigMap", name, body, metadata["namespace"], type="strategic", manager=_OWNER_MANAGER
        )


def finish(
    cluster: Cluster, name: str, namespace: str, wait: bool, timeout: float, say: Say
) -> JobResult | None:
    """Wait for a Job and return what it published; None where it does not wait."""
    if not wait:
        return None
    verdict = wait_job(cluster, name, namespace, timeout=timeout, say=say)
    result = job_result(cluster.get("Job", name, namespace), verdict)
    say(f"{name}: published {result.url} ({result.rows} rows, {result.columns} columns)")
    return result


def job_result(job: Manifest, verdict: JobVerdict) -> JobResult:
    """Return what a run published, from the termination message of the pod that succeeded.

    Raises:
        RolloutFailed: the pod is gone or said nothing that can be read.
    """
    try:
        told: dict[str, Any] = json.loads(verdict.message)
        return JobResult(
            name=str(job["metadata"]["name"]),
            url=str(told["url"]),
            version=str(told["version"]),
            rows=int(told["rows"]),
            columns=int(told["columns"]),
            digest=str(told["digest"]),
            created=told.get("event") == "published",
            started=parse_time(job.get("status", {}).get("startTime")),
            finished=parse_time(job.get("status", {}).get("completionTime")),
            attempts=verdict.attempts,
        )
    except (ValueError, KeyError, TypeError):
        raise RolloutFailed(
            f"{job['metadata']['name']} succeeded, but its pod no longer says what it published",
            where=f"Job {job['metadata'].get('namespace')}/{job['metadata']['name']}",
            expected="the pipeline's JSON line as the pod's termination message",
            next_step="read the data set's versions from the storage, or delete the Job and run it again",
        ) from None
