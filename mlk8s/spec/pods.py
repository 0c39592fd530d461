"""What must hold among the containers of one model service's pods, and the probes of its server."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil
from typing import TYPE_CHECKING

from mlk8s.spec.configuration import Configuration, check_size, outside
from mlk8s.spec.container import TIMING, Container, Probe, Probes, Role, check_patience

if TYPE_CHECKING:
    from mlk8s.spec.service import ModelService

SERVER, FETCH = "server", "fetch-model"
SERVER_PORT = 8080
OWN_ENV = ("MODEL_DIR", "PORT")
"""Variables of the server that mlk8s sets itself."""
_OWN_PATHS = ("/models", "/var/run/secrets")
_QUESTIONS: dict[Role, str] = {
    "startup": "/v2/health/live",
    "readiness": "/v2/health/ready",
    "liveness": "/v2/health/live",
}


def server_probes(given: Probes | None, startup_timeout: float) -> dict[Role, Probe]:
    """Return the server's probes with every value known; what the spec leaves out is ours.

    Args:
        startup_timeout: seconds that the startup probe goes on asking.
    """
    found: dict[Role, Probe] = {}
    for role, question in _QUESTIONS.items():
        own = (getattr(given, role) if given is not None else None) or Probe()
        found[role] = own.over(TIMING[role]).over(Probe(http_get=question))
    startup = found["startup"]
    found["startup"] = startup.replace(failures=max(1, ceil(startup_timeout / (startup.period or 1))))
    return found


def check_pods(spec: ModelService) -> None:
    """Check what no container can know alone: names, ports, paths, variables and probes of one pod.

    Raises:
        ValueError: with the field, what was found, and what was expected.
    """
    beside = (*spec.init, *spec.sidecars)
    readers: tuple[Configuration, ...] = (spec, *beside)
    _unique("container name", [SERVER, FETCH, *(item.name for item in beside)])
    _unique("port name", ["http", *(name for item in spec.sidecars for name in item.ports)])
    _unique("port", [SERVER_PORT, *(port for item in spec.sidecars for port in item.ports.values())])
    for item in spec.init:
        if item.probes is not None:
            raise ValueError(f"init container {item.name!r} has probes; expected none: it only runs once")
    check_size([text for item in readers for text in item.config_files.values()])
    _known_volumes(beside, ["models", *(item.name for item in spec.volumes)])
    own = [name for name in OWN_ENV if name in spec.env or name in spec.secret_env]
    if own:
        raise ValueError(f"environment variable {own[0]!r} is mlk8s's own; expected another name")
    outside(spec, _OWN_PATHS)
    if spec.probes is not None:
        startup = spec.probes.startup
        if startup is not None and startup.failures is not None:
            raise ValueError("probes.startup.failures is given; expected startup_timeout instead")
        probes = server_probes(spec.probes, spec.startup_timeout)
        check_patience(probes["readiness"], probes["liveness"])


def _unique(what: str, values: Sequence[object]) -> None:
    for place, value in enumerate(values):
        if value in values[:place]:
            raise ValueError(f"{what} {value!r} is there twice in one pod; expected different ones")


def _known_volumes(containers: Iterable[Container], names: list[str]) -> None:
    for item in containers:
        for path, volume in item.mounts.items():
            if volume not in names:
                raise ValueError(
                    f"container {item.name!r} mounts volume {volume!r} at {path}, and the pod has "
                    f"{', '.join(names)}; expected one of them"
                )
