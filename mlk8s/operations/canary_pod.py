"""What a rollout's controller runs in its pod: it goes on with what is written down, to the end."""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Self

from mlk8s.clients.cluster import Cluster
from mlk8s.clients.platform import Platform
from mlk8s.errors import Mlk8sError
from mlk8s.operations.canary_run import resume
from mlk8s.operations.rollout_drive import Terms
from mlk8s.operations.rollout_tell import Told
from mlk8s.operations.service import Service
from mlk8s.render.rollout_job import METRICS_PORT, SETTINGS, WEBHOOK

_DIRECTORY = Path("/tmp/rollout")  # noqa: S108 - a volume of the pod's own


@dataclass(frozen=True)
class PodSettings:
    """What the controller is told by whoever made its Job.

    Attributes:
        service, namespace: whose canary it works on.
        blind, timeout: as those of `Terms`.
        platform: the platform as pods see it, as `Platform.data` has it.
    """

    service: str
    namespace: str
    blind: float
    timeout: float
    platform: dict[str, str]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the settings of `dump`."""
        return cls(**json.loads(text))

    def dump(self) -> str:
        """Return them as JSON."""
        return json.dumps(asdict(self), sort_keys=True)


def main() -> int:
    """Bring the rollout to its end; return 0 whatever the outcome, 1 where somebody has to look."""
    settings = PodSettings.parse(os.environ[SETTINGS])
    signal.signal(signal.SIGTERM, _stop)  # so that the Lease is given back, and the next pod need not wait
    webhook = Path(WEBHOOK).read_text() if Path(WEBHOOK).exists() else None
    told = Told(
        directory=_DIRECTORY, webhook=webhook, metrics_port=METRICS_PORT,
        metrics_host="0.0.0.0",
    )  # fmt: skip
    try:
        cluster, platform = Cluster.connect(namespace=settings.namespace), Platform.parse(settings.platform)
        service = Service(cluster, platform, settings.service, settings.namespace)
        result = resume(service, Terms(told, settings.blind, settings.timeout, _say), in_pod=True)
    except Mlk8sError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    _say(str(result))
    return 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _stop(_number: int, _frame: FrameType | None) -> Any:
    raise SystemExit(143)


if __name__ == "__main__":
    sys.exit(main())
