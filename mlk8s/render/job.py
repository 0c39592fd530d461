"""A feature pipeline as a Kubernetes Job, or as a CronJob that makes one for each slot."""

from __future__ import annotations

import json
from math import ceil

from mlk8s.render.common import (
    COMPONENT,
    INSTANCE,
    MANAGED_BY,
    MANAGER,
    NAME,
    VERSION,
    Manifest,
    digest,
    label_value,
    manifest,
    needed,
)
from mlk8s.render.configuration import environment, file_data, file_mounts, secret_volumes
from mlk8s.render.container import container_configs, container_volumes, sidecar
from mlk8s.render.dra import claim_templates, pod_claims
from mlk8s.render.facts import RenderFacts
from mlk8s.render.network import network_policy, way_to
from mlk8s.render.pod import (
    UNMOVABLE,
    container_security,
    empty_dir,
    env,
    pod_basis,
    resources,
    tmp_mount,
)
from mlk8s.render.scheduling import scheduling
from mlk8s.render.sources import Sources, sources
from mlk8s.render.volume import claims, mount, pod_volume
from mlk8s.spec.job import PIPELINE, FeatureCronJob, FeatureJob

SPEC_HASH = "mlk8s.dev/spec-hash"
"""Label with the hash of what a run does, its version left out: finds a run that still goes on."""
USER_ERROR = 64
"""Exit code of the pipeline when the user's function or data is at fault: no retry helps."""
QUEUE = "kueue.x-k8s.io/queue-name"
SOURCE_DIR = "/pipeline"
_SOURCE_FILE = "source.py"


def job_labels(spec: FeatureJob) -> dict[str, str]:
    """Return the labels of every object of a job; mlk8s's own win over the user's."""
    return {**spec.labels, **job_selector(spec.name), MANAGED_BY: MANAGER}


def job_selector(name: str) -> dict[str, str]:
    """Return the labels that select the pods of every run of one job."""
    return {NAME: name, INSTANCE: name, COMPONENT: "pipeline"}


def queue_label(queue: str | None) -> dict[str, str]:
    """Return the label that puts a suspended Job or JobSet into a LocalQueue of Kueue; empty without."""
    return {} if queue is None else {QUEUE: queue}


def spec_hash(spec: FeatureJob, facts: RenderFacts) -> str:
    """Return the hash of what a run does: source, parameters, place, image, limits; not the version."""
    values = spec.model_dump(mode="json", exclude={"version", "labels", "namespace", "ttl_after_finished"})
    return digest([values, _image(spec, facts), _endpoint(spec, facts)])


def job_name(spec: FeatureJob, facts: RenderFacts) -> str:
    """Return the Job's name: the same for the same work on the same version, so a second run meets the first.

    A Job's template cannot change, so whatever changes the template changes the name.
    """
    return f"{spec.name}-{digest([spec_hash(spec, facts), spec.version])}"


def render_job(spec: FeatureJob, facts: RenderFacts) -> list[Manifest]:
    """Return every object of one run in apply order: ServiceAccount, ConfigMap, NetworkPolicy, Job.

    Args:
        spec: the job, its version filled in by the caller where it is None: rendering has no clock.

    Raises:
        UsageError: when neither the spec nor the facts name an image or the object storage.
    """
    labels = {**job_labels(spec), SPEC_HASH: spec_hash(spec, facts)}
    queue = queue_label(spec.queue)
    if spec.version is not None:
        labels[VERSION] = label_value(spec.version)
    source = job_name(spec, facts)
    body = {
        **_job_spec(spec, facts, labels, source),
        "ttlSecondsAfterFinished": ceil(spec.ttl_after_finished),
    }
    job = manifest("batch/v1", "Job", source, facts.namespace, {**labels, **queue}, spec=body)
    return [*_around(spec, facts, source), job]


