"""What the parent process tells the load generator, as one JSON file named by MLK8S_LOADTEST."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from mlk8s.errors import UsageError

VARIABLE = "MLK8S_LOADTEST"
"""Environment variable with the path of the settings file."""
INDEX = "JOB_COMPLETION_INDEX"
"""Environment variable with the number of a worker in a pod: Kubernetes sets it in an Indexed Job."""
MASTER, PORT = "MLK8S_LOADTEST_MASTER", 5557
"""Environment variable with the name at which a worker in a pod finds its master, and the port there."""
GIVEN, RESULTS = Path("/loadtest"), Path("/results")
"""Where a pod has its settings, and where it may write."""
FILE = "loadgen.json"
ENGINE_ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1"}
"""For the engine's process: it multiplies no matrices, and numpy's threads for that cost CPU at its start."""


@dataclass(frozen=True)
class Settings:
    """One load test, as the generator sees it.

    Args:
        url: base URL of the host, such as http://127.0.0.1:8080.
        path: path of the infer endpoint on that host.
        name: how the endpoint is called in the results.
        body: file with the V2 infer request, beside the settings file.
        stages: the profile's stages, with hold in seconds.
        timeout: seconds a request may take.
        connections: most connections at once, of each worker.
        allowed: hosts beside loopback that may get load: the connected cluster's ingress.
        parent: process that has to live for the test to go on, or 0.
        directory: where results go; the settings file's own directory.
        host: Host header, and the name that TLS asks for; None means the URL's own.
        ca: PEM file of the authorities to trust; None means the machine's.
        workers: how many processes send it together.
        seed: of random arrivals; None for regular ones.
        trace: file beside the settings with a JSON list of due seconds, instead of the stages' rates.
        stop_above: share of failed requests in ten seconds at which the test stops itself; 1 never does.
        in_pods: whether each worker is a pod of an Indexed Job.
    """

    url: str
    path: str
    name: str
    body: str
    stages: list[dict[str, Any]]
    timeout: float
    connections: int
    allowed: list[str]
    parent: int
    directory: Path
    host: str | None = None
    ca: str | None = None
    workers: int = 1
    seed: int | None = None
    trace: str | None = None
    stop_above: float = 1.0
    in_pods: bool = False

    def write(self) -> Path:
        """Write the settings into their directory and return the file."""
        values = {name: value for name, value in vars(self).items() if name != "directory"}
        file = self.directory / FILE
        file.write_bytes(orjson.dumps(values, option=orjson.OPT_INDENT_2))
        return file

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """Return the settings of this process, or of one with another environment.

        Raises:
            UsageError: when the variable is not set, or names no such file.
        """
        place = environment.get(VARIABLE)
        if not place:
            raise UsageError(
                f"{VARIABLE} is not set",
                expected="the path of a load test's settings file",
                next_step="start the test with `mlk8s loadtest` or mlk8s.loadtest(...)",
            )
        try:
            values = orjson.loads(Path(place).read_bytes())
            return cls(**values, directory=Path(place).parent)
        except (OSError, orjson.JSONDecodeError, TypeError) as error:
            raise UsageError(f"cannot read the load test's settings: {error}", where=place) from None
