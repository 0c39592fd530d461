"""A container beside the main one, or of a workload of the user's own, and the probes that watch it."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from mlk8s.spec.base import Spec
from mlk8s.spec.configuration import Configuration, absolute_path
from mlk8s.spec.fields import Image, Name, Port, Seconds
from mlk8s.spec.resources import Resources

_PORT_NAME = re.compile(r"(?=.*[a-z])[a-z0-9]+(?:-[a-z0-9]+)*")
Role = Literal["startup", "readiness", "liveness"]


def _url_path(value: str) -> str:
    if not re.fullmatch(r"/[A-Za-z0-9._~/?&=%-]{0,1000}", value):
        raise ValueError("expected an absolute URL path such as /healthz")
    return value


def _named_ports(value: object) -> object:
    """Return ports by name; a bare number is named after itself."""
    if isinstance(value, (list, tuple)):
        if len(set(value)) < len(value):
            raise ValueError("a port is given twice")
        return {f"port-{port}": port for port in value}
    return value


def _ports(value: dict[str, int]) -> dict[str, int]:
    for name in value:
        if len(name) > 15 or not _PORT_NAME.fullmatch(name):
            raise ValueError(
                f"port name {name!r}: expected at most 15 lower-case letters, digits and '-', with a letter"
            )
    if len(set(value.values())) < len(value):
        raise ValueError("two names have one port")
    return value


def _mounts(value: dict[str, str]) -> dict[str, str]:
    for path, volume in value.items():
        absolute_path(path)
        if len(volume) > 63 or not re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", volume):
            raise ValueError(f"volume {volume!r} at {path}: expected a DNS-1123 label")
    return value


class Probe(Spec):
    """A question that kubelet asks a container; what is None stays as the container's default.

    Attributes:
        http_get: URL path that answers 200 to 399.
        tcp: a port that accepts a connection.
        command: a command inside the container that exits with 0.
        port: port of the first two; None means the container's only one.
        period: seconds from one question to the next, 1 or more (`periodSeconds`).
        timeout: seconds until an answer is a failure (`timeoutSeconds`).
        failures: failures in a row until it counts (`failureThreshold`).
        initial_delay: seconds before the first question; a startup probe is the better way to wait.
    """

    http_get: Annotated[str, AfterValidator(_url_path)] | None = None
    tcp: bool = False
    command: tuple[str, ...] = ()
    port: Port | None = None
    period: Annotated[Seconds, Field(ge=1, le=3600)] | None = None
    timeout: Annotated[Seconds, Field(ge=1, le=300)] | None = None
    failures: Annotated[int, Field(ge=1, le=3600, strict=True)] | None = None
    initial_delay: Annotated[Seconds, Field(le=3600)] = 0.0

    @model_validator(mode="after")
    def _one_question(self) -> Probe:
        given = [name for name in ("http_get", "tcp", "command") if getattr(self, name)]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} are given; expected one question")
        if self.port is not None and self.command:
            raise ValueError("port is given with command; expected it with http_get or tcp")
        for name in ("period", "timeout", "initial_delay"):
            seconds = getattr(self, name)
            if seconds is not None and seconds != int(seconds):
                raise ValueError(f"{name} {seconds:g} has a fraction; expected whole seconds")
        return self

    @property
    def asks(self) -> bool:
        """Whether it says what to ask."""
        return bool(self.http_get or self.tcp or self.command)

    def over(self, default: Probe) -> Probe:
        """Return this probe with the default's values where it has none."""
        names = ("period", "timeout", "failures", *(() if self.asks else ("http_get", "tcp", "command")))
        empty = [name for name in names if getattr(self, name) in (None, False, ())]
        filled = {name: getattr(default, name) for name in empty}
        if self.port is None and not self.command:
            filled["port"] = default.port
        probe: Probe = self.replace(**filled)
        return probe

    @property
    def patience(self) -> float:
        """Seconds of failures until it counts; infinite where it is not said."""
        return (self.period or float("inf")) * (self.failures or float("inf"))


