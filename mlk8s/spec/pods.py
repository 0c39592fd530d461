"""What must hold among the containers of one pod, and the probes of a model service's server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    check_beside(
        spec.init, spec.sidecars, names=(SERVER, FETCH), ports={"http": SERVER_PORT},
        volumes=["models", *(item.name for item in spec.volumes)],
    )  # fmt: skip
    readers: tuple[Configuration, ...] = (spec, *spec.init, *spec.sidecars)
    check_size([text for item in readers for text in item.config_files.values()])
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


def check_beside(
    init: Sequence[Container],
    sidecars: Sequence[Container],
    *,
    volumes: Sequence[str],
    names: Sequence[str] = (),
    ports: Mapping[str, int] | None = None,
) -> None:
    """Check that the user's containers of a pod are not in each other's way, nor in that of mlk8s's own.

    Args:
        names: of mlk8s's own containers.
        ports: that those listen on, by name.
        volumes: names of those that may be mounted.

    Raises:
        ValueError: with what was found, and what was expected.
    """
    beside, ports = (*init, *sidecars), ports or {}
    _unique("container name", [*names, *(item.name for item in beside)])
    _unique("port name", [*ports, *(name for item in sidecars for name in item.ports)])
    _unique("port", [*ports.values(), *(port for item in sidecars for port in item.ports.values())])
    for item in init:
        if item.probes is not None:
            raise ValueError(f"init container {item.name!r} has probes; expected none: it only runs once")
    known = f"one of: {', '.join(volumes)}" if volumes else "none: the pod has no volumes"
    for item in beside:
        for path, volume in item.mounts.items():
            if volume not in volumes:
                raise ValueError(
                    f"container {item.name!r} mounts volume {volume!r} at {path}; expected {known}"
                )


def _unique(what: str, values: Sequence[object]) -> None:
    for place, value in enumerate(values):
        if value in values[:place]:
            raise ValueError(f"{what} {value!r} is there twice in one pod; expected different ones")
