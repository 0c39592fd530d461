"""The two colours of a blue/green service as an object with verbs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlk8s.operations import bluegreen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike

    from mlk8s.assess.bluegreen import BlueGreenStatus
    from mlk8s.clients.cluster import Cluster
    from mlk8s.clients.platform import Platform
    from mlk8s.operations.canary_watch import Watched
    from mlk8s.operations.rollout_tell import Told
    from mlk8s.operations.rollout_view import CanaryResult, View
    from mlk8s.operations.service import Say, Service
    from mlk8s.spec.analysis import Analysis


class BlueGreenHandle:
    """The two colours of one service; state lives in the cluster, so any process can go on with it."""

    def __init__(self, service: Service) -> None:
        self.service = service

    def __repr__(self) -> str:
        return str(self.status())

    def _place(self) -> tuple[Cluster, Platform, str, str]:
        service = self.service
        return service.cluster, service.platform, service.name, service.namespace

    def status(self) -> BlueGreenStatus:
        """Return which colour is live, what the other one is, and what may be done now."""
        return bluegreen.status(self.service.cluster, self.service.name, self.service.namespace)

    def switch(self, *, timeout: float = 120.0, say: Say | None = None) -> BlueGreenStatus:
        """Give all requests to the colour that the last deploy brought."""
        return bluegreen.switch(*self._place(), timeout=timeout, say=say or print)

    def back(self, *, timeout: float = 120.0, say: Say | None = None) -> BlueGreenStatus:
        """Give all requests back to the colour that had them before the last switch."""
        return bluegreen.back(*self._place(), timeout=timeout, say=say or print)

    def run(
        self,
        analysis: Analysis,
        *,
        inputs: Mapping[str, ArrayLike] | ArrayLike | None = None,
        rps: float = 20.0,
        told: Told | None = None,
        blind: float = 300.0,
        timeout: float = 180.0,
        say: Say | None = None,
        view: View | None = None,
        live: bool | None = None,
    ) -> CanaryResult:
        """Judge the idle colour, switch to it, judge it again, and go back where it is bad.

        Args:
            analysis: what it has to show, before the switch and after it.
            inputs: what to predict on the idle colour before the switch; None leaves it to others.
            rps: how often, at most 50 times a second.
            told: run directory, webhook, metrics.
            blind: seconds for which Prometheus may be away before it is rolled back.
            view, live: as those of `CanaryHandle.run`.

        Raises:
            UsageError: there is no second colour.
            Conflict: another process works on it.
        """
        from mlk8s.operations import colours_run

        terms = self.service.running_canary().terms(told, blind, timeout, say=say, view=view, live=live)
        return colours_run.run(self.service, analysis, terms, inputs=inputs, rps=rps)

    def watch(
        self, *, seconds: float | None = None, view: View | None = None, say: Say | None = None,
        live: bool | None = None,
    ) -> Watched:  # fmt: skip
        """Show a rollout that any process works on, block by block, until it ends: `CanaryHandle.watch`."""
        return self.service.running_canary().watch(seconds=seconds, view=view, say=say, live=live)

    def abort(self, *, timeout: float = 120.0, say: Say | None = None) -> None:
        """Give the users' requests to the older colour; whoever works on a rollout is asked to do it."""
        from mlk8s.operations import colours_run

        colours_run.abort(self.service, timeout=timeout, say=say or print)

    def finish(self, *, now: bool = False, say: Say | None = None) -> BlueGreenStatus:
        """Remove the idle colour, after a switch not before its `retain` seconds are over, unless `now`."""
        return bluegreen.finish(*self._place(), now=now, say=say or print)
