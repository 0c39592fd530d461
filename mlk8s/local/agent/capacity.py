"""Advertise simulated GPUs: an extended resource in the node's status, as a device plugin would put it there.

kubelet sets an extended resource back to zero when it registers after a reboot, so the wish is kept, not set
once.
"""

from __future__ import annotations

import logging
import time

from mlk8s.local.agent.api import Api, ApiError

_log = logging.getLogger(__name__)

RESOURCE = "nvidia.com/gpu"


def keep(api: Api, node: str, count: int, *, seconds: float = 5) -> None:
    """Keep the node's capacity and allocatable at `count`; looks every `seconds`, and more often at first."""
    began = time.monotonic()
    while True:
        try:
            status = api.get(f"/api/v1/nodes/{node}")["status"]
            wanted = str(count)
            if any(status.get(part, {}).get(RESOURCE, "0") != wanted for part in ("capacity", "allocatable")):
                amounts = {RESOURCE: wanted}
                api.merge(
                    f"/api/v1/nodes/{node}/status",
                    {"status": {"capacity": amounts, "allocatable": amounts}},
                )
        except ApiError as error:
            if error.status != 404:  # kubelet has not registered the node yet
                _log.warning("%s", error)
        time.sleep(0.2 if time.monotonic() - began < 30 else seconds)