def render_cron_job(spec: FeatureCronJob, facts: RenderFacts) -> list[Manifest]:
    """Return every object of a CronJob in apply order: ServiceAccount, ConfigMap, NetworkPolicy, CronJob.

    Its Jobs have no time to live: the history limits decide how many stay, and a TTL would remove a Job
    before the controller has counted it.

    Raises:
        UsageError: when neither the spec nor the facts name an image or the object storage.
    """
    job = spec.job
    labels = job_labels(job)
    run_labels = {**labels, SPEC_HASH: spec_hash(job, facts)}
    source = f"{job.name}-source-{digest([job.source, job.config_files])}"
    template = {
        "metadata": {"labels": {**run_labels, **queue_label(job.queue)}},
        "spec": _job_spec(job, facts, run_labels, source),
    }
    body = {
        "schedule": spec.schedule,
        "timeZone": spec.time_zone,
        "concurrencyPolicy": spec.concurrency_policy,
        "startingDeadlineSeconds": ceil(spec.starting_deadline),
        "successfulJobsHistoryLimit": spec.successful_history,
        "failedJobsHistoryLimit": spec.failed_history,
        "suspend": spec.suspend,
        "jobTemplate": template,
    }
    return [
        *_around(job, facts, source),
        manifest("batch/v1", "CronJob", job.name, facts.namespace, labels, spec=body),
    ]


def _around(spec: FeatureJob, facts: RenderFacts, source: str) -> list[Manifest]:
    labels = job_labels(spec)
    account = manifest(
        "v1", "ServiceAccount", _account(spec), facts.namespace, labels, automountServiceAccountToken=False
    )
    config = manifest(
        "v1",
        "ConfigMap",
        source,
        facts.namespace,
        labels,
        immutable=True,
        data={_SOURCE_FILE: spec.source, **file_data(spec)},
    )
    policy = network_policy(
        _account(spec),
        facts,
        labels,
        job_selector(spec.name),
        ingress=[],
        storage_endpoint=_endpoint(spec, facts),
        egress=[way_to(host, facts) for host in dict.fromkeys(job_sources(spec).hosts)],
    )
    return [
        account,
        config,
        *container_configs(spec.sidecars, _account(spec), facts.namespace, labels),
        policy,
        *claims(spec.volumes, _account(spec), facts.namespace, labels),
        *claim_templates(spec.gpu, _account(spec), facts.namespace, labels),
    ]


def _account(spec: FeatureJob) -> str:
    """Return the name of the account and the policy; the suffix keeps a service of the same name apart."""
    return f"{spec.name}-pipeline"


def _image(spec: FeatureJob, facts: RenderFacts) -> str:
    return needed(spec.image or facts.pipeline_image, "a pipeline image", "image")


def job_sources(spec: FeatureJob) -> Sources:
    """Return what the pod needs to read its inputs and to publish its output."""
    read = [item.url for item in spec.inputs.values()]
    return sources(read, spec.storage_secret, spec.inputs_ca, spec.output)


def _endpoint(spec: FeatureJob, facts: RenderFacts) -> str | None:
    """Return the object storage's address; None for a job that needs none."""
    if not job_sources(spec).s3:
        return None
    return needed(spec.storage_endpoint or facts.storage_endpoint, "the object storage", "storage_endpoint")


def _job_spec(spec: FeatureJob, facts: RenderFacts, labels: dict[str, str], source: str) -> Manifest:
    """Return what a Job and a CronJob's template share.

    An error in the user's function fails the Job (with `backoffLimitPerIndex` its part) at once; a pod lost
    to a drain or an eviction does not count. `podReplacementPolicy: Failed` waits for a pod's end before its
    replacement starts, so that two never write at once.
    """
    alone = spec.backoff_limit_per_index is not None
    rules = [
        {
            "action": "FailIndex" if alone else "FailJob",
            "onExitCodes": {"containerName": PIPELINE, "operator": "In", "values": [USER_ERROR]},
        },
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
    ]
    limits: Manifest = {"backoffLimit": spec.backoff_limit}
    if alone:
        limits = {"backoffLimitPerIndex": spec.backoff_limit_per_index}
        if spec.max_failed_indexes is not None:
            limits["maxFailedIndexes"] = spec.max_failed_indexes
    if spec.queue is not None:
        limits["suspend"] = True  # Kueue lets it go
    return {
        **limits,
        "activeDeadlineSeconds": ceil(spec.active_deadline),
        "completions": spec.completions,
        "parallelism": spec.pods,
        "completionMode": spec.completion_mode,
        "podReplacementPolicy": "Failed",
        "podFailurePolicy": {"rules": rules},
        "template": {
            "metadata": {"labels": labels, "annotations": dict(UNMOVABLE)},
            "spec": _pod(spec, facts, source),
        },
    }


