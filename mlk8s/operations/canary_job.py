"""A rollout that a Job of the cluster brings to its end, started from here."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

from mlk8s.clients.clock import Clock
from mlk8s.clients.cluster import Cluster
from mlk8s.clients.platform import Platform
from mlk8s.errors import RolloutFailed, UsageError, WaitTimeout
from mlk8s.operations import rollout_state
from mlk8s.operations.apply import apply_all
from mlk8s.operations.canary import working
from mlk8s.operations.canary_follow import failed_pod
from mlk8s.operations.canary_look import KINDS, lease_name
from mlk8s.operations.canary_open import Plan, open_rollout
from mlk8s.operations.canary_pod import PodSettings
from mlk8s.operations.canary_run import BLIND, Lines, prometheus_of
from mlk8s.operations.canary_ways import from_inside, way_to_api, way_to_webhook
from mlk8s.operations.canary_work import CanaryWork
from mlk8s.operations.facts import render_facts
from mlk8s.operations.preflight import require_permissions
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


@dataclass(frozen=True)
class Place:
    """Where a rollout is worked on.

    Attributes:
        cluster, platform, name, namespace: the service.
    """

    cluster: Cluster
    platform: Platform
    name: str
    namespace: str

    @property
    def job(self) -> str:
        """Name of the Job."""
        return lease_name(self.name)


def launch(
    cluster: Cluster,
    platform: Platform,
    name: str,
    namespace: str,
    canary: Canary | None,
    analysis: Analysis | None,
    *,
    image: str | None = None,
    webhook: str | None = None,
    blind: float = BLIND,
    timeout: float = 180.0,
    say: Say = print,
) -> None:
    """Write a rollout down and start the Job that brings it to its end; what can be refused, is before.

    Args:
        canary, analysis: the new version and what it has to show; None goes on with a rollout that nobody
            works on.
        image: the controller's; None means the platform's, or the one that a local cluster gets now.
        webhook: address that gets each verdict; kept in a Secret.

    Raises:
        As `canary_run.run`.
        Forbidden: you may not do what the controller has to, and so cannot give it the right to.
        RolloutFailed, WaitTimeout: its pod does not run; nothing was made of the canary.
    """
    place = Place(cluster, platform, name, namespace)
    kinds = (*_MADE, *(("Secret",) if webhook else ()))
    require_permissions(cluster, namespace, ("Lease", "Ingress", *KINDS, *kinds), ("Pod", "ReplicaSet"))
    if platform.prometheus is None:
        prometheus_of(cluster, platform)  # says what is missing
    found = _image(place, image, say)
    plan = Plan(canary, analysis) if canary is not None and analysis is not None else None
    with (
        tempfile.TemporaryDirectory() as directory,
        working(cluster, platform, name, namespace, "canary run", say) as work,
    ):
        rollout = _declare(work, plan, directory, blind, timeout, say)
        job = _job(place, work, rollout, found, webhook, blind, timeout)
    try:
        _start(place, job, str(rollout.by), say)
    except BaseException:
        rollout_state.remove_controller(cluster, name, namespace)
        with working(cluster, platform, name, namespace, "canary run", lambda _line: None) as work:
            if plan is not None and work.record is None:
                rollout_state.close(work, "failed")
        raise
    say(f"{name}: Job {job.name} works on the rollout; `mlk8s canary watch {name}` shows it")


def _declare(
    work: CanaryWork, plan: Plan | None, directory: str, blind: float, timeout: float, say: Say
) -> Rollout:
    clock = Clock()
    with Teller(Told(directory), work.cluster, work.name, work.namespace, clock, say) as teller:
        prometheus = prometheus_of(work.cluster, work.platform)
        settings = Settings(prometheus, teller, clock, Lines(say), blind, timeout)
        return open_rollout(work, settings, plan).prepare()


def _job(
    place: Place,
    work: CanaryWork,
    rollout: Rollout,
    image: str,
    webhook: str | None,
    blind: float,
    timeout: float,
) -> RolloutJob:
    canary = Canary(model=rollout.model, digest=rollout.digest, header=rollout.header)
    promoted = promoted_spec(work.stable, rollout.model, rollout.digest)
    objects = [
        *render_service(work.stable, work.facts),
        *render_service(promoted, work.facts),
        *render_canary(work.stable, canary, work.facts, weight=0),
    ]
    platform, ways = from_inside(Service(place.cluster, place.platform, place.name, place.namespace))
    settings = PodSettings(place.name, place.namespace, blind, timeout, dict(platform.data()))
    longest = Analysis(**rollout.analysis).deadline + 4 * timeout + 2 * blind + 3_600
    return RolloutJob(
        name=place.job, service=place.name, image=image, settings=settings.dump(), webhook=webhook,
        objects=tuple(objects), secrets=tuple(referenced_secrets(work.stable)),
        egress=(*ways, way_to_api(place.cluster), *way_to_webhook(webhook)), longest=ceil(longest),
        pulled=Pulled(image_pull_secrets=work.stable.image_pull_secrets),
    )  # fmt: skip


def _start(place: Place, job: RolloutJob, declared_by: str, say: Say) -> None:
    """Apply the Job and its rights, and wait until its pod works on the rollout.

    Raises:
        RolloutFailed, WaitTimeout: it does not.
    """
    cluster, facts = place.cluster, render_facts(place.platform, place.namespace)
    end = time.monotonic() + START
    if rollout_state.remove_controller(
        cluster, place.name, place.namespace
    ):  # that of the last rollout, kept for its log
        while cluster.find("Job", job.name, place.namespace) and time.monotonic() < end:
            time.sleep(_POLL)
    owner = cluster.apply(render_rollout_job(job, facts, suspend=True))
    apply_all(cluster, render_rollout_rights(job, facts, owner), say=say)
    cluster.apply(render_rollout_job(job, facts, suspend=False))
    events, clock = Events(cluster, place.namespace), ServerClock(cluster, place.namespace)
    while True:
        found = rollout_state.read(cluster, place.name, place.namespace)
        if found is None or found.ended or found.by != declared_by:
            return
        verdict = look_at_job(cluster, job.name, place.namespace, events, clock)
        late = time.monotonic() > end
        if verdict.cause is not None and (verdict.state == "failed" or late):
            raise RolloutFailed(
                f"the controller of {place.name}'s rollout does not start: {verdict.cause.message}",
                where=verdict.cause.where,
                next_step=verdict.cause.remedy,
            )
        broken = failed_pod(cluster, place.name, place.namespace)
        if broken is not None:
            raise RolloutFailed(
                f"the controller of {place.name}'s rollout ended at once: {broken}",
                where=f"Job {place.namespace}/{job.name}, image {job.image}",
                next_step="an image of this version of mlk8s: `mlk8s image build --base controller`",
            )
        if late:
            raise WaitTimeout(
                f"the controller of {place.name}'s rollout does not run after {START:g} s",
                where=f"Job {place.namespace}/{job.name}",
                next_step=f"`kubectl get events -n {place.namespace}` tells more",
            )
        time.sleep(_POLL)


def _image(place: Place, image: str | None, say: Say) -> str:
    from mlk8s.local.cluster_image import cluster_image

    found = image or place.platform.controller_image
    found = found or cluster_image("controller", place.cluster.server, place.cluster.source, say)
    if found is None:
        raise UsageError(
            "nobody names an image for the rollout's controller",
            expected="--image, or controller-image in ConfigMap mlk8s-system/mlk8s-platform",
            next_step="`mlk8s image build --base controller --push REGISTRY/REPO` makes one",
        )
    return found
