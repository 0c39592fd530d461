"""The two colours of a blue/green service as an object with verbs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlk8s.operations import bluegreen

if TYPE_CHECKING:
    from mlk8s.assess.bluegreen import BlueGreenStatus
    from mlk8s.clients.cluster import Cluster
    from mlk8s.clients.platform import Platform
    from mlk8s.operations.service import Say, Service


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

    def finish(self, *, now: bool = False, say: Say | None = None) -> BlueGreenStatus:
        """Remove the idle colour, after a switch not before its `retain` seconds are over, unless `now`."""
        return bluegreen.finish(*self._place(), now=now, say=say or print)
