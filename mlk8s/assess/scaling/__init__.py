"""A twin of the autoscaler: what a load profile would do to a service, before anything is deployed."""

from __future__ import annotations

from mlk8s.assess.scaling.service import ServiceModel
from mlk8s.assess.scaling.twin import Cadence, Second, Simulation, simulate

__all__ = ["Cadence", "Second", "ServiceModel", "Simulation", "simulate"]