def _pod(spec: FeatureJob, facts: RenderFacts, source: str) -> Manifest:
    config = {"name": "source", "configMap": {"name": source, "defaultMode": 0o444}}
    return {
        "restartPolicy": "Never",
        **pod_basis(spec, _account(spec)),
        "terminationGracePeriodSeconds": 30,
        **scheduling(spec.scheduling, job_selector(spec.name), gpu=spec.gpu, soft_spread=False),
        **pod_claims(spec.gpu, _account(spec)),
        **({"initContainers": [sidecar(item) for item in spec.sidecars]} if spec.sidecars else {}),
        "containers": [_container(spec, facts)],
        "volumes": [
            config,
            *job_sources(spec).volumes,
            *secret_volumes(spec, PIPELINE),
            *(pod_volume(item, _account(spec)) for item in spec.volumes),
            empty_dir("tmp", spec.resources.ephemeral_storage),
            *container_volumes(spec.sidecars, _account(spec)),
        ],
    }


def _part(spec: FeatureJob) -> list[Manifest]:
    """Return what a pod must know about its part; Kubernetes itself sets JOB_COMPLETION_INDEX."""
    if spec.completion_mode != "Indexed":
        return []
    run = {"fieldRef": {"fieldPath": "metadata.labels['batch.kubernetes.io/controller-uid']"}}
    return [*env({"PIPELINE_COUNT": str(spec.completions)}), {"name": "JOB_UID", "valueFrom": run}]


def _container(spec: FeatureJob, facts: RenderFacts) -> Manifest:
    values = {
        "PIPELINE_SOURCE": f"{SOURCE_DIR}/{_SOURCE_FILE}",
        "PIPELINE_ENTRY": spec.entry,
        "PIPELINE_OUTPUT": spec.output,
        "PIPELINE_PARAMETERS": json.dumps(spec.parameters, sort_keys=True),
        **job_sources(spec).env,
    }
    endpoint = _endpoint(spec, facts)
    if endpoint is not None:
        values["STORAGE_ENDPOINT"] = endpoint
    if spec.inputs:
        listed = {name: item.model_dump(mode="json") for name, item in spec.inputs.items()}
        values["PIPELINE_INPUTS"] = json.dumps(listed, sort_keys=True)
    if spec.version is not None:
        values["PIPELINE_VERSION"] = spec.version
    # The CronJob controller ends a Job's name with its slot, in minutes since 1970.
    job = {"fieldRef": {"fieldPath": "metadata.labels['batch.kubernetes.io/job-name']"}}
    uid = {"fieldRef": {"fieldPath": "metadata.uid"}}
    return {
        "name": PIPELINE,
        "image": _image(spec, facts),
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-m", "mlk8s.pipeline"],
        "env": [
            *environment(spec, values),
            {"name": "JOB_NAME", "valueFrom": job},
            {"name": "POD_UID", "valueFrom": uid},
            *_part(spec),
        ],
        "resources": resources(spec.resources, spec.gpu),
        "securityContext": container_security(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": "source", "mountPath": SOURCE_DIR, "readOnly": True},
            *job_sources(spec).mounts,
            *file_mounts(spec, PIPELINE, "source"),
            *(mount(item) for item in spec.volumes),
            tmp_mount(),
        ],
    }