TIMING: dict[Role, Probe] = {
    "startup": Probe(period=1, timeout=2, failures=60),
    "readiness": Probe(period=1, timeout=2, failures=3),
    # What is only busy must not be killed: half a minute of silence, not three missed seconds.
    "liveness": Probe(period=5, timeout=5, failures=6),
}
"""How often each probe asks, and when its answer counts, where nobody says otherwise."""


def check_patience(readiness: Probe, liveness: Probe) -> None:
    """Check that liveness is no second readiness: an overload would kill one pod after the other.

    Raises:
        ValueError: both ask the same, and liveness is not more patient.
    """
    question = ("http_get", "tcp", "command", "port")
    same = all(getattr(readiness, name) == getattr(liveness, name) for name in question)
    if same and liveness.patience <= readiness.patience:
        raise ValueError(
            f"liveness asks the same as readiness and gives up after {liveness.patience:g} s, readiness "
            f"after {readiness.patience:g} s: a busy pod would be killed; expected another question, or "
            "more period x failures for liveness"
        )


class Probes(Spec):
    """When a container has started, when it gets requests, and when it is started again.

    Attributes:
        startup: until it succeeds the others wait; its end kills the container.
        readiness: while it fails the pod gets no requests.
        liveness: its failure kills the container; see `check_patience`.
    """

    startup: Probe | None = None
    readiness: Probe | None = None
    liveness: Probe | None = None

    @model_validator(mode="after")
    def _liveness_is_patient(self) -> Probes:
        if self.readiness is None or self.liveness is None or not self.readiness.asks:
            return self
        check_patience(self.readiness.over(TIMING["readiness"]), self.liveness.over(TIMING["liveness"]))
        return self

    def items(self) -> list[tuple[Role, Probe]]:
        """Return the probes that there are, by role."""
        roles: tuple[Role, ...] = ("startup", "readiness", "liveness")
        return [(role, probe) for role in roles if (probe := getattr(self, role)) is not None]


class Container(Configuration):
    """One container: a sidecar or init container of a service, or the main one of another workload.

    Attributes:
        name: DNS-1123 label, at most 50 characters.
        image: reference with a fixed tag or a digest.
        command, args: instead of the image's entrypoint and its arguments.
        ports: TCP ports by name (at most 15 characters), or bare numbers.
        resources: CPU, memory and local disk.
        probes: None asks nothing.
        mounts: name of a volume of the pod by absolute path; it is mounted to be written where the volume
            allows it. /tmp is there already: the rest of the image cannot be written.
    """

    name: Name
    image: Image
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    ports: Annotated[dict[str, Port], BeforeValidator(_named_ports), AfterValidator(_ports)] = {}
    resources: Resources = Resources(cpu="50m", cpu_limit="500m", memory="128Mi", ephemeral_storage="64Mi")
    probes: Probes | None = None
    mounts: Annotated[dict[str, str], AfterValidator(_mounts)] = {}

    def __init__(self, name: str | None = None, image: str | None = None, **values: Any) -> None:
        given: dict[str, Any] = {"name": name, "image": image}
        super().__init__(**{key: value for key, value in given.items() if value is not None}, **values)

    @model_validator(mode="after")
    def _probes_ask(self) -> Container:
        for role, probe in self.probes.items() if self.probes else ():
            if not probe.asks:
                raise ValueError(f"probes.{role} asks nothing; expected http_get, tcp or command")
            if not probe.command and probe.port is None and len(self.ports) != 1:
                raise ValueError(f"probes.{role} names no port, and the container has {len(self.ports)}")
        taken = {*self.config_files, *self.secret_files}
        for path in self.mounts:
            if path in taken:
                raise ValueError(f"mounts: {path} is taken already; expected one thing a path")
        return self
