"""Workers: pods of the cluster that send a load test together."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mlk8s.spec.pod import Pulled
from mlk8s.spec.resources import Resources

MAX_WORKERS = 64
"""Most workers of a load test, be they pods or processes."""

SIZE = Resources(cpu="250m", cpu_limit="2", memory="384Mi")
"""What a worker asks for and may use: Locust and the engine beside it are two processes."""


class Workers(Pulled):
    """Pods that send a load test together, each its share of the same schedule.

    Args:
        count: how many (1 to 64).
        resources: of each; a worker that has to wait for a CPU sends late, and the report says so.
        image: the load generator's; None means the platform's, or that of the local cluster.

    Raises:
        SpecError: a value is outside its range.
    """

    count: Annotated[int, Field(ge=1, le=MAX_WORKERS, strict=True)] = 2
    resources: Resources = SIZE
    image: str | None = None
