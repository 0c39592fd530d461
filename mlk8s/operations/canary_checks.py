"""What must hold before a version runs beside a service: each check refuses by name; nothing is written."""

from __future__ import annotations

from mlk8s.assess.room import needed, no_device, over_quota
from mlk8s.errors import Conflict, Forbidden, Rejected, UsageError
from mlk8s.operations.apply import refuse_foreign
from mlk8s.operations.canary_look import ready_pods
from mlk8s.operations.canary_work import CanaryWork
from mlk8s.operations.claims import require_claims
from mlk8s.operations.model import with_digest as find_digest
from mlk8s.render.canary import canary_spec
from mlk8s.render.common import Identity
from mlk8s.render.deployment import model_source
from mlk8s.spec.canary import Canary


def with_digest(work: CanaryWork, canary: Canary) -> Canary:
    """Return the canary with its model's digest, where the storage can be read from here.

    Raises:
        StorageError: the model is not there, or its digest differs.
        NotFound: its claim is not there.
        UsageError: it lies where the service's pods may not go.
    """
    spec = canary_spec(work.stable, canary)
    source = model_source(spec)
    if not model_source(work.stable).reaches(source):
        raise UsageError(
            f"the NetworkPolicy of {work.name} does not lead to the canary's model at {spec.model}",
            where=f"the service's own model is {work.stable.model}",
            expected="a model at the same kind of place: s3, the same https host, or a claim",
            next_step="publish it there, or deploy the service with the new address",
        )
    require_claims(work.cluster, work.namespace, source.claims)
    found = find_digest(work.cluster, work.platform, spec, work.namespace, work.say)
    filled: Canary = canary.replace(digest=found.digest)
    return filled


def require_route(work: CanaryWork) -> None:
    """Refuse a service that is not reached from outside.

    Raises:
        UsageError: it has no route.
    """
    if work.stable.route is None:
        raise UsageError(
            f"{work.name} has no route, so there is no traffic to share",
            where=f"Deployment {work.namespace}/{work.name}",
            next_step="deploy it with route=Route()",
        )


def require_sticky(work: CanaryWork, canary: Canary) -> None:
    """Refuse a cookie where no controller can keep clients by it.

    Raises:
        UsageError: the service is reached through a Gateway.
    """
    if canary.cookie is not None and work.rule.sticky(work.stable, work.facts, canary.cookie) is None:
        raise UsageError(
            f"{work.name} is reached through a Gateway, which keeps no client by a cookie",
            where=f"{work.rule.kind} {work.namespace}/{work.rule_name}",
            expected="no cookie, or a service with an Ingress",
        )


def require_stable_ready(work: CanaryWork) -> None:
    """Refuse to begin while the service itself does not serve.

    Raises:
        Conflict: none of its pods is ready.
    """
    if not (work.deployment.get("status") or {}).get("readyReplicas"):
        raise Conflict(
            f"none of the pods of {work.name} is ready",
            where=f"Deployment {work.namespace}/{work.name}",
            expected="a service that serves before a second version gets any of its requests",
            next_step=f"`mlk8s why {work.name}`",
        )


def require_free_names(work: CanaryWork, canary: Canary) -> None:
    """Refuse to write over objects that are not this service's canary.

    Raises:
        Conflict: names the object and its owner.
    """
    own = [item for item in work.render(canary, 0) if item["metadata"]["name"] != work.name]
    refuse_foreign(work.cluster, own)


def require_room(work: CanaryWork, canary: Canary) -> None:
    """Refuse a canary whose pods a quota, or the lack of a device, would keep from starting.

    Quotas, nodes or pods that may not be read are not judged.

    Raises:
        Rejected: names what is needed and what is left.
    """
    if work.record is not None:
        return  # its pods are there
    deployment = next(item for item in work.render(canary, 0) if item["kind"] == "Deployment")
    template, replicas = deployment["spec"]["template"], int(deployment["spec"].get("replicas", 1))
    found: list[str] = []
    try:
        quotas = work.cluster.list("ResourceQuota", work.namespace)
        found += over_quota(quotas, needed(template, replicas))
        if work.stable.gpu is not None:
            running = "status.phase!=Succeeded,status.phase!=Failed"
            pods = work.cluster.list("Pod", all_namespaces=True, fields=running)
            found += no_device(work.cluster.list("Node"), pods, template, replicas)
    except Forbidden:
        pass
    if found:
        raise Rejected(
            "; ".join(found),
            where=f"namespace {work.namespace}",
            expected="room for the canary's pods beside those of the service; nothing was written",
            next_step="free it, or ask for more; Canary(replicas=...) says how many pods it has",
        )


def require_another_model(work: CanaryWork, canary: Canary) -> None:
    """Refuse a canary of what the service serves already.

    Raises:
        UsageError: it is the same model.
    """
    if (canary.model, canary.digest) == (work.stable.model, work.stable.digest):
        raise UsageError(
            f"{work.name} serves {canary.model} already",
            where=f"Deployment {work.namespace}/{work.name}",
            expected="a canary of another model version",
        )


def require_canary_ready(work: CanaryWork) -> None:
    """Refuse to promote what does not serve.

    Raises:
        Conflict: none of the canary's pods is ready.
    """
    if not ready_pods(work.cluster, work.name, work.namespace):
        raise Conflict(
            f"none of the pods of the canary of {work.name} is ready",
            where=f"Deployment {work.namespace}/{Identity(work.name, 'canary').instance}",
            expected="a canary that serves before it gets all requests",
            next_step=f"`mlk8s canary rollback {work.name}`, or look at its pods",
        )
