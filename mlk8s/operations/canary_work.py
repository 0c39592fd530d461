"""The steps that canary operations are made of; each may be repeated, and each needs the Lease."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cached_property
from typing import Any

from mlk8s.assess.canary import CanaryRecord, CanaryStatus, Phase, Verb
from mlk8s.assess.split import Split
from mlk8s.clients.traffic import WayIn, way_in
from mlk8s.errors import Conflict, Rejected, UsageError
from mlk8s.operations import canary_state
from mlk8s.operations.apply import apply_all
from mlk8s.operations.canary_look import KINDS, look, ready_pods, rule_name, selector
from mlk8s.operations.canary_observe import FOLLOWS, Observer
from mlk8s.operations.deploy import release
from mlk8s.operations.dra import remove_templates
from mlk8s.operations.facts import facts_for
from mlk8s.operations.lease import OperatorLease
from mlk8s.operations.service import Service
from mlk8s.operations.waiting import wait_rollout
from mlk8s.render.canary import DEFAULT_HEADER, promoted_spec, render_canary, traffic_rule
from mlk8s.render.common import Identity
from mlk8s.render.stored import stored_spec
from mlk8s.spec.canary import Canary
from mlk8s.spec.route import asked_host
from mlk8s.spec.service import ModelService

STICKY = "mlk8s-sticky"
"""Field manager of what keeps clients with their version: it goes without touching the rest."""


class CanaryWork:
    """One operation on the canary of one service, under its Lease.

    Attributes:
        heed: called while the canary's pods are waited for; whatever it raises ends the wait.

    Raises:
        NotFound: no such service.
        Conflict: the service was not deployed by mlk8s, or its record cannot be read.
    """

    def __init__(self, service: Service, lease: OperatorLease, say: Callable[[str], None]) -> None:
        cluster, name, namespace = service.cluster, service.name, service.namespace
        self.cluster, self.platform = cluster, service.platform
        self.name, self.namespace = name, namespace
        self.lease, self.say = lease, say
        self.heed: Callable[[], None] = lease.check
        self.deployment = cluster.get("Deployment", name, namespace)
        self.record = canary_state.read(self.deployment)
        spec = stored_spec(self.deployment)
        if spec is None:
            raise Conflict(
                f"Deployment {name} was not deployed by mlk8s",
                where=f"namespace {namespace}",
                expected="a service with its spec in the annotation mlk8s.dev/spec",
                next_step="deploy it with mlk8s, or choose a service that `mlk8s services` lists",
            )
        self.stable: ModelService = spec
        self.facts = facts_for(cluster, self.platform, spec, namespace)
        self.rule = traffic_rule(spec)

    # --- what must hold ------------------------------------------------------------------------------

    def require(self, verb: Verb) -> CanaryRecord:
        """Return the record when it allows the verb.

        Raises:
            UsageError: there is no canary, or its phase does not allow it; names what is allowed.
        """
        if self.record is None:
            raise UsageError(
                f"{self.name} has no canary",
                where=f"namespace {self.namespace}",
                next_step=f"`mlk8s canary start {self.name} --model s3://... --weight 10`",
            )
        allowed = self.look().allowed
        if verb not in allowed:
            raise UsageError(
                f"{verb} is not possible: the canary of {self.name} is {self.record.phase.replace('-', ' ')}",
                where=f"namespace {self.namespace}",
                expected=f"one of: {', '.join(allowed)}",
            )
        return self.record

    def look(self) -> CanaryStatus:
        """Return what the cluster holds of the canary now."""
        return look(self.cluster, self.name, self.namespace, operator=self.lease.identity)

    @cached_property
    def way_in(self) -> WayIn | None:
        """How the service is reached from outside; None where it has no way in."""
        return way_in(self.cluster, self.name, self.namespace)

    @property
    def ingress_class(self) -> str | None:
        """Class of the service's live Ingress; None where it has none."""
        return self.way_in.ingress_class if self.way_in is not None else None

    def require_honoured(self) -> None:
        """See that the header leads to the canary, while its weight is still 0.

        Raises:
            Rejected: the Ingress answers, and the canary is not reached.
        """
        cause = self.observer.learn(check=self.lease.check)
        if cause is None:
            self.say(f"{self.name}: the controller honours the canary: {self.observer.canary} by header")
        elif self.observer.stable is None:
            self.say(f"{self.name}: not seen from here whether the controller honours the canary: {cause}")
        else:
            raise Rejected(
                f"the ingress controller does not lead to the canary: {cause}",
                where=f"{self.rule.kind} {self.namespace}/{self.rule_name}",
                next_step="`mlk8s doctor` shows the controller and whether it honours canaries",
            )

    # --- the record ----------------------------------------------------------------------------------

    def write(self, record: CanaryRecord, *, phase: Phase | None = None, **changes: Any) -> CanaryRecord:
        """Write the record down before the step that it tells of."""
        self.lease.check()
        self.record = canary_state.write(
            self.cluster, self.name, self.namespace, record, phase=phase, **changes
        )
        return self.record

    def clear(self) -> None:
        """Remove the record: there is no canary any more."""
        self.lease.check()
        canary_state.clear(self.cluster, self.name, self.namespace)
        self.record = None

    # --- the steps -----------------------------------------------------------------------------------

    @cached_property
    def observer(self) -> Observer:
        """What looks through the Ingress."""
        found = self.way_in
        url = found.address(self.platform) if found is not None else None
        host = asked_host(found.host) if found is not None else None
        header = self.record.header if self.record is not None else None
        return Observer(url, host, self.name, header or DEFAULT_HEADER)

    def close(self) -> None:
        """Close what was opened to look through the Ingress."""
        if "observer" in self.__dict__:
            self.observer.close()

    def apply_canary(self, weight: int) -> None:
        """Apply every object of the canary, its traffic rule last."""
        self.lease.check()
        apply_all(self.cluster, self.render(self._canary, weight), say=self.say)

    def wait_canary(self, timeout: float) -> None:
        """Wait until the canary's pods are ready.

        Raises:
            RolloutFailed, WaitTimeout: they are not, with the cause where there is one.
        """
        wait_rollout(
            self.cluster, Identity(self.name, "canary").instance, self.namespace,
            timeout=timeout, say=self.say, check=self.heed,
        )  # fmt: skip

    def set_weight(self, weight: int, *, force: bool = False) -> None:
        """Write the weight into the traffic rule.

        Raises:
            Conflict: somebody else set it, and not `force`.
        """
        self.lease.check()
        manifest = self.rule.split(self.stable, self._canary, self.facts, weight)
        try:
            self.cluster.apply(manifest, force=force)
        except Conflict as error:
            error.next_step = "look who set it; force=True (--force) takes it over, a rollback sets it to 0"
            raise
        self.say(f"{self.name}: weight {weight}")

    def stick(self, cookie: str | None) -> None:
        """Keep clients with the version that answered them first; None ends it.

        Their cookies stay with them, and mean nothing any more.
        """
        self.lease.check()
        part = self.rule.sticky(self.stable, self.facts, cookie)
        if part is not None:
            self.cluster.apply(part, force=True, manager=STICKY)

    def observe(self, weight: int) -> Split | None:
        """Return the observed split after a change of the weight, and say it."""
        split = self.observer.split(weight, check=self.lease.check)
        self.say(f"{self.name}: {split}" if split else f"{self.name}: the split cannot be seen from here")
        return split

    def remove_traffic(self, *, observe: bool = False) -> None:
        """Lead all requests to the service: weight 0, seen where it can be, then the rule goes."""
        self.lease.check()
        live = self.cluster.find(self.rule.kind, self.rule_name, self.namespace)
        had = self.rule.weight(live) if live else None
        if had and self.record is not None:
            if observe and ready_pods(self.cluster, self.name, self.namespace):
                self.observer.learn(check=self.lease.check, timeout=3.0)
            if self.stable.model == self.record.model:
                self.observer.forget()  # promoted: both answer alike, so who answers tells nothing
            self.set_weight(0, force=True)
            if self.observer.gone(had, check=self.lease.check) is False:
                self.say(f"{self.name}: the canary was still reached {FOLLOWS:g} s after weight 0; going on")
        self.lease.check()
        whole = self.rule.whole(self.stable, self.facts)
        if whole is None:
            self.cluster.delete(self.rule.kind, self.rule_name, self.namespace)
        else:
            self.cluster.apply(whole, force=True)
        if self.record is not None and self.record.cookie is not None:
            self.stick(None)
        if had is not None:
            self.say(f"{self.name}: no request is led to the canary")

    def remove_canary(self) -> None:
        """Delete what is left of the canary; its pods answer what still reaches them before they end."""
        self.lease.check()
        for kind in KINDS:
            for item in self.cluster.list(kind, self.namespace, labels=selector(self.name)):
                self.cluster.delete(kind, item["metadata"]["name"], self.namespace)
        remove_templates(self.cluster, self.namespace, selector(self.name))

    def apply_stable(self, model: str, digest: str | None, timeout: float) -> None:
        """Give the service a model and wait until all its pods have it.

        Raises:
            RolloutFailed, WaitTimeout: the new pods do not become ready; the old ones serve.
        """
        self.lease.check()
        self.stable = promoted_spec(self.stable, model, digest)
        live = self.cluster.get("Deployment", self.name, self.namespace)
        release(
            self.cluster, self.platform, self.stable, live,
            wait=False, timeout=timeout, say=self.say, started=time.monotonic(),
        )  # fmt: skip
        wait_rollout(
            self.cluster, self.name, self.namespace, timeout=timeout, say=self.say, check=self.lease.check,
            undo=f"`mlk8s canary rollback {self.name}` goes back to it",
        )  # fmt: skip

    # --- details -------------------------------------------------------------------------------------

    @property
    def _canary(self) -> Canary:
        if self.record is None:
            raise AssertionError("a canary is rendered from its record")
        return canary_state.spec(self.record)

    @property
    def rule_name(self) -> str:
        """Name of the object that shares the traffic."""
        return rule_name(self.rule, self.name)

    def render(self, canary: Canary, weight: int) -> list[dict[str, Any]]:
        """Return every object of a canary, its traffic rule last."""
        return render_canary(self.stable, canary, self.facts, weight=weight)
