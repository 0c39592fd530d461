"""A rollout that a Job of the cluster brings to its end, started from here."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from math import ceil

from mlk8s.clients.clock import Clock
from mlk8s.errors import RolloutFailed, UsageError, WaitTimeout
from mlk8s.operations import rollout_state
from mlk8s.operations.apply import apply_all
from mlk8s.operations.canary import working
from mlk8s.operations.canary_follow import failed_pod
from mlk8s.operations.canary_look import KINDS, lease_name
from mlk8s.operations.canary_open import Plan, open_rollout
from mlk8s.operations.canary_pod import PodSettings
from mlk8s.operations.canary_ways import from_inside, way_to_api, way_to_webhook
from mlk8s.operations.canary_work import CanaryWork
from mlk8s.operations.facts import render_facts
from mlk8s.operations.preflight import require_permissions
from mlk8s.operations.rollout_drive import Terms, prometheus_of
from mlk8s.operations.rollout_judged import Settings
from mlk8s.operations.rollout_state import Rollout
from mlk8s.operations.rollout_tell import Teller, Told
from mlk8s.operations.service import Service
from mlk8s.operations.waiting import Events, ServerClock, look_at_job
from mlk8s.render.canary import promoted_spec, render_canary
from mlk8s.render.rollout_job import RolloutJob, render_rollout_job, render_rollout_rights
from mlk8s.render.service import render_service
from mlk8s.spec.analysis import Analysis
from mlk8s.spec.canary import Canary
from mlk8s.spec.configuration import referenced_secrets
from mlk8s.spec.pod import Pulled

START = 300.0
"""Seconds that the controller's pod may take to run: its image may have to be pulled."""
_MADE = ("Job", "ServiceAccount", "Role", "RoleBinding", "NetworkPolicy")
_POLL = 0.3

Say = Callable[[str], None]


def launch(service: Service, plan: Plan | None, terms: Terms, *, image: str | None = None) -> None:
    """Write a rollout down and start the Job that brings it to its end; what can be refused, is before.

    Args:
        plan: the new version and what it has to show; None goes on with a rollout that nobody works on.
        terms: what is told by the controller's pod has its own directory and metrics; the webhook's address
            is kept in a Secret.
        image: the controller's; None means the platform's, or the one that a local cluster gets now.

    Raises:
        As `canary_run.run`.
        Forbidden: you may not do what the controller has to, and so cannot give it the right to.
        RolloutFailed, WaitTimeout: its pod does not run; nothing was made of the canary.
    """
    kinds = ("Lease", "Ingress", *KINDS, *_MADE, *(("Secret",) if terms.told.webhook else ()))
    require_permissions(service.cluster, service.namespace, kinds, ("Pod", "ReplicaSet"))
    prometheus = prometheus_of(service)
    found, clock = _image(service, image, terms.say), Clock()
    with (
        tempfile.TemporaryDirectory() as directory,
        working(service, "canary run", terms.say) as work,
        Teller(Told(directory), service, clock, terms.say) as teller,
    ):
        settings = Settings(prometheus, teller, clock, terms.shown, terms.blind, terms.timeout)
        rollout = open_rollout(work, settings, plan).prepare()
        job = _job(service, work, rollout, found, terms)
    try:
        _start(service, job, str(rollout.by), terms.say)
    except BaseException:
        rollout_state.remove_controller(service.cluster, service.name, service.namespace)
        with working(service, "canary run", lambda _line: None) as work:
            if plan is not None and work.record is None:
                rollout_state.close(work, "failed")
        raise
    name = service.name
    terms.say(f"{name}: Job {job.name} works on the rollout; `mlk8s canary watch {name}` shows it")


def _job(service: Service, work: CanaryWork, rollout: Rollout, image: str, terms: Terms) -> RolloutJob:
    canary = Canary(model=rollout.model, digest=rollout.digest, header=rollout.header)
    promoted = promoted_spec(work.stable, rollout.model, rollout.digest)
    objects = [
        *render_service(work.stable, work.facts),
        *render_service(promoted, work.facts),
        *render_canary(work.stable, canary, work.facts, weight=0),
    ]
    platform, ways = from_inside(service)
    webhook, data = terms.told.webhook, dict(platform.data())
    settings = PodSettings(service.name, service.namespace, terms.blind, terms.timeout, data)
    longest = Analysis(**rollout.analysis).deadline + 4 * terms.timeout + 2 * terms.blind + 3_600
    return RolloutJob(
        name=lease_name(service.name), service=service.name, image=image, settings=settings.dump(),
        webhook=webhook, objects=tuple(objects), secrets=tuple(referenced_secrets(work.stable)),
        egress=(*ways, way_to_api(service.cluster), *way_to_webhook(webhook)), longest=ceil(longest),
        pulled=Pulled(image_pull_secrets=work.stable.image_pull_secrets),
    )  # fmt: skip


def _start(service: Service, job: RolloutJob, declared_by: str, say: Say) -> None:
    """Apply the Job and its rights, and wait until its pod works on the rollout.

    Raises:
        RolloutFailed, WaitTimeout: it does not.
    """
    cluster, name, namespace = service.cluster, service.name, service.namespace
    facts = render_facts(service.platform, namespace)
    end = time.monotonic() + START
    if rollout_state.remove_controller(cluster, name, namespace):  # that of the last one, kept for its log
        while cluster.find("Job", job.name, namespace) and time.monotonic() < end:
            time.sleep(_POLL)
    owner = cluster.apply(render_rollout_job(job, facts, suspend=True))
    apply_all(cluster, render_rollout_rights(job, facts, owner), say=say)
    cluster.apply(render_rollout_job(job, facts, suspend=False))
    events, clock = Events(cluster, namespace), ServerClock(cluster, namespace)
    while True:
        found = rollout_state.read(cluster, name, namespace)
        if found is None or found.ended or found.by != declared_by:
            return
        verdict = look_at_job(cluster, job.name, namespace, events, clock)
        late = time.monotonic() > end
        if verdict.cause is not None and (verdict.state == "failed" or late):
            raise RolloutFailed(
                f"the controller of {name}'s rollout does not start: {verdict.cause.message}",
                where=verdict.cause.where,
                next_step=verdict.cause.remedy,
            )
        broken = failed_pod(service)
        if broken is not None:
            raise RolloutFailed(
                f"the controller of {name}'s rollout ended at once: {broken}",
                where=f"Job {namespace}/{job.name}, image {job.image}",
                next_step="an image of this version of mlk8s: `mlk8s image build --base controller`",
            )
        if late:
            raise WaitTimeout(
                f"the controller of {name}'s rollout does not run after {START:g} s",
                where=f"Job {namespace}/{job.name}",
                next_step=f"`kubectl get events -n {namespace}` tells more",
            )
        time.sleep(_POLL)


def _image(service: Service, image: str | None, say: Say) -> str:
    from mlk8s.local.cluster_image import cluster_image

    found = image or service.platform.controller_image
    found = found or cluster_image("controller", service.cluster.server, service.cluster.source, say)
    if found is None:
        raise UsageError(
            "nobody names an image for the rollout's controller",
            expected="--image, or controller-image in ConfigMap mlk8s-system/mlk8s-platform",
            next_step="`mlk8s image build --base controller --push REGISTRY/REPO` makes one",
        )
    return found
