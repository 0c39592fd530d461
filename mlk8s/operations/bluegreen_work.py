"""The steps that blue/green operations are made of; each may be repeated, and each needs the Lease."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from mlk8s.assess.bluegreen import BlueGreenRecord, Phase, retained
from mlk8s.clients.cluster import Cluster
from mlk8s.clients.platform import Platform
from mlk8s.clients.traffic import find_controller, way_in
from mlk8s.errors import Conflict, NotFound, RolloutFailed, UsageError, WaitTimeout
from mlk8s.operations import bluegreen_state, canary_state
from mlk8s.operations.apply import apply_all, refuse_foreign
from mlk8s.operations.deploy import CHANGE_CAUSE, prune_configs, restart_stuck
from mlk8s.operations.dra import remove_templates
from mlk8s.operations.entry import wait_for_entry
from mlk8s.operations.facts import facts_for, render_facts
from mlk8s.operations.lease import OperatorLease
from mlk8s.operations.replicas import HOLDER, hand_over, settle
from mlk8s.operations.waiting import ServerClock, wait_rollout
from mlk8s.render.bluegreen import (
    PREVIEW_HEADER,
    Colour,
    identity,
    idle_size,
    other,
    preview_address,
    preview_rule,
    preview_service,
    render_idle,
)
from mlk8s.render.common import INSTANCE, MANAGED_BY, MANAGER, NAME, Identity, Manifest, model_version
from mlk8s.render.routing import route_path
from mlk8s.render.service import render_service
from mlk8s.render.stored import stored_spec
from mlk8s.spec.service import ModelService
from mlk8s.spec.strategy import DEFAULT_RETAIN

_OBSERVED = 10.0  # seconds that the Deployment controller may take to see a change
_GREEN = ("HorizontalPodAutoscaler", "Deployment", "PodDisruptionBudget", "ConfigMap", "ServiceAccount")
"""What green is made of, in the order in which it goes."""


class BlueGreenWork:
    """One operation on the colours of one service, under its Lease.

    Attributes:
        live: the colour that has the requests.
        spec: what the live colour was deployed from.
        record: the phase as written down; None where only blue was ever live.
        heed: called while a colour's pods are waited for; whatever it raises ends the wait.

    Raises:
        NotFound: no such service.
        Conflict: it was not deployed by mlk8s, its record cannot be read, or it has a canary.
    """

    def __init__(
        self,
        cluster: Cluster,
        platform: Platform,
        name: str,
        namespace: str,
        lease: OperatorLease,
        say: Callable[[str], None],
    ) -> None:
        self.cluster, self.platform = cluster, platform
        self.name, self.namespace = name, namespace
        self.lease, self.say = lease, say
        self.heed: Callable[[], None] = lease.check
        self.facts = render_facts(platform, namespace)
        blue = cluster.get("Deployment", name, namespace)
        canary_state.refuse_while_running(blue)
        self.record = bluegreen_state.read(blue)
        self.live: Colour = bluegreen_state.live(cluster, blue)
        self.spec = self.spec_of(self.live)

    # --- what is there -------------------------------------------------------------------------------

    def deployment(self, colour: Colour) -> Manifest | None:
        """Return the Deployment of a colour; None where it is not there."""
        return self.cluster.find("Deployment", self._instance(colour), self.namespace)

    def spec_of(self, colour: Colour) -> ModelService:
        """Return the spec that a colour was deployed from.

        Raises:
            NotFound: the colour is not there.
            Conflict: mlk8s did not deploy it.
        """
        where = f"Deployment {self.namespace}/{self._instance(colour)}"
        found = self.deployment(colour)
        if found is None:
            raise NotFound(f"{self.name} has no {colour} colour", where=where)
        spec = stored_spec(found)
        if spec is None:
            raise Conflict(
                f"{self.name} was not deployed by mlk8s",
                where=where,
                expected="a service with its spec in the annotation mlk8s.dev/spec",
            )
        return spec

    @property
    def newer(self) -> Colour:
        """The colour that the last deploy brought."""
        return self._written.newer

    @property
    def retain(self) -> float:
        """Seconds that the older colour stays after a switch."""
        return self._written.retain

    def retained(self) -> float:
        """Return the seconds that the older colour must still stay."""
        return retained(self._written, ServerClock(self.cluster, self.namespace).now())

    def require_same_way_in(self, spec: ModelService) -> None:
        """Refuse another path, host or Gateway: pods of one colour only answer under the path they know.

        Raises:
            UsageError: names both ways in.
        """
        before, after = (self._way_in(item) for item in (self.spec, spec))
        if before != after:
            raise UsageError(
                f"{self.name} would be reached at {after} instead of {before}",
                where="ModelService.route",
                expected="the same way in for both colours: no switch can change it without a lost request",
                next_step="change the route in a deploy of its own with strategy 'RollingUpdate', or deploy "
                "another service beside this one",
            )

    # --- the steps -----------------------------------------------------------------------------------

    def write(self, phase: Phase) -> None:
        """Write the phase down before the step that it tells of."""
        self._write(self._written, phase)

    def start(self, spec: ModelService, idle: Colour) -> None:
        """Apply the idle colour with as many pods as the live one has; no request reaches them."""
        replicas = idle_size(spec, self._size(self.live))
        before = self.deployment(idle)
        facts = facts_for(self.cluster, self.platform, spec, self.namespace)
        manifests = render_idle(spec, facts, idle, replicas)
        refuse_foreign(self.cluster, manifests)
        workload = next(item for item in manifests if item["kind"] == "Deployment")
        workload["metadata"]["annotations"][CHANGE_CAUSE] = f"deploy {spec.model} as {idle}"
        retain = DEFAULT_RETAIN if spec.retain is None else spec.retain
        self._write(BlueGreenRecord("starting", idle, retain, ""), "starting")
        asleep = before is not None and not before["spec"].get("replicas", 1)
        if asleep:
            workload["spec"]["replicas"] = 0
        hand_over(self.cluster, before, workload)
        applied = apply_all(self.cluster, manifests, say=self.say)
        deployment = next(item for item in applied if item["kind"] == "Deployment")
        settle(self.cluster, before, deployment, None)
        if asleep:
            # Together with the new template, the controller would first start pods of the old one.
            self._wait_observed(idle, int(deployment["metadata"]["generation"]))
            self._scale(idle, replicas)
        self.say(
            f"{self.name}: {spec.model} applied as {idle}, {replicas} pods; {self.live} has the requests"
        )
        if before is not None and before["metadata"]["generation"] == deployment["metadata"]["generation"]:
            restart_stuck(self.cluster, self._instance(idle), self.namespace, self.say)

    def wait_ready(self, colour: Colour, timeout: float) -> int:
        """Wait until all pods of a colour are ready, and return how many.

        Raises:
            RolloutFailed, WaitTimeout: they are not, with the cause where there is one.
        """
        undo = f"`mlk8s bluegreen finish {self.name}` removes it"
        try:
            verdict = wait_rollout(
                self.cluster, self._instance(colour), self.namespace,
                timeout=timeout, say=self.say, undo=undo, check=self.heed,
            )  # fmt: skip
        except (RolloutFailed, WaitTimeout) as error:
            error.what += f"\n  {self.live}, with {self.spec.model}, has all requests; {undo}"
            raise
        prune_configs(self.cluster, self.name, self._instance(colour), self.namespace)
        return verdict.ready

    def open_preview(self, spec: ModelService, idle: Colour) -> None:
        """Lead requests with the preview header to the idle colour, where the controller can."""
        self.lease.check()
        inside = preview_address(spec, self.facts)
        found, rule = way_in(self.cluster, self.name, self.namespace), preview_rule(spec, self.facts)
        honours = rule is not None and found is not None and found.ingress_class is not None
        if honours and found is not None:
            honours = find_controller(self.cluster, found.ingress_class).honours_canary is not False
        if rule is None or not honours:
            self.say(f"{self.name}: preview of {idle} inside the cluster: {inside}")
            return
        refuse_foreign(self.cluster, [rule])
        self.cluster.apply(rule)
        wait_for_entry(
            spec, self.facts, say=self.say, version=model_version(spec.model),
            headers={PREVIEW_HEADER: "always"},
        )  # fmt: skip
        self.say(f"{self.name}: preview of {idle}: with `{PREVIEW_HEADER}: always`, or inside at {inside}")

    def move(self, target: Colour, timeout: float) -> None:
        """Give all requests to a colour once it can carry what the live one carries.

        Raises:
            RolloutFailed, WaitTimeout: its pods are not all ready; nothing was switched.
        """
        source, spec = other(target), self.spec_of(target)
        self._match_size(source, target)
        self.wait_ready(target, timeout)
        self.write("switching")
        manifests = render_service(spec, self.facts, identity(self.name, target).track)
        shared = [
            item for item in manifests if item["kind"] in ("Service", "NetworkPolicy", "Ingress", "HTTPRoute")
        ]
        apply_all(self.cluster, shared, say=self.say)
        self.live, self.spec = target, spec
        self.say(f"{self.name}: the Service leads to {target}, {spec.model}")
        wait_for_entry(spec, self.facts, say=self.say, version=model_version(spec.model))
        self._follow(source, manifests)

    def remove_idle(self) -> None:
        """Remove the idle colour and its preview; its pods answer what still reaches them before they end."""
        self.lease.check()
        preview = Identity(self.name, "preview").instance
        for kind in ("Ingress", "Service"):
            self.cluster.delete(kind, preview, self.namespace)
        if self.live == "blue":
            labels = {NAME: self.name, INSTANCE: self._instance("green"), MANAGED_BY: MANAGER}
            selector = ",".join(f"{key}={value}" for key, value in labels.items())
            for kind in _GREEN:
                for item in self.cluster.list(kind, self.namespace, labels=selector):
                    self.cluster.delete(kind, item["metadata"]["name"], self.namespace)
            remove_templates(self.cluster, self.namespace, selector)
            bluegreen_state.clear(self.cluster, self.name, self.namespace)
            self.record = None
            return
        # Blue's Deployment stays, without pods: it carries the record, and is the next idle colour.
        self._scale("blue", 0)
        self.write("single")

    # --- details -------------------------------------------------------------------------------------

    @property
    def _written(self) -> BlueGreenRecord:
        if self.record is None:
            raise AssertionError("a colour is worked on only after its deploy was written down")
        return self.record

    def _instance(self, colour: Colour) -> str:
        return identity(self.name, colour).instance

    def _way_in(self, spec: ModelService) -> str:
        if spec.route is None:
            return "no route"
        host = spec.route.host or "any host"
        return f"{host}{route_path(spec, self.facts)} ({spec.route.gateway or 'Ingress'})"

    def _write(self, record: BlueGreenRecord, phase: Phase) -> None:
        self.lease.check()
        self.record = bluegreen_state.write(self.cluster, self.name, self.namespace, record, phase)

    def _match_size(self, source: Colour, target: Colour) -> None:
        sizes = [self._size(source), self._size(target)]
        if sizes[0] > sizes[1]:
            self.say(f"{self.name}: {target} gets {sizes[0]} pods, as many as {source} has")
            self._scale(target, sizes[0])

    def _wait_observed(self, colour: Colour, generation: int) -> None:
        end = time.monotonic() + _OBSERVED
        while time.monotonic() < end:
            status = (self.deployment(colour) or {}).get("status") or {}
            if int(status.get("observedGeneration") or 0) >= generation:
                return
            time.sleep(0.1)

    def _size(self, colour: Colour) -> int:
        found = self.deployment(colour)
        return 0 if found is None else int(found["spec"].get("replicas", 1))

    def _scale(self, colour: Colour, replicas: int) -> None:
        body: dict[str, Any] = {"spec": {"replicas": replicas}}
        self.cluster.patch("Deployment", self._instance(colour), body, self.namespace, manager=HOLDER)

    def _follow(self, source: Colour, manifests: list[Manifest]) -> None:
        """Let the autoscaler and the preview follow the colours."""
        self.lease.check()
        scaler = [item for item in manifests if item["kind"] == "HorizontalPodAutoscaler"]
        apply_all(self.cluster, scaler, say=self.say)
        self.cluster.delete("HorizontalPodAutoscaler", self._instance(source), self.namespace)
        self.cluster.apply(preview_service(self.spec_of(source), self.facts, source))
