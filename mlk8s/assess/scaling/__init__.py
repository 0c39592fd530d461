"""A twin of the autoscaler: what a load profile would do to a service, before anything is deployed."""

from __future__ import annotations

from mlk8s.assess.scaling.service import Measured, ServiceModel
from mlk8s.assess.scaling.twin import Cadence, Second, Simulation, simulate

__all__ = ["Cadence", "Measured", "Second", "ServiceModel", "Simulation", "simulate"]
