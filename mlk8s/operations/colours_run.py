"""Blue/green by evidence: the idle colour is judged, switched to, judged again, and left where it is bad.

The same tests as a canary's, against the SLO alone: before the switch the two colours have other requests,
after it the older one has none.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from mlk8s.clients.background import BackgroundClient
from mlk8s.errors import Conflict, Mlk8sError, UsageError
from mlk8s.operations import bluegreen, bluegreen_state, canary_ask, rollout_state
from mlk8s.operations.bluegreen_work import BlueGreenWork
from mlk8s.operations.canary_look import lease_name
from mlk8s.operations.colours_control import BEFORE, ColoursControl
from mlk8s.operations.lease import OperatorLease
from mlk8s.operations.outage import Outage
from mlk8s.operations.rollout_drive import Ended, Terms, drive, prometheus_of
from mlk8s.operations.rollout_judged import Settings
from mlk8s.operations.rollout_state import Packed, Rollout
from mlk8s.operations.rollout_view import CanaryResult
from mlk8s.operations.service import Service
from mlk8s.render.bluegreen import PREVIEW_HEADER
from mlk8s.spec.analysis import Analysis

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    Inputs = Mapping[str, ArrayLike] | ArrayLike

Say = Callable[[str], None]


def run(
    service: Service,
    analysis: Analysis,
    terms: Terms,
    *,
    inputs: Inputs | None = None,
    rps: float = 20.0,
) -> CanaryResult:
    """Judge the idle colour, switch to it, judge it again, and go back where it is bad.

    A run that was cut off goes on with the same call.

    Args:
        analysis: steps, weights and `margin` have no meaning here; `bake` and `deadline` are those of each of
            the two stages.
        inputs: what to predict, over and over, on the idle colour before the switch; None leaves it to
            whoever sends requests with the preview header.
        rps: how often, at most 50 times a second.

    Returns:
        How it ended; an outcome is no error. After a promotion the older colour stays until `finish`, after a
        rollback the newer one.

    Raises:
        UsageError: there is no second colour, or inputs that do not fit.
        Conflict: another process works on it.
        NotFound: no such service, or the platform names no Prometheus.
        RolloutFailed, WaitTimeout: its pods never became ready.
        ClusterError: it could not be rolled back; the message has the command to do it by hand.
        Unreachable: the API server did not answer for half an hour; the same call goes on.
    """
    prometheus = prometheus_of(service)
    prometheus.query("vector(1)")
    plan = analysis.replace(steps=(), margin=None, promote_from=0)
    asking = _Asking(service, inputs, rps, terms.say)
    return drive(service, terms, prometheus, partial(_through_outages, asking, plan, terms.say))


def abort(service: Service, *, timeout: float = 120.0, say: Say = print) -> None:
    """Give the users' requests to the older colour; a process that works on the rollout is asked to do it.

    Raises:
        UsageError: there is no rollout, and nothing to go back from.
        WaitTimeout: the process that works on it did not do it in time.
        As `bluegreen.back`.
    """
    if canary_ask.asked(service, "rollback", timeout, say):
        return
    cluster, name, namespace = service.cluster, service.name, service.namespace
    found = rollout_state.read(cluster, name, namespace)
    blue = cluster.get("Deployment", name, namespace)
    record = bluegreen_state.read(blue)
    if record is not None and record.phase in ("switching", "switched"):
        bluegreen.back(cluster, service.platform, name, namespace, timeout=timeout, say=say)
    elif found is None or found.ended:
        raise UsageError(
            f"{name} has no rollout, and {bluegreen_state.live(cluster, blue)} was not switched to",
            where=f"namespace {namespace}",
            next_step=f"`mlk8s bluegreen status {name}` shows what there is",
        )
    if found is not None and not found.ended:
        with _working(service, say) as lease:
            ended = replace(
                found, stage="ended", outcome="rolled back", by=lease.identity, weight=0,
                why=(f"rolled back by {lease.identity}",), held=None,
            )  # fmt: skip
            rollout_state.write(cluster, name, namespace, ended)


def _through_outages(asking: _Asking, analysis: Analysis, say: Say, settings: Settings) -> Ended:
    """Work on a rollout to its end; where the API server is away, go on when it is back."""
    service = asking.service
    outage = Outage(service.name, say, f"mlk8s bluegreen run {service.name}")
    began = False
    try:
        while True:
            lease: OperatorLease | None = None
            try:
                with _working(service, say) as lease:
                    work = BlueGreenWork(
                        service.cluster, service.platform, service.name, service.namespace, lease, say
                    )
                    control = _open(work, settings, analysis, asking)
                    began = True
                    outage.over()
                    return control.go()
            except Mlk8sError as error:
                if not began:
                    raise
                outage.wait(error, lease)
    finally:
        asking.stop()


def _open(work: BlueGreenWork, settings: Settings, analysis: Analysis, asking: _Asking) -> ColoursControl:
    """Go on with the rollout that is there, or begin one of the colour that the last deploy brought."""
    record = work.record
    if record is None or record.phase == "single":
        raise UsageError(
            f"{work.name} has no second colour: {work.live} is all there is",
            where=f"Deployment {work.namespace}/{work.name}",
            next_step="deploy another version with strategy 'BlueGreen' first",
        )
    model = work.spec_of(work.newer).model
    values: dict[str, Any] = analysis.model_dump(mode="json", exclude_unset=True)
    found = rollout_state.read_all(work.cluster, work.name, work.namespace)
    last, packed = found if found is not None else (None, Packed())
    rollout_state.require_kind(last, "bluegreen", work.name, work.namespace)
    if last is not None and not last.ended and (last.model, last.analysis) == (model, values):
        if last.by is not None:
            work.say(f"{work.name}: going on with the rollout that {last.by} left")
        rollout = last
    else:
        if record.phase not in ("starting", "preview"):
            raise Conflict(
                f"{work.newer} of {work.name} has the users' requests already ({record.phase})",
                where=f"Deployment {work.namespace}/{work.name}",
                expected="a colour that is judged before it gets them",
                next_step=f"`mlk8s bluegreen back {work.name}`, then the same again",
            )
        deployment = work.deployment(work.newer) or {"spec": {}}
        rollout = Rollout(
            run=uuid.uuid4().hex[:12], kind="bluegreen", model=model,
            digest=work.spec_of(work.newer).digest, header=None,
            replicas=int(deployment["spec"].get("replicas", 1)), analysis=values,
        )  # fmt: skip
        packed = Packed()
        rollout_state.begin(work.cluster, work.name, work.namespace, rollout)
    control = ColoursControl(work, settings, rollout, packed, asking.begin)
    for note in control.notes:
        control.say(note)
    control.note(by=work.lease.identity)
    return control


def _working(service: Service, say: Say) -> OperatorLease:
    name, purpose = lease_name(service.name), f"bluegreen run {service.name}"
    return OperatorLease(service.cluster, name, service.namespace, purpose=purpose, say=say)


class _Asking:
    """Asks the newer colour for predictions: by the preview header until it has the users' requests.

    Args:
        inputs: None asks for nothing.
    """

    def __init__(self, service: Service, inputs: Inputs | None, rps: float, say: Say) -> None:
        self.service, self._inputs, self._rps, self._say = service, inputs, rps, say
        self._client: BackgroundClient | None = None
        if inputs is not None:
            self._new(inputs, BEFORE)  # what does not fit is told before anything is done

    def begin(self, weight: int) -> None:
        """Ask where the newer colour is reached now."""
        self.stop()
        if self._inputs is None:
            return
        how = f"by `{PREVIEW_HEADER}: always`" if weight == BEFORE else "as its users do"
        self._say(f"{self.service.name}: {self._rps:g} requests/s are sent to the newer colour, {how}")
        self._client = self._new(self._inputs, weight).start()

    def stop(self) -> None:
        """Ask no more."""
        if self._client is not None:
            self._client.stop()
            self._client = None

    def _new(self, inputs: Inputs, weight: int) -> BackgroundClient:
        inference = self.service.inference
        host = urlsplit(inference.url).hostname  # the way in that the cluster itself told
        headers = {PREVIEW_HEADER: "always"} if weight == BEFORE else None
        allowed = [host] if host else []
        return BackgroundClient(inference, inputs, rps=self._rps, headers=headers, allowed=allowed)
