"""What the environment of the collector's pod says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mlk8s.errors import UsageError
from mlk8s.storage.location import Location


@dataclass(frozen=True, slots=True)
class CollectorConfig:
    """Settings by environment variable.

    Attributes:
        output: COLLECTOR_OUTPUT, where the lines go, `s3://logs/pods`.
        node: COLLECTOR_NODE, the node's name.
        root: COLLECTOR_ROOT, the kubelet's directory of pod logs.
        flush: COLLECTOR_FLUSH, seconds that a line may wait.
        chunk: COLLECTOR_CHUNK, bytes of log that one object holds at most.
        include, exclude: COLLECTOR_INCLUDE and COLLECTOR_EXCLUDE, namespaces separated by commas; no
            inclusion means all.
        port: COLLECTOR_PORT, of /healthz and /metrics.
    """

    output: str
    node: str
    root: Path = Path("/var/log/pods")
    flush: float = 30.0
    chunk: int = 1 << 20
    include: frozenset[str] = frozenset()
    exclude: frozenset[str] = frozenset()
    port: int = 8081

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> CollectorConfig:
        """Read the environment.

        Raises:
            UsageError: a variable is missing or malformed; names it.
            SpecError: the output is malformed.
        """
        output, node = _needed(env, "COLLECTOR_OUTPUT"), _needed(env, "COLLECTOR_NODE")
        Location.parse(output)
        return cls(
            output=output,
            node=node,
            root=Path(env.get("COLLECTOR_ROOT") or "/var/log/pods"),
            flush=_number(env, "COLLECTOR_FLUSH", 30.0),
            chunk=int(_number(env, "COLLECTOR_CHUNK", 1 << 20)),
            include=_names(env, "COLLECTOR_INCLUDE"),
            exclude=_names(env, "COLLECTOR_EXCLUDE"),
            port=int(_number(env, "COLLECTOR_PORT", 8081)),
        )

    def wants(self, namespace: str) -> bool:
        """Whether a namespace's lines are shipped."""
        return namespace not in self.exclude and (not self.include or namespace in self.include)


def _needed(env: Mapping[str, str], name: str) -> str:
    value = env.get(name, "")
    if not value:
        raise UsageError(f"{name} is not set.")
    return value


def _number(env: Mapping[str, str], name: str, default: float) -> float:
    try:
        value = float(env.get(name) or default)
    except ValueError:
        value = -1.0
    if not 0 < value < float("inf"):
        raise UsageError(f"{name} is {env.get(name)!r}.", expected="a number above 0")
    return value


def _names(env: Mapping[str, str], name: str) -> frozenset[str]:
    return frozenset(part.strip() for part in env.get(name, "").split(",") if part.strip())
