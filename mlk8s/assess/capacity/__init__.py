"""How much one pod can take, from probes; and what follows for an autoscaler, resources and cost."""

from __future__ import annotations
